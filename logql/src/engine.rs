//! Evaluation over pages. See [`crate`] for the life of a query.
//!
//! - [`Worker`]: one thread; a page and a bitmap go through the operators of `pipeline`, what is
//!   left goes into series (`samples`, `range/`) or candidates (`entries`).
//! - [`Partial`]: what a worker leaves; merges in any order and grouping.
//! - `vector`, `binary`: what is made of the series of all leaves, at the end.
//!
//! One operator or function per file, with its meaning, its partial and its tests.

pub(crate) mod binary;
mod columns;
mod convert;
mod decolorize;
mod drop_keep;
mod effective;
pub(crate) mod entries;
pub mod fields;
mod format;
pub(crate) mod fuzz;
pub(crate) mod group;
mod ip;
mod json;
mod json_paths;
mod json_shape;
mod json_text;
mod label_filter;
pub(crate) mod label_replace;
pub(crate) mod label_text;
mod line_filter;
mod line_pattern;
pub(crate) mod line_patterns;
mod logfmt;
mod logfmt_keys;
pub(crate) mod matcher;
pub(crate) mod matching;
pub(crate) mod matrix;
pub(crate) mod names;
pub(crate) mod needles;
pub mod overlap;
pub(crate) mod partial;
mod pattern;
pub(crate) mod pipeline;
pub mod portable;
pub(crate) mod range;
mod regexp;
mod render;
mod runs;
pub(crate) mod samples;
pub(crate) mod search;
pub(crate) mod sets;
mod template;
pub mod tenants;
pub(crate) mod ties;
mod unpack;
mod unwrap;
mod value;
pub(crate) mod vector;
pub(crate) mod wanted;
pub(crate) mod windows;
mod worker;

use base::Labels;

pub use partial::Partial;
pub use value::format_value;
pub use worker::{RunEntry, RunTaken, Worker};

pub(crate) use matrix::{Matrix, evaluate};
pub(crate) use render::render;

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

/// Work done, as the `stats` of an answer tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows of selected streams in the pages seen, within the time range.
    pub rows: u64,
    /// Bytes of their lines.
    pub line_bytes: u64,
    /// Bytes of their structured metadata, of the columns that were read.
    pub metadata_bytes: u64,
    /// Rows that passed the pipeline.
    pub selected_rows: u64,
}

/// What a query answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A log query: streams sorted by label text.
    Streams(Vec<Stream>),
    /// An instant metric query, sorted by labels.
    Vector(Vec<(Labels, Sample)>),
    /// A range metric query, sorted by labels.
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

#[cfg(test)]
mod tests;
