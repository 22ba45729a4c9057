//! Takes push bodies again and again, to be measured from outside:
//! `valgrind --tool=callgrind target/release/examples/push_cost FORMAT ROUNDS FILE...`
//!
//! FILEs are protobuf push bodies (snappy). FORMAT is `protobuf`, or `json` to push the same rows
//! as JSON. Prints raw bytes (lines) and seconds. Two runs with different ROUNDS give the cost of a
//! round without that of the preparation.

#![allow(clippy::unwrap_used)]

extern crate runelog_distributor as distributor;

use std::fmt::Write;
use std::sync::Arc;

use base::TenantId;
use base::random::SeededRandom;
use base::time::{Clock, ManualClock, SystemClock};
use base::{Batch, UnixNanos};
use bytes::Bytes;
use distributor::testing::{FakeIngester, FakeLimits};
use distributor::{Config, Distributor, Encoding, Format, Payload};
use rpc::IngesterApi;
use rpc::http::body::Hold;
use rpc::ingester::Peer;
use rpc::members::Fixed;

fn distributor(ingester: Arc<dyn IngesterApi>) -> Arc<Distributor> {
    Arc::new(Distributor::new(
        Config::default(),
        Arc::new(FakeLimits::new(FakeLimits::open())),
        Arc::new(Fixed::new(vec![Peer { address: "in-process".to_owned(), api: ingester }], 1)),
        Arc::new(ManualClock::new(UnixNanos(i64::MAX / 2))),
        Arc::new(SeededRandom::new(1)),
    ))
}

fn json_of(batches: &[Batch]) -> String {
    let mut body = String::from(r#"{"streams":["#);
    for batch in batches {
        let mut row = 0;
        for run in &batch.rows.runs {
            if body.len() > 12 {
                body.push(',');
            }
            let labels = &batch.streams[run.stream as usize];
            let labels: serde_json::Map<_, _> = labels
                .iter()
                .filter(|(name, _)| *name != "service_name")
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            write!(body, r#"{{"stream":{},"values":["#, serde_json::Value::from(labels)).unwrap();
            for at in row..run.end as usize {
                let line = String::from_utf8_lossy(batch.rows.lines.get(at));
                let line = serde_json::to_string(&line).unwrap();
                let comma = if at > row { "," } else { "" };
                write!(body, r#"{comma}["{}",{line}]"#, batch.rows.ts_ns[at]).unwrap();
            }
            row = run.end as usize;
            body.push_str("]}");
        }
    }
    body.push_str("]}");
    body
}

fn payload(format: Format, body: &Bytes) -> Payload {
    Payload { format, encoding: Encoding::Identity, body: body.clone(), hold: Hold::unlimited() }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [format, rounds, files @ ..] = &arguments[..] else {
        panic!("usage: push_cost protobuf|json ROUNDS FILE...");
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let tenant = TenantId::new("bench").unwrap();
    let mut bodies = Vec::new();
    let mut raw = 0;
    for file in files {
        let body = Bytes::from(std::fs::read(file).unwrap());
        let ingester = Arc::new(FakeIngester::default());
        let first = distributor(ingester.clone());
        runtime.block_on(first.push_here(&tenant, payload(Format::Protobuf, &body))).unwrap();
        let batches = ingester.batches.lock().unwrap();
        raw += batches.iter().map(|batch| batch.rows.lines.bytes.len()).sum::<usize>();
        bodies.push(match format.as_str() {
            "json" => (Format::Json, Bytes::from(json_of(&batches))),
            _ => (Format::Protobuf, body),
        });
    }
    let forgetful = FakeIngester { forgets: true, ..FakeIngester::default() };
    let distributor = distributor(Arc::new(forgetful));
    let rounds: usize = rounds.parse().unwrap();
    let from = SystemClock.monotonic_ns();
    for _ in 0..rounds {
        for (format, body) in &bodies {
            runtime.block_on(distributor.push_here(&tenant, payload(*format, body))).unwrap();
        }
    }
    let seconds = (SystemClock.monotonic_ns() - from) as f64 / 1e9;
    let sent: usize = bodies.iter().map(|(_, body)| body.len()).sum();
    let total = (raw * rounds) as f64 / 1e9;
    println!(
        "{format}: {raw} raw bytes in {} bodies of {sent} bytes, {rounds} rounds: {seconds:.3} s, \
         {:.3} s per raw GB",
        bodies.len(),
        seconds / total
    );
}
