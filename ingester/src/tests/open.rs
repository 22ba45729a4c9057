//! The bound on open days of a tenant (C5).

use std::collections::BTreeMap;

use base::Batch;
use rpc::IngesterApi;
use rpc::ingester::IngesterError;
use store::testing::Fault;

use super::harness::{DAY, Machine, assert_found};

#[tokio::test]
async fn more_than_64_open_days_of_a_tenant_are_flushed_from_the_oldest_on() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let on_day = |day: i32| {
        let mut batch = machine.batch(&ingester, 2);
        let by_ns = i64::from(day) * base::time::DAY_NS;
        batch.rows.ts_ns.iter_mut().for_each(|ts_ns| *ts_ns += by_ns);
        batch.day = base::Day(batch.day.0 + day);
        batch
    };
    let mut acked = Vec::new();
    for day in (0..64).rev() {
        let batch = on_day(day);
        ingester.append(vec![batch.clone()]).await.unwrap();
        acked.push(batch);
    }
    assert_eq!(ingester.core.open_days(None).len(), 64);
    assert_eq!(ingester.core.deps.catalog.snapshot().version(), 0);
    // An open day is no news, a new one is.
    let known = on_day(5);
    ingester.append(vec![known.clone()]).await.unwrap();
    acked.push(known);
    assert_eq!(ingester.core.deps.catalog.snapshot().version(), 0);
    let fresh = on_day(64);
    ingester.append(vec![fresh.clone()]).await.unwrap();
    acked.push(fresh);
    let open = ingester.core.open_days(None);
    assert_eq!(open.len(), 33);
    assert_eq!(open[0].key.day, base::Day(DAY.0 + 32), "the oldest went first");
    assert_eq!(ingester.core.deps.catalog.snapshot().all_parts().count(), 32);
    // Many in one call pass the limit, and the next ones wait for their flush.
    let many: Vec<Batch> = (100..200).map(on_day).collect();
    ingester.append(many.clone()).await.unwrap();
    acked.extend(many);
    assert_eq!(ingester.core.days_too_many().len(), ingester.core.open_days(None).len() - 64);
    ingester.core.wake.notify_one();
    while ingester.core.open_days(None).len() > 64 {
        tokio::task::yield_now().await;
    }
    assert_found(&ingester, &acked, &[]).await;
}

#[tokio::test]
async fn a_day_that_cannot_be_flushed_makes_room_for_no_other() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let on_day = |day: i32| {
        let mut batch = machine.batch(&ingester, 1);
        batch.rows.ts_ns[0] += i64::from(day) * base::time::DAY_NS;
        batch.day = base::Day(batch.day.0 + day);
        batch
    };
    ingester.append((0..64).map(on_day).collect()).await.unwrap();
    let away = (0..1_000).map(|number| (number, Fault::LostRequest)).collect();
    machine.store.script(away, BTreeMap::new());
    let refused = ingester.append(vec![on_day(64)]).await.unwrap_err();
    let IngesterError::Unavailable(text) = refused.error else { panic!("{}", refused.error) };
    assert!(text.contains("limit of open days"), "{text}");
    assert_eq!(refused.batches.len(), 1);
    ingester.append(vec![on_day(3)]).await.unwrap();
    assert_eq!(ingester.core.open_days(None).len(), 64);
}
