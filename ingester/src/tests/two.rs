//! Two ingesters that hold one batch, because a call to one of them had failed: whoever flushes
//! first claims it, the other drops it, and every row is found once by every query (B2, B3, C2, W3).

use std::collections::BTreeMap;
use std::sync::Arc;

use base::random::SeededRandom;
use base::shutdown::Shutdown;
use base::{Batch, BatchId};
use catalog::{Commit, paths};
use rpc::IngesterApi;
use rpc::ingester::{IngesterError, SelectAnswer, SelectRequest};

use super::harness::{Machine, Row, everything, held_rows, part_rows, rows_of, tenant};
use crate::Ingester;

/// Two machines with one bucket.
struct Pair {
    machines: [Machine; 2],
    x: Arc<Ingester>,
    y: Arc<Ingester>,
}

impl Pair {
    async fn new() -> Pair {
        let first = Machine::new();
        let mut second = Machine::new();
        second.store = first.store.clone();
        second.random = Arc::new(SeededRandom::new(8));
        let (x, y) = (first.start().await, second.start().await);
        assert_ne!(x.store(), y.store());
        Pair { machines: [first, second], x, y }
    }

    /// A batch for X, stored there as its first attempt; not told what became of it, its sender
    /// stores the second at Y.
    async fn demote(&self, rows: usize) -> Batch {
        let batch = self.machines[0].batch(&self.x, rows);
        let next = next_attempt(&batch, &self.y);
        assert_eq!(self.x.append(vec![batch]).await.unwrap().attempts, [1]);
        assert_eq!(self.y.append(vec![next.clone()]).await.unwrap().attempts, [2]);
        next
    }

    /// A batch that only `at` ever sees.
    async fn alone(&self, at: usize, rows: usize) -> Batch {
        let ingester = [&self.x, &self.y][at];
        let batch = self.machines[at].batch(ingester, rows);
        // The same rows at both machines would be equal rows.
        let batch = shifted(batch, at as i64 + 1);
        ingester.append(vec![batch.clone()]).await.unwrap();
        batch
    }

    /// How often each row is in parts and in the heads of both, at one view that both have read.
    async fn found(&self) -> BTreeMap<Row, usize> {
        let (view, parts) = part_rows(&self.x.core.deps.catalog).await;
        let mut found = BTreeMap::new();
        for source in parts {
            count(source, &mut found);
        }
        for ingester in [&self.x, &self.y] {
            ingester.core.deps.catalog.follow_to(view).await.unwrap();
            ingester.core.mend(&ingester.core.days(None)).await;
            assert!(ingester.core.floor() <= view, "a view just read is not too old");
            held_rows(ingester, view).into_iter().for_each(|rows| count(rows, &mut found));
        }
        found
    }

    /// Every commit of the log claims ids that no other does; returns how often ids are claimed.
    async fn claims(&self, batches: &[&Batch]) -> Vec<usize> {
        let catalog = &self.x.core.deps.catalog;
        let head = catalog.follow().await.unwrap().version();
        let mut times = vec![0; batches.len()];
        for number in 1..=head {
            let bytes = catalog.bucket().get(&paths::commit(number), 1 << 20).await.unwrap();
            let commit = Commit::decode(number, &bytes).unwrap();
            for (times, batch) in times.iter_mut().zip(batches) {
                *times += usize::from(commit.claims.contains(&batch.id));
            }
        }
        times
    }
}

fn next_attempt(batch: &Batch, to: &Ingester) -> Batch {
    Batch { attempt: batch.attempt + 1, members: vec![to.store()], ..batch.clone() }
}

/// The same rows some hours later.
fn shifted(mut batch: Batch, hours: i64) -> Batch {
    batch.rows.ts_ns.iter_mut().for_each(|ts_ns| *ts_ns += hours * 3_600_000_000_000);
    batch
}

fn count(rows: Vec<Row>, found: &mut BTreeMap<Row, usize>) {
    rows.into_iter().for_each(|row| *found.entry(row).or_insert(0) += 1);
}

fn assert_once(found: &BTreeMap<Row, usize>, batches: &[&Batch]) {
    let mut expected = BTreeMap::new();
    batches.iter().for_each(|batch| count(rows_of(batch), &mut expected));
    assert_eq!(*found, expected);
}

async fn select(ingester: &Ingester, view: u64, asked: Vec<base::StoreId>) -> SelectAnswer {
    let leaf = everything();
    let (overlaps, cancel) = (Default::default(), Shutdown::new());
    let (tenant, store) = (tenant(), Some(ingester.store()));
    let request = SelectRequest { tenant, leaf, view, asked, overlaps, store, cancel };
    ingester.select(request).await.unwrap()
}

/// Rows that the ingester answers, by number.
async fn selected(ingester: &Ingester, view: u64, asked: Vec<base::StoreId>) -> u64 {
    match select(ingester, view, asked).await {
        SelectAnswer::Rows { stats, .. } => stats.rows_selected,
        SelectAnswer::Behind { floor } => panic!("{view} is behind {floor}"),
    }
}

#[tokio::test]
async fn whoever_flushes_first_claims_the_batch_and_the_other_drops_it_on_reading_the_commit() {
    for first in [0, 1] {
        let pair = Pair::new().await;
        let both = [&pair.x, &pair.y];
        let (flusher, other) = (both[first], both[1 - first]);
        let batch = pair.demote(9).await;
        assert_eq!(held_rows(flusher, 0).concat().len(), 9);
        assert_eq!(held_rows(other, 0).concat().len(), 9);
        flusher.flush_all().await.unwrap();
        other.core.deps.catalog.follow().await.unwrap();
        assert!(held_rows(other, 1).is_empty(), "not answered at the commit");
        assert_eq!(held_rows(other, 0).concat().len(), 9, "and still answered before it");
        assert_once(&pair.found().await, &[&batch]);
        assert_eq!(other.core.usage.held_bytes(), 0);
        other.core.release_queued();
        assert!(
            other.core.wal().unwrap().oldest_batches(|_| true).is_empty(),
            "it leaves the log (W2)"
        );
        other.flush_all().await.unwrap();
        assert_eq!(pair.claims(&[&batch]).await, [1]);
    }
}

#[tokio::test]
async fn rows_beside_a_batch_that_another_flushed_stay_and_only_they_are_answered() {
    let pair = Pair::new().await;
    let before = pair.alone(0, 5).await;
    let batch = pair.demote(9).await;
    let after = pair.alone(0, 4).await;
    pair.y.flush_all().await.unwrap();
    let view = pair.x.core.deps.catalog.follow().await.unwrap().version();
    assert_eq!(selected(&pair.x, view, Vec::new()).await, 9, "five and four, not the nine of Y");
    assert!(matches!(select(&pair.x, view - 1, Vec::new()).await, SelectAnswer::Behind { .. }));
    assert_once(&pair.found().await, &[&before, &batch, &after]);
    pair.x.flush_all().await.unwrap();
    assert_once(&pair.found().await, &[&before, &batch, &after]);
    assert_eq!(pair.claims(&[&before, &batch, &after]).await, [1, 1, 1]);
}

#[tokio::test]
async fn flushes_at_the_same_time_claim_each_batch_once_wherever_they_meet() {
    for delay in 0..12 {
        let pair = Pair::new().await;
        let mut batches = vec![pair.demote(6).await];
        batches.push(pair.alone(0, 5).await);
        batches.push(pair.alone(1, 4).await);
        batches.push(pair.demote(3).await);
        let late = async {
            for _ in 0..delay {
                tokio::task::yield_now().await;
            }
            pair.y.flush_all().await
        };
        let (x, y) = tokio::join!(pair.x.flush_all(), late);
        x.unwrap();
        y.unwrap();
        let batches: Vec<&Batch> = batches.iter().collect();
        assert_eq!(pair.claims(&batches).await, [1, 1, 1, 1], "Y begins {delay} later");
        assert_once(&pair.found().await, &batches);
        for ingester in [&pair.x, &pair.y] {
            assert_eq!(ingester.core.usage.held_bytes(), 0);
            assert_eq!(ingester.core.lock_admitter().stream_count(&tenant()), 0);
        }
    }
}

#[tokio::test]
async fn a_late_append_of_a_batch_that_another_flushed_is_acked_as_claimed_and_not_stored() {
    let pair = Pair::new().await;
    let batch = pair.machines[0].batch(&pair.x, 7);
    let next = next_attempt(&batch, &pair.y);
    pair.y.append(vec![next.clone()]).await.unwrap();
    pair.y.flush_all().await.unwrap();
    // X has not read the commit: it takes the batch in, and drops it when it does.
    assert_eq!(pair.x.append(vec![batch.clone()]).await.unwrap().attempts, [1]);
    assert_once(&pair.found().await, &[&next]);
    pair.x.core.release_queued();
    while pair.x.core.wal().unwrap().size_bytes() > 0 {
        tokio::task::yield_now().await;
    }
    let operations = pair.machines[0].disk.operations();
    let late = pair.x.append(vec![batch.clone(), batch]).await.unwrap();
    assert_eq!(late.attempts, [u32::MAX, u32::MAX]);
    assert_eq!(pair.machines[0].disk.operations(), operations, "nothing was written");
    assert_once(&pair.found().await, &[&next]);
}

#[tokio::test]
async fn what_was_demoted_before_a_power_cut_is_replayed_and_dropped() {
    let Pair { machines: [first, second], x, y } = Pair::new().await;
    let batch = first.batch(&x, 7);
    let next = next_attempt(&batch, &y);
    x.append(vec![batch]).await.unwrap();
    y.append(vec![next.clone()]).await.unwrap();
    drop(x);
    let first = first.power_cut();
    let x = first.start().await;
    assert_eq!(held_rows(&x, 0).concat().len(), 7, "nobody has claimed it");
    y.flush_all().await.unwrap();
    drop(x);
    let first = first.power_cut();
    let x = first.start().await;
    assert!(held_rows(&x, u64::MAX).is_empty());
    let pair = Pair { machines: [first, second], x, y };
    assert_once(&pair.found().await, &[&next]);
}

#[tokio::test]
async fn the_highest_attempt_and_its_list_survive_restarts_and_lower_ones_are_not_acked() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let first = machine.batch(&ingester, 3);
    let other = base::StoreId(ulid::Ulid(5));
    let third = Batch { attempt: 3, members: vec![ingester.store(), other], ..first.clone() };
    let second = Batch { attempt: 2, ..first.clone() };
    assert_eq!(ingester.append(vec![first.clone()]).await.unwrap().attempts, [1]);
    assert_eq!(ingester.append(vec![third.clone()]).await.unwrap().attempts, [3]);
    assert_eq!(ingester.append(vec![second.clone()]).await.unwrap().attempts, [3]);
    drop(ingester);
    let machine = machine.power_cut();
    let ingester = machine.start().await;
    let [day] = &ingester.core.days(None)[..] else { panic!("one tenant and day") };
    let held = |id: &BatchId| day.lock().held.get(id).cloned().unwrap();
    assert_eq!((held(&first.id).attempt, held(&first.id).appended), (3, 0));
    assert_eq!(&*held(&first.id).members, &third.members[..]);
    assert_eq!(ingester.append(vec![second]).await.unwrap().attempts, [3]);
    // An ack may rest on the second now, and not on the third, which was only replayed.
    let operations = machine.disk.operations();
    assert_eq!(ingester.append(vec![third]).await.unwrap().attempts, [3]);
    assert!(machine.disk.operations() > operations, "written again before it is acked");
    assert_eq!(held_rows(&ingester, u64::MAX).concat().len(), 3);
}

#[tokio::test]
async fn lists_without_this_store_are_refused_whole_and_nothing_is_stored() {
    let pair = Pair::new().await;
    let fine = pair.machines[0].batch(&pair.x, 2);
    let other = Batch { members: vec![pair.y.store()], ..fine.clone() };
    let nobody = Batch { members: Vec::new(), ..fine.clone() };
    for wrong in [other, nobody] {
        let refused = pair.x.append(vec![fine.clone(), wrong]).await.unwrap_err();
        assert!(matches!(refused.error, IngesterError::Misplaced(_)), "{}", refused.error);
        assert_eq!(refused.batches.len(), 2);
    }
    assert!(pair.found().await.is_empty());
    assert_eq!(pair.x.core.wal().unwrap().size_bytes(), 0);
}

#[tokio::test]
async fn any_ingester_may_write_checkpoints_and_each_of_them_is_the_whole_state() {
    let pair = Pair::new().await;
    let mut batches = Vec::new();
    for round in 0..9 {
        batches.push(pair.alone(round % 2, 2).await);
        batches.push(pair.demote(2).await);
        let (x, y) = tokio::join!(pair.x.flush_all(), pair.y.flush_all());
        x.unwrap();
        y.unwrap();
        // Both at once, of the same version.
        let (x, y) = (&pair.x.core.deps.catalog, &pair.y.core.deps.catalog);
        x.follow().await.unwrap();
        y.follow().await.unwrap();
        let (x, y) = tokio::join!(x.checkpoint(), y.checkpoint());
        x.unwrap();
        y.unwrap();
    }
    let catalog = &pair.x.core.deps.catalog;
    let view = catalog.follow().await.unwrap();
    let manifests = catalog.bucket().list(paths::MANIFESTS, &paths::manifest(0)).await.unwrap();
    assert!(manifests.len() >= 9);
    // Whoever starts begins with the newest that is there and reads the log after it.
    for manifest in manifests.iter().rev() {
        let fresh = pair.machines[1].catalog().await.unwrap();
        let parts = |view: &store::Snapshot| view.all_parts().cloned().collect::<Vec<_>>();
        assert_eq!(parts(&fresh.snapshot()), parts(&view), "{}", manifest.path);
        let table = fresh.read(|catalog| catalog.table().clone());
        assert_eq!(table, catalog.read(|catalog| catalog.table().clone()));
        catalog.bucket().delete(&manifest.path).await.unwrap();
    }
    assert_once(&pair.found().await, &batches.iter().collect::<Vec<_>>());
}
