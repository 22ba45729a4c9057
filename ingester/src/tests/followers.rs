//! What becomes of followed batches when processes end and begin, and when others wait for it (W3,
//! R1b).

use std::sync::Arc;

use ring::Phase;

use super::replicas::{Trio, instance};
use crate::clear::TURN_NS;

#[tokio::test]
async fn a_last_flush_takes_what_nobody_else_lives_to_flush() {
    let trio = Trio::new().await;
    let (dead, alive) = (trio.batch(&[2, 1], 3), trio.batch(&[0, 1], 4));
    let (between, own) = (trio.batch(&[2, 0, 1], 5), trio.batch(&[1], 2));
    trio.send(&alive, &[0, 1]).await;
    for batch in [&dead, &between, &own] {
        trio.send(batch, &[1]).await;
    }
    let down = instance(trio.store(2), Phase::Gone);
    let ring = trio.machines[1].ring.clone();
    ring.0.lock().unwrap().instances.extend([instance(trio.store(0), Phase::Active), down]);
    assert!(trio.nodes[1].drain(true).await);
    assert!(!trio.nodes[1].is_emptied(), "another one flushes what is left");
    trio.follow(0).await;
    let catalog = &trio.nodes[0].core.deps.catalog;
    let is_claimed =
        |batch: &base::Batch| catalog.claim_state(&batch.id) != catalog::ClaimState::Free;
    assert!(is_claimed(&dead) && is_claimed(&own));
    assert!(!is_claimed(&alive) && !is_claimed(&between));
}

#[tokio::test]
async fn a_last_flush_without_a_ring_takes_everything() {
    let trio = Trio::new().await;
    let (own, followed) = (trio.batch(&[1, 0], 3), trio.batch(&[0, 2, 1], 4));
    trio.send(&own, &[1]).await;
    trio.send(&followed, &[0, 1]).await;
    assert!(trio.nodes[1].drain(true).await && trio.nodes[1].is_emptied());
    trio.follow(0).await;
    assert_eq!(trio.wal_bytes(0), 0, "its owner need not");
}

#[tokio::test]
async fn what_an_owner_held_before_its_restart_is_as_old_as_it_was() {
    const MINUTE_NS: i64 = 60_000_000_000;
    let mut trio = Trio::new().await;
    let batch = trio.batch(&[0, 1], 4);
    trio.send(&batch, &[0, 1]).await;
    let age_ns = trio.machines[0].config.max_chunk_age.as_nanos() as i64;
    for at in [0, 1] {
        trio.machines[at].clock.advance(age_ns - 10 * MINUTE_NS);
        trio.restart(at).await;
    }
    let core = &trio.nodes[0].core;
    let [day] = &core.days(None)[..] else { panic!("one day") };
    let oldest_ns = day.lock().oldest_unflushed_ns().unwrap();
    assert_eq!(core.now_ns() - oldest_ns, (age_ns - 10 * MINUTE_NS) as u64);
    // In ten minutes the owner flushes it; its follower a minute later, if it does not.
    let core = &trio.nodes[1].core;
    let [day] = &core.days(None)[..] else { panic!("one day") };
    let overdue = |in_minutes: i64| {
        let at_ns = core.now_ns() + (in_minutes * MINUTE_NS) as u64;
        core.overdue(&day.lock(), &core.deps.ring.state(), at_ns)
    };
    assert_eq!(overdue(10), []);
    assert_eq!(overdue(11), [batch.id]);
    // A clock that was set back, or far ahead, makes it young or due, and nothing else.
    let core = &trio.nodes[0].core;
    let now = base::Clock::now(&trio.machines[0].clock);
    assert_eq!(core.began_ns(base::UnixNanos(now.0 + MINUTE_NS)), core.now_ns());
    assert_eq!(core.began_ns(base::UnixNanos(1)), core.now_ns() - age_ns as u64);
}

#[tokio::test]
async fn whoever_leaves_waits_no_longer_for_an_owner_than_its_turn() {
    let trio = Trio::new().await;
    let leaves = trio.store(2);
    // The append never reached its owner, or was refused there.
    let batch = trio.batch(&[0, 1, 2], 4);
    trio.send(&batch, &[1, 2]).await;
    let clear = async |at: usize| trio.nodes[at].clear(leaves, 7).await.unwrap();
    let wait = |at: usize, ns: u64| trio.machines[at].clock.advance(ns as i64);
    assert!(clear(0).await, "nothing names it");
    assert!(!clear(1).await && !clear(2).await);
    wait(1, TURN_NS - 1);
    wait(2, 2 * TURN_NS - 1);
    assert!(!clear(1).await && !clear(2).await, "the owner's turn, and that of the next");
    wait(1, 1);
    assert!(clear(1).await, "it is flushed here");
    assert!(clear(2).await, "and seen");
    assert_eq!((trio.wal_bytes(1), trio.wal_bytes(2)), (0, 0));
}

#[tokio::test]
async fn an_owner_that_flushes_is_waited_for_and_one_that_has_cleared_is_not() {
    let trio = Trio::new().await;
    let leaves = trio.store(2);
    let (lost, first) = (trio.batch(&[0, 1, 2], 4), trio.batch(&[0, 1, 2], 2));
    trio.send(&lost, &[1]).await;
    trio.send(&first, &[0, 1]).await;
    let clear = async |at: usize| trio.nodes[at].clear(leaves, 7).await.unwrap();
    let wait = |ns: u64| trio.machines[1].clock.advance(ns as i64);
    assert!(!clear(1).await);
    wait(TURN_NS - 1);
    assert!(clear(0).await, "it flushes what it has");
    wait(1);
    assert!(!clear(1).await, "something has left: its turn begins anew");
    // The ring knows that nothing more comes from there.
    let (store, mut departs) = instance(leaves, Phase::Gone);
    let departure = Arc::make_mut(&mut departs).departure.as_mut().unwrap();
    departure.cleared.insert(trio.store(0));
    trio.machines[1].ring.0.lock().unwrap().instances.extend([(store, departs)]);
    assert!(clear(1).await, "at once");
    assert_eq!(trio.wal_bytes(1), 0);
}

#[tokio::test]
async fn what_was_followed_under_a_lower_factor_is_flushed_after_its_owners_turn() {
    let trio = Trio::new().await;
    let batch = trio.batch(&[0, 1], 3);
    trio.send(&batch, &[1]).await;
    let require = async || trio.nodes[1].require(5, 10).await.unwrap();
    let ring = trio.machines[1].ring.clone();
    (ring.0.lock().unwrap().version, ring.0.lock().unwrap().replication) = (10, 5);
    assert!(!require().await);
    trio.machines[1].clock.advance(TURN_NS as i64);
    assert!(require().await);
    assert_eq!(trio.wal_bytes(1), 0);
}
