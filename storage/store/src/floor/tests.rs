//! The floor, in memory and in a directory, with every fault at every PUT.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::StoreId;
use base::random::SeededRandom;
use base::time::ManualClock;
use catalog::{Floor, paths};
use ulid::Ulid;

use crate::testing::{Fault, FaultyStore};
use crate::*;

async fn open(bucket: &Bucket, who: u64) -> CatalogHandle {
    let deps = Deps {
        bucket: bucket.clone(),
        committer: StoreId(Ulid(u128::from(who))),
        random: Arc::new(SeededRandom::new(who)),
        clock: Arc::new(ManualClock::default()),
    };
    CatalogHandle::open(deps, CatalogConfig::default()).await.unwrap()
}

/// A log of `commits` empty commits with a checkpoint of each.
async fn grow(handle: &CatalogHandle, commits: u64) {
    for number in 1..=commits {
        let draft = handle.draft();
        assert_eq!(handle.commit(&draft).await.unwrap(), Outcome::Committed(number));
        assert_eq!(handle.checkpoint().await.unwrap(), Some(number));
    }
}

fn memory() -> (Arc<FaultyStore>, Bucket) {
    let store = FaultyStore::new();
    let bucket = Bucket::new("faulty".into(), store.clone(), Arc::new(ManualClock::default()));
    (store, bucket)
}

#[tokio::test]
async fn the_floor_rises_to_checkpoints_and_never_falls() {
    let dir = tempfile::tempdir().unwrap();
    let config = BucketConfig::Filesystem { dir: dir.path().to_owned() };
    let local = Bucket::open(&config, Arc::new(ManualClock::default())).unwrap();
    for bucket in [memory().1, local] {
        let (one, other) = (open(&bucket, 1).await, open(&bucket, 2).await);
        grow(&one, 6).await;
        assert_eq!(one.checkpoints().await.unwrap(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(one.raise_floor(2).await.unwrap(), 2);
        assert_eq!(other.raise_floor(5).await.unwrap(), 5);
        assert_eq!(one.raise_floor(3).await.unwrap(), 5, "somebody else was faster");
        assert_eq!(one.floor().await.unwrap(), 5);
        assert!(one.raise_floor(7).await.is_err(), "there is no such checkpoint");
        // A request that was made when the floor was 2 and stalled.
        let (old, new) = (Floor(2).encode(), Floor(3).encode());
        assert!(!bucket.replace(paths::FLOOR, &old, new.into()).await.unwrap());
        assert_eq!(one.floor().await.unwrap(), 5);
    }
}

#[tokio::test]
async fn a_directory_lets_one_process_at_a_time_replace_an_object() {
    let dir = tempfile::tempdir().unwrap();
    let config = BucketConfig::Filesystem { dir: dir.path().to_owned() };
    let bucket = Bucket::open(&config, Arc::new(ManualClock::default())).unwrap();
    bucket.put("log/floor", vec!["old".into()]).await.unwrap();
    let lock = base::disk::Disk::lock(&base::disk::OsDisk, &dir.path().join("log/floor.lock"));
    assert!(!bucket.replace("log/floor", b"old", "new".into()).await.unwrap());
    drop(lock.unwrap());
    assert!(!bucket.replace("log/floor", b"else", "new".into()).await.unwrap());
    assert!(bucket.replace("log/floor", b"old", "new".into()).await.unwrap());
    assert_eq!(bucket.get("log/floor", 9).await.unwrap(), "new");
    assert!(!bucket.replace("log/nothing", b"old", "new".into()).await.unwrap());
}

#[tokio::test]
async fn whatever_becomes_of_a_request_the_floor_only_rises() {
    for fault in [Fault::LostRequest, Fault::LostAnswer, Fault::Doubled, Fault::Late(4)] {
        for first in [0, 2] {
            let (store, bucket) = memory();
            let (one, other) = (open(&bucket, 1).await, open(&bucket, 2).await);
            grow(&one, 6).await;
            if first > 0 {
                one.raise_floor(first).await.unwrap();
            }
            store.script(BTreeMap::from([(0, fault)]), BTreeMap::new());
            let _may_fail = one.raise_floor(3).await.is_err();
            assert_eq!(other.raise_floor(5).await.unwrap(), 5);
            store.settle().await;
            assert_eq!(one.floor().await.unwrap(), 5, "{fault:?} from {first}");
            assert_eq!(one.raise_floor(6).await.unwrap(), 6);
        }
    }
}

#[tokio::test]
async fn the_floor_does_not_rise_to_a_checkpoint_that_lacks_something() {
    let (_, bucket) = memory();
    let handle = open(&bucket, 1).await;
    grow(&handle, 3).await;
    for object in [paths::manifest(3), paths::id_table(2)] {
        bucket.put(&object, vec!["damaged".into()]).await.unwrap();
    }
    assert!(handle.raise_floor(3).await.is_err());
    assert!(handle.raise_floor(2).await.is_err());
    assert_eq!(handle.raise_floor(1).await.unwrap(), 1);
}
