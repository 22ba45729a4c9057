//! Batches on their way to several ingesters: every call may be lost, its answer may be lost, it
//! may arrive after the next one or twice. What is acknowledged is held under the number that was
//! sent, rows never change under an id, and nothing follows the answer (B2, B3, B6).

#![allow(clippy::unwrap_used)]

extern crate runelog_distributor as distributor;

#[path = "support/cluster.rs"]
mod cluster;

use std::collections::BTreeSet;

use base::StoreId;
use cluster::{Cluster, Fate, Held};
use rpc::ingester::{Admission, IngesterError, RejectReason, Rejection};
use rpc::wire::error::WireErrorDetail;
use ulid::Ulid;

const SECOND_NS: i64 = 1_000_000_000;

fn store(n: usize) -> StoreId {
    StoreId(Ulid(100 + n as u128))
}

#[tokio::test]
async fn each_stream_goes_to_one_owner_and_a_push_is_one_call_for_each_of_them() {
    let cluster = Cluster::new(3);
    for _ in 0..3 {
        cluster.push(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 4).await.unwrap();
    }
    let mut owners = vec![BTreeSet::new(); 10];
    for (n, node) in cluster.nodes.iter().enumerate() {
        let (admits, appends) = node.calls();
        assert_eq!((admits, appends), (3, 3), "ingester {n}");
        for Held { batch, .. } in node.held() {
            assert_eq!((batch.attempt, &*batch.members), (1, &[store(n)][..]));
            assert_eq!(batch.id.owner, store(n));
            let of_streams = batch.streams.iter().map(|s| s.get("n").unwrap().parse::<usize>());
            of_streams.for_each(|stream| {
                owners[stream.unwrap()].insert(n);
            });
        }
        let sequences: Vec<u64> = node.held().iter().map(|held| held.batch.id.sequence).collect();
        assert_eq!(sequences, [1, 2, 3], "dense for each owner");
        assert_eq!(node.identified(), 1, "asked once who it is");
    }
    assert!(owners.iter().all(|owners| owners.len() == 1), "{owners:?}");
    cluster.check();
}

#[tokio::test]
async fn rejections_of_all_owners_reach_the_client_with_the_rows_they_mean() {
    let cluster = Cluster::new(3);
    for node in &cluster.nodes {
        // The second row of its first stream.
        let reason = RejectReason::TooFarBehind { oldest_ns: 0 };
        let rejected = vec![Rejection { stream: 0, rows: vec![(1, reason)] }];
        node.admit_next(Ok(Admission { rejected }));
    }
    let error = cluster.push(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 4).await.unwrap_err();
    assert_eq!(error.status, 400);
    assert!(error.text.contains("total ignored: 1 out of 4 for stream"), "{}", error.text);
    assert_eq!(cluster.rows_held(), 40 - 3);
    cluster.check();
}

#[tokio::test]
async fn whatever_happens_to_a_call_the_rows_are_held_under_the_number_that_was_acknowledged() {
    let fates = [
        Fate::LostRequest,
        Fate::LostAnswer,
        Fate::Late,
        Fate::Overtaken,
        Fate::Doubled,
        Fate::Fine,
    ];
    let mut runs = 0;
    for first in fates {
        for second in fates {
            for third in fates {
                let cluster = Cluster::new(3);
                cluster.script(&[first, second, third]);
                let answer = cluster.push(&[1], 5).await;
                let fails = [first, second, third].iter().take_while(|fate| fate.fails()).count();
                assert_eq!(answer.is_ok(), fails < 3, "{first:?} {second:?} {third:?}");
                let sent = cluster.sent();
                cluster.deliver_late();
                assert_eq!(cluster.sent(), sent, "no attempt follows the answer");
                if answer.is_ok() {
                    assert_eq!(cluster.sent(), fails + 1);
                    let newest = cluster.newest().unwrap();
                    assert_eq!(newest.batch.attempt as usize, fails + 1);
                }
                cluster.check();
                runs += 1;
            }
        }
    }
    assert_eq!(runs, 216);
}

#[tokio::test]
async fn a_failed_ingester_is_passed_over_for_five_seconds_and_then_owns_its_streams_again() {
    let cluster = Cluster::new(3);
    cluster.push(&[1], 1).await.unwrap();
    let owner = cluster.holder();
    cluster.script(&[Fate::LostRequest]);
    cluster.push(&[1], 1).await.unwrap();
    let calls = cluster.nodes[owner].calls();
    cluster.clock.advance(5 * SECOND_NS - 1);
    cluster.push(&[1], 1).await.unwrap();
    assert_eq!(cluster.nodes[owner].calls(), calls, "passed over");
    cluster.clock.advance(1);
    cluster.push(&[1], 1).await.unwrap();
    let (admits, appends) = calls;
    assert_eq!(cluster.nodes[owner].calls(), (admits + 1, appends + 1), "asked again");
    cluster.check();
}

#[tokio::test]
async fn an_owner_that_does_not_admit_is_replaced_before_anything_is_cut() {
    let cluster = Cluster::new(3);
    let streams: Vec<usize> = (0..40).collect();
    cluster.nodes[0].admit_next(Err(IngesterError::Unavailable("full".to_owned())));
    cluster.push(&streams, 2).await.unwrap();
    assert_eq!(cluster.nodes[0].calls(), (1, 0));
    // Its streams came to the others, in a second round of questions.
    let admits: u64 = cluster.nodes[1..].iter().map(|node| node.calls().0).sum();
    assert_eq!(admits, 4);
    assert_eq!(cluster.rows_held(), 80);
    assert!(cluster.nodes[1..].iter().flat_map(|n| n.held()).all(|h| h.batch.attempt == 1));
    cluster.check();
}

#[tokio::test]
async fn when_nobody_is_left_the_client_reads_503_in_lokis_words_and_may_try_again() {
    let cluster = Cluster::new(2);
    cluster.script(&[Fate::LostRequest; 2]);
    let error = cluster.push(&[1], 1).await.unwrap_err();
    assert_eq!(error.status, 503);
    let expected = "at least 1 live replicas required, could only find 0 - unhealthy instances: ";
    assert!(error.text.starts_with(expected), "{}", error.text);
    for address in ["node-0:9095", "node-1:9095"] {
        assert!(error.text.contains(address), "{}", error.text);
    }
    cluster.push(&[1], 1).await.unwrap();
    assert_eq!(cluster.rows_held(), 1, "marks are only hints: a marked peer is better than none");
    cluster.check();
}

#[tokio::test]
async fn attempts_have_an_end_however_many_ingesters_there_are() {
    let cluster = Cluster::new(9);
    cluster.script(&[Fate::LostAnswer; 9]);
    assert_eq!(cluster.push(&[1], 1).await.unwrap_err().status, 503);
    assert_eq!(cluster.sent(), 4);
    for node in &cluster.nodes {
        for _ in 0..9 {
            node.admit_next(Err(IngesterError::Cancelled));
        }
    }
    assert_eq!(cluster.push(&[1], 1).await.unwrap_err().status, 503);
    let admits: u64 = cluster.nodes.iter().map(|node| node.calls().0).sum();
    assert_eq!(admits, 1 + 4);
    cluster.check();
}

#[tokio::test]
async fn an_ingester_with_a_new_directory_is_asked_who_it_is_and_gets_the_next_attempt() {
    let cluster = Cluster::new(1);
    cluster.push(&[1], 1).await.unwrap();
    cluster.nodes[0].become_store(store(7));
    cluster.push(&[1], 1).await.unwrap();
    let held = cluster.nodes[0].held();
    assert_eq!((held[1].batch.attempt, &*held[1].batch.members), (2, &[store(7)][..]));
    assert_eq!(held[1].batch.id.owner, store(0), "an id does not change");
    cluster.push(&[1], 1).await.unwrap();
    let held = cluster.nodes[0].held();
    assert_eq!((held[2].batch.attempt, held[2].batch.id.owner), (1, store(7)));
    assert_eq!(cluster.nodes[0].identified(), 2);
    cluster.check();
}

#[tokio::test]
async fn an_answer_of_another_number_acknowledges_nothing_and_one_of_a_claim_does() {
    for (held, ok) in [(1, true), (u32::MAX, true), (2, false), (0, false)] {
        let cluster = Cluster::new(1);
        cluster.script(&[Fate::Answer(held)]);
        let answer = cluster.push(&[1], 1).await;
        assert_eq!(answer.is_ok(), ok, "answered {held}");
        if let Err(error) = answer {
            assert_eq!(error.status, 503);
        }
    }
}

#[tokio::test]
async fn forgotten_batches_get_new_ids_only_while_no_attempt_can_be_stored() {
    let cluster = Cluster::new(2);
    cluster.push(&[1], 1).await.unwrap();
    let before = cluster.newest().unwrap().batch.id;
    cluster.script(&[Fate::Forgotten]);
    cluster.push(&[1], 1).await.unwrap();
    let after = cluster.newest().unwrap().batch;
    assert_ne!(after.id.incarnation, before.incarnation);
    assert_eq!((after.id.sequence, after.attempt), (1, 1));

    // The first attempt may be stored: its id stays, and the client must push again.
    cluster.script(&[Fate::LostAnswer, Fate::Forgotten]);
    assert_eq!(cluster.push(&[1], 1).await.unwrap_err().status, 503);
    // Twice in a row: the clock of this process is behind.
    cluster.script(&[Fate::Forgotten, Fate::Forgotten]);
    assert_eq!(cluster.push(&[1], 1).await.unwrap_err().status, 503);
    assert_eq!(cluster.sent(), 1 + 2 + 2 + 2);
    cluster.check();
}

#[tokio::test]
async fn rows_that_died_with_their_receiver_are_not_sent_again() {
    let cluster = Cluster::new(3);
    cluster.script(&[Fate::Swallowed]);
    assert_eq!(cluster.push(&[1], 1).await.unwrap_err().status, 500);
    assert_eq!(cluster.sent(), 1);
}

#[tokio::test]
async fn an_admission_that_names_what_was_not_asked_is_an_error_and_not_a_panic() {
    for nodes in [1, 2] {
        let cluster = Cluster::new(nodes);
        for (stream, row) in [(9, 0), (0, 9)] {
            let rows = vec![(row, RejectReason::StreamLimit)];
            for node in &cluster.nodes {
                let rejected = vec![Rejection { stream, rows: rows.clone() }];
                node.admit_next(Ok(Admission { rejected }));
            }
            let error = cluster.push(&[1], 1).await.unwrap_err();
            assert!(error.text.contains("not asked about"), "{}", error.text);
        }
        assert_eq!(cluster.rows_held(), 0);
    }
}

#[tokio::test]
async fn rows_that_nobody_can_store_are_the_client_s_fault_and_mark_nobody() {
    let cluster = Cluster::new(3);
    cluster.push(&[1], 1).await.unwrap();
    let owner = cluster.holder();
    cluster.script(&[Fate::Invalid]);
    let error = cluster.push(&[1], 1).await.unwrap_err();
    assert_eq!((error.status, error.text.as_str()), (400, "over the record limit"));
    assert_eq!(cluster.sent(), 2, "no other ingester is tried");
    let too_large = IngesterError::limited("over the message limit".to_owned());
    cluster.nodes[owner].admit_next(Err(too_large));
    let error = cluster.push(&[1], 1).await.unwrap_err();
    assert_eq!((error.status, error.text.as_str()), (400, "over the message limit"));
    cluster.push(&[1], 1).await.unwrap();
    assert_eq!(cluster.holder(), owner, "it was not passed over");
    cluster.check();
}
