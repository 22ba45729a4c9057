//! C4: objects of removed parts, orphans, readers of an older view.

use std::collections::BTreeSet;

use base::random::SeededRandom;
use catalog::{Step, paths, step};
use store::{Outcome, put_parts};

use super::harness::{Rig, batch, by_hand, parts};
use crate::Pass;

#[tokio::test]
async fn a_removed_part_goes_two_hours_after_its_commit_and_a_bundle_with_its_last_part() {
    let rig = Rig::new();
    let writer = rig.open(1).await;
    let cleaner = rig.compactor(5, by_hand()).await;
    rig.flush(&writer, 1, &[&[1], &[3]]).await;
    rig.flush(&writer, 2, &[&[5]]).await;
    let before = parts(&writer);
    assert_eq!(rig.names(paths::BUNDLES).await.len(), 1);
    assert_eq!(rig.names(paths::PARTS).await.len(), 1);
    let holds = |ids: &[u64]| {
        let wanted = ids.len() as u64;
        before.iter().filter(move |part| part.rows == wanted)
    };
    assert_eq!(holds(&[1]).count(), 3);
    // One part of the bundle and the part beside it.
    let (bundled, single): (Vec<_>, Vec<_>) =
        before.iter().cloned().partition(|part| matches!(part.place, store::Place::Bundle { .. }));
    rig.merge(&writer, 3, &[bundled[0].clone(), single[0].clone()]).await;
    rig.advance_hours(1);
    assert_eq!(cleaner.pass().await.unwrap().waiting, 1);
    rig.advance_hours(1);
    let pass = cleaner.pass().await.unwrap();
    assert_eq!((pass.removed_objects, pass.orphans, pass.waiting), (1, 0, 0));
    assert!(rig.read(&bundled[0]).await.is_ok(), "its bundle holds a live part");
    assert!(rig.read(&single[0]).await.is_err());
    assert_eq!(rig.violation(&[1, 3, 5]).await, None);
    let merged = parts(&writer).into_iter().find(|part| part.rows == 2).unwrap();
    rig.merge(&writer, 4, &[bundled[1].clone(), merged]).await;
    rig.advance_hours(2);
    assert_eq!(cleaner.pass().await.unwrap().removed_objects, 2);
    assert!(rig.names(paths::BUNDLES).await.is_empty());
    assert_eq!(rig.names(paths::PARTS).await.len(), 1);
    assert_eq!(rig.violation(&[1, 3, 5]).await, None);
}

#[tokio::test]
async fn a_reader_of_an_older_view_finds_nothing_and_everything_after_it_has_read_the_log() {
    let rig = Rig::new();
    let (writer, reader) = (rig.open(1).await, rig.open(7).await);
    rig.flush(&writer, 1, &[&[1]]).await;
    rig.flush(&writer, 2, &[&[3]]).await;
    let view = reader.follow().await.unwrap();
    rig.merge(&writer, 3, &parts(&writer)).await;
    rig.advance_hours(2);
    let cleaner = rig.compactor(5, by_hand()).await;
    assert_eq!(cleaner.pass().await.unwrap().removed_objects, 2);
    for part in view.all_parts() {
        let error = rig.read(part).await.unwrap_err();
        assert_eq!(error.kind(), base::ErrorKind::NotFound, "{error}");
    }
    let mut found = Vec::new();
    for part in reader.follow().await.unwrap().all_parts() {
        found.extend(rig.read(part).await.unwrap());
    }
    assert_eq!(found, [1, 3]);
}

#[tokio::test]
async fn uploads_that_nobody_named_go_a_day_later_by_a_commit_and_their_writer_uploads_anew() {
    let rig = Rig::new();
    let writer = rig.open(1).await;
    rig.flush(&writer, 1, &[&[9]]).await;
    // A part and a bundle, uploaded before their writer stalls.
    let random = SeededRandom::new(33);
    let mut draft = writer.draft();
    let uploads = |ids: [u64; 2]| ids.map(|id| rig.part(&random, &BTreeSet::from([id]))).to_vec();
    let alone = vec![uploads([1, 1]).swap_remove(0)];
    draft.added = put_parts(&rig.bucket, &random, &rig.clock, alone).await.unwrap();
    let bundle = uploads([2, 3]);
    draft.added.extend(put_parts(&rig.bucket, &random, &rig.clock, bundle).await.unwrap());
    draft.claims = [1, 2, 3].map(batch).iter().collect();

    let cleaner = rig.compactor(5, by_hand()).await;
    assert_eq!(cleaner.pass().await.unwrap().waiting, 2);
    rig.advance_hours(23);
    assert_eq!(cleaner.pass().await.unwrap().waiting, 2);
    assert_eq!(writer.follow().await.unwrap().version(), 1);
    rig.advance_hours(1);
    let pass = cleaner.pass().await.unwrap();
    assert_eq!((pass.orphans, pass.waiting), (2, 0));
    assert_eq!(writer.follow().await.unwrap().version(), 2, "a commit removed them");
    assert_eq!(cleaner.pass().await.unwrap().orphans, 0, "once");

    let Outcome::Rebuild { upload_again, claimed, .. } = writer.commit(&draft).await.unwrap()
    else {
        panic!("its objects are gone");
    };
    assert_eq!((upload_again.len(), claimed.is_empty()), (3, true));
    assert!(matches!(writer.read(|catalog| step(catalog, &draft)), Step::Rebuild { .. }));
    rig.flush(&writer, 34, &[&[1], &[2], &[3]]).await;
    assert_eq!(rig.violation(&[1, 2, 3, 9]).await, None);
}

#[tokio::test]
async fn a_new_process_waits_two_hours_for_readers_of_what_it_did_not_see_removed() {
    let rig = Rig::new();
    let writer = rig.open(1).await;
    rig.flush(&writer, 1, &[&[1]]).await;
    rig.advance_hours(100);
    rig.merge(&writer, 3, &parts(&writer)).await;
    writer.checkpoint().await.unwrap();
    // It starts from the checkpoint: nothing tells it when the old part went.
    let cleaner = rig.compactor(5, by_hand()).await;
    assert_eq!(cleaner.pass().await.unwrap().waiting, 1);
    rig.advance_hours(2);
    let pass = cleaner.pass().await.unwrap();
    assert_eq!((pass.orphans, pass.removed_objects), (1, 0));
    assert_eq!(rig.violation(&[1]).await, None);
}

#[tokio::test]
async fn while_the_catalog_lacks_something_no_object_of_a_part_goes() {
    let rig = Rig::new();
    let writer = rig.open(1).await;
    rig.flush(&writer, 1, &[&[1]]).await;
    rig.flush(&writer, 2, &[&[3]]).await;
    rig.bucket.put(&paths::commit(1), vec!["damaged".into()]).await.unwrap();
    let cleaner = rig.compactor(5, by_hand()).await;
    for _ in 0..3 {
        rig.advance_hours(30);
        assert_eq!(cleaner.pass().await.unwrap(), Pass::default());
    }
    assert_eq!(rig.names(paths::PARTS).await.len(), 2);
}
