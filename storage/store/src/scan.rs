//! Scanning parts and sealed units: prune, read, decode, feed the worker. Blocking; call it from
//! `base::task::blocking`.
//!
//! A unit is one row group of one part. Units of a query are pulled from a shared queue by threads
//! that each own a [`logql::engine::Worker`] and a [`Scratch`]:
//!
//! ```text
//! let scan = Arc::new(Scan::new(footer, reader));
//! let units = scan.units(&leaf);                      // pruned by time and streams
//! // on each thread:
//! scan_unit(&leaf, &mut worker, &unit, &mut scratch, &cancel, &mut stats)?;
//! ```

use std::sync::Arc;

use base::Bitmap;
use base::shutdown::Shutdown;
use logql::engine::{Flow, StreamSource, Worker};
use logql::plan::{Leaf, QueryError};
use part::{Footer, RangeRead};

use crate::Error;

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
}

/// A row group that may hold rows of a leaf.
#[derive(Clone)]
pub struct Unit {
    /// The part.
    pub scan: Arc<Scan>,
    /// Row group in the part.
    pub group: usize,
    /// Oldest row of the group, nanoseconds.
    pub min_ns: i64,
    /// Newest row of the group, nanoseconds.
    pub max_ns: i64,
    /// Streams of the part that the leaf selects, one bit each.
    pub streams: Arc<Bitmap>,
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
    /// Bytes read from the part.
    pub read_bytes: u64,
}

/// Buffers of one scanning thread.
#[derive(Default)]
pub struct Scratch {
    group: part::GroupReader,
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
        let source = StreamSource { streams: footer.labels().to_vec() };
        Scan { footer, reader, source }
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
    pub fn units(self: &Arc<Self>, _leaf: &Leaf) -> Vec<Unit> {
        let _ = &self.reader;
        unimplemented!()
    }
}

/// Sorts units the way a log query reads them, so that its threshold can end the scan early.
pub fn sort_for(_units: &mut [Unit], _direction: logql::plan::Direction) {
    unimplemented!()
}

/// Feeds the pages of `unit` that can matter to `worker`. Checks `cancel` before every page.
pub fn scan_unit(
    _leaf: &Leaf,
    _worker: &mut Worker,
    _unit: &Unit,
    scratch: &mut Scratch,
    _cancel: &Shutdown,
    _stats: &mut ScanStats,
) -> Result<Flow, ScanError> {
    let _ = &scratch.group;
    unimplemented!()
}
