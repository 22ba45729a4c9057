//! A querier over an in-memory bucket and ingesters that hold rows in memory, for this crate's
//! tests.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use base::random::{Random, SeededRandom};
use base::time::ManualClock;
use base::{Batch, Clock, Day, Labels, Rows, RowsBuilder, StoreId, TenantId, UnixNanos};
use logql::engine::StreamSource;
use logql::engine::overlap::StreamRange;
use part::{Options, seal};
use rpc::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterApi, IngesterError, Peer,
    ReadStats, SelectAnswer, SelectRequest, StreamsAnswer, StreamsRequest,
};
use rpc::members::{Fixed, Members};
use store::{
    Bucket, BucketConfig, CatalogConfig, CatalogHandle, Outcome, PartId, PartRecord, Parts, Place,
    RingVersion, put_parts,
};
use tokio::sync::{Notify, oneshot};

use crate::{Config, Deps, Querier};

/// One row, as a test writes it down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// Labels of its stream.
    pub labels: Vec<(String, String)>,
    /// When.
    pub ts_ns: i64,
    /// The line.
    pub line: String,
    /// Structured metadata.
    pub metadata: Vec<(String, String)>,
}

/// Rows as columns with their stream table; one page.
pub struct Table {
    /// The streams.
    pub streams: Vec<Labels>,
    /// The rows.
    pub rows: Rows,
}

impl Table {
    /// Columns of `rows`, in their order.
    pub fn new(rows: &[Row]) -> Table {
        let mut streams: Vec<Labels> = Vec::new();
        let mut builder = RowsBuilder::default();
        for row in rows {
            let labels = Labels::from_pairs(row.labels.iter().map(|(n, v)| (n, v)));
            let known = streams.iter().position(|known| *known == labels);
            let stream = known.unwrap_or_else(|| {
                streams.push(labels);
                streams.len() - 1
            });
            builder.push(stream as u32, row.ts_ns, row.line.as_bytes());
            for (name, value) in &row.metadata {
                builder.metadata(name, value.as_bytes());
            }
        }
        Table { streams, rows: builder.finish() }
    }

    fn ranges(&self, selected: impl Fn(&Labels) -> bool) -> Vec<StreamRange> {
        let mut ranges: Vec<Option<StreamRange>> = vec![None; self.streams.len()];
        let mut from = 0;
        for run in &self.rows.runs {
            let stream = self.streams[run.stream as usize].key();
            for &ts in &self.rows.ts_ns[from..run.end as usize] {
                let range = ranges[run.stream as usize].get_or_insert(StreamRange {
                    stream,
                    min_ns: ts,
                    max_ns: ts,
                });
                range.min_ns = range.min_ns.min(ts);
                range.max_ns = range.max_ns.max(ts);
            }
            from = run.end as usize;
        }
        let streams = self.streams.iter().zip(ranges);
        streams.filter(|(labels, _)| selected(labels)).filter_map(|(_, range)| range).collect()
    }
}

/// An ingester that holds one table of rows in no commit.
pub struct FakeIngester {
    store: Mutex<StoreId>,
    zone: String,
    table: Mutex<Arc<Table>>,
    /// Answers `Behind` to views below it.
    pub floor: AtomicU64,
    /// Calls of `select` so far.
    pub selects: AtomicU64,
    /// V and G of every `select` and `streams` so far.
    pub seen: Mutex<Vec<(u64, Vec<StoreId>)>>,
    /// Calls of `identify` so far.
    pub identified: AtomicU64,
    /// The version of the ring that answers carry.
    pub ring: AtomicU64,
    /// While set, no call is answered.
    pub down: AtomicBool,
    /// So many calls of `select` find that it is another store.
    pub misplaced: AtomicU64,
    /// The next `select` waits for it.
    pub held_up: Mutex<Option<oneshot::Receiver<()>>>,
    /// While set, `select` never answers; its task ends when it is told to stop.
    pub hangs: AtomicBool,
    /// Told when `select` was called.
    pub called: Notify,
    /// Told when a hanging `select` was told to stop.
    pub stopped: Arc<Notify>,
}

impl FakeIngester {
    /// One without rows.
    pub fn new(store: StoreId, zone: &str) -> FakeIngester {
        FakeIngester {
            store: Mutex::new(store),
            zone: zone.to_owned(),
            table: Mutex::new(Arc::new(Table::new(&[]))),
            floor: AtomicU64::new(0),
            selects: AtomicU64::new(0),
            seen: Mutex::default(),
            identified: AtomicU64::new(0),
            ring: AtomicU64::new(0),
            down: AtomicBool::new(false),
            misplaced: AtomicU64::new(0),
            held_up: Mutex::default(),
            hangs: AtomicBool::new(false),
            called: Notify::new(),
            stopped: Arc::new(Notify::new()),
        }
    }

    /// Replaces what it holds; equal rows must have been dropped.
    pub fn hold(&self, rows: &[Row]) {
        *self.table.lock().unwrap() = Arc::new(Table::new(rows));
    }

    /// Its store.
    pub fn store(&self) -> StoreId {
        *self.store.lock().unwrap()
    }

    /// Gives it another store; returns the one it had.
    pub fn replace_store(&self) -> StoreId {
        let mut store = self.store.lock().unwrap();
        let before = *store;
        *store = StoreId(ulid::Ulid(before.0.0 ^ 1));
        before
    }

    fn is_up(&self) -> Result<(), IngesterError> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(IngesterError::Unavailable("connection refused".to_owned())),
            false => Ok(()),
        }
    }

    fn is_meant(&self, store: Option<StoreId>) -> Result<(), IngesterError> {
        match store {
            Some(store) if store == self.store() => Ok(()),
            other => Err(IngesterError::Misplaced(format!("{other:?} is not here"))),
        }
    }

    fn table(&self) -> Arc<Table> {
        self.table.lock().unwrap().clone()
    }
}

#[async_trait]
impl IngesterApi for FakeIngester {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        self.identified.fetch_add(1, Ordering::SeqCst);
        self.is_up()?;
        Ok(Identity { store: self.store(), zone: self.zone.clone() })
    }

    async fn admit(&self, _: AdmitRequest) -> Result<Admission, IngesterError> {
        Ok(Admission::default())
    }

    async fn append(&self, _: Vec<Batch>) -> Result<Appended, AppendError> {
        Ok(Appended::default())
    }

    async fn select(&self, request: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        self.selects.fetch_add(1, Ordering::SeqCst);
        self.seen.lock().unwrap().push((request.view, request.asked.clone()));
        self.is_up()?;
        let one_less = |left: u64| left.checked_sub(1);
        self.is_meant(request.store)?;
        if self.misplaced.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return Err(IngesterError::Misplaced("another store".to_owned()));
        }
        self.called.notify_one();
        if self.hangs.load(Ordering::SeqCst) {
            let (cancel, stopped) = (request.cancel, self.stopped.clone());
            base::task::spawn("test.select", async move {
                cancel.cancelled().await;
                stopped.notify_one();
            });
            return std::future::pending().await;
        }
        let held_up = self.held_up.lock().unwrap().take();
        if let Some(held_up) = held_up {
            held_up.await.unwrap();
        }
        let floor = self.floor.load(Ordering::SeqCst);
        if request.view < floor {
            return Ok(SelectAnswer::Behind { floor });
        }
        if request.cancel.is_cancelled() {
            return Err(IngesterError::Cancelled);
        }
        let table = self.table();
        let leaf = &request.leaf;
        let mut worker = leaf.worker(request.overlaps.clone());
        worker.source(&StreamSource { streams: table.streams.clone(), order: u64::MAX })?;
        let views = table.rows.metadata_views();
        worker.page(&table.rows.page(&views))?;
        let ranges = table.ranges(|labels| leaf.selects(labels));
        let partial = worker.finish();
        let rows = table.rows.len() as u64;
        let stats = ReadStats { rows, pages: 1, ..ReadStats::default() };
        let ring = self.ring.load(Ordering::SeqCst);
        Ok(SelectAnswer::Rows { ranges, partial, stats, ring })
    }

    async fn streams(&self, request: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        self.seen.lock().unwrap().push((request.view, request.asked.clone()));
        self.is_up()?;
        self.is_meant(request.store)?;
        let floor = self.floor.load(Ordering::SeqCst);
        if request.view < floor {
            return Ok(StreamsAnswer::Behind { floor });
        }
        // Label filters are the ingester's own business; tests of them use parts.
        assert!(request.selectors.is_empty(), "the fake ingester selects all streams");
        let table = self.table();
        let mut found = Vec::new();
        for (labels, range) in table.streams.iter().zip(table.ranges(|_| true)) {
            if range.min_ns < request.to_ns && range.max_ns >= request.from_ns {
                found.push(labels.clone());
            }
        }
        let ring = self.ring.load(Ordering::SeqCst);
        Ok(StreamsAnswer::Streams { streams: found, templates: Vec::new(), ring })
    }
}

/// A querier and all it reads from.
pub struct World {
    /// The querier.
    pub querier: Arc<Querier>,
    /// Its ingesters.
    pub heads: Vec<Arc<FakeIngester>>,
    /// The first of them.
    pub head: Arc<FakeIngester>,
    /// The catalog as the querier has it.
    pub catalog: CatalogHandle,
    /// The catalog as another process has it: commits come from there.
    writer: CatalogHandle,
    /// The tenant of all requests.
    pub tenant: TenantId,
    random: Arc<SeededRandom>,
    /// The time; starts at [`NOW`].
    pub clock: ManualClock,
}

/// 2024-05-01 12:00 UTC, the end of the conformance data.
pub const NOW: UnixNanos = UnixNanos(1_714_564_800_000_000_000);

impl World {
    /// An empty one, with one ingester.
    pub async fn new() -> World {
        World::with(&[""], 1).await
    }

    /// An empty one, with an ingester in each of `zones`.
    pub async fn with(zones: &[&str], replication_factor: usize) -> World {
        let random = Arc::new(SeededRandom::new(7));
        let clock = ManualClock::new(NOW);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let bucket = Bucket::open(&BucketConfig::InMemory, shared.clone()).unwrap();
        let fake = |zone: &&str| Arc::new(FakeIngester::new(StoreId(random.ulid(&clock)), zone));
        let heads: Vec<Arc<FakeIngester>> = zones.iter().map(fake).collect();
        let head = heads[0].clone();
        let deps = store::Deps {
            bucket: bucket.clone(),
            committer: head.store(),
            random: random.clone(),
            clock: shared.clone(),
        };
        let writer = CatalogHandle::open(deps.clone(), CatalogConfig::default()).await.unwrap();
        let catalog = CatalogHandle::open(deps, CatalogConfig::default()).await.unwrap();
        let peer = |(n, head): (usize, &Arc<FakeIngester>)| Peer {
            address: format!("head-{n}:9095"),
            api: head.clone(),
        };
        let deps = Deps {
            members: Arc::new(Fixed::new(
                heads.iter().enumerate().map(peer).collect(),
                replication_factor,
            )),
            catalog: catalog.clone(),
            parts: Arc::new(Parts::new(bucket, 1 << 20, 0)),
            clock: shared,
        };
        let config = Config { scan_threads: 2, ..Config::default() };
        let querier = Arc::new(Querier::new(config, deps));
        let tenant = TenantId::new("acme").unwrap();
        World { querier, heads, head, catalog, writer, tenant, random, clock }
    }

    /// Another querier of the same bucket, whose ingesters are `members`.
    pub fn querier_of(&self, members: Arc<dyn Members>) -> Querier {
        let deps = Deps {
            members,
            catalog: self.catalog.clone(),
            parts: Arc::new(Parts::new(self.catalog.bucket().clone(), 1 << 20, 0)),
            clock: Arc::new(self.clock.clone()),
        };
        Querier::new(Config { scan_threads: 2, ..Config::default() }, deps)
    }

    /// Has the log name a version of a ring, from another process.
    pub async fn name_ring(&self, ring: RingVersion) {
        self.writer.name_ring(ring).await.unwrap();
    }

    /// Puts `rows` of one day into one part and commits it; returns what the catalog says of it.
    pub async fn flush(&self, rows: &[Row], options: &Options) -> PartRecord {
        let table = Table::new(rows);
        let views = table.rows.metadata_views();
        let pages = vec![table.rows.page(&views)];
        let source = part::Source { streams: &table.streams, pages };
        let day = Day::of(UnixNanos(rows[0].ts_ns));
        let image = seal(&self.tenant, day, &[source], options).unwrap().unwrap();
        let mut draft = self.writer.draft();
        // Ids of parts are in the order of their milliseconds.
        self.clock.advance(1_000_000);
        let record = PartRecord {
            id: PartId(self.random.ulid(&self.clock)),
            tenant: self.tenant.clone(),
            day,
            place: Place::Object,
            len_bytes: image.bytes.len() as u64,
            footer_bytes: image.footer_bytes,
            tail_bytes: image.tail_bytes,
            rows: image.rows,
            raw_bytes: image.line_bytes,
            streams: image.streams,
            min_ts: UnixNanos(image.min_ns),
            max_ts: UnixNanos(image.max_ns),
            min_key: 0,
            max_key: u64::MAX,
            level: 0,
            purged_through: 0,
            rest: Vec::new(),
        };
        let upload = store::Upload { record, bytes: image.bytes };
        let bucket = self.writer.bucket();
        let mut records =
            put_parts(bucket, &*self.random, &self.clock, vec![upload]).await.unwrap();
        draft.added.clone_from(&records);
        let outcome = self.writer.commit(&draft).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
        records.remove(0)
    }

    /// Removes a part from the catalog.
    pub async fn remove(&self, record: &PartRecord) {
        let mut draft = self.writer.draft();
        draft.removed.push(record.reference());
        let outcome = self.writer.commit(&draft).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }
}

/// A row of stream `{app="<app>"}`.
pub fn row(app: &str, ts_ns: i64, line: &str) -> Row {
    Row {
        labels: vec![("app".to_owned(), app.to_owned())],
        ts_ns,
        line: line.to_owned(),
        metadata: Vec::new(),
    }
}
