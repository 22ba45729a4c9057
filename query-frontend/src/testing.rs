//! A frontend whose queriers hold rows in memory and evaluate with `logql` directly, for this
//! crate's tests.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Extension;
use axum::body::Body;
use axum::response::Response;
use base::random::SeededRandom;
use base::task::{self, JoinHandle};
use base::time::ManualClock;
use base::{Labels, RowsBuilder, TenantId, UnixNanos};
use logql::engine::StreamSource;
use logql::engine::overlap::Overlaps;
use logql::plan::{Leaf, TimeRange};
use rpc::frontend::{FrontendApi, Worker};
use rpc::http::TenantPolicy;
use rpc::querier::{ListJob, Listed, Listing, QuerierApi, QuerierError, SelectJob, Selected};
use rpc::stats::QueryStats;
use tower::ServiceExt;

use crate::{Config, Deps, Frontend, StaticLimits};

/// One row, as a test writes it down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// When.
    pub ts_ns: i64,
    /// Labels of its stream.
    pub labels: Vec<(String, String)>,
    /// The line.
    pub line: String,
    /// Structured metadata.
    pub metadata: Vec<(String, String)>,
}

impl Row {
    fn stream(&self) -> Labels {
        Labels::from_pairs(self.labels.iter().map(|(n, v)| (n, v)))
    }
}

/// A row of stream `{app="<app>"}`.
pub fn row(app: &str, ts_ns: i64, line: &str) -> Row {
    let labels = vec![("app".to_owned(), app.to_owned())];
    Row { ts_ns, labels, line: line.to_owned(), metadata: Vec::new() }
}

/// Holds rows in memory.
#[derive(Default)]
pub struct FakeQuerier {
    rows: Mutex<Vec<Row>>,
    /// Ranges of the leaves it was asked for, in the order of the calls.
    pub asked: Mutex<Vec<(TimeRange, logql::plan::Shard)>>,
    /// Calls so far.
    pub calls: AtomicU64,
    /// What it says that lines look like.
    pub templates: Mutex<Vec<String>>,
}

impl FakeQuerier {
    /// Replaces what it holds; equal rows are one.
    pub fn hold(&self, rows: &[Row]) {
        let distinct: BTreeSet<Row> = rows.iter().cloned().collect();
        *self.rows.lock().unwrap() = distinct.into_iter().collect();
    }
}

#[async_trait]
impl QuerierApi for FakeQuerier {
    async fn select(&self, job: SelectJob) -> Result<Selected, QuerierError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let leaf = job.leaf;
        self.asked.lock().unwrap().push((leaf.range(), leaf.shard()));
        let (mut streams, mut page) = (Vec::new(), RowsBuilder::default());
        let mut rows = 0;
        for row in &*self.rows.lock().unwrap() {
            let labels = row.stream();
            let known = streams.iter().position(|known| *known == labels);
            let stream = known.unwrap_or_else(|| {
                streams.push(labels);
                streams.len() - 1
            });
            page.push(stream as u32, row.ts_ns, row.line.as_bytes());
            for (name, value) in &row.metadata {
                page.metadata(name, value.as_bytes());
            }
            rows += 1;
        }
        let mut worker = leaf.worker(Arc::new(Overlaps::none()));
        worker.source(&StreamSource { streams, order: 0 })?;
        let page = page.finish();
        worker.page(&page.page(&page.metadata_views()))?;
        let mut stats = QueryStats::default();
        stats.ingester.reached = 1;
        stats.parts.read.rows = rows;
        Ok(Selected { partial: worker.finish(), stats, warnings: Vec::new() })
    }

    async fn list(&self, job: ListJob) -> Result<Listed, QuerierError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let leaves: Vec<Arc<Leaf>> =
            job.selectors.iter().map(|one| Leaf::of_selector(one).unwrap()).collect();
        let rows = self.rows.lock().unwrap();
        let inside = rows.iter().filter(|row| (job.start.0..=job.end.0).contains(&row.ts_ns));
        let streams: BTreeSet<Labels> = inside
            .map(Row::stream)
            .filter(|labels| leaves.is_empty() || leaves.iter().any(|leaf| leaf.selects(labels)))
            .collect();
        let texts = |texts: BTreeSet<String>| Listed::Texts(texts.into_iter().collect());
        Ok(match &job.listing {
            Listing::Streams => Listed::Streams(streams.into_iter().collect()),
            Listing::Names => texts(
                streams
                    .iter()
                    .flat_map(|labels| labels.iter().map(|(name, _)| name.to_owned()))
                    .collect(),
            ),
            Listing::Templates => Listed::Texts(self.templates.lock().unwrap().clone()),
            Listing::Values(name) => texts(
                streams.iter().filter_map(|labels| labels.get(name)).map(str::to_owned).collect(),
            ),
        })
    }
}

/// A frontend with a querier.
pub struct World {
    /// The frontend.
    pub frontend: Arc<Frontend>,
    /// What its workers call.
    pub querier: Arc<FakeQuerier>,
    /// The tenant of all requests.
    pub tenant: TenantId,
    /// The time; starts at [`NOW`].
    pub clock: ManualClock,
    workers: Vec<JoinHandle<()>>,
}

/// 2024-05-01 12:00 UTC, the end of the conformance data.
pub const NOW: UnixNanos = UnixNanos(1_714_564_800_000_000_000);

/// Settings without pauses.
pub fn config() -> Config {
    let none = std::time::Duration::ZERO;
    Config { min_backoff: none, max_backoff: none, ..Config::default() }
}

impl World {
    /// One querier with two places and no rows.
    pub fn new(limits: StaticLimits) -> World {
        let mut world = World::without_workers(config(), limits);
        let querier = world.querier.clone();
        world.attend("only", querier.clone());
        world.attend("only", querier);
        world
    }

    /// Nobody works.
    pub fn without_workers(config: Config, limits: StaticLimits) -> World {
        let clock = ManualClock::new(NOW);
        let random = Arc::new(SeededRandom::new(7));
        let deps = Deps { limits: Arc::new(limits), clock: Arc::new(clock.clone()), random };
        let frontend = Arc::new(Frontend::new(config, deps));
        let tenant = TenantId::new("acme").unwrap();
        World { frontend, querier: Arc::default(), tenant, clock, workers: Vec::new() }
    }

    /// Gives a querier one more place.
    pub fn attend(&mut self, name: &str, querier: Arc<dyn QuerierApi>) {
        let (frontend, worker) = (self.frontend.clone(), Worker { querier: name.to_owned() });
        self.workers.push(task::spawn("test.worker", async move {
            frontend.work(worker, querier).await.unwrap();
        }));
    }

    /// Sends a request to the query routes; returns status and body.
    pub async fn get(&self, uri: &str) -> (u16, String) {
        let request = http::Request::get(uri).header("x-scope-orgid", "acme");
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Sends any request to the query routes; returns status and body.
    pub async fn send(&self, request: http::Request<Body>) -> (u16, String) {
        let response = self.respond(request).await;
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn respond(&self, request: http::Request<Body>) -> Response {
        let policy = TenantPolicy {
            auth_enabled: true,
            no_auth_tenant: TenantId::new("fake").unwrap(),
            multi_tenant_queries: true,
        };
        let router = crate::router(self.frontend.clone()).layer(Extension(Arc::new(policy)));
        router.oneshot(request).await.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.workers.iter().for_each(JoinHandle::abort);
    }
}

/// Percent-encodes a parameter value.
pub fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let escape = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(escape).collect()
}
