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

mod unit;

use std::sync::Arc;

use base::Bitmap;
use logql::engine::StreamSource;
use logql::engine::overlap::Overlaps;
use logql::plan::{Direction, Leaf, QueryError};
use part::{Footer, RangeRead};

use crate::Error;
use crate::metrics::CORRUPT;

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
        let mut streams = Bitmap::none(self.source.streams.len());
        for (stream, labels) in self.source.streams.iter().enumerate() {
            if leaf.selects(labels) {
                streams.set(stream);
            }
        }
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
                let direction = None;
                units.push(Unit { scan, group, min_ns, max_ns, streams, first_row, direction });
            }
            first_row += u64::from(entry.rows);
        }
        units
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
