//! Small bodies that would become much: what they cost is counted, and refused where it ends.

#![allow(clippy::unwrap_used)]

extern crate runelog_distributor as distributor;

#[path = "support/bench.rs"]
mod support;

use axum::body::Body;
use distributor::PushLimits;
use distributor::testing::FakeLimits;
use http::Request;
use rpc::http::Budget;
use support::{Bench, NOON, entry, field, send, snappy, stream};

const MIB: usize = 1 << 20;
const DAY: i64 = 86_400_000_000_000;

/// Status and text of a protobuf push of `entries` of one stream, and what the push took of a
/// budget that is too small for it.
async fn push(bench: &Bench, budget: &Budget, entries: &[Vec<u8>]) -> (u16, String) {
    let router = support::router(&bench.distributor, budget.clone());
    let request = Request::post("/loki/api/v1/push")
        .header("content-type", "application/x-protobuf")
        .header("x-scope-orgid", "acme")
        .body(Body::from(snappy(&stream(r#"{a="b"}"#, entries))))
        .unwrap();
    let answer = send(&router, request).await;
    assert_eq!(budget.held(), 0, "everything is given back");
    answer
}

#[tokio::test]
async fn cells_of_metadata_that_a_small_body_makes_are_charged_to_the_budget() {
    let bench = Bench::new(FakeLimits::open());
    // 4 bytes for each of 1024 names in every row: 20 KiB of body a MiB.
    let entries: Vec<Vec<u8>> =
        (0..8_000).map(|n| entry(NOON, b"", &[(&format!("n{}", n % 1000), "v")])).collect();
    let body_bytes: usize = entries.iter().map(Vec::len).sum();
    assert!(body_bytes < MIB);
    let (status, text) = push(&bench, &Budget::new(16 * MIB), &entries).await;
    assert_eq!(status, 413, "{text}");
    assert!(text.starts_with("the rows of the push and their metadata: request body"), "{text}");
    assert!(bench.ingester.batches.lock().unwrap().is_empty(), "nothing of it is stored");
    assert_eq!(push(&bench, &Budget::new(64 * MIB), &entries).await.0, 204);
    let batches = bench.ingester.batches.lock().unwrap();
    assert_eq!(batches.iter().map(|batch| batch.rows.len()).sum::<usize>(), 8_000);
}

#[tokio::test]
async fn rows_without_bytes_are_charged_to_the_budget() {
    let bench = Bench::new(FakeLimits::open());
    let entries: Vec<Vec<u8>> = (0..100_000).map(|n| entry(NOON + n, b"", &[])).collect();
    let (status, text) = push(&bench, &Budget::new(3 * MIB), &entries).await;
    assert_eq!(status, 413, "{text}");
    assert_eq!(push(&bench, &Budget::new(16 * MIB), &entries).await.0, 204);
}

#[tokio::test]
async fn a_push_has_a_limited_number_of_days() {
    let bench = Bench::new(FakeLimits::open());
    let budget = Budget::new(64 * MIB);
    let days = |count: i64| -> Vec<Vec<u8>> {
        // Back and forth: every row is of another day than the row before it.
        (0..3 * count).map(|n| entry(NOON - n % count * DAY, b"x", &[])).collect()
    };
    let (status, text) = push(&bench, &budget, &days(5_000)).await;
    assert_eq!((status, text.as_str()), (400, "a push may have rows of at most 4096 days"));
    assert!(bench.rows().is_empty());
    assert_eq!(push(&bench, &budget, &days(4_096)).await.0, 204);
    let batches = bench.ingester.batches.lock().unwrap();
    assert_eq!(batches.len(), 4_096);
    assert!(batches.iter().all(|batch| batch.rows.len() == 3));
}

#[tokio::test]
async fn pairs_without_end_are_refused_with_their_number_also_where_no_limit_is_set() {
    let pairs = field(3, &[]).repeat(200_000);
    let mut wide = entry(NOON, b"x", &[]);
    wide.extend(pairs);
    let entries = [entry(NOON, b"kept", &[]), wide.clone(), wide];
    let budget = Budget::new(64 * MIB);
    for limit in [128, 0] {
        let limits = PushLimits {
            max_structured_metadata_entries_count: limit,
            max_structured_metadata_size: 0,
            ..FakeLimits::open()
        };
        let bench = Bench::new(limits);
        let (status, text) = push(&bench, &budget, &entries).await;
        assert_eq!(status, 400, "{text}");
        let limit = if limit == 0 { 65_536 } else { limit };
        let told = format!("too many structured metadata labels: '200000', limit: '{limit}'");
        assert!(text.starts_with("2 errors like: ") && text.contains(&told), "{text}");
        assert_eq!(bench.rows().len(), 1, "what is valid is stored");
    }
}
