//! A machine with a disk and a bucket, on which ingesters start and end; what they and the bucket
//! hold as plain rows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::batch::Incarnation;
use base::disk::SimDisk;
use base::disk::sim::Keep;
use base::random::SeededRandom;
use base::time::ManualClock;
use base::{
    Batch, BatchId, ByteSize, Day, Labels, PageView, RowsBuilder, StoreId, TenantId, UnixNanos,
};
use logql::plan::{Direction, Leaf, Params, Plan};
use part::{Columns, Fetched, Footer, GroupReader};
use ring::State;
use store::testing::{FaultyStore, Knobs};
use store::{Bucket, CatalogConfig, CatalogHandle};
use ulid::Ulid;

use crate::day::UnitRows;
use crate::{Config, Deps, Ingester, Limits};

pub const DAY: Day = Day(20_000);

/// (labels, timestamp, line, metadata).
pub type Row = (String, i64, Vec<u8>, Vec<(String, Vec<u8>)>);

pub struct NoLimits;

impl Limits for NoLimits {
    fn out_of_order_window(&self, _: &TenantId) -> Duration {
        Duration::ZERO
    }
    fn max_streams(&self, _: &TenantId) -> usize {
        0
    }
    fn per_stream_rate_bytes(&self, _: &TenantId) -> u64 {
        0
    }
    fn per_stream_rate_burst_bytes(&self, _: &TenantId) -> u64 {
        0
    }
}

/// A ring that a test writes.
pub struct FakeRing(pub Mutex<State>);

impl Default for FakeRing {
    fn default() -> FakeRing {
        FakeRing(Mutex::new(State::new(Ulid(0))))
    }
}

impl rpc::members::Ring for FakeRing {
    fn state(&self) -> Arc<State> {
        Arc::new(self.0.lock().unwrap().clone())
    }
}

pub struct Machine {
    pub disk: SimDisk,
    pub store: Arc<FaultyStore>,
    pub clock: ManualClock,
    pub random: Arc<SeededRandom>,
    pub config: Config,
    pub knobs: Knobs,
    pub ring: Arc<FakeRing>,
    sequence: AtomicU64,
}

pub fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

impl Machine {
    pub fn new() -> Machine {
        let config = Config {
            wal: wal::Config { dir: PathBuf::from("wal"), ..wal::Config::default() },
            ..Config::default()
        };
        Machine {
            disk: SimDisk::new(),
            store: FaultyStore::new(),
            clock: ManualClock::new(UnixNanos(DAY.start_ns())),
            random: Arc::new(SeededRandom::new(7)),
            config,
            knobs: Knobs::default(),
            ring: Arc::default(),
            sequence: AtomicU64::new(0),
        }
    }

    pub async fn catalog(&self) -> Result<CatalogHandle, store::Error> {
        let env = wal::Env {
            disk: Arc::new(self.disk.clone()),
            clock: Arc::new(self.clock.clone()),
            random: self.random.clone(),
        };
        let committer = wal::store_id(&self.config.wal, &env).unwrap();
        let clock = Arc::new(self.clock.clone());
        let bucket = Bucket::new("bucket".to_owned(), self.store.clone(), clock.clone());
        let random = self.random.clone();
        let deps = store::Deps { bucket, committer, random, clock };
        let config = CatalogConfig { checkpoint_every: 3 };
        CatalogHandle::open_with_knobs(deps, config, self.knobs).await
    }

    pub async fn try_start(&self) -> Result<Arc<Ingester>, crate::Error> {
        let catalog = self.catalog().await?;
        let deps = Deps {
            disk: Arc::new(self.disk.clone()),
            clock: Arc::new(self.clock.clone()),
            random: self.random.clone(),
            limits: Arc::new(NoLimits),
            catalog,
            ring: self.ring.clone(),
        };
        Ingester::start(self.config.clone(), deps).await
    }

    pub async fn start(&self) -> Arc<Ingester> {
        self.try_start().await.unwrap()
    }

    /// The machine after a power cut; its bucket is the same.
    pub fn power_cut(self) -> Machine {
        Machine { disk: self.disk.crash(Keep::Synced), ..self }
    }

    /// A batch of `rows` rows of two streams that nothing else equals.
    pub fn batch(&self, ingester: &Ingester, rows: usize) -> Batch {
        let from = self.sequence.load(Ordering::SeqCst) as i64 * 100_000;
        let lines: Vec<(u8, i64, String)> = (0..rows as i64)
            .map(|row| ((row % 2) as u8, from + row, format!("line {}", from + row)))
            .collect();
        self.batch_of(ingester, &lines)
    }

    /// A batch of (stream, nanosecond of the day, line).
    pub fn batch_of(&self, ingester: &Ingester, rows: &[(u8, i64, String)]) -> Batch {
        let sequence = self.sequence.fetch_add(1, Ordering::SeqCst) + 1;
        let store = ingester.store();
        let mut builder = RowsBuilder::default();
        for (stream, ts_ns, line) in rows {
            builder.push(u32::from(*stream), DAY.start_ns() + ts_ns, line.as_bytes());
            if ts_ns % 3 == 0 {
                builder.metadata("trace", format!("t{}", ts_ns % 5).as_bytes());
            }
        }
        let streams = (0..4).map(|stream| Labels::from_pairs([("app", format!("app-{stream}"))]));
        Batch {
            id: BatchId { incarnation: Incarnation(Ulid(99)), owner: store, sequence },
            attempt: 1,
            members: vec![store],
            factor: 1,
            tenant: tenant(),
            day: DAY,
            streams: streams.collect(),
            rows: builder.finish(),
        }
    }
}

/// A query for all rows of [`DAY`].
pub fn everything() -> Arc<Leaf> {
    let params = Params {
        start: UnixNanos(DAY.start_ns()),
        end: UnixNanos(DAY.start_ns() + base::time::DAY_NS),
        step_ns: 0,
        interval_ns: 0,
        limit: 10_000,
        direction: Direction::Forward,
        max_series: 0,
        max_memory_bytes: 0,
        categorize: false,
        now: UnixNanos(0),
    };
    let query = logql::syntax::parse(r#"{app=~".+"}"#).unwrap();
    Plan::new(&query, &params).unwrap().leaves()[0].clone()
}

/// Puts the rows of a page into `out`.
pub fn add_page(labels: &[Labels], page: &PageView<'_>, out: &mut Vec<Row>) {
    let mut from = 0;
    for run in page.runs {
        for row in from..run.end as usize {
            let metadata = page
                .metadata
                .iter()
                .filter_map(|column| Some((column.name.to_owned(), column.get(row)?.to_vec())));
            let labels = labels[run.stream as usize].to_string();
            let line = page.lines.get(row).to_vec();
            out.push((labels, page.ts_ns[row], line, metadata.collect()));
        }
        from = run.end as usize;
    }
}

/// Rows of a batch.
pub fn rows_of(batch: &Batch) -> Vec<Row> {
    let mut rows = Vec::new();
    let metadata = batch.rows.metadata_views();
    add_page(&batch.streams, &batch.rows.page(&metadata), &mut rows);
    rows
}

fn image_rows(image: &bytes::Bytes, out: &mut Vec<Row>) {
    let footer = Footer::open(image, image.len() as u64).unwrap();
    let columns = Columns { line_bytes: true, lengths: true, metadata: None };
    let mut reader = GroupReader::default();
    for group in 0..footer.groups().len() {
        let mut ranges = Vec::new();
        footer.column_ranges(group, &columns, &mut ranges);
        footer.line_ranges(group, u64::MAX, &mut ranges);
        let fetched = Fetched::read::<part::Error>(image, ranges).unwrap();
        reader.group(&footer, group, &columns, &fetched).unwrap();
        for page in 0..footer.pages(group).len() {
            let page = reader.page(&footer, page, Some(&fetched)).unwrap();
            add_page(footer.labels(), &page.view(), out);
        }
    }
}

/// What the ingester answers from for `view`, source by source, when all are asked.
pub fn held_rows(ingester: &Ingester, view: u64) -> Vec<Vec<Row>> {
    let mut named = Vec::new();
    for day in ingester.core.days(None) {
        let state = day.lock();
        named.extend(state.held.values().flat_map(|held| held.members.to_vec()));
        named.extend(state.units.iter().flat_map(|unit| unit.ahead.clone()));
    }
    owed_rows(ingester, view, &named)
}

/// As [`held_rows`], when these are asked. What is followed is in it once it was adopted.
pub fn owed_rows(ingester: &Ingester, view: u64, asked: &[StoreId]) -> Vec<Vec<Row>> {
    let mut sources = Vec::new();
    for day in ingester.core.days(None) {
        let snapshot = day.lock().snapshot(view, asked);
        let mut pages = Vec::new();
        for unit in &snapshot.units {
            match &unit.rows {
                UnitRows::Raw(snapshot) => pages.push(snapshot.clone()),
                UnitRows::Sealed { image, .. } => {
                    let mut rows = Vec::new();
                    image_rows(image, &mut rows);
                    sources.push(rows);
                }
            }
        }
        for head in pages.into_iter().chain(snapshot.head.map(|(_, head)| head)) {
            let mut rows = Vec::new();
            for page in &head.pages {
                let metadata = page.rows.metadata_views();
                add_page(&head.streams, &page.rows.page(&metadata), &mut rows);
            }
            sources.push(rows);
        }
    }
    sources
}

/// The rows of the parts of the catalog's newest view, part by part, and that view.
pub async fn part_rows(catalog: &CatalogHandle) -> (u64, Vec<Vec<Row>>) {
    let view = catalog.follow().await.unwrap();
    let mut sources = Vec::new();
    for record in view.all_parts() {
        let object = catalog.bucket().get(&record.path(), u64::MAX).await.unwrap();
        let from = record.offset() as usize;
        let image = object.slice(from..from + record.len_bytes as usize);
        let mut rows = Vec::new();
        image_rows(&image, &mut rows);
        assert_eq!(rows.len() as u64, record.rows);
        sources.push(rows);
    }
    (view.version(), sources)
}

/// How often each row is found in ingester and parts together, at one view.
pub async fn found(ingester: &Ingester) -> BTreeMap<Row, usize> {
    let (view, parts) = part_rows(&ingester.core.deps.catalog).await;
    assert!(view >= ingester.core.floor(), "a view just read is never below the floor");
    let mut found = BTreeMap::new();
    for source in parts.into_iter().chain(held_rows(ingester, view)) {
        for row in source {
            *found.entry(row).or_insert(0) += 1;
        }
    }
    found
}

/// An error unless exactly the rows of `acked` are found, each once, and perhaps whole batches of
/// `unanswered`.
pub async fn check_found(
    ingester: &Ingester,
    acked: &[Batch],
    unanswered: &[Batch],
) -> Result<(), String> {
    let mut found = found(ingester).await;
    for batch in acked {
        for row in rows_of(batch) {
            match found.remove(&row) {
                Some(1) => {}
                times => return Err(format!("acked row {row:?} was found {times:?} times")),
            }
        }
    }
    for batch in unanswered {
        let rows = rows_of(batch);
        let there = rows.iter().filter(|row| found.get(row) == Some(&1)).count();
        if there != 0 && there != rows.len() {
            return Err(format!("batch {} is torn", batch.id));
        }
        rows.iter().for_each(|row| {
            found.remove(row);
        });
    }
    if found.is_empty() { Ok(()) } else { Err(format!("foreign or doubled rows: {found:?}")) }
}

/// Panics where [`check_found`] errs.
pub async fn assert_found(ingester: &Ingester, acked: &[Batch], unanswered: &[Batch]) {
    check_found(ingester, acked, unanswered).await.unwrap();
}

/// The number that is as good as no byte limit.
pub const PLENTY: ByteSize = ByteSize(1 << 40);

/// Freezes all heads and seals all units.
pub async fn seal_all(ingester: &Ingester) {
    for day in ingester.core.days(None) {
        day.lock().freeze();
        let core = ingester.core.clone();
        let seal = base::task::blocking("seal", move || while core.seal_oldest(&day).unwrap() {});
        seal.await.unwrap();
    }
}
