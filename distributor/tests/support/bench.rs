//! What the integration tests share: the router in front of a fake ingester.
#![allow(dead_code)]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use base::random::SeededRandom;
use base::time::ManualClock;
use base::{TenantId, UnixNanos};
use distributor::testing::{FakeIngester, FakeLimits};
use distributor::{Config, Distributor, PushLimits};
use http::{Request, StatusCode};
use rpc::IngesterApi;
use rpc::http::{Budget, TenantPolicy};
use rpc::ingester::Peer;
use rpc::members::Fixed;
use tower::ServiceExt;

/// 2024-05-01 12:00 UTC.
pub const NOON: i64 = 1_714_564_800_000_000_000;

pub struct Bench {
    pub router: Router,
    pub ingester: Arc<FakeIngester>,
    pub distributor: Arc<Distributor>,
    pub clock: ManualClock,
    pub limits: Arc<FakeLimits>,
    pub budget: Budget,
}

impl Bench {
    pub fn new(limits: PushLimits) -> Bench {
        Bench::with(Config::default(), limits)
    }

    pub fn with(config: Config, limits: PushLimits) -> Bench {
        let ingester = Arc::new(FakeIngester::default());
        let limits = Arc::new(FakeLimits::new(limits));
        let (distributor, clock) = with_limits(config, limits.clone(), ingester.clone());
        let budget = Budget::new(256 << 20);
        let router = router(&distributor, budget.clone());
        Bench { router, ingester, distributor, clock, limits, budget }
    }

    /// Status and body of a push by tenant `acme`.
    pub async fn push(&self, headers: &[(&str, &str)], body: impl Into<Body>) -> (u16, String) {
        let mut request = Request::post("/loki/api/v1/push").header("x-scope-orgid", "acme");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(&self.router, request.body(body.into()).unwrap()).await
    }

    /// Status and body of a JSON push.
    pub async fn json(&self, body: impl Into<Body>) -> (u16, String) {
        self.push(&[("content-type", "application/json")], body).await
    }

    /// (labels, timestamp, line, metadata) of every row appended.
    pub fn rows(&self) -> Vec<(String, i64, String, String)> {
        let mut rows = Vec::new();
        for batch in self.ingester.batches.lock().unwrap().iter() {
            let mut row = 0;
            for run in &batch.rows.runs {
                for row in std::mem::replace(&mut row, run.end as usize)..run.end as usize {
                    let metadata: Vec<String> = batch
                        .rows
                        .metadata
                        .iter()
                        .filter_map(|column| {
                            let value = String::from_utf8_lossy(column.get(row)?).into_owned();
                            Some(format!("{}={value}", column.name))
                        })
                        .collect();
                    let line = String::from_utf8_lossy(batch.rows.lines.get(row)).into_owned();
                    let labels = batch.streams[run.stream as usize].to_string();
                    rows.push((labels, batch.rows.ts_ns[row], line, metadata.join(" ")));
                }
            }
        }
        rows
    }
}

pub fn distributor(
    config: Config,
    limits: PushLimits,
    ingester: Arc<dyn IngesterApi>,
) -> (Arc<Distributor>, ManualClock) {
    with_limits(config, Arc::new(FakeLimits::new(limits)), ingester)
}

fn with_limits(
    config: Config,
    limits: Arc<FakeLimits>,
    ingester: Arc<dyn IngesterApi>,
) -> (Arc<Distributor>, ManualClock) {
    let clock = ManualClock::new(UnixNanos(NOON));
    let distributor = Distributor::new(
        config,
        limits,
        Arc::new(Fixed::new(vec![Peer { address: "in-process".to_owned(), api: ingester }], 1)),
        Arc::new(clock.clone()),
        Arc::new(SeededRandom::new(1)),
    );
    (Arc::new(distributor), clock)
}

pub fn router(distributor: &Arc<Distributor>, budget: Budget) -> Router {
    let policy = TenantPolicy {
        auth_enabled: true,
        no_auth_tenant: TenantId::new("fake").unwrap(),
        multi_tenant_queries: true,
    };
    distributor::router(distributor.clone())
        .layer(axum::Extension(Arc::new(policy)))
        .layer(axum::Extension(budget))
}

pub async fn send(router: &Router, request: Request<Body>) -> (u16, String) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let plain = response.headers().get("content-type").cloned();
    if status != StatusCode::NO_CONTENT {
        assert_eq!(plain.unwrap(), "text/plain; charset=utf-8");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    }
    let body = axum::body::to_bytes(response.into_body(), 1 << 30).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    if status != StatusCode::NO_CONTENT {
        assert!(body.ends_with('\n'), "push errors end with a newline");
    }
    (status.as_u16(), body.trim_end().to_owned())
}

/// A snappy block of `bytes`.
pub fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// A length-delimited protobuf field.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

pub fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// An `Entry` message.
pub fn entry(ts_ns: i64, line: &[u8], metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut timestamp = vec![8];
    varint((ts_ns / 1_000_000_000) as u64, &mut timestamp);
    timestamp.push(16);
    varint((ts_ns % 1_000_000_000) as u64, &mut timestamp);
    let mut out = field(1, &timestamp);
    out.extend(field(2, line));
    for (name, value) in metadata {
        let pair = [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
        out.extend(field(3, &pair));
    }
    out
}

/// A `Stream` message as a field of `PushRequest`.
pub fn stream(labels: &str, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut out = field(1, labels.as_bytes());
    for entry in entries {
        out.extend(field(2, entry));
    }
    field(1, &out)
}
