//! Reads: a leaf, or the stream labels, over the rows that are in no commit at or before V (R1).
//!
//! 1. The log is followed to V, so that every commit up to V has marked its units.
//! 2. One snapshot of each day is taken: pages of heads, sealed units. Then the floor is read: rows
//!    dropped before the snapshot have raised it before.
//! 3. Instants that two sources here cover are overlaps besides those of the request (R2).
//! 4. Threads pull pages and row groups from one queue; each owns a worker. Cancellation is looked
//!    at before every page.

use std::sync::{Arc, Mutex, PoisonError};

use base::shutdown::Shutdown;
use base::{HashMap, HashSet, Labels, StreamKey, TenantId, UnixNanos};
use logql::engine::overlap::{Overlaps, StreamRange};
use logql::engine::{Flow, Partial, StreamSource, Worker};
use logql::plan::{Direction, Leaf, Params, Plan, TimeRange};
use logql::syntax::{Expr, LogExpr};
use rpc::ingester::{
    IngesterError, ReadStats, SelectAnswer, SelectRequest, StreamsAnswer, StreamsRequest,
};
use store::scan::{ScanError, ScanStats, Scratch, Unit, scan_unit};

use crate::core::Core;
use crate::day::{DayKey, DaySnapshot, SealedUnit};
use crate::head::{Page, Snapshot};

/// Pages of a head that a thread takes at once.
const PAGES_PER_JOB: usize = 8;

/// Rows that share a stream table.
enum Source {
    Head(StreamSource, Snapshot),
    Unit(Arc<SealedUnit>),
}

/// What a thread takes from the queue.
enum Job {
    Pages { source: usize, pages: Vec<Arc<Page>> },
    Group(Unit),
}

impl Source {
    fn ranges(&self) -> &[StreamRange] {
        match self {
            Source::Head(_, snapshot) => &snapshot.ranges,
            Source::Unit(unit) => &unit.ranges,
        }
    }

    fn labels(&self) -> &[Labels] {
        match self {
            Source::Head(_, snapshot) => &snapshot.streams,
            Source::Unit(unit) => &unit.streams,
        }
    }
}

impl Core {
    /// Evaluates a leaf over the rows held here that are in no commit at or before V.
    pub(crate) async fn select(
        self: &Arc<Self>,
        request: SelectRequest,
    ) -> Result<SelectAnswer, IngesterError> {
        self.follow_to(request.view).await?;
        let range = request.leaf.range();
        let snapshots = self.snapshot(&request.tenant, range, request.view);
        let floor = self.floor();
        if request.view < floor {
            return Ok(SelectAnswer::Behind { floor });
        }
        let select = Select::new(&request, snapshots);
        select.run().await
    }

    /// Labels of streams that have rows here that are in no commit at or before V.
    pub(crate) async fn streams(
        self: &Arc<Self>,
        request: StreamsRequest,
    ) -> Result<StreamsAnswer, IngesterError> {
        let leaves = selector_leaves(&request)?;
        self.follow_to(request.view).await?;
        let range = TimeRange { from_ns: request.from_ns, to_ns: request.to_ns };
        let snapshots = self.snapshot(&request.tenant, range, request.view);
        let floor = self.floor();
        if request.view < floor {
            return Ok(StreamsAnswer::Behind { floor });
        }
        let mut found = HashSet::default();
        for source in sources(snapshots) {
            for (labels, covered) in source.labels().iter().zip(source.ranges()) {
                if covered.min_ns < range.to_ns
                    && covered.max_ns >= range.from_ns
                    && !found.contains(labels)
                    && (leaves.is_empty() || leaves.iter().any(|leaf| leaf.selects(labels)))
                {
                    found.insert(labels.clone());
                }
            }
        }
        Ok(StreamsAnswer::Streams(found.into_iter().collect()))
    }

    async fn follow_to(&self, view: u64) -> Result<(), IngesterError> {
        match self.deps.catalog.follow_to(view).await {
            Ok(_) => Ok(()),
            Err(error) => Err(IngesterError::Unavailable(format!("follow the catalog: {error}"))),
        }
    }

    fn snapshot(&self, tenant: &TenantId, range: TimeRange, view: u64) -> Vec<DaySnapshot> {
        if range.from_ns >= range.to_ns {
            return Vec::new();
        }
        let (first, last) = (UnixNanos(range.from_ns), UnixNanos(range.to_ns - 1));
        let days = base::Day::of(first)..=base::Day::of(last);
        let in_range = |key: &DayKey| days.contains(&key.day);
        let of_tenant = self.days(Some(tenant)).into_iter().filter(|day| in_range(&day.key));
        of_tenant.map(|day| day.lock().snapshot(view)).collect()
    }
}

/// The selectors as leaves, because a leaf knows which streams it selects.
fn selector_leaves(request: &StreamsRequest) -> Result<Vec<Arc<Leaf>>, IngesterError> {
    let params = Params {
        start: UnixNanos(request.from_ns),
        end: UnixNanos(request.to_ns),
        step_ns: 0,
        interval_ns: 0,
        limit: 1,
        direction: Direction::Backward,
        max_series: 0,
        max_memory_bytes: 0,
        categorize: false,
    };
    let mut leaves = Vec::with_capacity(request.selectors.len());
    for matchers in &request.selectors {
        let selector = LogExpr { matchers: matchers.clone(), stages: Vec::new() };
        leaves.extend_from_slice(Plan::new(&Expr::Log(selector), &params)?.leaves());
    }
    Ok(leaves)
}

fn sources(snapshots: Vec<DaySnapshot>) -> Vec<Source> {
    let mut sources = Vec::new();
    for day in snapshots {
        sources.extend(day.units.into_iter().map(Source::Unit));
        for (order, snapshot) in day.heads {
            let streams = snapshot.streams.to_vec();
            sources.push(Source::Head(StreamSource { streams, order }, snapshot));
        }
    }
    sources
}

/// One evaluation.
struct Select {
    leaf: Arc<Leaf>,
    overlaps: Arc<Overlaps>,
    sources: Vec<Source>,
    ranges: Vec<StreamRange>,
    cancel: Shutdown,
}

impl Select {
    fn new(request: &SelectRequest, snapshots: Vec<DaySnapshot>) -> Select {
        let leaf = Arc::clone(&request.leaf);
        let sources = sources(snapshots);
        let mut selected = HashMap::default();
        let covered: Vec<Vec<StreamRange>> =
            sources.iter().map(|source| included(&leaf, source, &mut selected)).collect();
        let mut overlaps = Arc::clone(&request.overlaps);
        if !leaf.is_log() {
            let slices: Vec<&[StreamRange]> = covered.iter().map(Vec::as_slice).collect();
            let own = Overlaps::between(&slices);
            if !overlaps.contains_all(&own) {
                Arc::make_mut(&mut overlaps).union(&own);
            }
        }
        let ranges = joined(covered);
        Select { leaf, overlaps, sources, ranges, cancel: request.cancel.clone() }
    }

    async fn run(self) -> Result<SelectAnswer, IngesterError> {
        let jobs = self.jobs();
        let count = jobs.len();
        let threads = count.min(cores());
        let select = Arc::new(self);
        // Newest last: threads take from the end.
        let jobs = Arc::new(Mutex::new(jobs));
        let mut workers = Vec::with_capacity(threads);
        for _ in 0..threads {
            let (select, jobs) = (Arc::clone(&select), Arc::clone(&jobs));
            workers.push(base::task::blocking("select", move || select.work(&jobs)));
        }
        let mut partial = select.leaf.empty();
        let mut stats = ReadStats::default();
        let mut scanned = ScanStats::default();
        let mut pages = 0;
        for worker in workers {
            let panicked = |_| IngesterError::Internal("a select worker panicked".to_owned());
            let (part, scan, head_pages) = worker.await.map_err(panicked)??;
            partial.merge(part)?;
            add(&mut scanned, &scan);
            pages += head_pages;
        }
        let read = partial.stats();
        stats.rows = read.rows;
        stats.line_bytes = read.line_bytes;
        stats.metadata_bytes = read.metadata_bytes;
        stats.rows_selected = read.selected_rows;
        stats.stored_bytes = scanned.read_bytes;
        stats.pages = pages + scanned.pages_scanned;
        stats.pages_pruned = scanned.pages_considered - scanned.pages_scanned;
        Ok(SelectAnswer::Rows { ranges: select.ranges.clone(), partial, stats })
    }

    /// Everything that can matter, oldest first by its newest row.
    fn jobs(&self) -> Vec<Job> {
        let range = self.leaf.range();
        let mut jobs: Vec<(i64, Job)> = Vec::new();
        for (at, source) in self.sources.iter().enumerate() {
            match source {
                Source::Unit(unit) => {
                    let groups = unit.scan.units(&self.leaf);
                    jobs.extend(groups.into_iter().map(|group| (group.max_ns, Job::Group(group))));
                }
                Source::Head(streams, snapshot) => {
                    if !self.leaf.selects_any(streams) {
                        continue;
                    }
                    let in_range = |page: &&Arc<Page>| {
                        page.min_ns < range.to_ns && page.max_ns >= range.from_ns
                    };
                    let pages: Vec<Arc<Page>> =
                        snapshot.pages.iter().filter(in_range).cloned().collect();
                    for pages in pages.chunks(PAGES_PER_JOB) {
                        let newest = pages.iter().map(|page| page.max_ns).max();
                        let pages = pages.to_vec();
                        let job = Job::Pages { source: at, pages };
                        jobs.push((newest.unwrap_or(i64::MIN), job));
                    }
                }
            }
        }
        jobs.sort_by_key(|(newest, _)| *newest);
        jobs.into_iter().map(|(_, job)| job).collect()
    }

    /// One thread: takes jobs until there are none, or the worker has enough.
    fn work(&self, jobs: &Mutex<Vec<Job>>) -> Result<(Partial, ScanStats, u64), IngesterError> {
        let mut worker = self.leaf.worker(Arc::clone(&self.overlaps));
        let mut scratch = Scratch::new(Arc::clone(&self.overlaps));
        let mut stats = ScanStats::default();
        let (mut entered, mut pages) = (None, 0);
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match job {
                None => break,
                Some(Job::Group(unit)) => {
                    entered = None;
                    scan_unit(
                        &self.leaf,
                        &mut worker,
                        &unit,
                        &mut scratch,
                        &self.cancel,
                        &mut stats,
                    )
                    .map_err(scan_error)?;
                }
                Some(Job::Pages { source, pages: taken }) => {
                    if entered != Some(source)
                        && let Source::Head(streams, _) = &self.sources[source]
                    {
                        worker.source(streams)?;
                        entered = Some(source);
                    }
                    pages += self.head_pages(&mut worker, &taken)?;
                }
            }
        }
        Ok((worker.finish(), stats, pages))
    }

    /// Newest page first: a log query that looks backward has enough sooner.
    fn head_pages(&self, worker: &mut Worker, pages: &[Arc<Page>]) -> Result<u64, IngesterError> {
        let mut count = 0;
        for page in pages.iter().rev() {
            if self.cancel.is_cancelled() {
                return Err(IngesterError::Cancelled);
            }
            count += 1;
            let metadata = page.rows.metadata_views();
            if worker.page_at(page.first_row, &page.rows.page(&metadata))? == Flow::Enough {
                break;
            }
        }
        Ok(count)
    }
}

/// Ranges of the streams of `source` that the leaf selects, cut to the leaf's time. `selected`
/// remembers the leaf's answers: most streams are in most sources.
fn included(
    leaf: &Leaf,
    source: &Source,
    selected: &mut HashMap<Labels, bool>,
) -> Vec<StreamRange> {
    let time = leaf.range();
    let mut included = Vec::new();
    for (labels, range) in source.labels().iter().zip(source.ranges()) {
        let min_ns = range.min_ns.max(time.from_ns);
        let max_ns = range.max_ns.min(time.to_ns - 1);
        if min_ns > max_ns {
            continue;
        }
        let is_selected = match selected.get(labels) {
            Some(&known) => known,
            None => *selected.entry(labels.clone()).or_insert_with(|| leaf.selects(labels)),
        };
        if is_selected {
            included.push(StreamRange { stream: range.stream, min_ns, max_ns });
        }
    }
    included
}

/// One range per stream over all sources.
fn joined(sources: Vec<Vec<StreamRange>>) -> Vec<StreamRange> {
    let mut by_stream: HashMap<StreamKey, StreamRange> = HashMap::default();
    for range in sources.into_iter().flatten() {
        let whole = by_stream.entry(range.stream).or_insert(range);
        whole.min_ns = whole.min_ns.min(range.min_ns);
        whole.max_ns = whole.max_ns.max(range.max_ns);
    }
    by_stream.into_values().collect()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get())
}

fn add(sum: &mut ScanStats, more: &ScanStats) {
    sum.groups += more.groups;
    sum.pages_considered += more.pages_considered;
    sum.pages_scanned += more.pages_scanned;
    sum.rows += more.rows;
    sum.line_bytes += more.line_bytes;
    sum.read_bytes += more.read_bytes;
}

fn scan_error(error: ScanError) -> IngesterError {
    match error {
        ScanError::Query(error) => IngesterError::Query(error),
        ScanError::Cancelled => IngesterError::Cancelled,
        ScanError::Store(error) => IngesterError::Corrupt(format!("a sealed unit: {error}")),
    }
}
