//! One ingester from first append to an empty restart.

use std::collections::BTreeMap;
use std::time::Duration;

use rpc::IngesterApi;
use rpc::ingester::IngesterError;
use store::testing::Fault;

use super::harness::{Machine, PLENTY, assert_found, found, held_rows, seal_all, tenant};

#[tokio::test]
async fn rows_are_found_once_before_during_and_after_a_flush_and_after_restarts() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let mut acked = Vec::new();
    for rows in [3, 10, 1] {
        let batch = machine.batch(&ingester, rows);
        ingester.append(vec![batch.clone()]).await.unwrap();
        acked.push(batch);
        assert_found(&ingester, &acked, &[]).await;
    }
    ingester.flush_all().await.unwrap();
    assert_found(&ingester, &acked, &[]).await;
    assert_eq!(ingester.core.usage.held_bytes(), 0);
    let batch = machine.batch(&ingester, 5);
    ingester.append(vec![batch.clone()]).await.unwrap();
    acked.push(batch);
    assert_found(&ingester, &acked, &[]).await;
    drop(ingester);

    let machine = machine.power_cut();
    let ingester = machine.start().await;
    assert_found(&ingester, &acked, &[]).await;
    assert_eq!(held_rows(&ingester, u64::MAX).concat().len(), 5, "only the unflushed came back");
    assert!(ingester.drain(true).await);
    assert!(!ingester.drain(true).await, "a second drain does nothing");
    let refused = ingester.append(vec![machine.batch(&ingester, 1)]).await;
    let refused = refused.map_err(|refused| refused.error);
    assert!(matches!(refused, Err(IngesterError::Unavailable(_))));
    drop(ingester);

    let ingester = machine.start().await;
    assert!(held_rows(&ingester, u64::MAX).is_empty());
    assert_found(&ingester, &acked, &[]).await;
}

#[tokio::test]
async fn flushed_rows_stay_for_older_views_until_their_time_is_over_and_then_raise_the_floor() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let batch = machine.batch(&ingester, 4);
    ingester.append(vec![batch]).await.unwrap();
    ingester.flush_all().await.unwrap();
    let commit = ingester.core.deps.catalog.snapshot().version();
    assert_eq!(held_rows(&ingester, commit - 1).concat().len(), 4);
    assert!(held_rows(&ingester, commit).is_empty());
    machine.clock.advance(59_000_000_000);
    ingester.core.expire_retained();
    assert!(ingester.core.floor() < commit);
    machine.clock.advance(2_000_000_000);
    ingester.core.expire_retained();
    assert_eq!(ingester.core.floor(), commit);
    assert!(held_rows(&ingester, 0).is_empty());
    assert!(ingester.core.days(None).is_empty(), "an empty day is forgotten");
}

#[tokio::test]
async fn retained_units_have_a_byte_limit_too() {
    let mut machine = Machine::new();
    machine.config.flushed_retain_bytes = base::ByteSize(1);
    machine.config.flushed_retain = Duration::from_secs(1 << 30);
    let ingester = machine.start().await;
    for _ in 0..3 {
        ingester.append(vec![machine.batch(&ingester, 4)]).await.unwrap();
        ingester.flush_all().await.unwrap();
    }
    ingester.core.expire_retained();
    let commit = ingester.core.deps.catalog.snapshot().version();
    assert_eq!(ingester.core.floor(), commit);
    assert_eq!(ingester.core.usage.retained_bytes(), 0);
}

#[tokio::test]
async fn a_batch_sent_again_is_acked_and_stored_once() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let batch = machine.batch(&ingester, 6);
    ingester.append(vec![batch.clone()]).await.unwrap();
    let operations = machine.disk.operations();
    ingester.append(vec![batch.clone()]).await.unwrap();
    assert_eq!(machine.disk.operations(), operations, "what is safe is not written again");
    let mut second = batch.clone();
    second.attempt = 2;
    ingester.append(vec![second.clone(), second.clone()]).await.unwrap();
    assert!(machine.disk.operations() > operations, "a higher attempt is (B3)");
    assert_found(&ingester, std::slice::from_ref(&batch), &[]).await;
    ingester.flush_all().await.unwrap();
    while ingester.core.wal().unwrap().size_bytes() > 0 {
        // The background lets go of what was claimed.
        tokio::task::yield_now().await;
    }
    let operations = machine.disk.operations();
    ingester.append(vec![batch.clone()]).await.unwrap();
    assert_eq!(machine.disk.operations(), operations, "a claimed id is never stored");
    assert_found(&ingester, &[batch], &[]).await;
}

#[tokio::test]
async fn a_replayed_batch_sent_again_is_appended_again_and_held_once() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let batch = machine.batch(&ingester, 6);
    ingester.append(vec![batch.clone()]).await.unwrap();
    drop(ingester);
    let machine = machine.power_cut();
    let ingester = machine.start().await;
    let operations = machine.disk.operations();
    ingester.append(vec![batch.clone()]).await.unwrap();
    assert!(machine.disk.operations() > operations, "no ack rests on a replayed record");
    assert_found(&ingester, &[batch], &[]).await;
}

#[tokio::test]
async fn above_the_memory_limit_appends_are_refused_until_rows_are_flushed() {
    let mut machine = Machine::new();
    machine.config.memory_limit = base::ByteSize(50_000);
    let ingester = machine.start().await;
    let mut acked = Vec::new();
    let mut refusals = 0;
    for _ in 0..100 {
        let batch = machine.batch(&ingester, 100);
        match ingester.append(vec![batch.clone()]).await.map_err(|refused| refused.error) {
            Ok(_) => acked.push(batch),
            Err(IngesterError::Unavailable(text)) => {
                assert!(text.contains("memory limit"), "{text}");
                refusals += 1;
                ingester.flush_all().await.unwrap();
            }
            Err(other) => panic!("{other}"),
        }
        assert!(ingester.core.usage.held_bytes() <= 50_000);
    }
    assert!(refusals > 0 && acked.len() > 50);
    assert_found(&ingester, &acked, &[]).await;
}

#[tokio::test]
async fn a_full_disk_refuses_and_after_space_is_freed_appends_go_on() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let first = machine.batch(&ingester, 5);
    ingester.append(vec![first.clone()]).await.unwrap();
    machine.disk.set_free_bytes(Some(50));
    for _ in 0..5 {
        let refused = ingester.append(vec![machine.batch(&ingester, 5)]).await;
        let refused = refused.map_err(|refused| refused.error);
        let Err(IngesterError::Unavailable(text)) = refused else { panic!("{refused:?}") };
        assert!(text.contains("no space left"), "{text}");
    }
    machine.disk.set_free_bytes(None);
    let last = machine.batch(&ingester, 5);
    ingester.append(vec![last.clone()]).await.unwrap();
    assert_found(&ingester, &[first, last], &[]).await;
}

#[tokio::test]
async fn a_full_head_is_sealed_at_a_batch_boundary_and_flushed_by_size() {
    let mut machine = Machine::new();
    machine.config.flush_bytes = base::ByteSize(1);
    machine.config.memory_limit = PLENTY;
    let ingester = machine.start().await;
    let mut acked = Vec::new();
    for _ in 0..3 {
        let batch = machine.batch(&ingester, 700);
        ingester.append(vec![batch.clone()]).await.unwrap();
        acked.push(batch);
    }
    seal_all(&ingester).await;
    assert_found(&ingester, &acked, &[]).await;
    ingester.core.wake.notify_one();
    // The background flushes what is sealed; wait for its commit, not for a time.
    while ingester.core.usage.held_bytes() > 0 {
        tokio::task::yield_now().await;
    }
    assert_found(&ingester, &acked, &[]).await;
    assert_eq!(ingester.core.deps.catalog.snapshot().all_parts().count(), 1);
}

#[tokio::test]
async fn replay_of_more_than_memory_holds_flushes_on_the_way() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let mut acked = Vec::new();
    for _ in 0..40 {
        let batch = machine.batch(&ingester, 100);
        ingester.append(vec![batch.clone()]).await.unwrap();
        acked.push(batch);
    }
    drop(ingester);
    let mut machine = machine.power_cut();
    machine.config.memory_limit = base::ByteSize(8_000);
    let ingester = machine.start().await;
    assert!(ingester.core.usage.held_bytes() <= 8_000);
    assert!(ingester.core.deps.catalog.snapshot().all_parts().count() > 1);
    assert_found(&ingester, &acked, &[]).await;
}

#[tokio::test]
async fn streams_are_active_while_their_rows_are_unflushed() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    ingester.append(vec![machine.batch(&ingester, 4)]).await.unwrap();
    ingester.append(vec![machine.batch(&ingester, 4)]).await.unwrap();
    // The batch names four streams, all of which the head takes into its table.
    assert!(ingester.core.lock_admitter().stream_count(&tenant()) >= 2);
    ingester.flush_all().await.unwrap();
    assert_eq!(ingester.core.lock_admitter().stream_count(&tenant()), 0);
    assert!(!found(&ingester).await.is_empty());
}

#[tokio::test]
async fn units_are_sealed_when_raw_rows_take_too_much_and_then_merged_by_the_flush() {
    let mut machine = Machine::new();
    machine.config.raw_limit = base::ByteSize(1);
    machine.config.flush_bytes = PLENTY;
    let ingester = machine.start().await;
    let mut acked = Vec::new();
    for _ in 0..3 {
        let batch = machine.batch(&ingester, 700);
        ingester.append(vec![batch.clone()]).await.unwrap();
        acked.push(batch);
        let days = ingester.core.days(None);
        let [day] = &days[..] else { panic!("one tenant and day") };
        assert!(day.lock().freeze() && ingester.core.is_short_of_raw());
        let (core, day) = (ingester.core.clone(), day.clone());
        let seal = base::task::blocking("seal", move || core.seal_while_short(&day));
        seal.await.unwrap().unwrap();
        assert_eq!(ingester.core.usage.raw_bytes(), 0);
    }
    assert!(ingester.core.usage.held_bytes() > 0);
    assert_eq!(held_rows(&ingester, u64::MAX).len(), 3);
    let batch = machine.batch(&ingester, 5);
    ingester.append(vec![batch.clone()]).await.unwrap();
    acked.push(batch);
    ingester.flush_all().await.unwrap();
    assert_eq!(ingester.core.usage.held_bytes(), 0);
    assert_eq!(ingester.core.deps.catalog.snapshot().all_parts().count(), 1);
    assert_found(&ingester, &acked, &[]).await;
}

#[tokio::test]
async fn an_append_that_makes_its_day_due_within_a_head_begins_the_flush_that_it_waits_for() {
    let mut machine = Machine::new();
    // No tick of the background comes by.
    machine.config.flush_check_period = Duration::from_secs(1 << 30);
    (machine.config.flush_bytes, machine.config.raw_limit) =
        (base::ByteSize(10_000), base::ByteSize(1_000));
    let ingester = machine.start().await;
    let batch = machine.batch(&ingester, 1_000);
    ingester.append(vec![batch.clone()]).await.unwrap();
    assert!(!ingester.core.is_short_of_raw(), "the head was flushed");
    assert_found(&ingester, &[batch], &[]).await;
}

#[tokio::test(start_paused = true)]
async fn an_append_does_not_wait_for_a_commit_that_failed_once() {
    let mut machine = Machine::new();
    (machine.config.flush_bytes, machine.config.raw_limit) =
        (base::ByteSize(10_000), base::ByteSize(1_000));
    let ingester = machine.start().await;
    // The part is put, its commit never.
    let away = (1..1_000).map(|number| (number, Fault::LostRequest)).collect();
    machine.store.script(away, BTreeMap::new());
    let batch = machine.batch(&ingester, 1_000);
    ingester.append(vec![batch.clone()]).await.unwrap();
    let day = &ingester.core.days(None)[0];
    assert!(day.lock().has_failed && day.flush_turn.try_lock().is_err(), "it is still tried");
    assert_found(&ingester, &[batch], &[]).await;
}
