//! Replays the recorded pushes: every status and text of Loki, and what is stored afterwards.

#![allow(clippy::unwrap_used)]

extern crate runelog_distributor as distributor;

#[path = "support/bench.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use base::{Batch, StreamKey, UnixNanos};
use distributor::Config;
use distributor::testing::{FakeIngester, FakeLimits};
use http::Request;
use rpc::IngesterApi;
use rpc::http::Budget;
use rpc::ingester::*;
use serde_json::Value;
use support::{distributor, router, send};

/// A fake with Loki's out-of-order window: an hour behind the newest row of the stream.
#[derive(Default)]
struct Windowed {
    inner: FakeIngester,
    newest: Mutex<BTreeMap<(String, StreamKey), i64>>,
}

#[async_trait]
impl IngesterApi for Windowed {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        self.inner.identify().await
    }
    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError> {
        let mut newest = self.newest.lock().unwrap();
        let mut rejected: BTreeMap<u32, Vec<(u32, RejectReason)>> = BTreeMap::new();
        let mut row = 0;
        for run in &request.runs {
            let key = (request.tenant.to_string(), request.streams[run.stream as usize].key());
            for row in std::mem::replace(&mut row, run.end)..run.end {
                let ts = request.ts_ns[row as usize];
                let top = newest.entry(key.clone()).or_insert(ts);
                let oldest_ns = top.saturating_sub(3_600_000_000_000);
                if ts < oldest_ns {
                    let reason = RejectReason::TooFarBehind { oldest_ns };
                    rejected.entry(run.stream).or_default().push((row, reason));
                }
                *top = (*top).max(ts);
            }
        }
        let rejected =
            rejected.into_iter().map(|(stream, rows)| Rejection { stream, rows }).collect();
        Ok(Admission { rejected })
    }
    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        self.inner.append(batches).await
    }
    async fn select(&self, request: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        self.inner.select(request).await
    }
    async fn streams(&self, request: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        self.inner.streams(request).await
    }
}

/// As the reference was configured: a schema from 2020-10-24, old samples allowed.
fn bench() -> (Router, Arc<Windowed>) {
    let schema_from = Some(UnixNanos(1_603_497_600_000_000_000));
    let config = Config { schema_from, ..Config::default() };
    let limits = distributor::PushLimits {
        reject_old_samples: false,
        ingestion_rate_bytes: 4e9,
        ingestion_burst_bytes: 1 << 30,
        ..FakeLimits::open()
    };
    let ingester = Arc::new(Windowed::default());
    let (distributor, _) = distributor(config, limits, ingester.clone());
    (router(&distributor, Budget::new(1 << 30)), ingester)
}

fn cases(name: &str) -> Vec<Value> {
    let path = format!("{}/../tests/conformance/cases/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let document: Value = serde_json::from_str(&text).unwrap();
    document["cases"].as_array().unwrap().clone()
}

fn is_push(case: &Value) -> bool {
    matches!(case["path"].as_str(), Some("/loki/api/v1/push" | "/api/prom/push"))
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | DIGITS.iter().position(|digit| *digit == byte).unwrap() as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

fn request(case: &Value) -> Request<Body> {
    let mut request = Request::post(case["path"].as_str().unwrap());
    if let Some(tenant) = case["tenant"].as_str() {
        request = request.header("X-Scope-OrgID", tenant);
    }
    let mut content_type = "application/json";
    let body = match (&case["body_b64"], &case["body"]) {
        (Value::String(encoded), _) => {
            content_type = "application/octet-stream";
            base64(encoded)
        }
        (_, Value::String(text)) => text.clone().into_bytes(),
        (_, body) => serde_json::to_vec(body).unwrap(),
    };
    let headers = case["headers"].as_object().cloned().unwrap_or_default();
    if !headers.contains_key("Content-Type") {
        request = request.header("Content-Type", content_type);
    }
    for (name, value) in &headers {
        request = request.header(name, value.as_str().unwrap());
    }
    request.body(Body::from(body)).unwrap()
}

#[tokio::test]
async fn recorded_pushes_get_lokis_status_and_text() {
    let (router, _) = bench();
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in cases("push_errors").iter().filter(|case| is_push(case)) {
        for setup in case["setup"].as_array().into_iter().flatten() {
            let (status, text) = send(&router, request(setup)).await;
            assert_eq!(Some(u64::from(status)), setup["status"].as_u64(), "{text}");
        }
        let (status, text) = send(&router, request(case)).await;
        count += 1;
        let same_text = case["compare"] != "text" || case["body_text"] == text.as_str();
        if case["status"] != status || !same_text {
            let (name, want) = (&case["name"], (&case["status"], &case["body_text"]));
            wrong.push(format!("{name}: {status} {text}\n      want {want:?}"));
        }
    }
    assert!(count >= 90, "{count} cases");
    assert!(wrong.is_empty(), "{} of {count}\n{}", wrong.len(), wrong.join("\n"));
}

/// Labels and metadata together, as a query without flags shows them.
type Shown = BTreeMap<String, String>;

fn stored(batches: &[Batch], tenant: &str) -> BTreeSet<(Shown, i64, String)> {
    let mut rows = BTreeSet::new();
    for batch in batches.iter().filter(|batch| batch.tenant.as_str() == tenant) {
        let mut row = 0;
        for run in &batch.rows.runs {
            for row in std::mem::replace(&mut row, run.end as usize)..run.end as usize {
                let labels = &batch.streams[run.stream as usize];
                let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                let mut shown: Shown =
                    labels.iter().map(|(name, value)| (name.into(), value.into())).collect();
                for column in &batch.rows.metadata {
                    let Some(value) = column.get(row) else { continue };
                    let taken = labels.get(&column.name).is_some();
                    let suffix = if taken { "_extracted" } else { "" };
                    shown.insert(format!("{}{suffix}", column.name), text(value));
                }
                rows.insert((shown, batch.rows.ts_ns[row], text(batch.rows.lines.get(row))));
            }
        }
    }
    rows
}

fn expected(case: &Value) -> BTreeSet<(Shown, i64, String)> {
    let mut rows = BTreeSet::new();
    for stream in case["body_json"]["data"]["result"].as_array().unwrap() {
        let shown: Shown = serde_json::from_value(stream["stream"].clone()).unwrap();
        for value in stream["values"].as_array().unwrap() {
            let ts = value[0].as_str().unwrap().parse().unwrap();
            rows.insert((shown.clone(), ts, value[1].as_str().unwrap().to_owned()));
        }
    }
    rows
}

#[tokio::test]
async fn recorded_pushes_store_what_loki_stores() {
    let mut count = 0;
    for case in cases("push_roundtrip") {
        let setups = case["setup"].as_array().unwrap();
        let streams = case["body_json"]["data"]["resultType"] == "streams";
        if !streams || !setups.iter().all(is_push) {
            continue;
        }
        let (router, ingester) = bench();
        for setup in setups {
            let (status, text) = send(&router, request(setup)).await;
            assert_eq!(Some(u64::from(status)), setup["status"].as_u64(), "{text}");
        }
        let batches = ingester.inner.batches.lock().unwrap();
        let tenant = case["tenant"].as_str().unwrap();
        // Loki shows the same replacement character per byte as `from_utf8_lossy` does here.
        assert_eq!(stored(&batches, tenant), expected(&case), "{}", case["name"]);
        count += 1;
    }
    assert!(count >= 17, "{count} cases");
}

/// Every recorded answer that shows `detected_level` of a line of the data set.
#[tokio::test]
async fn the_data_set_gets_the_recorded_levels_and_metadata() {
    let (router, ingester) = bench();
    let dir = format!("{}/../tests/conformance", env!("CARGO_MANIFEST_DIR"));
    let read = |path: String| {
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let manifest: Value =
        serde_json::from_str(&read(format!("{dir}/dataset/manifest.json"))).unwrap();
    for file in manifest["files"].as_array().unwrap() {
        let body = read(format!("{dir}/dataset/{}", file["file"].as_str().unwrap()));
        let request = Request::post("/loki/api/v1/push")
            .header("content-type", "application/json")
            .header("x-scope-orgid", file["tenant"].as_str().unwrap());
        let answer = send(&router, request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer, (204, String::new()));
    }
    let batches = ingester.inner.batches.lock().unwrap();
    let mut known = BTreeMap::new();
    for tenant in ["acme", "globex"] {
        known.insert(tenant, stored(&batches, tenant));
    }
    let mut count = 0;
    for group in ["log_selectors", "structured_metadata", "limits_and_direction", "line_filters"] {
        for case in cases(group) {
            let query = case["params"]["query"].as_str().unwrap_or_default();
            let plain = !query.contains('|') && case["tenant"].as_str() != Some("acme|globex");
            let streams = case["body_json"]["data"]["resultType"] == "streams";
            if !plain || !streams || case.get("headers").is_some() || case.get("setup").is_some() {
                continue;
            }
            let Some(known) = known.get(case["tenant"].as_str().unwrap()) else { continue };
            for row in expected(&case) {
                assert!(known.contains(&row), "{}: {row:?}", case["name"]);
                count += 1;
            }
        }
    }
    assert!(count > 1500, "{count} rows");
}
