//! The parts of one leaf: opened, pruned, and scanned by a few threads that pull row groups from a
//! queue.
//!
//! Threads are lent in slices of a few row groups, first come first served over all queries, so
//! that a short query waits for a slice of a long one and not for its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use base::shutdown::Shutdown;
use base::task;
use futures::future::try_join_all;
use logql::engine::overlap::{Overlaps, StreamRange};
use logql::engine::{Partial, Worker};
use logql::plan::{Direction, Leaf as PlanLeaf};
use rpc::stats::PartStats;
use store::scan::{Scan, ScanStats, Scratch, Unit, keep_first, prune, scan_unit, sort_for};

use crate::error::Error;
use crate::querier::Querier;
use crate::rounds::Numbered;
use crate::select::Leaf;

/// Stored bytes a thread reads before it lets another query have its turn. About 64 MiB of raw
/// lines, some tens of milliseconds.
const SLICE_BYTES: u64 = 12 << 20;
/// Row groups after which it does, however little it read of them.
const SLICE_UNITS: usize = 64;
/// Parts that are opened by one thread where they are files: a footer that is held takes
/// microseconds, one of an object store a round trip.
const OPEN_PARTS: usize = 16;
/// Pages that are worth a thread of their own.
const WORKER_PAGES: u32 = 16;

/// Opened parts of a leaf.
#[derive(Default)]
pub struct Opened {
    /// Row groups that may matter.
    pub units: Vec<Unit>,
    /// Per part, the selected streams and the instants of the leaf's range they cover. Empty for
    /// log queries.
    pub ranges: Vec<Vec<StreamRange>>,
    /// Selected streams, one count per part.
    pub streams: u64,
    /// Row groups of these streams, those that were pruned at once included.
    pub groups: u64,
    /// What was pruned at once.
    pub pruned: ScanStats,
}

/// What the scan of a round of parts gave.
pub struct Scanned {
    /// One per worker.
    pub partials: Vec<Partial>,
    /// What was read.
    pub stats: PartStats,
}

/// Row groups that threads pull, and how far log queries still have to look.
struct Queue {
    units: Vec<Unit>,
    next: AtomicUsize,
    /// Of a log query.
    direction: Option<Direction>,
    /// The best threshold of any worker so far: rows at it or beyond it cannot be in the answer.
    bound: AtomicI64,
}

impl Queue {
    fn new(units: Vec<Unit>, direction: Option<Direction>, bound: Option<i64>) -> Queue {
        let bound = AtomicI64::new(bound.unwrap_or(no_bound(direction)));
        Queue { units, next: AtomicUsize::new(0), direction, bound }
    }

    /// The next row group that can still matter.
    fn pull(&self) -> Option<&Unit> {
        loop {
            let unit = self.units.get(self.next.fetch_add(1, Ordering::Relaxed))?;
            let bound = self.bound.load(Ordering::Relaxed);
            let beyond = match self.direction {
                _ if bound == no_bound(self.direction) => false,
                None => false,
                Some(Direction::Backward) => unit.max_ns <= bound,
                Some(Direction::Forward) => unit.min_ns >= bound,
            };
            if !beyond {
                return Some(unit);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.units.len()
    }

    /// A worker with enough rows better than `threshold` is enough for all of them.
    fn learn(&self, threshold: Option<i64>) {
        let Some(threshold) = threshold else { return };
        match self.direction {
            None => return,
            Some(Direction::Backward) => self.bound.fetch_max(threshold, Ordering::Relaxed),
            Some(Direction::Forward) => self.bound.fetch_min(threshold, Ordering::Relaxed),
        };
    }
}

/// The bound that every row is better than.
fn no_bound(direction: Option<Direction>) -> i64 {
    match direction {
        None | Some(Direction::Backward) => i64::MIN,
        Some(Direction::Forward) => i64::MAX,
    }
}

/// One worker between its slices.
struct Slot {
    leaf: Arc<PlanLeaf>,
    worker: Worker,
    scratch: Scratch,
    stats: ScanStats,
    busy_ns: u64,
}

impl Slot {
    fn run(&mut self, queue: &Queue, cancel: &Shutdown) -> Result<(), Error> {
        let enough = self.stats.read_bytes + SLICE_BYTES;
        for _ in 0..SLICE_UNITS {
            if self.stats.read_bytes >= enough {
                return Ok(());
            }
            let Some(unit) = queue.pull() else { return Ok(()) };
            scan_unit(
                &self.leaf,
                &mut self.worker,
                unit,
                &mut self.scratch,
                cancel,
                &mut self.stats,
            )?;
            queue.learn(self.worker.threshold());
        }
        Ok(())
    }
}

impl Querier {
    /// Opens the parts and lists their row groups that may hold rows of the leaf.
    pub(crate) async fn open_parts(
        &self,
        leaf: Leaf<'_>,
        parts: &[Numbered],
        cancel: &Shutdown,
    ) -> Result<Opened, Error> {
        let together = if self.parts.is_near() { OPEN_PARTS } else { 1 };
        let jobs = self.config.scan_threads.min(parts.len().div_ceil(together)).max(1);
        let each = parts.len().div_ceil(jobs).max(1);
        let mut opens = Vec::with_capacity(jobs);
        for chunk in parts.chunks(each) {
            let (chunk, parts) = (chunk.to_vec(), self.parts.clone());
            let (requests, leaf) = (leaf.requests.clone(), leaf.leaf.clone());
            let cancel = cancel.clone();
            opens.push(self.blocking(move || {
                let mut opened = Opened::default();
                for Numbered { order, record } in chunk {
                    if cancel.is_cancelled() {
                        return Err(Error::Cancelled);
                    }
                    let scan = parts.open_counting(&record, &requests)?.with_order(order);
                    opened.add(&leaf, Arc::new(scan), &cancel)?;
                }
                Ok(opened)
            }));
        }
        let mut all = Opened::default();
        for opened in try_join_all(opens).await? {
            all.units.extend(opened.units);
            all.ranges.extend(opened.ranges);
            all.streams += opened.streams;
            all.groups += opened.groups;
            all.pruned.add(&opened.pruned);
        }
        Ok(all)
    }

    /// Scans the opened parts, for log queries only as far as `bound`.
    pub(crate) async fn scan_parts(
        &self,
        leaf: Leaf<'_>,
        opened: Opened,
        overlaps: &Arc<Overlaps>,
        bound: Option<i64>,
        cancel: &Shutdown,
    ) -> Result<Scanned, Error> {
        let mut stats =
            PartStats { groups: opened.groups, streams: opened.streams, ..PartStats::default() };
        count(&mut stats, &opened.pruned, 0);
        if opened.units.is_empty() {
            return Ok(Scanned { partials: Vec::new(), stats });
        }
        let mut units = opened.units;
        let direction = leaf.leaf.direction();
        if let Some(direction) = direction {
            sort_for(&mut units, direction);
            units = self.keep_first(leaf, units, bound, &mut stats).await?;
        }
        let workers = self.config.scan_threads.min(workers_for(&units));
        let queue = Arc::new(Queue::new(units, direction, bound));
        // One that fails stops the others; the query's own token stops all of them.
        let stop = cancel.child_token();
        let _stop_when_done = stop.clone().drop_guard();
        let runs = (0..workers).map(|_| {
            let slot = Slot {
                leaf: leaf.leaf.clone(),
                worker: leaf.leaf.worker(overlaps.clone()),
                scratch: self.scratches.take(overlaps.clone()),
                stats: ScanStats::default(),
                busy_ns: 0,
            };
            self.drive(slot, queue.clone(), stop.clone())
        });
        let mut partials = Vec::with_capacity(workers);
        for slot in try_join_all(runs).await? {
            count(&mut stats, &slot.stats, slot.busy_ns);
            self.scratches.give(slot.scratch);
            let partial = slot.worker.finish();
            stats.read.rows_selected += partial.stats().selected_rows;
            stats.read.metadata_bytes += partial.stats().metadata_bytes;
            partials.push(partial);
        }
        Ok(Scanned { partials, stats })
    }

    /// What is left of `units` once the timestamps of a log query without filters were looked at.
    async fn keep_first(
        &self,
        leaf: Leaf<'_>,
        mut units: Vec<Unit>,
        bound: Option<i64>,
        stats: &mut PartStats,
    ) -> Result<Vec<Unit>, Error> {
        if leaf.leaf.takes_first().is_none() {
            return Ok(units);
        }
        let (mut scratch, leaf) = (self.scratches.take(Arc::default()), leaf.leaf.clone());
        let clock = self.clock.clone();
        let looked = self.blocking(move || {
            let (began, mut scan) = (clock.monotonic_ns(), ScanStats::default());
            keep_first(&mut units, &leaf, bound, &mut scratch, &mut scan)?;
            Ok((units, scratch, scan, clock.monotonic_ns().saturating_sub(began)))
        });
        let (units, scratch, scan, busy_ns) = looked.await?;
        self.scratches.give(scratch);
        count(stats, &scan, busy_ns);
        Ok(units)
    }

    /// Runs one worker in slices until the queue is empty.
    async fn drive(&self, slot: Slot, queue: Arc<Queue>, stop: Shutdown) -> Result<Slot, Error> {
        let mut slot = slot;
        while !queue.is_empty() {
            let (queue, stop, clock) = (queue.clone(), stop.clone(), self.clock.clone());
            slot = self
                .blocking(move || {
                    let began = clock.monotonic_ns();
                    slot.run(&queue, &stop)?;
                    slot.busy_ns += clock.monotonic_ns().saturating_sub(began);
                    Ok(slot)
                })
                .await?;
        }
        Ok(slot)
    }

    /// Runs `work` on a thread once one is free. The permit is held until the work is really over,
    /// also when nobody waits for it any more.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.scans.clone().acquire_owned().await;
        let permit = permit.map_err(|closed| Error::Internal(closed.to_string()))?;
        let job = task::blocking("querier.scan", move || {
            let result = work();
            drop(permit);
            result
        });
        job.await.unwrap_or_else(|died| Err(Error::Internal(format!("a scan died: {died}"))))
    }
}

impl Opened {
    fn add(&mut self, leaf: &PlanLeaf, scan: Arc<Scan>, cancel: &Shutdown) -> Result<(), Error> {
        let mut units = scan.units(leaf);
        let Some(first) = units.first() else { return Ok(()) };
        let selected = first.streams.clone();
        self.streams += selected.count() as u64;
        if !leaf.is_log() {
            let range = leaf.range();
            let footer = scan.footer();
            let mut ranges = Vec::with_capacity(selected.count());
            for index in selected.iter() {
                let stream = &footer.streams()[index];
                let (min_ns, max_ns) =
                    (stream.min_ns.max(range.from_ns), stream.max_ns.min(range.to_ns - 1));
                if min_ns <= max_ns {
                    let stream = footer.labels()[index].key();
                    ranges.push(StreamRange { stream, min_ns, max_ns });
                }
            }
            self.ranges.push(ranges);
        }
        self.groups += units.len() as u64;
        prune(&mut units, leaf, cancel, &mut self.pruned)?;
        self.units.append(&mut units);
        Ok(())
    }
}

/// How many threads are worth starting.
fn workers_for(units: &[Unit]) -> usize {
    let pages: Option<u32> = units.iter().map(Unit::pages_left).sum();
    let by_pages = pages.map_or(usize::MAX, |pages| pages.div_ceil(WORKER_PAGES) as usize);
    units.len().min(by_pages.max(1))
}

fn count(stats: &mut PartStats, scan: &ScanStats, busy_ns: u64) {
    stats.groups_read += scan.groups;
    stats.read.rows += scan.rows;
    stats.read.line_bytes += scan.line_bytes;
    stats.read.stored_bytes += scan.read_bytes;
    stats.read.pages += scan.pages_scanned;
    stats.read.pages_pruned += scan.pages_considered.saturating_sub(scan.pages_scanned);
    stats.scan_ns += busy_ns;
}
