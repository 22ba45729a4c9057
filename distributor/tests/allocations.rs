//! A push of known streams costs a handful of allocations, however many lines it has.

#![allow(clippy::unwrap_used)]

extern crate runelog_distributor as distributor;

#[path = "support/bench.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use base::TenantId;
use bytes::Bytes;
use distributor::testing::{FakeIngester, FakeLimits};
use distributor::{Config, Distributor, Encoding, Format, Payload};
use rpc::http::body::Hold;
use support::{NOON, entry, snappy, stream};

/// Counts the allocations of each thread while it asks for it.
struct Counting;

thread_local! {
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

fn count() {
    COUNT.with(|count| count.set(count.get().map(|count| count + 1)));
}

// SAFETY: everything is passed on to the system's allocator as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LINES: usize = 10_000;
const STREAMS: usize = 10;
/// The promise: at most this many allocations for [`LINES`] lines.
const ALLOWED: u64 = 50;

fn line(round: usize, n: usize) -> String {
    let level = ["info", "warn", "debug"][n % 3];
    let message = format!("request {round}-{n} served");
    format!(
        r#"{{"ts":"2024-05-01T12:00:00Z","level":"{level}","message":"{message}","duration":{}}}"#,
        n * 7
    )
}

fn json(round: usize, metadata: bool) -> Vec<u8> {
    let mut body = String::from(r#"{"streams":["#);
    for number in 0..STREAMS {
        if number > 0 {
            body.push(',');
        }
        body.push_str(&format!(r#"{{"stream":{{"app":"checkout","pod":"p{number}"}},"values":["#));
        for n in 0..LINES / STREAMS {
            if n > 0 {
                body.push(',');
            }
            let line = serde_json::to_string(&line(round, n)).unwrap();
            let metadata =
                if metadata { format!(r#",{{"trace_id":"{round}-{n}"}}"#) } else { String::new() };
            body.push_str(&format!(r#"["{}",{line}{metadata}]"#, NOON + n as i64));
        }
        body.push_str("]}");
    }
    body.push_str("]}");
    body.into_bytes()
}

fn protobuf(round: usize, metadata: bool) -> Vec<u8> {
    let mut message = Vec::new();
    for number in 0..STREAMS {
        let entries: Vec<Vec<u8>> = (0..LINES / STREAMS)
            .map(|n| {
                let trace = format!("{round}-{n}");
                let pairs = [("trace_id", trace.as_str())];
                let pairs = if metadata { &pairs[..] } else { &[] };
                entry(NOON + n as i64, line(round, n).as_bytes(), pairs)
            })
            .collect();
        let labels = format!(r#"{{app="checkout", pod="p{number}"}}"#);
        message.extend(stream(&labels, &entries));
    }
    snappy(&message)
}

async fn allocations(distributor: &Arc<Distributor>, format: Format, body: Vec<u8>) -> u64 {
    let tenant = TenantId::new("acme").unwrap();
    let body = Bytes::from(body);
    let payload = Payload { format, encoding: Encoding::Identity, body, hold: Hold::unlimited() };
    COUNT.with(|count| count.set(Some(0)));
    let result = distributor.push_here(&tenant, payload).await;
    let counted = COUNT.with(Cell::take).unwrap();
    assert_eq!(result, Ok(()));
    counted
}

#[tokio::test]
async fn ten_thousand_lines_of_known_streams_cost_at_most_fifty_allocations() {
    for (format, body) in [
        (Format::Protobuf, protobuf as fn(usize, bool) -> Vec<u8>),
        (Format::Json, json as fn(usize, bool) -> Vec<u8>),
    ] {
        for metadata in [false, true] {
            let ingester = Arc::new(FakeIngester { forgets: true, ..FakeIngester::default() });
            let (distributor, _) =
                support::distributor(Config::default(), FakeLimits::open(), ingester);
            for round in 0..2 {
                allocations(&distributor, format, body(round, metadata)).await;
            }
            for round in 2..5 {
                let counted = allocations(&distributor, format, body(round, metadata)).await;
                assert!(counted <= ALLOWED, "{format:?}, metadata {metadata}: {counted}");
                assert!(counted >= 5, "the counter counts");
                println!("{format:?}, metadata {metadata}: {counted} allocations");
            }
        }
    }
}
