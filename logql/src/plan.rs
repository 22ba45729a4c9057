//! From a syntax tree to what must be read and how it is combined.

use std::sync::Arc;

use base::UnixNanos;

use crate::engine::overlap::Overlaps;
use crate::engine::{Answer, Partial, StreamSource, Worker};
use crate::syntax::{Expr, Matcher};

/// Which end of time a log query starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// When and how a query is evaluated. Already checked against the limits of the tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// First evaluation, or first instant of a log query.
    pub start: UnixNanos,
    /// Last evaluation, or first instant past a log query. Equal to `start` for an instant query.
    pub end: UnixNanos,
    /// Distance of evaluations; 0 = instant query.
    pub step_ns: i64,
    /// Thinning of log queries; 0 = none.
    pub interval_ns: i64,
    /// Most entries of a log query.
    pub limit: usize,
    /// Order of a log query.
    pub direction: Direction,
    /// Most series in the answer; 0 = no limit.
    pub max_series: usize,
    /// Most bytes that one worker or one partial may hold (series, samples, entries); 0 = no
    /// limit. Above it the query fails with [`QueryError::Limited`].
    pub max_memory_bytes: u64,
    /// Log queries: say of each entry which of its labels are structured metadata and which the
    /// pipeline made (`categorize-labels`), in [`crate::engine::Stream::origins`]. Streams are
    /// grouped by all their labels with it too (recorded: categorize_labels/007).
    pub categorize: bool,
}

/// Why a query cannot be planned or evaluated. `text` is what the user of Loki sees.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum QueryError {
    /// The query is wrong; HTTP 400.
    #[error("{0}")]
    Invalid(String),
    /// Parses, but is not executed yet; HTTP 501. Names the construct.
    #[error("not implemented yet: {0}")]
    Unsupported(String),
    /// A limit was reached; HTTP 400.
    #[error("{0}")]
    Limited(String),
    /// HTTP 500, with the text Loki gives there.
    #[error("{0}")]
    Internal(String),
}

/// An executable query: some leaves that read rows, and what is made of their results.
pub struct Plan {
    _private: (),
}

/// A selector, its pipeline and its range function: the unit that reads rows.
pub struct Leaf {
    _private: (),
}

/// Rows a leaf reads: `from <= ts < to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// First instant, nanoseconds.
    pub from_ns: i64,
    /// One past the last instant, nanoseconds.
    pub to_ns: i64,
}

/// Columns a leaf reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Line bytes are searched, parsed or returned; otherwise lengths do.
    pub line_bytes: bool,
    /// Which metadata columns; `None` = all.
    pub metadata: Option<Vec<String>>,
}

/// Text that must be in a line for the line to count: what sketches are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// ASCII case does not matter.
    pub ignore_case: bool,
}

impl Plan {
    /// Plans `expr`.
    pub fn new(_expr: &Expr, _params: &Params) -> Result<Plan, QueryError> {
        unimplemented!()
    }
    /// The leaves, each to be fed with all rows it selects.
    pub fn leaves(&self) -> &[Arc<Leaf>] {
        unimplemented!()
    }
    /// Combines the merged partial of each leaf (same order as [`Plan::leaves`]) into the answer.
    pub fn finish(&self, _partials: Vec<Partial>) -> Result<Answer, QueryError> {
        unimplemented!()
    }
}

impl Leaf {
    /// The stream matchers.
    pub fn matchers(&self) -> &[Matcher] {
        unimplemented!()
    }
    /// Whether a stream is selected.
    pub fn selects(&self, _labels: &base::Labels) -> bool {
        unimplemented!()
    }
    /// Rows that can matter.
    pub fn range(&self) -> TimeRange {
        unimplemented!()
    }
    /// Columns that are read by a worker without overlaps.
    pub fn needs(&self) -> Needs {
        unimplemented!()
    }
    /// Columns that are read by a worker with these overlaps: a row hash covers the whole row.
    pub fn needs_with(&self, overlaps: &Overlaps) -> Needs {
        if overlaps.is_empty() { self.needs() } else { Needs { line_bytes: true, metadata: None } }
    }
    /// Every line that counts contains one needle of each group (an AND of ORs), as stored.
    pub fn needles(&self) -> &[Vec<Needle>] {
        unimplemented!()
    }
    /// A worker for one thread. Rows inside `overlaps` are kept apart as rows (R2). Log queries
    /// need no overlaps: each of their candidates carries its row hash anyway.
    pub fn worker(self: &Arc<Self>, _overlaps: Arc<Overlaps>) -> Worker {
        unimplemented!()
    }
    /// Whether this leaf selects lines (a log query) rather than samples.
    pub fn is_log(&self) -> bool {
        unimplemented!()
    }
    /// The partial of no rows.
    pub fn empty(self: &Arc<Self>) -> Partial {
        unimplemented!()
    }
    /// Whether a source can be left out because no stream of it is selected.
    pub fn selects_any(&self, source: &StreamSource) -> bool {
        source.streams.iter().any(|labels| self.selects(labels))
    }
}
