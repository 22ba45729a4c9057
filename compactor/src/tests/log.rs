//! C3: the floor, the log, the checkpoints.

use catalog::{Catalog, paths};

use super::harness::{Rig, by_hand, parts, run_for, ruthless};
use crate::Pass;

/// `count` flushes with a checkpoint each, `hours` apart.
async fn grow(rig: &Rig, handle: &store::CatalogHandle, numbers: std::ops::Range<u64>, hours: i64) {
    for n in numbers {
        rig.flush(handle, 1_000 + n, &[&[n]]).await;
        handle.checkpoint().await.unwrap();
        rig.advance_hours(hours);
    }
}

#[tokio::test]
async fn a_day_after_a_checkpoint_the_floor_rises_to_it_and_what_it_covers_goes() {
    let rig = Rig::new();
    let writer = rig.open(1).await;
    let cleaner = rig.compactor(5, by_hand()).await;
    grow(&rig, &writer, 1..11, 0).await;
    rig.advance_hours(23);
    assert_eq!(cleaner.pass().await.unwrap(), Pass::default(), "too early");
    assert_eq!(rig.names(paths::LOG).await.len(), 10);
    grow(&rig, &writer, 11..13, 0).await;
    rig.advance_hours(1);
    let pass = cleaner.pass().await.unwrap();
    assert_eq!((pass.floor, pass.commits), (10, 10));
    let commits: Vec<String> = (11..13).map(paths::commit).collect();
    assert_eq!(rig.names(paths::LOG).await[..2], commits[..]);
    assert_eq!(rig.names(paths::LOG).await[2], paths::FLOOR);
    let manifests: Vec<String> = (10..13).map(paths::manifest).collect();
    assert_eq!(rig.names(paths::MANIFESTS).await, manifests);
    assert_eq!(rig.names(paths::ID_TABLES).await.len(), 3);
    // Two tenants with a day each, as they were at the floor and after.
    assert_eq!(rig.names(paths::DAYS).await.len(), 2 + 2);
    assert_eq!(rig.violation(&(1..13).collect::<Vec<_>>()).await, None);
    assert_eq!(parts(&rig.open(7).await), parts(&writer));
    assert_eq!(cleaner.pass().await.unwrap(), Pass { floor: 10, ..Pass::default() }, "once");
    rig.advance_hours(24);
    assert_eq!(cleaner.pass().await.unwrap().floor, 12);
    assert_eq!(rig.names(paths::DAYS).await.len(), 2);
    assert_eq!(rig.violation(&(1..13).collect::<Vec<_>>()).await, None);
}

#[tokio::test]
async fn the_newest_old_checkpoint_that_is_whole_is_chosen() {
    let rig = Rig::new();
    let writer = rig.open(1).await;
    grow(&rig, &writer, 1..9, 1).await;
    for object in [paths::manifest(8), paths::id_table(7), paths::manifest(4)] {
        rig.bucket.put(&object, vec!["damaged".into()]).await.unwrap();
    }
    let cleaner = rig.compactor(5, by_hand()).await;
    rig.advance_hours(24);
    assert_eq!(cleaner.pass().await.unwrap().floor, 6);
    assert_eq!(rig.violation(&(1..9).collect::<Vec<_>>()).await, None);
}

#[tokio::test]
async fn without_a_flush_the_cleaner_writes_the_checkpoint_itself() {
    let rig = Rig::new();
    let writer = rig.open(1).await;
    rig.flush(&writer, 1, &[&[1]]).await;
    let cleaner = rig.compactor(5, by_hand()).await;
    assert_eq!(cleaner.pass().await.unwrap().floor, 0);
    assert_eq!(writer.checkpoints().await.unwrap(), [1]);
    rig.advance_hours(24);
    assert_eq!(cleaner.pass().await.unwrap().floor, 1);
}

#[tokio::test]
async fn a_cleaner_that_dies_anywhere_harms_nobody_and_the_next_finishes() {
    let mut ends = 0;
    for steps in 0.. {
        let rig = Rig::new();
        let writer = rig.open(1).await;
        grow(&rig, &writer, 1..6, 0).await;
        let old: Vec<_> = parts(&writer);
        let of_tenant: Vec<_> =
            old.iter().filter(|part| part.tenant == old[0].tenant).cloned().collect();
        rig.merge(&writer, 77, &of_tenant).await;
        writer.checkpoint().await.unwrap();
        let reader = rig.open(7).await;
        let dying = rig.compactor(5, ruthless()).await;
        let ended = run_for(dying.pass(), steps);
        let wanted: Vec<u64> = (1..6).collect();
        assert_eq!(rig.violation(&wanted).await, None, "died after {steps} requests");
        assert_eq!(parts(&rig.open(8).await), parts(&writer));
        let next = rig.compactor(6, ruthless()).await;
        let floor = next.pass().await.unwrap().floor;
        assert!(floor >= 6);
        let names = [rig.names(paths::LOG).await, rig.names(paths::MANIFESTS).await].concat();
        let dead = names.iter().filter_map(|name| paths::number_of(name)).find(|&n| n < floor);
        assert_eq!(dead, None, "died after {steps} requests");
        assert!(!names.contains(&paths::commit(floor)));
        assert_eq!(rig.violation(&wanted).await, None, "died after {steps} requests");
        // Whoever read the log before goes on.
        rig.flush(&reader, 88, &[&[6]]).await;
        assert!(reader.read(Catalog::version) >= 7);
        assert_eq!(rig.violation(&[1, 2, 3, 4, 5, 6]).await, None);
        if ended {
            ends += 1;
            assert!(steps > 20, "a pass has more requests than {steps}");
            break;
        }
    }
    assert_eq!(ends, 1);
}
