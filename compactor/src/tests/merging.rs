//! Merging of real parts: nothing is lost, nothing is there twice, garbage goes, whoever dies where.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::random::{Random, SeededRandom};
use base::shutdown::Shutdown;
use base::{Day, Labels, RowsBuilder};
use bytes::Bytes;
use catalog::{PartId, PartRecord, paths};
use part::{Columns, Fetched, Footer, GroupReader, Options, Source};
use store::{CatalogHandle, Upload, put_parts};

use super::harness::{HOUR_NS, Rig, batch, parts, tenant};
use crate::Config;
use crate::merge::Merged;
use crate::plan::Rules;

/// The day of all rows: that of the rig's clock, which begins two minutes before midnight.
fn day(rig: &Rig) -> Day {
    use base::Clock;
    Day::of(rig.clock.now())
}

/// Three parts of an open hour are merged, two of an ended day.
fn eager() -> Config {
    let rules = Rules { fan_in: 3, settle: Duration::ZERO, ..Rules::default() };
    Config { rules, ..Config::default() }
}

/// Commits a part with one row for each batch, in a stream of its app, all in one hour.
async fn flush(rig: &Rig, handle: &CatalogHandle, app: &str, batches: &[u64]) {
    let random = SeededRandom::new(1000 + batches[0]);
    let streams = [Labels::from_pairs([("app", app)])];
    let mut rows = RowsBuilder::default();
    for &id in batches {
        let ts_ns = day(rig).start_ns() + 23 * HOUR_NS + id as i64 * 1_000_000;
        rows.push(0, ts_ns, format!("row {id:06}").as_bytes());
    }
    let page = rows.finish();
    let source = Source { streams: &streams, pages: vec![page.page(&[])] };
    let image = part::seal(&tenant(0), day(rig), &[source], &Options::flushed()).unwrap().unwrap();
    let mut draft = handle.draft();
    let id = PartId(random.ulid(&rig.clock));
    let upload = Upload::of_flush(id, tenant(0), day(rig), image);
    draft.added = put_parts(&rig.bucket, &random, &rig.clock, vec![upload]).await.unwrap();
    draft.claims = batches.iter().map(|&id| batch(id)).collect::<Vec<_>>().iter().collect();
    let outcome = handle.commit(&draft).await.unwrap();
    assert!(matches!(outcome, store::Outcome::Committed(_)), "{outcome:?}");
}

/// The lines of a part.
async fn lines(rig: &Rig, record: &PartRecord) -> Vec<String> {
    let object = rig.bucket.get(&record.path(), 1 << 20).await.unwrap();
    let from = record.offset() as usize;
    let part: Bytes = object.slice(from..from + record.len_bytes as usize);
    let footer = Footer::open(&part, part.len() as u64).unwrap();
    let columns = Columns { line_bytes: true, lengths: true, metadata: None };
    let (mut reader, mut lines) = (GroupReader::default(), Vec::new());
    for group in 0..footer.groups().len() {
        let mut ranges = Vec::new();
        footer.column_ranges(group, &columns, &mut ranges);
        footer.line_ranges(group, u64::MAX, &mut ranges);
        let fetched = Fetched::read::<part::Error>(&part, ranges).unwrap();
        reader.group(&footer, group, &columns, &fetched).unwrap();
        for page in 0..footer.pages(group).len() {
            let decoded = reader.page(&footer, page, Some(&fetched)).unwrap();
            let view = decoded.view();
            let line = |row| String::from_utf8(view.lines.get(row).to_vec()).unwrap();
            lines.extend((0..view.len()).map(line));
        }
    }
    lines
}

/// Every row of `wanted` is in exactly one live part.
async fn check(rig: &Rig, wanted: impl IntoIterator<Item = u64>) {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for record in parts(&rig.open(99).await) {
        for line in lines(rig, &record).await {
            *seen.entry(line).or_default() += 1;
        }
    }
    let wanted = wanted.into_iter().map(|id| (format!("row {id:06}"), 1));
    assert_eq!(seen, wanted.collect());
}

async fn objects(rig: &Rig) -> usize {
    rig.names(paths::PARTS).await.len() + rig.names(paths::BUNDLES).await.len()
}

#[tokio::test]
async fn parts_of_an_hour_become_one_and_their_objects_go_after_the_delay() {
    let rig = Rig::new();
    let writer = rig.open(1).await;
    let compactor = rig.compactor(5, eager()).await;
    flush(&rig, &writer, "a", &[1, 2]).await;
    flush(&rig, &writer, "b", &[3]).await;
    assert_eq!(compactor.pass().await.unwrap().merges, 0, "two are too few while the hour lasts");
    flush(&rig, &writer, "a", &[4, 5]).await;
    assert_eq!(compactor.pass().await.unwrap().merges, 1);
    let merged = parts(&rig.open(2).await);
    let [one] = &merged[..] else { panic!("{merged:?}") };
    assert_eq!((one.rows, one.streams, one.level, one.purged_through), (5, 2, 1, 0));
    assert_eq!(lines(&rig, one).await.len(), 5);
    check(&rig, 1..=5).await;
    assert_eq!(objects(&rig).await, 4);
    compactor.delete_garbage().await.unwrap();
    assert_eq!(objects(&rig).await, 4, "queries under way may still read them");
    rig.advance_hours(2);
    compactor.delete_garbage().await.unwrap();
    assert_eq!(objects(&rig).await, 1);
    check(&rig, 1..=5).await;
}

#[tokio::test]
async fn a_row_that_is_in_two_parts_is_there_once_after_a_merge() {
    let rig = Rig::new();
    let writer = rig.open(1).await;
    // The same line came as two batches: a client's retry that landed on another owner.
    for (who, id) in [(20, 1), (21, 7), (22, 1)] {
        let again = rig.open(who).await;
        let random = SeededRandom::new(1000 + again.snapshot().version());
        let streams = [Labels::from_pairs([("app", "a")])];
        let mut rows = RowsBuilder::default();
        rows.push(0, day(&rig).start_ns() + 23 * HOUR_NS + id, format!("row {id:06}").as_bytes());
        let page = rows.finish();
        let source = Source { streams: &streams, pages: vec![page.page(&[])] };
        let image = part::seal(&tenant(0), day(&rig), &[source], &Options::flushed()).unwrap();
        let mut draft = again.draft();
        let id = PartId(random.ulid(&rig.clock));
        let upload = Upload::of_flush(id, tenant(0), day(&rig), image.unwrap());
        draft.added = put_parts(&rig.bucket, &random, &rig.clock, vec![upload]).await.unwrap();
        again.commit(&draft).await.unwrap();
    }
    writer.follow().await.unwrap();
    let compactor = rig.compactor(5, eager()).await;
    assert_eq!(compactor.pass().await.unwrap().merges, 1);
    check(&rig, [1, 7]).await;
}

#[tokio::test]
async fn whoever_dies_at_any_request_of_a_merge_loses_nothing_and_leaves_nothing() {
    let requests = {
        let rig = Rig::new();
        prepare(&rig).await;
        let compactor = rig.compactor(5, eager()).await;
        rig.store.script(BTreeMap::new(), BTreeMap::new());
        assert_eq!(compactor.merge_due(&Shutdown::new()).await.unwrap(), 1);
        rig.advance_hours(3);
        compactor.delete_garbage().await.unwrap();
        rig.store.requests()
    };
    assert!(requests > 15, "{requests} requests");
    for at in 0..requests {
        for last_is_done in [false, true] {
            let rig = Rig::new();
            prepare(&rig).await;
            let compactor = rig.compactor(5, eager()).await;
            rig.store.die_at(at, last_is_done);
            let merged = compactor.merge_due(&Shutdown::new()).await;
            rig.advance_hours(3);
            let deleted = match merged {
                Ok(_) => compactor.delete_garbage().await,
                Err(_) => Ok(()),
            };
            rig.store.script(BTreeMap::new(), BTreeMap::new());
            drop((compactor, deleted));
            check(&rig, 1..=6).await;

            // Another process goes on.
            let next = rig.compactor(6, eager()).await;
            next.pass().await.unwrap();
            check(&rig, 1..=6).await;
            for _ in 0..3 {
                rig.advance_hours(25);
                next.pass().await.unwrap();
            }
            check(&rig, 1..=6).await;
            let live = parts(&rig.open(2).await).len();
            assert_eq!((live, objects(&rig).await), (1, 1), "died at {at}, done {last_is_done}");
        }
    }
}

async fn prepare(rig: &Rig) {
    let writer = rig.open(1).await;
    for (app, batches) in [("a", [1, 2]), ("b", [3, 4]), ("a", [5, 6])] {
        flush(rig, &writer, app, &batches).await;
    }
}

#[tokio::test]
async fn of_two_compactors_at_once_one_result_counts() {
    for stagger in 0..60 {
        let rig = Rig::new();
        prepare(&rig).await;
        let one = Arc::new(rig.compactor(5, eager()).await);
        let other = Arc::new(rig.compactor(6, eager()).await);
        let merge = |who: &Arc<crate::Compactor>, wait: usize| {
            let who = Arc::clone(who);
            base::task::spawn("merge", async move {
                for _ in 0..wait {
                    tokio::task::yield_now().await;
                }
                who.merge_due(&Shutdown::new()).await
            })
        };
        let (first, second) = (merge(&one, 0), merge(&other, stagger));
        let merges = first.await.unwrap().unwrap() + second.await.unwrap().unwrap();
        assert_eq!(merges, 1, "the catalog decides");
        check(&rig, 1..=6).await;
        for _ in 0..3 {
            rig.advance_hours(25);
            one.pass().await.unwrap();
            other.pass().await.unwrap();
        }
        assert_eq!(objects(&rig).await, 1, "the loser's part is garbage");
        check(&rig, 1..=6).await;
    }
}

#[tokio::test]
async fn a_merge_that_is_told_to_end_stops_and_begins_anew_later() {
    let rig = Rig::new();
    prepare(&rig).await;
    let compactor = rig.compactor(5, eager()).await;
    let told = Shutdown::new();
    told.cancel();
    assert_eq!(compactor.merge_due(&told).await.unwrap(), 0);
    check(&rig, 1..=6).await;
    assert_eq!(compactor.merge_due(&Shutdown::new()).await.unwrap(), 1);
    check(&rig, 1..=6).await;
}

#[tokio::test]
async fn a_damaged_part_is_left_alone_and_the_others_are_merged() {
    let rig = Rig::new();
    prepare(&rig).await;
    let writer = rig.open(11).await;
    flush(&rig, &writer, "c", &[7]).await;
    let damaged = parts(&writer).into_iter().find(|part| part.rows == 1).unwrap();
    let mut bytes = rig.bucket.get(&damaged.path(), 1 << 20).await.unwrap().to_vec();
    bytes[3] ^= 1;
    rig.bucket.put(&damaged.path(), vec![bytes.into()]).await.unwrap();
    let compactor = rig.compactor(5, eager()).await;
    assert_eq!(compactor.pass().await.unwrap().merges, 1);
    let rows: Vec<u64> = parts(&rig.open(2).await).iter().map(|part| part.rows).collect();
    assert_eq!(rows.iter().sum::<u64>(), 7);
    assert_eq!(rows.len(), 2, "the damaged one and the rest");
}

#[tokio::test]
async fn parts_older_than_their_tenant_keeps_rows_go_as_a_whole() {
    let rig = Rig::new();
    let writer = rig.open(1).await;
    flush(&rig, &writer, "a", &[1, 2]).await;
    let config = Config { retention_every: Some(Duration::ZERO), ..Config::default() };
    let keep = Duration::from_secs(48 * 3600);
    let compactor = rig.compactor_that_keeps(5, config.clone(), keep).await;
    let forever = rig.compactor(6, config).await;
    let newest = parts(&writer)[0].max_ts.0;
    use base::Clock;
    rig.clock.advance(newest + 48 * HOUR_NS - rig.clock.now().0);
    assert_eq!(compactor.pass().await.unwrap().expired, 0, "not a nanosecond early");
    rig.clock.advance(1);
    assert_eq!(forever.pass().await.unwrap().expired, 0);
    flush(&rig, &writer, "a", &[3]).await;
    assert_eq!(compactor.pass().await.unwrap().expired, 1);
    check(&rig, [3]).await;
    rig.advance_hours(3);
    compactor.pass().await.unwrap();
    assert_eq!(objects(&rig).await, 1);
}

#[tokio::test]
async fn merges_that_stay_due_leave_turns_to_other_work() {
    let rig = Rig::new();
    let writer = rig.open(1).await;
    for id in 1..=64 {
        flush(&rig, &writer, "a", &[id]).await;
    }
    // Two at a time: there is something to merge six times over.
    let rules = Rules { fan_in: 2, max_inputs: 2, settle: Duration::ZERO, ..Rules::default() };
    let compactor = rig.compactor(5, Config { rules, ..Config::default() }).await;
    let merges = compactor.merge_due(&Shutdown::new()).await.unwrap();
    assert!((1..63).contains(&merges), "{merges} in one turn");
    assert!(!compactor.planned().is_empty());
    let mut left = 63 - merges;
    while left > 0 {
        left -= compactor.merge_due(&Shutdown::new()).await.unwrap();
    }
    check(&rig, 1..=64).await;
}

#[tokio::test]
async fn inputs_are_removed_when_their_merge_is_committed_however_long_it_took() {
    use base::Clock;
    let rig = Rig::new();
    prepare(&rig).await;
    let compactor = rig.compactor(5, eager()).await;
    compactor.deps.catalog.follow().await.unwrap();
    let (never, tasks) = (Shutdown::new(), compactor.planned());
    let mut merge = std::pin::pin!(compactor.merge(&tasks[0], &never));
    assert!(futures::poll!(&mut merge).is_pending(), "its draft is begun, its inputs are read");
    rig.advance_hours(3);
    assert!(matches!(merge.await.unwrap(), Merged::Committed(_)));
    for input in &tasks[0].inputs {
        let removal = compactor.deps.catalog.read(|catalog| catalog.removal(input.object_id()));
        assert_eq!(removal.map(|removal| removal.at), Some(rig.clock.now()));
    }
    let before = objects(&rig).await;
    compactor.delete_garbage().await.unwrap();
    compactor.pass().await.unwrap();
    assert_eq!(objects(&rig).await, before, "queries under way may still read them");
}
