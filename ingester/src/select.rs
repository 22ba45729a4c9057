//! Reads: a leaf, or the stream labels, over the rows that are in no commit at or before V (R1).
//!
//! 1. The log is followed to V, so that every commit up to V has marked its units. What is followed
//!    and only answered because of G is read back from the write-ahead log (`adopt.rs`). Units that
//!    a commit claims in part are built anew without what it claims (B2).
//! 2. One snapshot of each day is taken: pages of heads, sealed units. Then the floor is read: rows
//!    dropped before the snapshot have raised it before.
//! 3. Instants that two sources here cover are overlaps besides those of the request (R2).
//! 4. Threads pull pages and row groups from one queue; each owns a worker. Cancellation is looked
//!    at before every page. A log query reads from its end of time and stops where nothing can
//!    matter any more.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use base::shutdown::Shutdown;
use base::{Bitmap, ErrorKind, HashMap, HashSet, Labels, StoreId, StreamKey, TenantId, UnixNanos};
use logql::engine::overlap::{Overlaps, StreamRange};
use logql::engine::{Flow, Partial, StreamSource, Worker};
use logql::plan::{Direction, Leaf, TimeRange};
use rpc::ingester::{
    IngesterError, LineTemplate, ReadStats, SelectAnswer, SelectRequest, StreamsAnswer,
    StreamsRequest,
};
use store::scan::{Scan, ScanError, ScanStats, Scratch, scan_unit, sort_for};

use crate::Error;
use crate::core::Core;
use crate::day::{DayKey, DaySnapshot, Unit, UnitRows};
use crate::head::{Page, Snapshot};
use crate::templates;

/// Pages of a head that a thread takes at once.
const PAGES_PER_JOB: usize = 8;

/// Rows that share a stream table.
enum Source {
    /// Pages of a head or a raw unit.
    Pages(StreamSource, Snapshot),
    Sealed(Arc<Scan>, Arc<Unit>),
}

/// What a thread takes from the queue.
struct Job {
    what: What,
    min_ns: i64,
    max_ns: i64,
}

enum What {
    /// Some pages of a head, in order of arrival.
    Pages { source: usize, pages: Vec<Arc<Page>> },
    /// A row group of a sealed unit.
    Group(store::scan::Unit),
}

impl Job {
    fn pages(source: usize, pages: &[Arc<Page>]) -> Job {
        let min_ns = pages.iter().map(|page| page.min_ns).min().unwrap_or(i64::MAX);
        let max_ns = pages.iter().map(|page| page.max_ns).max().unwrap_or(i64::MIN);
        Job { what: What::Pages { source, pages: pages.to_vec() }, min_ns, max_ns }
    }

    fn group(unit: store::scan::Unit) -> Job {
        let (min_ns, max_ns) = (unit.min_ns, unit.max_ns);
        Job { what: What::Group(unit), min_ns, max_ns }
    }
}

/// Jobs that threads pull, and how far a log query still has to look.
struct Queue {
    jobs: Vec<Job>,
    next: AtomicUsize,
    direction: Option<Direction>,
    /// The best threshold of any worker: rows at it or beyond it cannot be in the answer.
    bound: AtomicI64,
}

impl Queue {
    fn new(jobs: Vec<Job>, direction: Option<Direction>) -> Queue {
        let bound = if direction == Some(Direction::Backward) { i64::MIN } else { i64::MAX };
        Queue { jobs, next: AtomicUsize::new(0), direction, bound: AtomicI64::new(bound) }
    }

    fn pull(&self) -> Option<&Job> {
        loop {
            let job = self.jobs.get(self.next.fetch_add(1, Ordering::Relaxed))?;
            let bound = self.bound.load(Ordering::Relaxed);
            let is_beyond = match self.direction {
                None => false,
                Some(Direction::Backward) => bound > i64::MIN && job.max_ns <= bound,
                Some(Direction::Forward) => bound < i64::MAX && job.min_ns >= bound,
            };
            if !is_beyond {
                return Some(job);
            }
        }
    }

    /// A worker with enough rows better than `threshold` is enough for all.
    fn learn(&self, threshold: Option<i64>) {
        match (threshold, self.direction) {
            (None, _) | (_, None) => {}
            (Some(threshold), Some(Direction::Backward)) => {
                self.bound.fetch_max(threshold, Ordering::Relaxed);
            }
            (Some(threshold), Some(Direction::Forward)) => {
                self.bound.fetch_min(threshold, Ordering::Relaxed);
            }
        }
    }
}

impl Source {
    fn pages(order: u64, snapshot: Snapshot) -> Source {
        let streams = snapshot.streams.to_vec();
        Source::Pages(StreamSource { streams, order }, snapshot)
    }

    fn unit(unit: Arc<Unit>) -> Source {
        match &unit.rows {
            UnitRows::Raw(snapshot) => Source::pages(unit.order, snapshot.clone()),
            UnitRows::Sealed { scan, .. } => Source::Sealed(Arc::clone(scan), Arc::clone(&unit)),
        }
    }

    fn ranges(&self) -> &[StreamRange] {
        match self {
            Source::Pages(_, snapshot) => &snapshot.ranges,
            Source::Sealed(_, unit) => &unit.ranges,
        }
    }

    /// Streams with rows around `range`.
    fn streams_around(&self, range: TimeRange) -> impl Iterator<Item = &Labels> {
        let streams = self.labels().iter().zip(self.ranges());
        let around = move |covered: &StreamRange| {
            covered.min_ns < range.to_ns && covered.max_ns >= range.from_ns
        };
        streams.filter(move |(_, covered)| around(covered)).map(|(labels, _)| labels)
    }

    fn labels(&self) -> &[Labels] {
        match self {
            Source::Pages(_, snapshot) => &snapshot.streams,
            Source::Sealed(_, unit) => &unit.streams,
        }
    }
}

impl Core {
    /// Evaluates a leaf over the rows held here that are in no commit at or before V.
    pub(crate) async fn select(
        self: &Arc<Self>,
        request: SelectRequest,
    ) -> Result<SelectAnswer, IngesterError> {
        self.is_meant(request.store)?;
        // Before the rows: whoever is in the answer is known to the state that it carries.
        let ring = self.deps.ring.state().version;
        self.follow_to(request.view).await?;
        let range = request.leaf.range();
        let snapshots = self.snapshot(&request.tenant, range, request.view, &request.asked).await?;
        let floor = self.floor_for(&request.asked);
        if request.view < floor {
            return Ok(SelectAnswer::Behind { floor });
        }
        let select = Select::new(&request, snapshots);
        select.run(ring).await
    }

    /// Labels of streams that have rows here that are in no commit at or before V.
    pub(crate) async fn streams(
        self: &Arc<Self>,
        request: StreamsRequest,
    ) -> Result<StreamsAnswer, IngesterError> {
        self.is_meant(request.store)?;
        let leaves = selector_leaves(&request)?;
        let ring = self.deps.ring.state().version;
        self.follow_to(request.view).await?;
        let range = TimeRange { from_ns: request.from_ns, to_ns: request.to_ns };
        let snapshots = self.snapshot(&request.tenant, range, request.view, &request.asked).await?;
        let floor = self.floor_for(&request.asked);
        if request.view < floor {
            return Ok(StreamsAnswer::Behind { floor });
        }
        let sources = sources(snapshots);
        let mut found = HashSet::default();
        let is_selected =
            |labels: &Labels| leaves.is_empty() || leaves.iter().any(|leaf| leaf.selects(labels));
        for source in &sources {
            for labels in source.streams_around(range) {
                if !found.contains(labels) && is_selected(labels) {
                    found.insert(labels.clone());
                }
            }
        }
        let streams: Vec<Labels> = found.iter().cloned().collect();
        if !request.templates {
            return Ok(StreamsAnswer::Streams { streams, templates: Vec::new(), ring });
        }
        let look = base::task::blocking("templates", move || {
            templates_of(&sources, |labels| found.contains(labels), range)
        });
        let panicked = |_| IngesterError::Internal("a look at lines panicked".to_owned());
        let templates = look.await.map_err(panicked)??;
        Ok(StreamsAnswer::Streams { streams, templates, ring })
    }

    /// Another store may have been at this address.
    fn is_meant(&self, store: Option<StoreId>) -> Result<(), IngesterError> {
        let own = self.store();
        match store {
            Some(store) if store != own => {
                Err(IngesterError::Misplaced(format!("{store} is asked, this is {own}")))
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn follow_to(&self, view: u64) -> Result<(), IngesterError> {
        match self.deps.catalog.follow_to(view).await {
            Ok(_) => Ok(()),
            Err(error) => Err(IngesterError::Unavailable(format!("follow the catalog: {error}"))),
        }
    }

    /// The rows that this ingester answers for: of batches that no commit up to `view` claims and
    /// of whose list this store is the first among `asked`: whoever is not asked cannot answer, be it
    /// that the querier takes it for gone or that its ring knows no such store any more (R1). Those of
    /// them that were followed until now are adopted.
    async fn snapshot(
        self: &Arc<Self>,
        tenant: &TenantId,
        range: TimeRange,
        view: u64,
        asked: &[StoreId],
    ) -> Result<Vec<DaySnapshot>, IngesterError> {
        if range.from_ns >= range.to_ns {
            return Ok(Vec::new());
        }
        let (first, last) = (UnixNanos(range.from_ns), UnixNanos(range.to_ns - 1));
        let days = base::Day::of(first)..=base::Day::of(last);
        let in_range = |key: &DayKey| days.contains(&key.day);
        let mut of_tenant = self.days(Some(tenant));
        of_tenant.retain(|day| in_range(&day.key));
        for day in &of_tenant {
            let owed = day.lock().followed.owed(self.store(), asked);
            let damaged = self.adopt(day, owed).await.map_err(|error| unread(&error))?;
            if let Some(&damaged) = damaged.first() {
                return Err(unread(&Error::LostBatch(damaged)));
            }
        }
        self.mend(&of_tenant).await;
        Ok(of_tenant.iter().map(|day| day.lock().snapshot(view, asked)).collect())
    }
}

/// What a query is told when rows of others that this store should answer cannot be read: never a
/// short answer. A damaged copy is like a store that is gone: the next of the list has another one.
fn unread(error: &Error) -> IngesterError {
    let text = format!("rows of stores that are gone cannot be answered: {error}");
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::Unavailable | ErrorKind::Timeout => {
            IngesterError::Unavailable(text)
        }
        _ => IngesterError::Internal(text),
    }
}

/// The selectors as leaves, because a leaf knows which streams it selects.
fn selector_leaves(request: &StreamsRequest) -> Result<Vec<Arc<Leaf>>, IngesterError> {
    let leaves = request.selectors.iter().map(|matchers| Leaf::of_selector(matchers));
    Ok(leaves.collect::<Result<_, _>>()?)
}

/// What the lines of selected streams look like. Blocking.
fn templates_of(
    sources: &[Source],
    is_selected: impl Fn(&Labels) -> bool,
    range: TimeRange,
) -> Result<Vec<LineTemplate>, IngesterError> {
    let heads = sources.iter().filter_map(|source| match source {
        Source::Pages(_, snapshot) => Some(snapshot),
        Source::Sealed(..) => None,
    });
    let stride = templates::stride(heads);
    let mut found = Vec::new();
    for source in sources {
        // The stream table of a sealed unit is that of its scan.
        let labels = match source {
            Source::Pages(_, snapshot) => snapshot.streams.as_slice(),
            Source::Sealed(scan, _) => &scan.source().streams,
        };
        let mut selected = Bitmap::none(labels.len());
        let wanted = (0..labels.len()).filter(|&stream| is_selected(&labels[stream]));
        wanted.for_each(|stream| selected.set(stream));
        found.extend(match source {
            Source::Pages(_, snapshot) => templates::of_head(snapshot, &selected, range, stride),
            Source::Sealed(scan, _) => scan
                .templates(&selected, range.from_ns, range.to_ns)
                .map_err(|error| templates::unreadable(&error))?,
        });
    }
    Ok(templates::folded(found))
}

fn sources(snapshots: Vec<DaySnapshot>) -> Vec<Source> {
    let mut sources = Vec::new();
    for day in snapshots {
        sources.extend(day.units.into_iter().map(Source::unit));
        sources.extend(day.head.map(|(order, snapshot)| Source::pages(order, snapshot)));
    }
    sources
}

/// One evaluation.
pub(crate) struct Select {
    leaf: Arc<Leaf>,
    overlaps: Arc<Overlaps>,
    sources: Vec<Source>,
    ranges: Vec<StreamRange>,
    cancel: Shutdown,
}

impl Select {
    pub(crate) fn new(request: &SelectRequest, snapshots: Vec<DaySnapshot>) -> Select {
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

    pub(crate) async fn run(self, ring: u64) -> Result<SelectAnswer, IngesterError> {
        let queue = Arc::new(self.queue());
        let threads = queue.jobs.len().min(cores());
        let select = Arc::new(self);
        let mut workers = Vec::with_capacity(threads);
        for _ in 0..threads {
            let (select, queue) = (Arc::clone(&select), Arc::clone(&queue));
            workers.push(base::task::blocking("select", move || select.work(&queue)));
        }
        let mut partial = select.leaf.empty();
        let (mut scanned, mut pages) = (ScanStats::default(), 0);
        for worker in workers {
            let panicked = |_| IngesterError::Internal("a select worker panicked".to_owned());
            let (part, scan, head_pages) = worker.await.map_err(panicked)??;
            partial.merge(part)?;
            add(&mut scanned, &scan);
            pages += head_pages;
        }
        let read = partial.stats();
        let stats = ReadStats {
            rows: read.rows,
            line_bytes: read.line_bytes,
            metadata_bytes: read.metadata_bytes,
            rows_selected: read.selected_rows,
            stored_bytes: scanned.read_bytes,
            pages: pages + scanned.pages_scanned,
            pages_pruned: scanned.pages_considered.saturating_sub(scanned.pages_scanned),
        };
        Ok(SelectAnswer::Rows { ranges: select.ranges.clone(), partial, stats, ring })
    }

    /// Everything that can matter, in the order in which a log query wants it.
    fn queue(&self) -> Queue {
        let range = self.leaf.range();
        let direction = self.leaf.direction();
        let mut groups = Vec::new();
        let mut jobs = Vec::new();
        for (at, source) in self.sources.iter().enumerate() {
            match source {
                Source::Sealed(scan, _) => groups.extend(scan.units(&self.leaf)),
                Source::Pages(streams, snapshot) if self.leaf.selects_any(streams) => {
                    let in_range = |page: &&Arc<Page>| {
                        page.min_ns < range.to_ns && page.max_ns >= range.from_ns
                    };
                    let pages = snapshot.pages.iter().filter(in_range).cloned();
                    let pages: Vec<Arc<Page>> = pages.collect();
                    jobs.extend(pages.chunks(PAGES_PER_JOB).map(|pages| Job::pages(at, pages)));
                }
                Source::Pages(..) => {}
            }
        }
        sort_for(&mut groups, direction.unwrap_or(Direction::Forward));
        jobs.extend(groups.into_iter().map(Job::group));
        match direction {
            Some(Direction::Backward) => jobs.sort_by_key(|job| Reverse(job.max_ns)),
            Some(Direction::Forward) | None => jobs.sort_by_key(|job| job.min_ns),
        }
        Queue::new(jobs, direction)
    }

    /// One thread: takes jobs until none is left that can matter.
    fn work(&self, queue: &Queue) -> Result<(Partial, ScanStats, u64), IngesterError> {
        let mut worker = self.leaf.worker(Arc::clone(&self.overlaps));
        let mut scratch = Scratch::new(Arc::clone(&self.overlaps));
        let (mut stats, mut pages, mut entered) = (ScanStats::default(), 0, None);
        while let Some(job) = queue.pull() {
            match &job.what {
                What::Group(unit) => {
                    if entered.take().is_some() {
                        // The scratch may believe that the worker still has this table.
                        worker.source(unit.scan.source())?;
                    }
                    let (leaf, cancel) = (&self.leaf, &self.cancel);
                    scan_unit(leaf, &mut worker, unit, &mut scratch, cancel, &mut stats)
                        .map_err(scan_error)?;
                }
                What::Pages { source, pages: taken } => {
                    if entered != Some(*source)
                        && let Source::Pages(streams, _) = &self.sources[*source]
                    {
                        worker.source(streams)?;
                        entered = Some(*source);
                    }
                    pages += self.head_pages(&mut worker, taken, queue.direction)?;
                }
            }
            queue.learn(worker.threshold());
        }
        Ok((worker.finish(), stats, pages))
    }

    /// Pages of a head, a log query's first end first.
    fn head_pages(
        &self,
        worker: &mut Worker,
        pages: &[Arc<Page>],
        direction: Option<Direction>,
    ) -> Result<u64, IngesterError> {
        for at in 0..pages.len() {
            if self.cancel.is_cancelled() {
                return Err(IngesterError::Cancelled);
            }
            let page = match direction {
                Some(Direction::Backward) => &pages[pages.len() - 1 - at],
                Some(Direction::Forward) | None => &pages[at],
            };
            let metadata = page.rows.metadata_views();
            if worker.page_at(page.first_row, &page.rows.page(&metadata))? == Flow::Enough {
                return Ok(at as u64 + 1);
            }
        }
        Ok(pages.len() as u64)
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
    // Asking opens files of the system, which no query has to wait for.
    static CORES: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    *CORES
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
