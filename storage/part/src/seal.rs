//! Rows in, part out.

use base::{Day, Labels, PageView, TenantId};
use bytes::Bytes;

use crate::{Error, Options};

/// Pages that share a stream table, in arrival order.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// Labels of the streams; `Run::stream` of the pages indexes this.
    pub streams: &'a [Labels],
    /// The pages, oldest arrival first. `metadata` of each must be complete.
    pub pages: Vec<PageView<'a>>,
}

/// A complete part and what a catalog says about it.
#[derive(Clone, Debug)]
pub struct Image {
    /// The part. Offsets in it are relative to its first byte.
    pub bytes: Bytes,
    /// Footer and trailer: the bytes to read from the end to open the part.
    pub footer_bytes: u32,
    /// Footer, trailer and the trigram tables before them: one read serves most pruning.
    pub tail_bytes: u32,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of all lines.
    pub line_bytes: u64,
    /// Oldest row, nanoseconds.
    pub min_ns: i64,
    /// Newest row, nanoseconds.
    pub max_ns: i64,
    /// Number of streams.
    pub streams: u32,
}

/// Sorts the rows of `sources` by (stream labels, timestamp), rows of one instant in the order of
/// sources, pages and rows, drops exact duplicates and writes a part.
///
/// Returns `None` when there are no rows.
pub fn seal(
    _tenant: &TenantId,
    _day: Day,
    _sources: &[Source<'_>],
    _options: &Options,
) -> Result<Option<Image>, Error> {
    unimplemented!()
}
