//! What to read of a row group, and how it becomes pages.

use std::ops::Range;

use base::{DictView, PageView, Run};
use bytes::Bytes;

use crate::{Error, Footer};

/// Where a part's bytes come from. Blocking; offsets are relative to the part.
pub trait RangeRead: Send + Sync {
    /// What can go wrong.
    type Error: From<Error>;
    /// Reads all `ranges`; each answer has exactly the length of its range.
    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Self::Error>;
}

/// A part in memory.
impl RangeRead for Bytes {
    type Error = Error;

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let slice = |range: &Range<u64>| {
            if range.start > range.end || range.end > self.len() as u64 {
                return Err(Error::corrupt("range outside the part", range.start));
            }
            Ok(self.slice(range.start as usize..range.end as usize))
        };
        ranges.iter().map(slice).collect()
    }
}

/// Columns to decode; timestamps, streams and line lengths always are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Columns<'a> {
    /// Line bytes; without them only lengths are known.
    pub line_bytes: bool,
    /// Structured-metadata keys; `None` = all.
    pub metadata: Option<&'a [String]>,
}

/// Ranges of a part and their bytes.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    ranges: Vec<Range<u64>>,
    bytes: Vec<Bytes>,
}

impl Fetched {
    /// Reads `ranges` (any order, may touch or overlap) with as few requests as reasonable.
    pub fn read<E: From<Error>>(
        _reader: &dyn RangeRead<Error = E>,
        _ranges: Vec<Range<u64>>,
    ) -> Result<Fetched, E> {
        let _ = Fetched { ranges: Vec::new(), bytes: Vec::new() };
        unimplemented!()
    }

    /// Bytes held.
    pub fn byte_count(&self) -> u64 {
        let _ = &self.ranges;
        self.bytes.iter().map(|bytes| bytes.len() as u64).sum()
    }
}

impl Footer {
    /// Adds the ranges of the small columns of row group `group`.
    pub fn column_ranges(&self, _group: usize, _columns: &Columns<'_>, _out: &mut Vec<Range<u64>>) {
        unimplemented!()
    }

    /// Adds the ranges of the line pages in `pages` (bit `i` = page `i` of the group).
    pub fn line_ranges(&self, _group: usize, _pages: u64, _out: &mut Vec<Range<u64>>) {
        unimplemented!()
    }
}

/// Decodes row groups into buffers that are reused. One per thread.
#[derive(Default)]
pub struct GroupReader {
    _private: (),
}

/// One decoded page; its buffers belong to the [`GroupReader`].
pub struct DecodedPage<'a> {
    runs: &'a [Run],
    ts_ns: &'a [i64],
    lines: base::StrView<'a>,
    metadata: Vec<DictView<'a>>,
}

impl DecodedPage<'_> {
    /// The page as operators take it.
    pub fn view(&self) -> PageView<'_> {
        PageView { runs: self.runs, ts_ns: self.ts_ns, lines: self.lines, metadata: &self.metadata }
    }
}

impl GroupReader {
    /// Enters row group `group`: checks and decompresses the small columns from `fetched`.
    pub fn group(
        &mut self,
        _footer: &Footer,
        _group: usize,
        _columns: &Columns<'_>,
        _fetched: &Fetched,
    ) -> Result<(), Error> {
        unimplemented!()
    }

    /// Decodes page `page` of the group entered last. Line bytes come from `fetched`; without it
    /// only lengths are known.
    pub fn page(
        &mut self,
        _footer: &Footer,
        _page: usize,
        _fetched: Option<&Fetched>,
    ) -> Result<DecodedPage<'_>, Error> {
        unimplemented!()
    }
}
