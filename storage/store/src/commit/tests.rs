//! Every order of two committers, a cleaner and a reader, with every fault at every PUT.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use base::random::SeededRandom;
use base::time::ManualClock;
use base::{BatchId, Day, Incarnation, StoreId, TenantId, UnixNanos};
use bytes::Bytes;
use catalog::{Catalog, Commit, Draft, Floor, IdSet, PartId, PartRecord, Place, paths};
use futures::FutureExt;
use ulid::Ulid;

use crate::testing::{Actor, Fault, FaultyStore, Knobs, Schedules};
use crate::*;

fn batch(sequence: u64) -> BatchId {
    BatchId { incarnation: Incarnation(Ulid(1)), owner: StoreId(Ulid(2)), sequence }
}

fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

/// A part that says which batches it was built from.
fn part(random: &SeededRandom, ids: &BTreeSet<u64>) -> Upload {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    let record = PartRecord {
        id: PartId(base::random::Random::ulid(random, &ManualClock::default())),
        tenant: tenant(),
        day: Day(0),
        place: Place::Object,
        len_bytes: bytes.len() as u64,
        footer_bytes: 0,
        tail_bytes: 0,
        rows: ids.len() as u64,
        raw_bytes: 1,
        streams: 1,
        min_ts: UnixNanos(0),
        max_ts: UnixNanos(1),
        min_key: 0,
        max_key: 0,
        level: 0,
        purged_through: 0,
        rest: Vec::new(),
    };
    Upload { record, bytes: bytes.into() }
}

/// One bucket and what is needed to work on it.
struct Rig {
    store: Arc<FaultyStore>,
    bucket: Bucket,
    clock: ManualClock,
}

impl Rig {
    fn new() -> Rig {
        let (store, clock) = (FaultyStore::new(), ManualClock::default());
        let bucket = Bucket::new("faulty".into(), store.clone(), Arc::new(clock.clone()));
        Rig { store, bucket, clock }
    }

    fn deps(&self, who: u64) -> Deps {
        Deps {
            bucket: self.bucket.clone(),
            committer: StoreId(Ulid(u128::from(who))),
            random: Arc::new(SeededRandom::new(who)),
            clock: Arc::new(self.clock.clone()),
        }
    }

    async fn open(&self, who: u64, knobs: Knobs) -> CatalogHandle {
        let config = CatalogConfig::default();
        CatalogHandle::open_with_knobs(self.deps(who), config, knobs).await.unwrap()
    }

    /// What is wrong when everything has come to rest: a batch of `wanted` that is not in exactly
    /// one live part, or a live part that is not there.
    async fn violation(&self, wanted: &BTreeSet<u64>) -> Option<String> {
        let handle = self.open(99, Knobs::default()).await;
        let mut seen = BTreeMap::new();
        for part in handle.snapshot().all_parts() {
            let Ok(bytes) = self.bucket.get(&part.path(), 1 << 20).await else {
                return Some(format!("{} is live and does not exist", part.path()));
            };
            let section = bytes.slice(part.offset() as usize..);
            for id in section[..part.len_bytes as usize].chunks(8) {
                *seen.entry(u64::from_le_bytes(id.try_into().unwrap())).or_insert(0) += 1;
            }
        }
        let expected: BTreeMap<u64, i32> = wanted.iter().map(|&id| (id, 1)).collect();
        if seen != expected {
            return Some(format!("batches are in this many live parts: {seen:?}"));
        }
        let unclaimed = |id: &&u64| handle.claim_state(&batch(**id)) != ClaimState::Claimed;
        wanted.iter().find(unclaimed).map(|id| format!("batch {id} is live and not claimed"))
    }
}

/// Flushes `ids` until the catalog says that they are in parts, whoever put them there.
/// `forgetful`: after an error it begins with a new process that knows no nonce.
async fn flush(rig: &Rig, who: u64, knobs: Knobs, ids: &[u64], forgetful: bool) {
    let mut handle = rig.open(who, knobs).await;
    let random = SeededRandom::new(1000 + who);
    let mut left: BTreeSet<u64> = ids.iter().copied().collect();
    for _ in 0..20 {
        let mut draft = handle.draft();
        // Two parts, so that they share a bundle.
        let halves = [0, 1].map(|half| left.iter().copied().filter(|id| id % 2 == half).collect());
        let halves = halves.iter().filter(|half: &&BTreeSet<u64>| !half.is_empty());
        let uploads = halves.map(|half| part(&random, half)).collect();
        let Ok(records) = put_parts(&rig.bucket, &random, &rig.clock, uploads).await else {
            continue;
        };
        draft.added = records;
        draft.claims = left.iter().map(|&id| batch(id)).collect::<Vec<_>>().iter().collect();
        let mut outcome = handle.commit(&draft).await;
        while outcome.is_err() && !forgetful {
            outcome = handle.commit(&draft).await;
        }
        match outcome {
            Ok(Outcome::Committed(_)) => return,
            Ok(Outcome::Rebuild { claimed, .. }) => {
                left.retain(|&id| !claimed.contains(&batch(id)))
            }
            Ok(Outcome::Ended(reason)) => panic!("a flush has no inputs: {reason:?}"),
            Err(_) => {
                handle = loop {
                    let opened = CatalogHandle::open_with_knobs(
                        rig.deps(who + 50),
                        CatalogConfig::default(),
                        knobs,
                    );
                    if let Ok(opened) = opened.await {
                        break opened;
                    }
                };
            }
        }
        if left.is_empty() {
            return;
        }
    }
    panic!("{who} does not come to an end with {left:?}");
}

const FAULTS: [Fault; 5] =
    [Fault::LostRequest, Fault::LostAnswer, Fault::Doubled, Fault::Late(2), Fault::Late(7)];

/// Runs committers over the same batches in every order of at most `preemptions` pre-emptions,
/// with `fault` at `burst` PUTs from number `at` on. Returns the runs and the first violation.
fn sweep(
    committers: &[&[u64]],
    knobs: Knobs,
    preemptions: usize,
    puts: &BTreeMap<u64, Fault>,
    forgetful: bool,
) -> (u64, Option<String>) {
    let wanted: BTreeSet<u64> = committers.iter().flat_map(|ids| ids.iter().copied()).collect();
    let mut schedules = Schedules::default();
    let mut runs = 0;
    while schedules.next_order() {
        let rig = Rig::new();
        rig.store.script(puts.clone(), BTreeMap::new());
        let actors = (1..)
            .zip(committers)
            .map(|(who, ids)| -> Actor<'_> { Box::pin(flush(&rig, who, knobs, ids, forgetful)) });
        schedules.run(actors.collect(), preemptions);
        runs += 1;
        let violation = block_on(async {
            rig.store.settle().await;
            rig.violation(&wanted).await
        });
        if violation.is_some() {
            return (runs, violation);
        }
    }
    (runs, None)
}

/// Nothing here waits for anything but its own turn.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let slot = RefCell::new(None);
    let actor: Actor<'_> = Box::pin(future.map(|value| *slot.borrow_mut() = Some(value)));
    Schedules::default().run(vec![actor], 0);
    slot.into_inner().unwrap()
}

fn burst(fault: Fault, at: u64, len: u64) -> BTreeMap<u64, Fault> {
    (at..at + len).map(|number| (number, fault)).collect()
}

#[test]
fn one_committer_survives_every_fault_at_every_put() {
    for fault in FAULTS {
        for at in 0..8 {
            for len in [1, 2, 5] {
                for forgetful in [false, true] {
                    let puts = burst(fault, at, len);
                    let (_, violation) =
                        sweep(&[&[1, 2, 3]], Knobs::default(), 0, &puts, forgetful);
                    assert_eq!(violation, None, "{fault:?} at {at}, {len} times, {forgetful}");
                }
            }
        }
    }
}

#[test]
fn two_committers_of_the_same_batches_commit_each_once_in_every_order() {
    let committers: [&[u64]; 2] = [&[1, 2, 3, 4], &[2, 3, 5]];
    let (runs, violation) = sweep(&committers, Knobs::default(), 4, &BTreeMap::new(), false);
    assert_eq!(violation, None);
    assert!(runs > 500, "only {runs} orders");
}

#[test]
fn two_committers_survive_every_fault_at_every_put_in_every_order() {
    let committers: [&[u64]; 2] = [&[1, 2], &[2]];
    let mut runs = 0;
    for fault in FAULTS {
        for at in 0..6 {
            for (len, forgetful, preemptions) in [(1, false, 3), (5, true, 2)] {
                let puts = burst(fault, at, len);
                let (some, violation) =
                    sweep(&committers, Knobs::default(), preemptions, &puts, forgetful);
                assert_eq!(violation, None, "{fault:?} at {at}, {len} times, {forgetful}");
                runs += some;
            }
        }
    }
    assert!(runs > 5000, "only {runs} runs");
}

#[test]
fn without_the_compare_a_batch_is_flushed_twice() {
    let committers: [&[u64]; 2] = [&[1, 2], &[2]];
    let knobs = Knobs { skip_compare: true, ..Knobs::default() };
    let (_, violation) = sweep(&committers, knobs, 2, &BTreeMap::new(), false);
    assert!(violation.is_some(), "the sweep must notice");
}

/// Remembers what it was told is claimed: an ingester drops its WAL records for that.
#[derive(Default)]
struct Claims(Mutex<IdSet>);

impl CommitObserver for Claims {
    fn committed(&self, _number: u64, commit: &Commit) {
        self.0.lock().unwrap().extend(&commit.claims);
    }

    fn restarted(&self, catalog: &Catalog) {
        let mut claims = self.0.lock().unwrap();
        (1..10)
            .map(batch)
            .filter(|id| catalog.table().state(id) == ClaimState::Claimed)
            .for_each(|id| claims.insert(&id));
    }
}

/// Removes uploaded parts that no commit names, then cleans the whole log, as fast as the rules
/// allow: there is no age that makes it wrong.
async fn clean(rig: &Rig, who: u64) {
    let handle = rig.open(who, Knobs::default()).await;
    let live: BTreeSet<Ulid> = handle.snapshot().all_parts().map(|p| p.object_id()).collect();
    let mut draft: Draft = handle.draft();
    let mut orphans = Vec::new();
    for prefix in [paths::PARTS, paths::BUNDLES] {
        for object in rig.bucket.list(prefix, prefix).await.unwrap() {
            let (_, id) = object.path.rsplit_once('/').unwrap();
            let id = Ulid::from_string(id).unwrap();
            if !live.contains(&id) {
                draft.orphans.push(id);
                orphans.push(object.path);
            }
        }
    }
    match handle.commit(&draft).await.unwrap() {
        Outcome::Committed(_) => {
            for orphan in orphans {
                rig.bucket.delete(&orphan).await.unwrap();
            }
        }
        Outcome::Ended(EndReason::OrphanIsLive(_)) => {}
        other => panic!("{other:?}"),
    }
    handle.follow().await.unwrap();
    let Some(version) = handle.checkpoint().await.unwrap() else { return };
    let floor = Bytes::from(Floor(version).encode());
    rig.bucket.put(paths::FLOOR, vec![floor]).await.unwrap();
    for number in 1..=version {
        rig.bucket.delete(&paths::commit(number)).await.unwrap();
    }
}

/// A reader that opens early, falls behind and follows late.
async fn lag(rig: &Rig, claims: Arc<Claims>) {
    let handle = rig.open(7, Knobs::default()).await;
    handle.observe(claims).await;
    for _ in 0..2 {
        handle.follow().await.unwrap();
    }
}

/// A writer that stalls anywhere, a cleaner that goes to its end meanwhile, a reader that lags.
fn stalled_writer(knobs: Knobs, preemptions: usize) -> (u64, Option<String>) {
    let wanted = BTreeSet::from([1, 2, 3]);
    let mut schedules = Schedules::default();
    let mut runs = 0;
    while schedules.next_order() {
        let rig = Rig::new();
        let claims = Arc::new(Claims::default());
        // Something is in the log before.
        block_on(flush(&rig, 3, Knobs::default(), &[2], false));
        let actors: Vec<Actor<'_>> = vec![
            Box::pin(flush(&rig, 1, knobs, &[1, 3], false)),
            Box::pin(clean(&rig, 5)),
            Box::pin(lag(&rig, claims.clone())),
        ];
        schedules.run(actors, preemptions);
        runs += 1;
        if let Some(violation) = block_on(rig.violation(&wanted)) {
            return (runs, Some(violation));
        }
        let told = claims.0.lock().unwrap();
        let handle = block_on(rig.open(98, Knobs::default()));
        for id in (1..10).map(batch).filter(|id| told.contains(id)) {
            if handle.claim_state(&id) != ClaimState::Claimed {
                return (runs, Some(format!("{id} was told to be claimed and is not")));
            }
        }
    }
    (runs, None)
}

#[test]
fn a_stalled_writer_and_a_lagging_reader_survive_the_cleaner_in_every_order() {
    let (runs, violation) = stalled_writer(Knobs::default(), 2);
    assert_eq!(violation, None, "after {runs} runs");
    assert!(runs > 300, "only {runs} orders");
}

#[test]
fn without_the_floor_check_a_stalled_writer_loses_its_commit() {
    let knobs = Knobs { skip_floor_check: true, ..Knobs::default() };
    let (_, violation) = stalled_writer(knobs, 2);
    assert!(violation.is_some(), "the sweep must notice");
}

#[test]
fn without_the_compare_a_cleaned_part_is_committed() {
    let knobs = Knobs { skip_compare: true, ..Knobs::default() };
    let (_, violation) = stalled_writer(knobs, 2);
    assert!(violation.is_some(), "the sweep must notice");
}
