//! Scanning parts and sealed units: prune, read, decode, feed the worker. Blocking; call it from
//! `base::task::blocking`.
//!
//! A unit is one row group of one part. Units of a query are pulled from a shared queue by threads
//! that each own a [`logql::engine::Worker`] and a [`Scratch`]:
//!
//! ```text
//! let scan = Arc::new(Scan::new(footer, reader));
//! let mut units = scan.units(&leaf);                  // pruned by time and streams
//! sort_for(&mut units, direction);                    // log queries only
//! // on each thread:
//! let mut worker = leaf.worker(overlaps.clone());
//! let mut scratch = Scratch::new(overlaps);
//! scan_unit(&leaf, &mut worker, &unit, &mut scratch, &cancel, &mut stats)?;
//! ```
//!
//! **Invariant:** every row of a selected stream in the leaf's range reaches the worker, but for
//! rows that a sketch or the worker's threshold says cannot matter; a page goes to it once.

mod ahead;
mod first;
mod templates;
mod unit;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Bitmap;
use logql::engine::StreamSource;
use logql::engine::overlap::Overlaps;
use logql::plan::{Direction, Leaf, QueryError};
use part::{Footer, RangeRead};

use crate::Error;
use crate::metrics::CORRUPT;

pub use ahead::prune;
pub use first::keep_first;
pub use unit::scan_unit;

/// Where a part's bytes come from: memory, a local file, an object. Blocking.
pub type Reader = dyn RangeRead<Error = Error>;

/// A part in memory as a [`Reader`].
#[derive(Clone, Debug)]
pub struct Memory(pub bytes::Bytes);

impl RangeRead for Memory {
    type Error = Error;

    fn read_ranges(&self, ranges: &[std::ops::Range<u64>]) -> Result<Vec<bytes::Bytes>, Error> {
        Ok(self.0.read_ranges(ranges)?)
    }

    fn is_near(&self) -> bool {
        true
    }
}

/// One part or sealed unit that is open for scanning. Share it as `Arc<Scan>`.
pub struct Scan {
    footer: Arc<Footer>,
    reader: Arc<Reader>,
    source: StreamSource,
    /// Store and object, for errors; of a sealed unit, empty.
    name: Option<(String, String)>,
}

/// A row group that may hold rows of a leaf.
#[derive(Clone)]
pub struct Unit {
    /// The part.
    pub scan: Arc<Scan>,
    /// Row group in the part.
    pub group: usize,
    /// Oldest row of the selected streams in the group, nanoseconds.
    pub min_ns: i64,
    /// Newest row of the selected streams in the group, nanoseconds.
    pub max_ns: i64,
    /// Streams of the part that the leaf selects, one bit each.
    pub streams: Arc<Bitmap>,
    /// Number of the group's first row in the part.
    first_row: u64,
    /// Set by [`sort_for`]: pages are visited from this end, and the threshold counts.
    direction: Option<Direction>,
    /// Set by [`prune`] and [`keep_first`].
    pruned: Option<Pruned>,
}

/// What is left of a row group.
#[derive(Clone, Copy, Debug)]
struct Pruned {
    pages: u64,
    considered: u64,
}

/// What a scan did; adds up over units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanStats {
    /// Row groups opened.
    pub groups: u64,
    /// Pages that were candidates by stream and time.
    pub pages_considered: u64,
    /// Pages decoded and given to the worker.
    pub pages_scanned: u64,
    /// Rows given to the worker.
    pub rows: u64,
    /// Line bytes given to the worker (decompressed).
    pub line_bytes: u64,
    /// Bytes read from the part, sketches included.
    pub read_bytes: u64,
}

impl ScanStats {
    /// Adds what another scan did.
    pub fn add(&mut self, more: &ScanStats) {
        self.groups += more.groups;
        self.pages_considered += more.pages_considered;
        self.pages_scanned += more.pages_scanned;
        self.rows += more.rows;
        self.line_bytes += more.line_bytes;
        self.read_bytes += more.read_bytes;
    }
}

/// State of one scanning thread; belongs to one worker.
pub struct Scratch {
    /// The overlaps the worker was made with: rows in them are hashed whole.
    overlaps: Arc<Overlaps>,
    group: part::GroupReader,
    /// The scan whose stream table the worker has.
    source: Option<Arc<Scan>>,
    /// Pages to visit, in order.
    order: Vec<usize>,
}

/// Scratch spaces of scans that ended, for the next: their buffers are as large as pages are.
pub struct Scratches {
    held: Mutex<Vec<Scratch>>,
    most: usize,
}

impl Scratches {
    /// Holds at most `most` of them.
    pub fn new(most: usize) -> Scratches {
        Scratches { held: Mutex::default(), most }
    }

    /// One for a worker that was made with `overlaps`.
    pub fn take(&self, overlaps: Arc<Overlaps>) -> Scratch {
        match self.lock().pop() {
            Some(scratch) => Scratch { overlaps, ..scratch },
            None => Scratch::new(overlaps),
        }
    }

    /// Gives one back.
    pub fn give(&self, mut scratch: Scratch) {
        (scratch.overlaps, scratch.source) = (Arc::default(), None);
        let mut held = self.lock();
        if held.len() < self.most && scratch.group.memory_bytes() <= HELD_BYTES_MAX {
            held.push(scratch);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Scratch>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A scratch space above this is not kept: pages are 256 KiB, but one line may be far longer.
const HELD_BYTES_MAX: usize = 4 << 20;

impl Scratch {
    /// For a worker that was made with `overlaps`.
    pub fn new(overlaps: Arc<Overlaps>) -> Scratch {
        let group = part::GroupReader::default();
        Scratch { overlaps, group, source: None, order: Vec::new() }
    }
}

/// Why a scan stopped early.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The query's fault or limit.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The part's or the store's fault.
    #[error(transparent)]
    Store(#[from] Error),
    /// Somebody asked to stop.
    #[error("the scan was cancelled")]
    Cancelled,
}

impl Scan {
    /// A part whose footer is open.
    pub fn new(footer: Arc<Footer>, reader: Arc<Reader>) -> Scan {
        let source = StreamSource { streams: footer.labels().to_vec(), order: 0 };
        Scan { footer, reader, source, name: None }
    }

    /// Says when the part arrived among the other sources of a query ([`StreamSource::order`]).
    pub fn with_order(mut self, order: u64) -> Scan {
        self.source.order = order;
        self
    }

    /// Names the object, so that an error about its bytes does.
    pub fn with_name(mut self, store: &str, path: &str) -> Scan {
        self.name = Some((store.to_owned(), path.to_owned()));
        self
    }

    /// The footer.
    pub fn footer(&self) -> &Arc<Footer> {
        &self.footer
    }

    #[cfg(test)]
    pub(crate) fn read(&self, ranges: &[std::ops::Range<u64>]) -> Result<Vec<bytes::Bytes>, Error> {
        self.reader.read_ranges(ranges)
    }

    /// The stream table as workers take it.
    pub fn source(&self) -> &StreamSource {
        &self.source
    }

    /// The row groups that may hold rows of `leaf`, by time and streams, in storage order. Log
    /// queries want them sorted by time: [`sort_for`].
    pub fn units(self: &Arc<Self>, leaf: &Leaf) -> Vec<Unit> {
        let range = leaf.range();
        let (min_ns, max_ns) = self.footer.time_range();
        if min_ns >= range.to_ns || max_ns < range.from_ns {
            return Vec::new();
        }
        let streams = self.selected(leaf);
        if streams.is_none() {
            return Vec::new();
        }
        let streams = Arc::new(streams);
        let mut units = Vec::new();
        let mut first_row = 0;
        for (group, entry) in self.footer.groups().iter().enumerate() {
            let (mut min_ns, mut max_ns) = (i64::MAX, i64::MIN);
            for run in self.footer.runs(group) {
                if streams.get(run.stream as usize) {
                    min_ns = min_ns.min(run.min_ns);
                    max_ns = max_ns.max(run.max_ns);
                }
            }
            if min_ns <= max_ns && min_ns < range.to_ns && max_ns >= range.from_ns {
                let (scan, streams) = (Arc::clone(self), Arc::clone(&streams));
                let (direction, pruned) = (None, None);
                let unit =
                    Unit { scan, group, min_ns, max_ns, streams, first_row, direction, pruned };
                units.push(unit);
            }
            first_row += u64::from(entry.rows);
        }
        units
    }

    /// The streams of the part that `leaf` selects: every matcher sees each distinct value once.
    fn selected(&self, leaf: &Leaf) -> Bitmap {
        let mut streams = Bitmap::all(self.source.streams.len());
        for (index, matcher) in leaf.matchers().iter().enumerate() {
            let mut accepts = |value: &str| leaf.accepts(index, value);
            self.footer.select(&mut streams, &matcher.name, &mut accepts);
        }
        for (stream, labels) in self.source.streams.iter().enumerate() {
            if streams.get(stream) && !leaf.holds(labels.key()) {
                streams.clear(stream);
            }
        }
        streams
    }

    /// Whether rows of the group must be hashed whole, because a selected stream of it has
    /// overlaps there.
    fn overlaps(&self, group: usize, streams: &Bitmap, overlaps: &Overlaps) -> bool {
        let inside = |run: &part::Run| {
            let intervals = overlaps.of(self.source.streams[run.stream as usize].key());
            intervals.iter().any(|&(from, to)| from <= run.max_ns && to >= run.min_ns)
        };
        let selected = |run: &&part::Run| streams.get(run.stream as usize);
        !overlaps.is_empty() && self.footer.runs(group).iter().filter(selected).any(inside)
    }

    /// An error about the part's bytes, with the object's name, counted once.
    fn named(&self, error: Error) -> Error {
        let Error::Part(source) = error else { return error };
        metrics::counter!(CORRUPT, "object" => "part").increment(1);
        match &self.name {
            None => Error::Part(source),
            Some((store, path)) => {
                Error::NamedPart { store: store.clone(), path: path.clone(), source }
            }
        }
    }
}

/// Sorts units the way a log query reads them, so that its threshold can end the scan early: by
/// newest row, descending, or by oldest, ascending.
pub fn sort_for(units: &mut [Unit], direction: Direction) {
    match direction {
        Direction::Backward => units.sort_by_key(|unit| std::cmp::Reverse(unit.max_ns)),
        Direction::Forward => units.sort_by_key(|unit| unit.min_ns),
    }
    units.iter_mut().for_each(|unit| unit.direction = Some(direction));
}

#[cfg(test)]
mod tests;
