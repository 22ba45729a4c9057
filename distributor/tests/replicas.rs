//! Batches on their way to three stores each: what acknowledges them is the beginning of the newest
//! list and nothing else (B3), one owner admits (B5), and one late or dead store refuses no push (B6).

#![allow(clippy::unwrap_used)]

extern crate runelog_distributor as distributor;

#[path = "support/cluster.rs"]
mod cluster;

use std::time::Duration;

use cluster::{Cluster, Fate};
use rpc::ingester::IngesterError;

/// What must be true after a 204: the first two of the newest list hold its attempt.
fn assert_acknowledged(cluster: &Cluster) {
    let (attempt, list, holders) = cluster.last_attempt();
    assert!(list.len() >= 2, "attempt {attempt}: {list:?}");
    for member in &list[..2] {
        assert!(holders.contains(member), "attempt {attempt} of {list:?} is at {holders:?}");
    }
    cluster.check();
}

/// Lets tasks that nobody waits for run.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_batch_is_at_three_stores_and_one_of_them_admitted_it() {
    let cluster = Cluster::with_factor(5, 3);
    for stream in 0..20 {
        cluster.push(&[stream], 2).await.unwrap();
        settle().await;
        let (attempt, list, mut holders) = cluster.last_attempt();
        let mut sorted = list.clone();
        sorted.sort_unstable();
        holders.sort_unstable();
        assert_eq!((attempt, list.len(), sorted), (1, 3, holders));
    }
    let admits: u64 = cluster.nodes.iter().map(|node| node.calls().0).sum();
    let appends: u64 = cluster.nodes.iter().map(|node| node.calls().1).sum();
    assert_eq!((admits, appends), (20, 60));
    for node in &cluster.nodes {
        assert!(node.calls().0 > 0, "all of them own streams");
    }
    cluster.check();
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_to_the_calls_an_answer_means_the_beginning_of_the_newest_list() {
    let mut fates = vec![Fate::LostRequest, Fate::LostAnswer, Fate::Late, Fate::Overtaken];
    fates.resize(10, Fate::Fine);
    let (mut acknowledged, mut refused) = (0, 0);
    for seed in 0..3_000u64 {
        let cluster = Cluster::with_factor(3 + (seed % 3) as usize, 3);
        let mut drawn = base::hash::hash64(&seed.to_le_bytes());
        let script: Vec<Fate> = (0..9)
            .map(|_| {
                drawn = drawn.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                fates[(drawn >> 33) as usize % fates.len()]
            })
            .collect();
        cluster.script(&script);
        match cluster.push(&[1], 3).await {
            Ok(()) => {
                acknowledged += 1;
                assert_acknowledged(&cluster);
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.status, 503);
            }
        }
        let (attempt, ..) = cluster.last_attempt();
        settle().await;
        cluster.deliver_late();
        assert_eq!(cluster.last_attempt().0, attempt, "no attempt follows the answer");
        cluster.check();
    }
    assert!(acknowledged > 1_000 && refused > 100, "{acknowledged} {refused}");
}

#[tokio::test(start_paused = true)]
async fn a_majority_that_is_not_the_beginning_of_the_list_acknowledges_nothing() {
    let cluster = Cluster::with_factor(3, 3);
    cluster.push(&[1], 1).await.unwrap();
    let (_, list, _) = cluster.last_attempt();
    // The owner's answer is lost; the two others hold the batch.
    cluster.script_of(list[0], &[Fate::LostRequest]);
    cluster.push(&[1], 1).await.unwrap();
    let (attempt, again, _) = cluster.last_attempt();
    assert_eq!(
        (attempt, &again[..]),
        (2, &[list[1], list[2]][..]),
        "sent again under another list"
    );
    assert_acknowledged(&cluster);
}

#[tokio::test(start_paused = true)]
async fn a_late_member_moves_to_the_end_and_is_passed_over_for_a_while() {
    for late in [0, 1] {
        let cluster = Cluster::with_factor(3, 3);
        cluster.push(&[1], 1).await.unwrap();
        let (_, list, _) = cluster.last_attempt();
        cluster.script_of(list[late], &[Fate::Stuck]);
        let began = tokio::time::Instant::now();
        cluster.push(&[1], 1).await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_millis(250));
        let (attempt, again, _) = cluster.last_attempt();
        assert_eq!((attempt, again.last()), (2, Some(&list[late])));
        assert_acknowledged(&cluster);
        cluster.push(&[1], 1).await.unwrap();
        let (attempt, next, _) = cluster.last_attempt();
        assert_eq!((attempt, next.contains(&list[late])), (1, false), "{next:?}");
        cluster.clock.advance(5_000_000_000);
        cluster.push(&[1], 1).await.unwrap();
        assert_eq!(cluster.last_attempt().1, list);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_late_once_and_answers_now_is_not_waited_past() {
    let cluster = Cluster::with_factor(3, 3);
    cluster.push(&[1], 1).await.unwrap();
    let (_, list, _) = cluster.last_attempt();
    // The first is late once. Then the second hangs, and the first is there.
    cluster.script_of(list[0], &[Fate::Stuck]);
    cluster.script_of(list[1], &[Fate::Fine, Fate::Stuck, Fate::Stuck]);
    let began = tokio::time::Instant::now();
    let pushed = tokio::time::timeout(Duration::from_secs(60), cluster.push(&[1], 1)).await;
    pushed.expect("nobody waits for the one that hangs").unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(500));
    let (attempt, again, _) = cluster.last_attempt();
    assert_eq!((attempt, again), (3, vec![list[2], list[0], list[1]]));
    assert_acknowledged(&cluster);
}

#[tokio::test(start_paused = true)]
async fn a_slow_third_is_not_waited_for_and_is_passed_over_for_a_while() {
    let cluster = Cluster::with_factor(3, 3);
    cluster.push(&[1], 1).await.unwrap();
    let (_, list, _) = cluster.last_attempt();
    cluster.script_of(list[2], &[Fate::Stuck]);
    let began = tokio::time::Instant::now();
    cluster.push(&[1], 1).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(cluster.last_attempt().1, list);
    tokio::time::sleep(Duration::from_millis(251)).await;
    cluster.push(&[1], 1).await.unwrap();
    assert_eq!(cluster.last_attempt().1, list[..2]);
    cluster.answer_stuck();
    settle().await;
    assert_acknowledged(&cluster);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_slow_they_are_waited_for() {
    let cluster = Cluster::with_factor(3, 3);
    for node in 0..3 {
        cluster.script_of(node, &[Fate::Stuck]);
    }
    let push = cluster.push(&[1], 1);
    let answer = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        cluster.answer_stuck();
    };
    let (pushed, ()) = tokio::join!(push, answer);
    pushed.unwrap();
    assert_eq!(cluster.last_attempt().0, 1, "nobody was there to take their place");
    assert_acknowledged(&cluster);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_slow_by_turns_they_are_waited_for_in_the_end() {
    let cluster = Cluster::with_factor(3, 3);
    cluster.push(&[1], 1).await.unwrap();
    let (_, list, _) = cluster.last_attempt();
    for (at, &node) in list.iter().enumerate() {
        // Always the one whose turn it is to be first.
        let fate = |attempt: usize| if attempt % 3 == at { Fate::Stuck } else { Fate::Fine };
        cluster.script_of(node, &(0..9).map(fate).collect::<Vec<_>>());
    }
    let push = cluster.push(&[1], 1);
    let answer = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        cluster.answer_stuck();
    };
    let (pushed, ()) = tokio::join!(push, answer);
    pushed.unwrap();
    assert_eq!(cluster.last_attempt().0, 4, "the fourth was waited for");
    assert_acknowledged(&cluster);
}

#[tokio::test(start_paused = true)]
async fn one_dead_store_refuses_no_push_and_two_of_three_are_named() {
    let cluster = Cluster::with_factor(3, 3);
    cluster.push(&[1], 1).await.unwrap();
    let (_, list, _) = cluster.last_attempt();
    for &dead in &list[..3] {
        cluster.clock.advance(10_000_000_000);
        cluster.script_of(dead, &[Fate::LostRequest; 9]);
        for stream in 0..10 {
            cluster.push(&[stream], 1).await.unwrap();
            assert_acknowledged(&cluster);
        }
        cluster.script_of(dead, &[]);
    }
    cluster.clock.advance(10_000_000_000);
    for dead in [0, 2] {
        cluster.script_of(list[dead], &[Fate::LostRequest; 9]);
    }
    let error = cluster.push(&[1], 1).await.unwrap_err();
    assert_eq!(error.status, 503);
    let expected = "at least 2 live replicas required, could only find 1 - unhealthy instances: ";
    assert!(error.text.starts_with(expected), "{}", error.text);
    for dead in [0, 2] {
        let address = format!("node-{}:9095", list[dead]);
        assert!(error.text.contains(&address), "{}", error.text);
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_does_not_admit_is_replaced_and_followers_are_not_asked() {
    let cluster = Cluster::with_factor(4, 3);
    cluster.push(&[1], 1).await.unwrap();
    let (_, list, _) = cluster.last_attempt();
    cluster.nodes[list[0]].admit_next(Err(IngesterError::Unavailable("full".to_owned())));
    cluster.push(&[1], 1).await.unwrap();
    let (_, again, _) = cluster.last_attempt();
    assert_eq!(again[0], list[1], "the next in ring order");
    assert!(!again.contains(&list[0]), "{again:?}");
    let admits: u64 = cluster.nodes.iter().map(|node| node.calls().0).sum();
    assert_eq!(admits, 3);
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_when_enough_others_have_answered_is_passed_over_by_the_next_push() {
    let cluster = Cluster::with_factor(4, 3);
    cluster.push(&[1], 1).await.unwrap();
    let (_, list, _) = cluster.last_attempt();
    cluster.script_of(list[2], &[Fate::LostRequest]);
    cluster.push(&[1], 1).await.unwrap();
    let (attempt, again, holders) = cluster.last_attempt();
    assert_eq!((attempt, &again), (1, &list), "acknowledged by the first two");
    assert!(!holders.contains(&list[2]));
    settle().await;
    cluster.push(&[1], 1).await.unwrap();
    let (_, next, _) = cluster.last_attempt();
    assert!(next.starts_with(&list[..2]) && !next.contains(&list[2]), "{next:?}");
    cluster.check();
}

#[tokio::test(start_paused = true)]
async fn too_few_zones_for_a_majority_refuse_the_push() {
    let cluster = Cluster::with_factor(1, 3);
    let error = cluster.push(&[1], 1).await.unwrap_err();
    assert_eq!(error.status, 503);
    assert!(error.text.starts_with("at least 2 live replicas required"), "{}", error.text);
    assert_eq!(cluster.sent(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_replaced_gets_the_next_attempt_under_its_new_name() {
    let cluster = Cluster::with_factor(3, 3);
    cluster.push(&[1], 1).await.unwrap();
    let (_, list, _) = cluster.last_attempt();
    cluster.nodes[list[0]].become_store(base::StoreId(ulid::Ulid(107)));
    cluster.push(&[1], 1).await.unwrap();
    let (attempt, again, _) = cluster.last_attempt();
    assert_eq!((attempt, again[0]), (2, 7), "{again:?}");
    cluster.check();
}

#[tokio::test(start_paused = true)]
async fn forgotten_batches_get_new_ids_only_if_no_member_can_have_stored_them() {
    let cluster = Cluster::with_factor(3, 3);
    for node in 0..3 {
        cluster.script_of(node, &[Fate::Forgotten]);
    }
    cluster.push(&[1], 1).await.unwrap();
    let (attempt, ..) = cluster.last_attempt();
    assert_eq!(attempt, 1, "a new id");
    assert_acknowledged(&cluster);
    cluster.script_of(0, &[Fate::Forgotten]);
    cluster.script_of(1, &[Fate::Forgotten]);
    assert_eq!(cluster.push(&[1], 1).await.unwrap_err().status, 503);
}
