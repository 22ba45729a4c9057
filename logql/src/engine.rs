//! Evaluation over pages. See [`crate`] for the life of a query.

pub mod overlap;

use base::{Labels, PageView};

use crate::plan::QueryError;
use overlap::StreamRange;

/// A set of pages that share a stream table: one part, one head, one sealed row group.
#[derive(Clone, Debug, Default)]
pub struct StreamSource {
    /// Labels of each stream; `Run::stream` of its pages indexes this.
    pub streams: Vec<Labels>,
    /// Sources that arrived earlier have the lower number. Rows of one stream and instant are
    /// answered in the order (source, row); it never decides what is in an aggregate.
    pub order: u64,
}

/// Whether more pages can still change the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// This worker needs no more pages of the range it was asked about.
    Enough,
}

/// One thread's evaluation of one leaf, with private scratch space.
pub struct Worker {
    _private: (),
}

impl Worker {
    /// Tells the worker which stream table the next pages refer to.
    pub fn source(&mut self, _source: &StreamSource) -> Result<(), QueryError> {
        unimplemented!()
    }
    /// Evaluates one page, which follows the one before it in the source.
    pub fn page(&mut self, _page: &PageView<'_>) -> Result<Flow, QueryError> {
        unimplemented!()
    }
    /// Evaluates one page whose first row has this number in the source: for pages out of order.
    pub fn page_at(&mut self, _first_row: u64, _page: &PageView<'_>) -> Result<Flow, QueryError> {
        unimplemented!()
    }
    /// For log queries: rows at or beyond this instant (older for backward, newer for forward)
    /// cannot be in the answer any more. `None` while any row can.
    pub fn threshold(&self) -> Option<i64> {
        unimplemented!()
    }
    /// The result so far, ready to merge.
    pub fn finish(self) -> Partial {
        unimplemented!()
    }
}

/// What a leaf knows after some of its rows. Merging is associative and commutative.
#[derive(Clone, Debug, Default)]
pub struct Partial {
    _private: (),
}

impl Partial {
    /// Takes in `other`, which comes from other rows of the same leaf (or the same overlap rows).
    pub fn merge(&mut self, _other: Partial) -> Result<(), QueryError> {
        unimplemented!()
    }
    /// What was looked at to get here.
    pub fn stats(&self) -> Stats {
        unimplemented!()
    }
}

/// Work done, as the `stats` of an answer tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows of selected streams in the pages seen.
    pub rows: u64,
    /// Bytes of their lines.
    pub line_bytes: u64,
    /// Bytes of their structured metadata.
    pub metadata_bytes: u64,
    /// Rows that passed the pipeline.
    pub selected_rows: u64,
}

/// What a query answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A log query: streams sorted by label text.
    Streams(Vec<Stream>),
    /// An instant metric query.
    Vector(Vec<(Labels, Sample)>),
    /// A range metric query.
    Matrix(Vec<(Labels, Vec<Sample>)>),
    /// A constant expression, instant.
    Scalar(Sample),
}

/// A value at an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub ts_ms: i64,
    /// The value.
    pub value: f64,
}

/// Lines that share their labels.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Stream labels, metadata and parsed labels together.
    pub labels: Labels,
    /// How `labels` divides by origin, each division that occurs among `entries` once. The labels
    /// in neither part are stream labels. Empty unless [`crate::plan::Params::categorize`].
    pub origins: Vec<Origins>,
    /// In the query's direction.
    pub entries: Vec<Entry>,
}

/// Which labels of an entry are not stream labels (`categorize-labels`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origins {
    /// Structured metadata.
    pub metadata: Labels,
    /// What the pipeline made: parsed, formatted and renamed labels, `__error__` and its details.
    pub parsed: Labels,
}

/// One line of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Nanoseconds since 1970.
    pub ts_ns: i64,
    /// Index into [`Stream::origins`]; 0 unless [`crate::plan::Params::categorize`].
    pub origins: u32,
    /// The line after the pipeline.
    pub line: Vec<u8>,
}

/// Makes the ranges that a source's pages cover known to the querier.
pub type Ranges = Vec<StreamRange>;

/// Prints a sample value as Go's `strconv.FormatFloat(v, 'f', -1, 64)`: shortest, no exponent.
pub fn format_value(_value: f64) -> String {
    unimplemented!()
}
