//! What the end of a part says about it.

use std::ops::Range;
use std::sync::Arc;

use base::{Bitmap, Day, Labels, TenantId};

use crate::{Error, Needle, RangeRead};

/// The opened footer: everything but column bytes and sketches. Share it as `Arc<Footer>`.
#[derive(Debug)]
pub struct Footer {
    _private: (),
}

/// One stream of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Number of rows.
    pub rows: u64,
    /// Bytes of its lines.
    pub line_bytes: u64,
    /// Oldest row, nanoseconds.
    pub min_ns: i64,
    /// Newest row, nanoseconds.
    pub max_ns: i64,
}

/// A row group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Number of rows.
    pub rows: u32,
    /// Bytes of its lines.
    pub line_bytes: u64,
    /// Oldest row, nanoseconds.
    pub min_ns: i64,
    /// Newest row, nanoseconds.
    pub max_ns: i64,
}

/// Consecutive rows of one stream in a row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Index into the stream table.
    pub stream: u32,
    /// One past its last row, counted in the row group.
    pub end: u32,
    /// Bytes of its lines.
    pub line_bytes: u64,
    /// Oldest row, nanoseconds.
    pub min_ns: i64,
    /// Newest row, nanoseconds.
    pub max_ns: i64,
}

/// A page of a row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// One past its last row, counted in the row group.
    pub end: u32,
    /// Bytes of its lines.
    pub line_bytes: u32,
    /// Oldest row, nanoseconds.
    pub min_ns: i64,
    /// Newest row, nanoseconds.
    pub max_ns: i64,
}

impl Footer {
    /// Opens a part of `part_bytes` bytes from its last bytes.
    ///
    /// [`Error::Short`] says how many are needed when `tail` is too short; 64 KiB usually do, and
    /// [`crate::Image::footer_bytes`] always does.
    pub fn open(_tail: &[u8], _part_bytes: u64) -> Result<Footer, Error> {
        unimplemented!()
    }

    /// Whose rows.
    pub fn tenant(&self) -> &TenantId {
        unimplemented!()
    }
    /// The UTC day all rows fall into.
    pub fn day(&self) -> Day {
        unimplemented!()
    }
    /// Number of rows.
    pub fn rows(&self) -> u64 {
        unimplemented!()
    }
    /// Size of the whole part.
    pub fn part_bytes(&self) -> u64 {
        unimplemented!()
    }
    /// Memory this takes, for caches that count.
    pub fn memory_bytes(&self) -> usize {
        unimplemented!()
    }
    /// Oldest and newest row, nanoseconds.
    pub fn time_range(&self) -> (i64, i64) {
        unimplemented!()
    }
    /// Labels of the streams in ascending order; `Run::stream` indexes this.
    pub fn labels(&self) -> &Arc<[Labels]> {
        unimplemented!()
    }
    /// The streams, same order as [`Footer::labels`].
    pub fn streams(&self) -> &[Stream] {
        unimplemented!()
    }
    /// Removes from `selected` (one bit per stream) the streams whose value of `name` (empty when
    /// they have none) does not pass. `passes` is asked once per distinct value.
    pub fn select(
        &self,
        _selected: &mut Bitmap,
        _name: &str,
        _passes: &mut dyn FnMut(&str) -> bool,
    ) {
        unimplemented!()
    }
    /// The row groups.
    pub fn groups(&self) -> &[Group] {
        unimplemented!()
    }
    /// Stream runs of row group `group`.
    pub fn runs(&self, _group: usize) -> &[Run] {
        unimplemented!()
    }
    /// Pages of row group `group`.
    pub fn pages(&self, _group: usize) -> &[Page] {
        unimplemented!()
    }
    /// Pages of `group` (bit `i` = page `i`) that may hold rows of `streams` with
    /// `time.start <= ts < time.end`.
    pub fn candidates(&self, _group: usize, _streams: &Bitmap, _time: Range<i64>) -> u64 {
        unimplemented!()
    }
    /// Which pages of `candidates` may hold a line that contains one needle of each group of
    /// `needles`. Reads the sketches it needs through `reader`.
    pub fn page_mask<E: From<Error>>(
        &self,
        _group: usize,
        _candidates: u64,
        _needles: &[Vec<Needle<'_>>],
        _reader: &dyn RangeRead<Error = E>,
    ) -> Result<u64, E> {
        unimplemented!()
    }
}
