//! Fakes of the three services, and values to send them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base::shutdown::Shutdown;
use base::{Batch, Labels, RowsBuilder, StoreId, TenantId, UnixNanos};
use logql::engine::overlap::Overlaps;
use logql::engine::{Partial, StreamSource};
use logql::plan::{Direction, Leaf, Params, Plan};
use tokio::sync::Notify;
use ulid::Ulid;

use crate::frontend::{FrontendApi, FrontendError, Worker};
use crate::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterApi, IngesterError,
    ReadStats, SelectAnswer, SelectRequest, StreamsAnswer, StreamsRequest,
};
use crate::querier::{ListJob, Listed, QuerierApi, QuerierError, SelectJob, Selected};
use crate::stats::QueryStats;

/// What a fake does with a call.
pub enum Reply<A, E> {
    Answer(A),
    Fail(E),
    /// Waits until the caller goes away.
    Hang,
}

type Slot<A, E> = Mutex<Option<Reply<A, E>>>;

/// Counts calls and dropped calls, keeps what was asked, answers what it is told.
#[derive(Default)]
pub struct Fake {
    pub calls: AtomicU64,
    /// Calls that were dropped before they ended.
    pub dropped: AtomicU64,
    /// A call began or ended.
    pub changed: Notify,
    /// The request of the last call, as text.
    pub asked: Mutex<String>,
    pub batches: Mutex<Vec<Batch>>,
    pub cancelled: Mutex<Option<Shutdown>>,
    pub identify: Slot<Identity, IngesterError>,
    pub admit: Slot<Admission, IngesterError>,
    pub append: Slot<Appended, IngesterError>,
    pub select: Slot<SelectAnswer, IngesterError>,
    pub streams: Slot<StreamsAnswer, IngesterError>,
    pub selected: Slot<Selected, QuerierError>,
    pub listed: Slot<Listed, QuerierError>,
}

struct CallGuard<'a>(&'a Fake, bool);

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.dropped.fetch_add(1, Ordering::SeqCst);
        }
        self.0.changed.notify_waiters();
    }
}

impl Fake {
    pub fn new() -> Arc<Fake> {
        Arc::default()
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::SeqCst)
    }

    pub fn asked(&self) -> String {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until `holds`; something changes before it does.
    pub async fn until(&self, holds: impl Fn(&Fake) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if holds(self) {
                return;
            }
            changed.await;
        }
    }

    async fn reply<A: Clone, E: Clone>(&self, asked: String, slot: &Slot<A, E>) -> Result<A, E> {
        let mut guard = CallGuard(self, false);
        *self.asked.lock().unwrap() = asked;
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
        let reply = match slot.lock().unwrap().as_ref().expect("the test sets a reply") {
            Reply::Answer(answer) => Some(Ok(answer.clone())),
            Reply::Fail(error) => Some(Err(error.clone())),
            Reply::Hang => None,
        };
        let reply = match reply {
            Some(reply) => reply,
            None => std::future::pending().await,
        };
        guard.1 = true;
        reply
    }
}

pub fn set<A, E>(slot: &Slot<A, E>, reply: Reply<A, E>) {
    *slot.lock().unwrap() = Some(reply);
}

/// All of a request that travels.
pub fn select_text(request: &SelectRequest) -> String {
    let SelectRequest { tenant, leaf, view, asked, overlaps, store, cancel: _ } = request;
    format!("{tenant} {:?} {view} {asked:?} {} {store:?}", leaf.origin(), overlaps_text(overlaps))
}

pub fn overlaps_text(overlaps: &Overlaps) -> String {
    let mut streams: Vec<_> = overlaps.iter().collect();
    streams.sort();
    format!("{streams:?}")
}

#[async_trait]
impl IngesterApi for Fake {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        self.reply(String::new(), &self.identify).await
    }

    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError> {
        self.reply(format!("{request:?}"), &self.admit).await
    }

    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        let asked = format!("{} batches", batches.len());
        *self.batches.lock().unwrap() = batches.clone();
        let reply = self.reply(asked, &self.append).await;
        reply.map_err(|error| AppendError { error, batches })
    }

    async fn select(&self, request: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        *self.cancelled.lock().unwrap() = Some(request.cancel.clone());
        self.reply(select_text(&request), &self.select).await
    }

    async fn streams(&self, request: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        self.reply(format!("{request:?}"), &self.streams).await
    }
}

#[async_trait]
impl QuerierApi for Fake {
    async fn select(&self, job: SelectJob) -> Result<Selected, QuerierError> {
        self.reply(job_text(&job), &self.selected).await
    }

    async fn list(&self, job: ListJob) -> Result<Listed, QuerierError> {
        self.reply(format!("{job:?}"), &self.listed).await
    }
}

pub fn job_text(job: &SelectJob) -> String {
    format!("{} {:?}", job.tenant, job.leaf.origin())
}

/// A frontend that hands its workers out to the test.
#[derive(Default)]
pub struct FakeFrontend {
    pub workers: Mutex<Vec<(Worker, Arc<dyn QuerierApi>)>>,
    pub arrived: Notify,
    /// Ends all stays.
    pub stopping: Shutdown,
    /// Stays whose future was dropped.
    pub left: AtomicU64,
    pub changed: Notify,
}

struct StayGuard<'a>(&'a FakeFrontend);

impl Drop for StayGuard<'_> {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}

impl FakeFrontend {
    /// The next worker that comes.
    pub async fn worker(&self) -> (Worker, Arc<dyn QuerierApi>) {
        loop {
            let next = self.workers.lock().unwrap().pop();
            match next {
                Some(worker) => return worker,
                None => self.arrived.notified().await,
            }
        }
    }
}

#[async_trait]
impl FrontendApi for FakeFrontend {
    async fn work(
        &self,
        worker: Worker,
        querier: Arc<dyn QuerierApi>,
    ) -> Result<(), FrontendError> {
        let _left = StayGuard(self);
        if worker.querier == "unwelcome" {
            return Err(FrontendError::Unavailable("not you".to_owned()));
        }
        self.workers.lock().unwrap().push((worker, querier));
        self.arrived.notify_one();
        self.stopping.cancelled().await;
        Ok(())
    }
}

pub fn tenant() -> TenantId {
    TenantId::new("team-a").unwrap()
}

pub fn store(number: u128) -> StoreId {
    StoreId(Ulid(number))
}

pub fn params() -> Params {
    Params {
        start: UnixNanos(0),
        end: UnixNanos(1_000),
        step_ns: 100,
        interval_ns: 0,
        limit: 100,
        direction: Direction::Backward,
        max_series: 500,
        max_memory_bytes: 0,
        categorize: false,
        now: UnixNanos(0),
    }
}

/// The first leaf of a query.
pub fn leaf(query: &str) -> Arc<Leaf> {
    let expr = logql::syntax::parse(query).unwrap();
    Plan::new(&expr, &params()).unwrap().leaves()[0].clone()
}

/// What `leaf` says about a few rows, some of them in an overlap.
pub fn partial(leaf: &Arc<Leaf>) -> Partial {
    let streams = vec![
        Labels::from_pairs([("app", "a")]),
        Labels::from_pairs([("app", "b"), ("level", "é")]),
    ];
    let mut rows = RowsBuilder::default();
    for (index, line) in ["n=1 x", "n=2", "", "{\"n\":3}"].into_iter().enumerate() {
        rows.push(index as u32 % 2, 10 * index as i64, line.as_bytes());
        rows.metadata("trace", format!("t{index}").as_bytes());
    }
    let rows = rows.finish();
    let views = rows.metadata_views();
    let overlaps = [(streams[1].key(), vec![(5, 15)])].into_iter().collect();
    let mut worker = leaf.worker(Arc::new(overlaps));
    worker.source(&StreamSource { streams, order: 7 }).unwrap();
    worker.page(&rows.page(&views)).unwrap();
    worker.finish()
}

pub fn read_stats() -> ReadStats {
    ReadStats {
        rows: 1,
        line_bytes: 2,
        metadata_bytes: 3,
        stored_bytes: 4,
        pages: 5,
        pages_pruned: 6,
        rows_selected: u64::MAX,
    }
}

pub fn select_job() -> SelectJob {
    SelectJob { tenant: tenant(), leaf: leaf("sum(count_over_time({app=~\".+\"}[1m]))") }
}

pub fn selected(leaf: &Arc<Leaf>) -> Selected {
    let stats = QueryStats { exec_ns: 5, reads_metadata: true, ..QueryStats::default() };
    Selected { partial: partial(leaf), stats, warnings: vec!["be careful".to_owned()] }
}

pub fn select_request() -> SelectRequest {
    SelectRequest {
        tenant: tenant(),
        leaf: leaf("{app=\"a\"} |= \"x\""),
        view: 7,
        asked: vec![store(3)],
        overlaps: Arc::new(Overlaps::none()),
        store: Some(store(4)),
        cancel: Shutdown::new(),
    }
}

pub fn select_answer(leaf: &Arc<Leaf>) -> SelectAnswer {
    let (partial, stats) = (partial(leaf), read_stats());
    SelectAnswer::Rows { ranges: Vec::new(), partial, stats, ring: 12 }
}
