//! Following, starting, checkpoints and damage, on a directory and in memory.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base::random::SeededRandom;
use base::time::ManualClock;
use base::{BatchId, Day, Incarnation, StoreId, TenantId, UnixNanos};
use catalog::{Catalog, Commit, DayEntry, PartId, PartRecord, Place, paths};
use ulid::Ulid;

use crate::testing::FaultyStore;
use crate::*;

fn batch(sequence: u64) -> BatchId {
    BatchId { incarnation: Incarnation(Ulid(1)), owner: StoreId(Ulid(2)), sequence }
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn record(id: u128, tenant_name: &str, day: i32) -> PartRecord {
    PartRecord {
        id: PartId(Ulid(id)),
        tenant: tenant(tenant_name),
        day: Day(day),
        place: Place::Object,
        len_bytes: 10,
        footer_bytes: 5,
        tail_bytes: 5,
        rows: 1,
        raw_bytes: 1,
        streams: 1,
        min_ts: UnixNanos(Day(day).start_ns()),
        max_ts: UnixNanos(Day(day).start_ns() + 1),
        min_key: 0,
        max_key: 0,
        level: 0,
        purged_through: 0,
        rest: Vec::new(),
    }
}

fn deps(bucket: &Bucket, who: u64) -> Deps {
    Deps {
        bucket: bucket.clone(),
        committer: StoreId(Ulid(u128::from(who))),
        random: Arc::new(SeededRandom::new(who)),
        clock: Arc::new(ManualClock::default()),
    }
}

fn directory(dir: &Path) -> Bucket {
    let config = BucketConfig::Filesystem { dir: dir.join("not/yet/there") };
    Bucket::open(&config, Arc::new(ManualClock::default())).unwrap()
}

async fn open(bucket: &Bucket, who: u64) -> CatalogHandle {
    CatalogHandle::open(deps(bucket, who), CatalogConfig { checkpoint_every: 4 }).await.unwrap()
}

/// Commits one part of `tenant-(n % 3)` on day `n % 2` that holds batch `n`.
async fn flush(handle: &CatalogHandle, n: u64) -> u64 {
    let mut draft = handle.draft();
    draft.claims.insert(&batch(n));
    draft.added.push(record(u128::from(n), &format!("tenant-{}", n % 3), (n % 2) as i32));
    match handle.commit(&draft).await.unwrap() {
        Outcome::Committed(number) => number,
        other => panic!("{other:?}"),
    }
}

fn part_ids(snapshot: &Snapshot) -> Vec<u128> {
    let mut ids: Vec<u128> = snapshot.all_parts().map(|part| part.id.0.0).collect();
    ids.sort_unstable();
    ids
}

/// Flips a bit in the middle of an object of a directory bucket.
fn damage(dir: &Path, object: &str) {
    let path = dir.join("not/yet/there").join(object);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&path, bytes).unwrap();
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl CommitObserver for Heard {
    fn committed(&self, number: u64, commit: &Commit) {
        self.0.lock().unwrap().push(format!("commit {number} of {} ids", commit.claims.count()));
    }

    fn restarted(&self, catalog: &Catalog) {
        self.0.lock().unwrap().push(format!("start at {}", catalog.version()));
    }
}

#[tokio::test]
async fn another_process_sees_what_was_committed_and_hears_of_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = directory(dir.path());
    let (writer, reader) = (open(&bucket, 1).await, open(&bucket, 2).await);
    let (heard, own) = (Arc::new(Heard::default()), Arc::new(Heard::default()));
    reader.observe(heard.clone()).await;
    writer.observe(own.clone()).await;
    assert_eq!(flush(&writer, 1).await, 1);
    assert_eq!(flush(&writer, 2).await, 2);
    assert_eq!(reader.snapshot().version(), 0, "no IO without being asked");
    assert_eq!(reader.claim_state(&batch(1)), ClaimState::Free);
    assert_eq!(part_ids(&reader.follow().await.unwrap()), [1, 2]);
    assert_eq!(reader.claim_state(&batch(1)), ClaimState::Claimed);
    reader.follow().await.unwrap();
    let expected = ["start at 0", "commit 1 of 1 ids", "commit 2 of 1 ids"];
    assert_eq!(heard.take(), expected);
    assert_eq!(own.take(), expected);
    let view = reader.snapshot();
    let (start, end) = (UnixNanos(0), UnixNanos(1));
    assert_eq!(view.parts(&tenant("tenant-2"), start, end).len(), 1);
    assert_eq!(view.parts(&tenant("tenant-1"), start, end).len(), 0, "its part is on day 1");
}

#[tokio::test]
async fn of_many_who_have_the_log_name_the_ring_one_commits() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = directory(dir.path());
    let (first, second) = (open(&bucket, 1).await, open(&bucket, 2).await);
    let founder = StoreId(Ulid(5));
    let ring = |version| RingVersion { founder, version };
    first.name_ring(ring(7)).await.unwrap();
    second.name_ring(ring(7)).await.unwrap();
    second.name_ring(ring(6)).await.unwrap();
    assert_eq!((second.snapshot().version(), second.snapshot().ring()), (1, Some(ring(7))));
    second.name_ring(ring(8)).await.unwrap();
    let known = first.follow().await.unwrap();
    assert_eq!((known.version(), known.ring()), (2, Some(ring(8))));
}

#[tokio::test]
async fn following_to_a_view_reads_only_what_is_missing() {
    let store = FaultyStore::new();
    let bucket = Bucket::new("faulty".into(), store.clone(), Arc::new(ManualClock::default()));
    let (writer, reader) = (open(&bucket, 1).await, open(&bucket, 2).await);
    flush(&writer, 1).await;
    reader.follow_to(1).await.unwrap();
    store.script(Default::default(), Default::default());
    assert_eq!(reader.follow_to(1).await.unwrap().version(), 1);
    assert_eq!(store.counts(), (0, 0), "the view is known");
    let error = reader.follow_to(2).await.unwrap_err();
    assert!(matches!(error, Error::Behind { wanted: 2, head: 1, .. }), "{error}");
    store.script(Default::default(), Default::default());
    reader.follow().await.unwrap();
    assert_eq!(store.counts(), (0, 2), "the head, then the floor");
}

#[tokio::test]
async fn queries_at_the_same_time_share_the_reading_of_the_log() {
    let store = FaultyStore::new();
    let bucket = Bucket::new("faulty".into(), store.clone(), Arc::new(ManualClock::default()));
    let (writer, reader) = (open(&bucket, 1).await, open(&bucket, 2).await);
    flush(&writer, 1).await;
    store.script(Default::default(), Default::default());
    let views = futures::future::join_all((0..50).map(|_| reader.follow())).await;
    assert!(views.into_iter().all(|view| view.unwrap().version() == 1));
    let (_, gets) = store.counts();
    assert!(gets <= 3 + 2, "one round with a commit and one more at most: {gets}");
}

#[tokio::test]
async fn a_new_process_starts_from_a_checkpoint_and_the_log_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = directory(dir.path());
    let writer = open(&bucket, 1).await;
    let mut checkpoints = Vec::new();
    for n in 1..=10 {
        flush(&writer, n).await;
        checkpoints.extend(writer.maybe_checkpoint().await.unwrap());
    }
    assert_eq!(checkpoints, [4, 8]);
    for number in 1..=8 {
        bucket.delete(&paths::commit(number)).await.unwrap();
    }
    let floor = catalog::Floor(8).encode();
    bucket.put(paths::FLOOR, vec![floor.into()]).await.unwrap();
    let reader = open(&bucket, 2).await;
    assert_eq!(reader.snapshot().version(), 10);
    assert_eq!(part_ids(&reader.snapshot()), (1..=10).collect::<Vec<u128>>());
    assert_eq!(reader.claim_state(&batch(3)), ClaimState::Claimed);
    assert_eq!(flush(&reader, 11).await, 11);
}

/// Checkpoints at the head, raises the floor to it and deletes the log.
async fn clean(writer: &CatalogHandle) -> u64 {
    let version = writer.checkpoint().await.unwrap().unwrap();
    let floor = catalog::Floor(version).encode();
    writer.bucket().put(paths::FLOOR, vec![floor.into()]).await.unwrap();
    for number in 1..=version {
        writer.bucket().delete(&paths::commit(number)).await.unwrap();
    }
    version
}

#[tokio::test]
async fn a_reader_that_the_cleaner_overtook_starts_over_and_does_not_think_it_is_at_the_head() {
    let bucket = Bucket::open(&BucketConfig::InMemory, Arc::new(ManualClock::default())).unwrap();
    let (writer, reader) = (open(&bucket, 1).await, open(&bucket, 2).await);
    let heard = Arc::new(Heard::default());
    reader.observe(heard.clone()).await;
    for n in 1..=5 {
        flush(&writer, n).await;
    }
    clean(&writer).await;
    assert_eq!(part_ids(&reader.follow().await.unwrap()), [1, 2, 3, 4, 5]);
    flush(&writer, 6).await;
    assert_eq!(reader.follow().await.unwrap().version(), 6);
    assert_eq!(heard.take(), ["start at 0", "start at 5", "commit 6 of 1 ids"]);
}

#[tokio::test]
async fn a_commit_that_came_back_below_the_floor_is_never_told_to_anybody() {
    let bucket = Bucket::open(&BucketConfig::InMemory, Arc::new(ManualClock::default())).unwrap();
    let (writer, reader) = (open(&bucket, 1).await, open(&bucket, 2).await);
    let stalled = open(&bucket, 3).await;
    let heard = Arc::new(Heard::default());
    reader.observe(heard.clone()).await;
    for n in 1..=3 {
        flush(&writer, n).await;
    }
    clean(&writer).await;
    // A writer that stalled since before commit 1 creates the number anew.
    let mut draft = stalled.draft();
    draft.claims.insert(&batch(9));
    let commit = draft.at_number(1, StoreId(Ulid(3)));
    bucket.create(&paths::commit(1), commit.encode().into()).await.unwrap();
    reader.follow().await.unwrap();
    assert_eq!(heard.take(), ["start at 0", "start at 3"]);
    assert_eq!(reader.claim_state(&batch(9)), ClaimState::Free);
    // The writer itself finds out, and commits at the true head.
    assert_eq!(stalled.commit(&draft).await.unwrap(), Outcome::Committed(4));
    reader.follow().await.unwrap();
    assert_eq!(reader.claim_state(&batch(9)), ClaimState::Claimed);
}

#[tokio::test]
async fn only_changed_days_are_written_again() {
    let store = FaultyStore::new();
    let bucket = Bucket::new("faulty".into(), store.clone(), Arc::new(ManualClock::default()));
    let writer = open(&bucket, 1).await;
    for n in 1..=6 {
        flush(&writer, n).await;
    }
    writer.checkpoint().await.unwrap();
    flush(&writer, 7).await;
    store.script(Default::default(), Default::default());
    assert_eq!(writer.checkpoint().await.unwrap(), Some(7));
    assert_eq!(store.counts().0, 3, "one day, the id table, the manifest");
    assert_eq!(writer.checkpoint().await.unwrap(), None, "nothing is new");
}

#[tokio::test]
async fn a_damaged_checkpoint_object_is_passed_over_for_an_older_one_or_the_log() {
    for object in [
        paths::manifest(8),
        paths::id_table(8),
        paths::day_checkpoint(&tenant("tenant-1"), Day(1), 7),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let bucket = directory(dir.path());
        let writer = open(&bucket, 1).await;
        for n in 1..=8 {
            flush(&writer, n).await;
            writer.maybe_checkpoint().await.unwrap();
        }
        damage(dir.path(), &object);
        let reader = open(&bucket, 2).await;
        assert_eq!(part_ids(&reader.snapshot()), (1..=8).collect::<Vec<u128>>(), "{object}");
        assert!(!reader.read(Catalog::is_damaged), "{object}");
        // The next checkpoint heals it.
        flush(&reader, 9).await;
        reader.checkpoint().await.unwrap();
        let healed = open(&bucket, 3).await;
        assert_eq!(healed.snapshot().version(), 9);
    }
}

#[tokio::test]
async fn a_damaged_day_without_its_log_is_named_and_all_other_days_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = directory(dir.path());
    let writer = open(&bucket, 1).await;
    for n in 1..=4 {
        flush(&writer, n).await;
    }
    writer.checkpoint().await.unwrap();
    bucket.put(paths::FLOOR, vec![catalog::Floor(4).encode().into()]).await.unwrap();
    for number in 1..=4 {
        bucket.delete(&paths::commit(number)).await.unwrap();
    }
    let object = paths::day_checkpoint(&tenant("tenant-2"), Day(0), 2);
    damage(dir.path(), &object);
    let reader = open(&bucket, 2).await;
    let view = reader.snapshot();
    assert_eq!(part_ids(&view), [1, 3, 4]);
    let day = (UnixNanos(0), UnixNanos(1));
    assert_eq!(view.damage(&tenant("tenant-2"), day.0, day.1)[0].object, object);
    assert!(view.damage(&tenant("tenant-1"), day.0, day.1).is_empty());
    flush(&reader, 5).await;
    assert_eq!(reader.checkpoint().await.unwrap(), None, "the loss must not become permanent");
}

#[tokio::test]
async fn a_damaged_commit_is_named_and_the_log_after_it_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = directory(dir.path());
    let writer = open(&bucket, 1).await;
    for n in 1..=3 {
        flush(&writer, n).await;
    }
    damage(dir.path(), &paths::commit(2));
    let reader = open(&bucket, 2).await;
    let view = reader.snapshot();
    assert_eq!((view.version(), part_ids(&view)), (3, vec![1, 3]));
    let named = view.damage(&tenant("tenant-0"), UnixNanos(0), UnixNanos(1));
    assert_eq!(named[0].object, paths::commit(2));
    assert!(named[0].problem.contains("checksum"), "{}", named[0].problem);
    assert_eq!(flush(&reader, 4).await, 4, "flushing goes on");
    // A checkpoint of somebody who had read it in time mends it for the next.
    writer.follow().await.unwrap();
    writer.checkpoint().await.unwrap();
    assert_eq!(part_ids(&open(&bucket, 3).await.snapshot()), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_follower_goes_over_a_damaged_commit_by_a_checkpoint_that_covers_it() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = directory(dir.path());
    let (writer, reader) = (open(&bucket, 1).await, open(&bucket, 2).await);
    for n in 1..=3 {
        flush(&writer, n).await;
    }
    writer.checkpoint().await.unwrap();
    damage(dir.path(), &paths::commit(2));
    let heard = Arc::new(Heard::default());
    reader.observe(heard.clone()).await;
    assert_eq!(part_ids(&reader.follow().await.unwrap()), [1, 2, 3]);
    assert_eq!(heard.take(), ["start at 0", "start at 3"]);
    assert!(!reader.read(Catalog::is_damaged));
}

#[tokio::test]
async fn a_hole_in_the_log_is_filled_so_that_what_follows_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = directory(dir.path());
    let writer = open(&bucket, 1).await;
    for n in 1..=3 {
        flush(&writer, n).await;
    }
    bucket.delete(&paths::commit(2)).await.unwrap();
    assert_eq!(part_ids(&open(&bucket, 2).await.snapshot()), [1, 3]);
    let lister = open(&bucket, 3).await;
    assert_eq!(lister.snapshot().version(), 3);
}

#[tokio::test]
async fn a_damaged_floor_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = directory(dir.path());
    let writer = open(&bucket, 1).await;
    bucket.put(paths::FLOOR, vec![catalog::Floor(0).encode().into()]).await.unwrap();
    flush(&writer, 1).await;
    damage(dir.path(), paths::FLOOR);
    let error = writer.follow().await.unwrap_err();
    assert_eq!(error.kind(), base::ErrorKind::Corrupt);
    assert!(error.to_string().contains(paths::FLOOR), "{error}");
    assert_eq!(writer.snapshot().version(), 1, "what was read is served");
}

#[tokio::test]
async fn a_merge_ends_when_somebody_removed_its_input() {
    let bucket = Bucket::open(&BucketConfig::InMemory, Arc::new(ManualClock::default())).unwrap();
    let (one, other) = (open(&bucket, 1).await, open(&bucket, 2).await);
    flush(&one, 3).await;
    other.follow().await.unwrap();
    let merge = |handle: &CatalogHandle, id: u128| {
        let mut draft = handle.draft();
        draft.removed.push(record(3, "tenant-0", 1).reference());
        draft.added.push(PartRecord { level: 1, ..record(id, "tenant-0", 1) });
        draft
    };
    let (first, second) = (merge(&one, 100), merge(&other, 200));
    assert_eq!(one.commit(&first).await.unwrap(), Outcome::Committed(2));
    let ended = other.commit(&second).await.unwrap();
    assert!(matches!(ended, Outcome::Ended(EndReason::InputRemoved(_))), "{ended:?}");
    assert_eq!(part_ids(&other.snapshot()), [100]);
    assert_eq!(one.commit(&first).await.unwrap(), Outcome::Committed(2), "the same draft again");
}

#[tokio::test]
async fn futures_can_be_sent_between_threads() {
    fn sent<T: Send>(future: T) -> T {
        future
    }
    let bucket = Bucket::open(&BucketConfig::InMemory, Arc::new(ManualClock::default())).unwrap();
    let handle = sent(CatalogHandle::open(deps(&bucket, 1), CatalogConfig::default()));
    let handle = handle.await.unwrap();
    sent(handle.follow()).await.unwrap();
    sent(handle.commit(&handle.draft())).await.unwrap();
    sent(handle.checkpoint()).await.unwrap();
    sent(handle.observe(Arc::new(Heard::default()))).await;
}

/// Listens only for the number it was told last.
#[derive(Default)]
struct Last(AtomicU64);

impl CommitObserver for Last {
    fn committed(&self, number: u64, _commit: &Commit) {
        let before = self.0.swap(number, Ordering::SeqCst);
        assert_eq!(before + 1, number, "in order, none left out");
    }

    fn restarted(&self, catalog: &Catalog) {
        self.0.store(catalog.version(), Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observers_hear_every_commit_in_order_before_it_is_visible() {
    let bucket = Bucket::open(&BucketConfig::InMemory, Arc::new(ManualClock::default())).unwrap();
    let handle = open(&bucket, 1).await;
    let last = Arc::new(Last::default());
    handle.observe(last.clone()).await;
    let tasks = (0..8u64).map(|task| {
        let (handle, last) = (handle.clone(), last.clone());
        base::task::spawn("flush", async move {
            for n in 0..20 {
                let number = flush(&handle, 1000 * task + n).await;
                assert!(last.0.load(Ordering::SeqCst) >= number);
                let seen = handle.follow().await.unwrap().version();
                assert!(last.0.load(Ordering::SeqCst) >= seen && seen >= number);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(handle.snapshot().version(), 160);
    let entry = DayEntry { tenant: tenant("tenant-0"), day: Day(0), changed_at: 0 };
    assert!(handle.read(|catalog| catalog.day_checkpoint(&entry)).is_some());
}
