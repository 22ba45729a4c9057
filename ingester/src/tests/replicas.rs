//! Batches at several stores: the first of the list answers and flushes, the others follow, and take
//! over when those before them are gone (B3, W3, R1, R1b).

use std::sync::Arc;

use base::random::SeededRandom;
use base::shutdown::Shutdown;
use base::{Batch, StoreId};
use ring::{Departure, Instance, Phase, Roles};
use rpc::IngesterApi;
use rpc::ingester::{IngesterError, SelectAnswer, SelectRequest};

use super::harness::{
    Machine, assert_found, everything, held_rows, owed_rows, rows_of, seal_all, tenant,
};
use crate::Ingester;
use crate::flush::Reason;
use crate::followed::ENTRY_BYTES;

/// An ingester that does nothing by itself: what is looked at does not change meanwhile.
async fn alone(machine: &Machine) -> Arc<Ingester> {
    let ingester = machine.start().await;
    ingester.core.stop.cancel();
    ingester
}

/// Three machines with one bucket.
pub(super) struct Trio {
    pub machines: Vec<Machine>,
    pub nodes: Vec<Arc<Ingester>>,
}

impl Trio {
    pub async fn new() -> Trio {
        let first = Machine::new();
        let mut machines = vec![first];
        for seed in [8, 9] {
            let mut machine = Machine::new();
            machine.store = machines[0].store.clone();
            machine.random = Arc::new(SeededRandom::new(seed));
            machines.push(machine);
        }
        let mut nodes = Vec::new();
        for machine in &machines {
            nodes.push(alone(machine).await);
        }
        Trio { machines, nodes }
    }

    pub fn store(&self, at: usize) -> StoreId {
        self.nodes[at].store()
    }

    fn stores(&self, at: &[usize]) -> Vec<StoreId> {
        at.iter().map(|&at| self.store(at)).collect()
    }

    /// Everybody but `gone`.
    fn asked(&self, gone: &[usize]) -> Vec<StoreId> {
        let all = (0..self.nodes.len()).filter(|at| !gone.contains(at));
        all.map(|at| self.store(at)).collect()
    }

    /// A batch with this list, not sent.
    pub fn batch(&self, list: &[usize], rows: usize) -> Batch {
        let batch = self.machines[0].batch(&self.nodes[list[0]], rows);
        // As many copies as there are stores, or a majority of them.
        let factor = if list.len() == 1 { 1 } else { 3 };
        Batch { members: self.stores(list), factor, ..batch }
    }

    /// The same rows as the next attempt.
    fn again(&self, batch: &Batch, list: &[usize]) -> Batch {
        Batch { attempt: batch.attempt + 1, members: self.stores(list), ..batch.clone() }
    }

    pub async fn send(&self, batch: &Batch, to: &[usize]) {
        for &to in to {
            let appended = self.nodes[to].append(vec![batch.clone()]).await.unwrap();
            assert_eq!(appended.attempts, [batch.attempt]);
        }
    }

    pub async fn restart(&mut self, at: usize) {
        let machine = self.machines.remove(at).power_cut();
        self.nodes[at] = alone(&machine).await;
        self.machines.insert(at, machine);
    }

    pub async fn follow(&self, at: usize) -> u64 {
        self.nodes[at].core.deps.catalog.follow().await.unwrap().version()
    }

    async fn answer(&self, at: usize, view: u64, gone: &[usize]) -> SelectAnswer {
        let request = SelectRequest {
            tenant: tenant(),
            leaf: everything(),
            view,
            asked: self.asked(gone),
            overlaps: Default::default(),
            store: Some(self.store(at)),
            cancel: Shutdown::new(),
        };
        self.nodes[at].select(request).await.unwrap()
    }

    /// Rows that a node answers at the newest view.
    async fn answered(&self, at: usize, gone: &[usize]) -> u64 {
        let view = self.follow(at).await;
        match self.answer(at, view, gone).await {
            SelectAnswer::Rows { stats, .. } => stats.rows_selected,
            SelectAnswer::Behind { floor } => panic!("{view} is behind {floor}"),
        }
    }

    pub fn wal_bytes(&self, at: usize) -> u64 {
        let core = &self.nodes[at].core;
        core.release_queued();
        // Behind everything that is queued.
        core.wal().unwrap().oldest_batches(|_| true);
        core.wal().unwrap().size_bytes()
    }
}

#[tokio::test]
async fn a_follower_keeps_the_log_only_and_answers_when_those_before_it_are_gone() {
    let trio = Trio::new().await;
    let batch = trio.batch(&[0, 1, 2], 8);
    trio.send(&batch, &[0, 1, 2]).await;
    for at in [1, 2] {
        let core = &trio.nodes[at].core;
        assert_eq!(core.usage.rows_bytes(), 0);
        assert_eq!(core.lock_admitter().stream_count(&tenant()), 0);
        assert!(held_rows(&trio.nodes[at], u64::MAX).is_empty());
        assert!(trio.wal_bytes(at) > 0);
    }
    for (gone, answered) in [
        (&[][..], [8, 0, 0]),
        (&[1], [8, 0, 0]),
        (&[0], [0, 8, 0]),
        (&[0, 1], [0, 0, 8]),
        // Who was asked in the place of others is not any more.
        (&[], [8, 0, 0]),
        (&[2], [8, 0, 0]),
        (&[0], [0, 8, 0]),
    ] {
        let asked = answered.into_iter().enumerate().filter(|(at, _)| !gone.contains(at));
        for (at, rows) in asked {
            assert_eq!(trio.answered(at, gone).await, rows, "{at} without {gone:?}");
        }
    }
    let streams = |at: usize| trio.nodes[at].core.lock_admitter().stream_count(&tenant());
    assert_eq!(streams(1), streams(0), "as if it had admitted them");
}

#[tokio::test]
async fn what_was_answered_for_others_is_sealed_and_flushed_with_their_ids() {
    let trio = Trio::new().await;
    let (a, b) = (trio.batch(&[0, 1, 2], 5), trio.batch(&[2, 1, 0], 4));
    let own = trio.batch(&[1, 2, 0], 3);
    for batch in [&a, &b, &own] {
        trio.send(batch, &[0, 1, 2]).await;
    }
    assert_eq!(trio.answered(1, &[0]).await, 8);
    assert_eq!(trio.answered(1, &[2]).await, 7);
    assert_eq!(trio.answered(1, &[]).await, 3);
    seal_all(&trio.nodes[1]).await;
    assert_eq!(trio.answered(1, &[0]).await, 8);
    assert_eq!(trio.answered(1, &[]).await, 3);
    trio.nodes[1].flush_all().await.unwrap();
    for at in [0, 1, 2] {
        trio.follow(at).await;
        assert_eq!(trio.answered(at, &[]).await, 0);
        assert_eq!(trio.nodes[at].core.usage.held_bytes(), 0);
        assert_eq!(trio.nodes[at].core.lock_admitter().stream_count(&tenant()), 0);
        assert_eq!(trio.wal_bytes(at), 0, "{at}");
    }
    assert_found(&trio.nodes[2], &[a, b, own], &[]).await;
}

#[tokio::test]
async fn followed_batches_go_with_the_commit_and_older_views_are_behind_only_where_it_matters() {
    let trio = Trio::new().await;
    let batch = trio.batch(&[0, 1, 2], 6);
    trio.send(&batch, &[0, 1, 2]).await;
    trio.nodes[0].flush_all().await.unwrap();
    // A query that has read the log before the flush, and takes the owner for gone.
    assert!(matches!(trio.answer(1, 0, &[0]).await, SelectAnswer::Rows { stats, .. }
        if stats.rows_selected == 6));
    trio.follow(2).await;
    assert!(matches!(trio.answer(2, 0, &[0, 1]).await, SelectAnswer::Behind { floor: 1 }));
    assert!(matches!(trio.answer(2, 0, &[]).await, SelectAnswer::Rows { .. }));
    assert_eq!(trio.answered(2, &[0, 1]).await, 0);
    assert_eq!(trio.wal_bytes(2), 0);
    assert!(trio.nodes[2].core.days(None).is_empty(), "an empty day is forgotten");
    // A late copy is acked and not stored.
    let late = trio.nodes[2].append(vec![trio.again(&batch, &[2, 1])]).await.unwrap();
    assert_eq!(late.attempts, [u32::MAX]);
    assert_eq!(trio.wal_bytes(2), 0);
}

#[tokio::test]
async fn the_newest_list_says_who_answers_whatever_was_done_under_an_older_one() {
    // Followed, then first.
    let trio = Trio::new().await;
    let batch = trio.batch(&[0, 1, 2], 6);
    trio.send(&batch, &[1, 2]).await;
    let second = trio.again(&batch, &[1, 2, 0]);
    trio.send(&second, &[1, 2]).await;
    assert_eq!(trio.answered(1, &[]).await, 6);
    assert_eq!(trio.answered(2, &[0]).await, 0, "1 is before it");
    assert_eq!(trio.answered(2, &[1]).await, 6);
    // An older attempt that comes late changes nothing.
    let late = trio.nodes[1].append(vec![batch.clone()]).await.unwrap();
    assert_eq!(late.attempts, [2]);
    assert_eq!(trio.answered(1, &[]).await, 6);

    // Adopted for a query, then first.
    let batch = trio.batch(&[0, 1, 2], 5);
    trio.send(&batch, &[1, 2]).await;
    assert_eq!(trio.answered(1, &[0]).await, 11);
    assert_eq!(trio.answered(1, &[]).await, 6);
    trio.send(&trio.again(&batch, &[1, 2, 0]), &[1, 2]).await;
    assert_eq!(trio.answered(1, &[]).await, 11);
    trio.nodes[1].flush_all().await.unwrap();
    assert_eq!(trio.answered(1, &[]).await, 0);
    assert_found(&trio.nodes[1], &[second, batch], &[]).await;
}

#[tokio::test]
async fn a_follower_comes_back_as_a_follower_with_its_newest_lists() {
    let mut trio = Trio::new().await;
    let (a, b, c) = (trio.batch(&[0, 1], 3), trio.batch(&[0, 1], 4), trio.batch(&[1, 0], 5));
    for batch in [&a, &b, &c] {
        trio.send(batch, &[0, 1]).await;
    }
    trio.send(&trio.again(&a, &[1, 0]), &[1]).await;
    trio.send(&trio.again(&c, &[0, 1]), &[0, 1]).await;
    trio.restart(1).await;
    let held: usize = held_rows(&trio.nodes[1], u64::MAX).iter().map(Vec::len).sum();
    // Of the last one the record that made it first comes before the one that did not.
    assert_eq!(held, 3 + 5, "the rows of a and c");
    assert_eq!(trio.answered(1, &[0]).await, 12);
    // No ack rests on what was only replayed.
    let operations = trio.machines[1].disk.operations();
    trio.send(&b, &[1]).await;
    assert!(trio.machines[1].disk.operations() > operations);
    trio.nodes[0].flush_all().await.unwrap();
    trio.restart(1).await;
    assert!(held_rows(&trio.nodes[1], u64::MAX).is_empty());
    assert_eq!(trio.wal_bytes(1), 0);
}

#[tokio::test]
async fn the_kth_of_a_list_flushes_k_minutes_later_or_when_all_before_it_are_gone() {
    const MINUTE_NS: i64 = 60_000_000_000;
    let trio = Trio::new().await;
    let batch = trio.batch(&[0, 1, 2], 6);
    trio.send(&batch, &[1, 2]).await;
    let overdue = |at: usize| {
        let core = &trio.nodes[at].core;
        let ring = core.deps.ring.state();
        let [day] = &core.days(None)[..] else { panic!("one day") };
        core.overdue(&day.lock(), &ring, core.now_ns())
    };
    let age_ns = trio.machines[1].config.max_chunk_age.as_nanos() as i64;
    for at in [1, 2] {
        let clock = &trio.machines[at].clock;
        clock.advance(age_ns + at as i64 * MINUTE_NS - 1);
        assert!(overdue(at).is_empty(), "{at}");
        clock.advance(1);
        assert_eq!(overdue(at), [batch.id], "{at}");
        clock.advance(-age_ns);
    }
    trio.machines[2].ring.0.lock().unwrap().instances.extend(
        [(0, Phase::Gone), (1, Phase::Active)].map(|(at, phase)| instance(trio.store(at), phase)),
    );
    assert!(overdue(2).is_empty(), "one is left");
    let gone = instance(trio.store(1), Phase::Gone);
    trio.machines[2].ring.0.lock().unwrap().instances.extend([gone]);
    assert_eq!(overdue(2), [batch.id]);

    // Both at once: the log decides.
    let flushes = [1, 2].map(|at| {
        let core = trio.nodes[at].core.clone();
        let id = batch.id;
        async move {
            let [day] = &core.days(None)[..] else { panic!("one day") };
            core.adopt(day, vec![id]).await.unwrap();
            core.flush(vec![day.clone()], Reason::MaxAge).await.unwrap();
        }
    });
    let [one, two] = flushes;
    tokio::join!(one, two);
    for at in [1, 2] {
        trio.follow(at).await;
        assert_eq!(trio.wal_bytes(at), 0);
    }
    assert_found(&trio.nodes[1], &[batch], &[]).await;
}

pub(super) fn instance(store: StoreId, phase: Phase) -> (StoreId, Arc<Instance>) {
    let cleared = Default::default();
    let departure =
        Departure { since: 1, is_leaving: false, is_forgotten: false, forgotten_at: 0, cleared };
    let instance = Instance {
        store,
        id: store.to_string(),
        grpc_address: store.to_string(),
        http_address: String::new(),
        zone: String::new(),
        has_moved: false,
        roles: Roles::INGESTER,
        phase,
        is_up: phase == Phase::Active,
        registered: 0,
        seen: 0,
        factor: 3,
        tokens: vec![1],
        departure: (phase == Phase::Gone).then_some(departure),
    };
    (store, Arc::new(instance))
}

#[tokio::test]
async fn a_store_is_cleared_when_nothing_names_it_and_what_would_is_refused_for_good() {
    let mut trio = Trio::new().await;
    let gone = trio.store(2);
    let (own, followed) = (trio.batch(&[0, 2], 4), trio.batch(&[1, 0, 2], 3));
    let other = trio.batch(&[0, 1], 5);
    trio.send(&own, &[0]).await;
    trio.send(&followed, &[0, 1]).await;
    trio.send(&other, &[0, 1]).await;
    assert!(!trio.nodes[0].clear(gone, 7).await.unwrap(), "one of another owner is left");
    for list in [&[0, 2][..], &[1, 0, 2]] {
        let late = trio.batch(list, 1);
        let refused = trio.nodes[0].append(vec![other.clone(), late]).await.unwrap_err();
        assert!(matches!(refused.error, IngesterError::Misplaced(_)), "{}", refused.error);
    }
    assert!(trio.nodes[1].clear(gone, 7).await.unwrap(), "it flushes what it owns");
    assert!(trio.nodes[0].clear(gone, 7).await.unwrap());
    trio.restart(0).await;
    let named = trio.batch(&[0, 2], 1);
    assert!(trio.nodes[0].append(vec![named.clone()]).await.is_err(), "promised");
    // An older state than the departure says nothing; a newer one that has it back does.
    let ring = trio.machines[0].ring.clone();
    ring.0.lock().unwrap().instances.extend([instance(gone, Phase::Active)]);
    ring.0.lock().unwrap().version = 7;
    assert!(trio.nodes[0].append(vec![named.clone()]).await.is_err());
    ring.0.lock().unwrap().version = 8;
    trio.send(&named, &[0]).await;
    assert!(
        !trio.nodes[0].clear(trio.store(1), 9).await.unwrap()
            || !trio.nodes[0].core.days(None).is_empty()
    );
}

#[tokio::test]
async fn lists_that_are_no_majority_of_the_factor_are_refused_for_good() {
    let mut trio = Trio::new().await;
    let alone = trio.batch(&[0], 4);
    trio.send(&alone, &[0]).await;
    assert!(trio.nodes[0].require(3, 1).await.unwrap(), "what one store acknowledged is flushed");
    for _ in 0..2 {
        let refused = trio.nodes[0].append(vec![trio.batch(&[0], 1)]).await.unwrap_err();
        assert!(matches!(refused.error, IngesterError::Misplaced(_)), "{}", refused.error);
        trio.send(&trio.batch(&[0, 1], 2), &[0, 1]).await;
        trio.restart(0).await;
    }
}

#[tokio::test]
async fn a_query_for_another_store_is_refused_and_answers_carry_the_version_of_the_ring() {
    let trio = Trio::new().await;
    let mut request = SelectRequest {
        tenant: tenant(),
        leaf: everything(),
        view: 0,
        asked: Vec::new(),
        overlaps: Default::default(),
        store: Some(trio.store(1)),
        cancel: Shutdown::new(),
    };
    let refused = trio.nodes[0].select(request.clone()).await.unwrap_err();
    assert!(matches!(refused, IngesterError::Misplaced(_)), "{refused}");
    trio.machines[0].ring.0.lock().unwrap().version = 41;
    request.store = None;
    let answer = trio.nodes[0].select(request).await.unwrap();
    assert!(matches!(answer, SelectAnswer::Rows { ring: 41, .. }), "{answer:?}");
}

#[tokio::test]
async fn a_damaged_copy_is_no_answer_and_keeps_no_other_batch_from_being_flushed() {
    let trio = Trio::new().await;
    let batches: Vec<Batch> = (0..3).map(|_| trio.batch(&[0, 1], 6)).collect();
    for batch in &batches {
        trio.send(batch, &[1]).await;
    }
    assert_eq!(rows_of(&batches[0]).len(), 6);
    let segment = std::path::Path::new("wal").join("0000000000000001.wal");
    // Within the record of the first.
    trio.machines[1].disk.flip(&segment, 300, 1);
    let request = SelectRequest {
        tenant: tenant(),
        leaf: everything(),
        view: 0,
        asked: vec![trio.store(1)],
        overlaps: Default::default(),
        store: None,
        cancel: Shutdown::new(),
    };
    for _ in 0..2 {
        let error = trio.nodes[1].select(request.clone()).await.unwrap_err();
        assert!(
            matches!(error, IngesterError::Unavailable(_)),
            "the next store may have it: {error}"
        );
    }
    let owed = owed_rows(&trio.nodes[1], 0, &[trio.store(1)]);
    assert_eq!(owed.concat().len(), 12, "the two others");
    let core = &trio.nodes[1].core;
    let [day] = &core.days(None)[..] else { panic!("one day") };
    let overdue = core.overdue(&day.lock(), &core.deps.ring.state(), u64::MAX);
    assert_eq!(overdue, [], "it is not tried again and again");
    assert!(!core.oldest_batches().await.contains(&batches[0].id));
    trio.nodes[1].flush_all().await.unwrap();
    assert_found(&trio.nodes[1], &batches[1..], &[]).await;
    assert!(trio.nodes[1].core.days(None)[0].lock().followed.contains(&batches[0].id));
}

#[tokio::test]
async fn a_store_that_nobody_asks_any_more_is_answered_for_by_the_next_of_its_lists() {
    let trio = Trio::new().await;
    let batch = trio.batch(&[0, 1, 2], 8);
    trio.send(&batch, &[1, 2]).await;
    // The first was removed from the ring. The querier knows, the followers do not.
    let view = trio.follow(1).await;
    for (at, rows) in [(1, 8), (2, 0)] {
        let SelectAnswer::Rows { stats, .. } = trio.answer(at, view, &[0]).await else {
            panic!("not behind")
        };
        assert_eq!(stats.rows_selected, rows, "{at}");
    }
    let request = rpc::ingester::StreamsRequest {
        tenant: tenant(),
        selectors: Vec::new(),
        from_ns: i64::MIN,
        to_ns: i64::MAX,
        view,
        asked: trio.stores(&[1, 2]),
        store: Some(trio.store(1)),
        templates: false,
    };
    let answer = trio.nodes[1].streams(request).await.unwrap();
    let rpc::ingester::StreamsAnswer::Streams { streams, .. } = answer else { panic!("behind") };
    assert_eq!(streams.len(), 2);
}

#[tokio::test]
async fn only_what_a_query_would_have_had_to_get_here_makes_it_behind() {
    let trio = Trio::new().await;
    let (a, b) = (trio.batch(&[0, 2, 1], 4), trio.batch(&[1, 2, 0], 5));
    trio.send(&a, &[0, 1, 2]).await;
    trio.send(&b, &[0, 1, 2]).await;
    trio.nodes[1].flush_all().await.unwrap();
    assert_eq!(trio.follow(2).await, 1);
    // Slow queries, from before the commit. Those that ask 1 do not need b of 2.
    assert!(matches!(trio.answer(2, 0, &[]).await, SelectAnswer::Rows { .. }));
    assert!(matches!(trio.answer(2, 0, &[0]).await, SelectAnswer::Rows { stats, .. }
        if stats.rows_selected == 4));
    assert!(matches!(trio.answer(2, 0, &[1]).await, SelectAnswer::Behind { floor: 1 }));
    assert!(matches!(trio.answer(2, 0, &[0, 1]).await, SelectAnswer::Behind { floor: 1 }));
}

#[tokio::test]
async fn what_is_known_of_followed_batches_counts_as_memory_and_is_flushed_when_it_is_much() {
    let mut trio = Trio::new().await;
    let batches: Vec<Batch> = (0..40).map(|_| trio.batch(&[0, 1], 1)).collect();
    for batch in &batches[..20] {
        trio.send(batch, &[1]).await;
    }
    let entries = |trio: &Trio| trio.nodes[1].core.usage.followed_bytes() / ENTRY_BYTES;
    assert_eq!(entries(&trio), 20);
    assert_eq!(trio.nodes[1].held_bytes(), 20 * ENTRY_BYTES);
    assert_eq!(trio.nodes[1].core.oldest_batches().await, []);
    trio.machines[1].config.memory_limit = base::ByteSize(300 * ENTRY_BYTES);
    trio.restart(1).await;
    assert_eq!(entries(&trio), 20);
    assert_eq!(trio.nodes[1].core.oldest_batches().await, [], "not much yet");
    for batch in &batches[20..] {
        trio.send(batch, &[1]).await;
    }
    let oldest = trio.nodes[1].core.oldest_batches().await;
    let first: Vec<_> = batches[..20].iter().map(|batch| batch.id).collect();
    assert_eq!(oldest, first, "those of the oldest segment");
    let core = trio.nodes[1].core.clone();
    let [day] = &core.days(None)[..] else { panic!("one day") };
    core.adopt(day, oldest).await.unwrap();
    assert_eq!(entries(&trio), 20, "the others");
    trio.nodes[1].flush_all().await.unwrap();
    trio.nodes[0].append(batches[20..].to_vec()).await.unwrap();
    trio.nodes[0].flush_all().await.unwrap();
    trio.follow(1).await;
    assert_eq!((entries(&trio), trio.nodes[1].held_bytes()), (0, 0));
}

#[tokio::test]
async fn what_a_lower_factor_acknowledged_is_flushed_and_refused_however_long_its_list_is() {
    let trio = Trio::new().await;
    let three = trio.batch(&[0, 1, 2], 4);
    let five = Batch { factor: 5, ..trio.batch(&[0, 1, 2], 3) };
    for batch in [&three, &five] {
        trio.send(batch, &[0, 1]).await;
    }
    assert!(!trio.nodes[1].require(5, 1).await.unwrap(), "its owner has not flushed it yet");
    assert!(trio.nodes[0].require(5, 1).await.unwrap(), "two acks were enough for it");
    assert!(trio.nodes[1].require(5, 1).await.unwrap());
    assert_found(&trio.nodes[0], &[three, five], &[]).await;
    let late = trio.batch(&[0, 1, 2], 1);
    let refused = trio.nodes[0].append(vec![late.clone()]).await.unwrap_err();
    assert!(matches!(refused.error, IngesterError::Misplaced(_)), "{}", refused.error);
    let short = Batch { factor: 5, ..trio.batch(&[0, 1], 1) };
    assert!(trio.nodes[0].append(vec![short]).await.is_err(), "no majority of five");
    trio.send(&Batch { factor: 5, ..late }, &[0]).await;
}

#[tokio::test]
async fn a_required_factor_ends_when_a_newer_ring_has_a_lower_one_and_means_nothing_to_another_ring()
 {
    let mut trio = Trio::new().await;
    let set = |trio: &Trio, version, replication| {
        let mut ring = trio.machines[0].ring.0.lock().unwrap();
        (ring.version, ring.replication) = (version, replication);
    };
    set(&trio, 10, 5);
    assert!(trio.nodes[0].require(5, 10).await.unwrap());
    let three = trio.batch(&[0, 1], 2);
    assert!(trio.nodes[0].append(vec![three.clone()]).await.is_err());
    set(&trio, 11, 3);
    trio.send(&three, &[0]).await;
    set(&trio, 12, 5);
    assert!(trio.nodes[0].require(5, 12).await.unwrap(), "what was let in between is flushed");
    assert!(trio.nodes[0].append(vec![trio.batch(&[0, 1], 2)]).await.is_err());
    // Another bucket, another ring.
    trio.machines[0].ring.0.lock().unwrap().cluster = ulid::Ulid(77);
    trio.restart(0).await;
    trio.send(&trio.batch(&[0, 1], 2), &[0]).await;
    trio.machines[0].ring.0.lock().unwrap().cluster = ulid::Ulid(0);
    assert!(trio.nodes[0].append(vec![trio.batch(&[0, 1], 2)]).await.is_err(), "back again");
}
