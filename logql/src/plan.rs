//! From a syntax tree to what must be read and how it is combined.
//!
//! [`Plan::new`] cuts the tree at its range functions: each becomes a [`Leaf`], which reads rows,
//! and what is above them is computed on their series by [`Plan::finish`]. A `sum` directly above an
//! additive function gives the leaf its grouping, so that a leaf holds as few series as the answer.

pub(crate) mod leaf;
mod piece;
mod tree;
mod volumes;

use std::cmp::Ordering;
use std::sync::Arc;

use base::{Labels, UnixNanos};

use crate::engine::matrix::Value;
use crate::engine::partial::Held;
use crate::engine::windows::timestamps_ms;
use crate::engine::{self, Answer, Matrix, Partial, Sample};
use crate::syntax::{Expr, MetricExpr, VectorOp};

use leaf::Program;

pub use piece::{Leaf, Origin, Shard};
pub use volumes::{LEVEL, MATCHED, Volume, VolumesOf, VolumesPlan};

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
    /// The time of the request: what `now` in a template is. All pieces of a query have the same.
    pub now: UnixNanos,
}

impl Params {
    /// An evaluation at one instant, with nothing limited but a log query, which has one entry.
    pub fn at(instant: UnixNanos) -> Params {
        Params {
            start: instant,
            end: instant,
            step_ns: 0,
            interval_ns: 0,
            limit: 1,
            direction: Direction::Backward,
            max_series: 0,
            max_memory_bytes: 0,
            categorize: false,
            now: instant,
        }
    }
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

impl QueryError {
    /// Loki's text for `max_query_series`.
    pub(crate) fn too_many_series(limit: usize) -> QueryError {
        QueryError::Limited(format!(
            "maximum number of series ({limit}) reached for a single query; consider reducing \
             query cardinality by adding more specific stream selectors, reducing the time range, \
             or aggregating results with functions like sum(), count() or topk()"
        ))
    }

    /// Who may do what about it.
    pub fn kind(&self) -> base::ErrorKind {
        match self {
            QueryError::Invalid(_) | QueryError::Unsupported(_) => base::ErrorKind::Invalid,
            QueryError::Limited(_) => base::ErrorKind::Limited,
            QueryError::Internal(_) => base::ErrorKind::Internal,
        }
    }
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
    /// Line bytes are searched, parsed or returned.
    pub line_bytes: bool,
    /// Lengths of lines matter, as they do where line bytes do. Otherwise pages need not have lines.
    pub lengths: bool,
    /// Which metadata columns; `None` = all.
    pub metadata: Option<Vec<String>>,
    /// How many pairs of metadata rows have: of a run that is not counted whole, all columns say.
    pub pairs: bool,
}

impl Needs {
    /// The metadata columns that are read of rows; `None` = all.
    pub fn columns(&self) -> Option<&[String]> {
        self.metadata.as_deref().filter(|_| !self.pairs)
    }
}

/// Text that must be in a line for the line to count: what sketches are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// ASCII case does not matter.
    pub ignore_case: bool,
}

/// Text that the stored line of a selected row holds, if no stream label and no metadata of the row
/// is called as one of `labels`, and if the line has no escape `\u`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelNeedles {
    /// The labels that must come from the line.
    pub labels: Vec<String>,
    /// One of these stands in it.
    pub any: Vec<Needle>,
}

/// An executable query: some leaves that read rows, and what is made of their results.
#[derive(Debug)]
pub struct Plan {
    params: Params,
    leaves: Vec<Arc<Leaf>>,
    /// What is computed on the series of the leaves; none for a log query.
    root: Option<engine::matrix::Node>,
    /// An instant answer is put in order of its values.
    sort: Option<Order>,
}

/// Of `sort` and `sort_desc` at the top of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

impl Order {
    fn of(expr: &Expr) -> Option<Order> {
        match expr {
            Expr::Metric(MetricExpr::Vector(aggregation)) => match aggregation.op {
                VectorOp::Sort => Some(Order::Ascending),
                VectorOp::SortDesc => Some(Order::Descending),
                _ => None,
            },
            _ => None,
        }
    }

    /// No number comes last in either order.
    fn compare(self, a: f64, b: f64) -> Ordering {
        match (a.is_nan(), b.is_nan()) {
            (false, false) if self == Order::Ascending => a.total_cmp(&b),
            (false, false) => b.total_cmp(&a),
            (a, b) => a.cmp(&b),
        }
    }
}

/// What tells rows apart, besides what the query says.
#[derive(Clone, Copy)]
enum Apart<'a> {
    Labels,
    /// Structured metadata does not.
    Streams,
    /// The line patterns that they match.
    Patterns(&'a Arc<[String]>),
}

impl Plan {
    /// Plans `expr`. What parses but is not executed yet fails here, whatever data matches.
    pub fn new(expr: &Expr, params: &Params) -> Result<Plan, QueryError> {
        Plan::build(expr, params, Apart::Labels)
    }

    /// Plans `bytes_over_time` as volumes: told apart by labels of streams alone, as if no row had
    /// structured metadata, which counts.
    fn of_streams(expr: &Expr, params: &Params) -> Result<Plan, QueryError> {
        Plan::build(expr, params, Apart::Streams)
    }

    /// Plans a metric query that groups by [`volumes::MATCHED`], the patterns that rows match.
    fn by_patterns(
        expr: &Expr,
        params: &Params,
        patterns: &Arc<[String]>,
    ) -> Result<Plan, QueryError> {
        Plan::build(expr, params, Apart::Patterns(patterns))
    }

    fn build(expr: &Expr, params: &Params, apart: Apart<'_>) -> Result<Plan, QueryError> {
        let (mut programs, root) = match expr {
            Expr::Log(log) => (vec![Program::log(log, params)?], None),
            Expr::Metric(metric) => {
                let (programs, root) = tree::build(metric, params)?;
                (programs, Some(root))
            }
        };
        let mut patterns = Arc::default();
        match apart {
            Apart::Labels => {}
            Apart::Streams => {
                programs =
                    programs.into_iter().map(Program::of_streams).collect::<Result<_, _>>()?;
            }
            Apart::Patterns(by) => {
                patterns = Arc::clone(by);
                let told = |program: Program| program.by_patterns(by, volumes::MATCHED);
                programs = programs.into_iter().map(told).collect::<Result<_, _>>()?;
            }
        }
        let leaves = Leaf::of_plan(programs, expr, params, patterns);
        Ok(Plan { params: params.clone(), leaves, root, sort: Order::of(expr) })
    }

    /// The leaves, each to be fed with all rows it selects. None for a constant expression.
    pub fn leaves(&self) -> &[Arc<Leaf>] {
        &self.leaves
    }

    /// Combines the merged partial of each leaf (same order as [`Plan::leaves`]) into the answer.
    pub fn finish(&self, partials: Vec<Partial>) -> Result<Answer, QueryError> {
        assert_eq!(partials.len(), self.leaves.len(), "one partial per leaf");
        let Some(root) = &self.root else {
            return self.finish_log(partials);
        };
        let series =
            |(leaf, partial): (&Arc<Leaf>, Partial)| match (&leaf.program.kind, partial.held) {
                (leaf::LeafKind::Metric(metric), Held::Samples(samples)) => {
                    Some(metric.series(Some(samples)))
                }
                (leaf::LeafKind::Metric(metric), Held::Nothing) => Some(metric.series(None)),
                _ => panic!("a metric leaf gathers samples"),
            };
        let mut matrices: Vec<Option<Matrix>> =
            self.leaves.iter().zip(partials).map(series).collect();
        let offset_ns = self.leaves.first().map_or(0, |leaf| leaf.offset_ns());
        let at_ms = timestamps_ms(&self.params, offset_ns);
        let instant = self.params.step_ns == 0;
        let mut matrix = match engine::evaluate(root, &mut matrices, at_ms.len())? {
            Value::Scalar(value) if instant => {
                return Ok(Answer::Scalar(Sample { ts_ms: at_ms[0], value }));
            }
            Value::Scalar(value) => vec![(Labels::empty(), vec![Some(value); at_ms.len()])],
            Value::Matrix(matrix) => matrix,
        };
        let limit = self.params.max_series;
        if limit > 0 && matrix.len() > limit {
            return Err(QueryError::too_many_series(limit));
        }
        matrix.sort_by(|a, b| a.0.cmp(&b.0));
        if instant {
            let sample = |value: f64| Sample { ts_ms: at_ms[0], value };
            let series = matrix.into_iter();
            let vector = series.filter_map(|(labels, values)| Some((labels, sample(values[0]?))));
            let mut vector: Vec<(Labels, Sample)> = vector.collect();
            if let Some(order) = self.sort {
                vector.sort_by(|a, b| order.compare(a.1.value, b.1.value));
            }
            return Ok(Answer::Vector(vector));
        }
        let series = matrix.into_iter().map(|(labels, values)| {
            let samples = at_ms.iter().zip(values);
            let samples =
                samples.filter_map(|(&ts_ms, value)| Some(Sample { ts_ms, value: value? }));
            (labels, samples.collect())
        });
        Ok(Answer::Matrix(series.collect()))
    }

    fn finish_log(&self, partials: Vec<Partial>) -> Result<Answer, QueryError> {
        let partial = partials.into_iter().next().expect("a log query has one leaf");
        let leaf::LeafKind::Log(log) = &self.leaves[0].program.kind else {
            panic!("the leaf of a log query selects lines")
        };
        let streams = match partial.held {
            Held::Entries(entries) => {
                engine::render(log, &entries.finish(), self.params.categorize)?
            }
            Held::Nothing => Vec::new(),
            Held::Samples(_) => panic!("a log leaf gathers entries"),
        };
        Ok(Answer::Streams(streams))
    }
}
