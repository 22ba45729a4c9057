//! The unit that reads rows, and what can be given away of it.
//!
//! A [`Leaf`] reads the rows of a time range and a [`Shard`] of the streams. Rows are divided by
//! both without remainder, so the partials of pieces that together cover a leaf, each row by one
//! piece, merge to the leaf's partial: in any order, at any cut, for every function. Nothing that a
//! plan gives out is excepted. Two things are of use to whoever cuts:
//!
//! - A log query needs its best lines only. [`Leaf::cut`] gives its pieces in the order in which
//!   they matter, and [`Partial::needs`] says when the rest does not.
//! - `interval` (thinning) is applied to the merged lines, whatever the cut. Loki thins each of its
//!   splits (of an hour by default) for itself, so around the border of two splits it may keep
//!   another line than an unsplit query, of Loki's or ours, does. That is the one documented
//!   exception; answers here are those of the unsplit query.
//!
//! A leaf travels as its [`Origin`]: query, parameters and which rows. Who gets it plans the query
//! again and has the same leaf, for a plan depends on nothing else.

use std::sync::{Arc, OnceLock};

use base::{Labels, StreamKey, UnixNanos};

use super::leaf::{LeafKind, Program};
use super::{Direction, LabelNeedles, Needle, Needs, Params, Plan, QueryError, TimeRange};
use crate::engine::overlap::Overlaps;
use crate::engine::windows::evaluation_count;
use crate::engine::{Partial, StreamSource, Worker};
use crate::syntax::{self, Expr, LogExpr, Matcher};

/// Which streams: those whose key leaves `index` when it is divided by `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    /// Less than `of`.
    pub index: u32,
    /// Number of shards; at least 1.
    pub of: u32,
}

impl Shard {
    /// All streams.
    pub const WHOLE: Shard = Shard { index: 0, of: 1 };

    /// Whether a stream belongs to this shard.
    #[inline]
    pub fn holds(self, stream: StreamKey) -> bool {
        self.of <= 1 || stream.0 % u64::from(self.of) == u64::from(self.index)
    }
}

/// More evaluations than any query may ask for (Loki allows 11,000): they take memory before a row
/// is read, so whoever is sent an origin bounds them.
const EVALUATIONS_MAX: u64 = 1 << 17;

/// Patterns that rows may be told apart by, and their bytes: they are compiled wherever a piece goes.
pub(crate) const PATTERNS_MAX: usize = 1024;
/// See [`PATTERNS_MAX`].
pub(crate) const PATTERNS_BYTES_MAX: usize = 512 << 10;

/// A leaf as it travels.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The query. [`syntax::parse`] reads it as the tree that was planned, unless it is longer than
    /// a query may be written.
    pub query: Arc<str>,
    /// How it is evaluated.
    pub params: Params,
    /// Index into [`Plan::leaves`].
    pub leaf: u32,
    /// Which rows.
    pub range: TimeRange,
    /// Of which streams.
    pub shard: Shard,
    /// It counts volumes of streams ([`super::VolumesPlan`]).
    pub of_streams: bool,
    /// Rows are told apart by which of these line patterns they match ([`super::VolumesPlan`]); none
    /// = they are not.
    pub patterns: Arc<[String]>,
}

impl Origin {
    /// The leaf. Fails if there is none like that: what came over the wire may be anything.
    pub fn leaf(&self) -> Result<Arc<Leaf>, QueryError> {
        let malformed = |why: &str| QueryError::Invalid(format!("malformed leaf: {why}"));
        let Shard { index, of } = self.shard;
        if index >= of {
            return Err(malformed(&format!("shard {index} of {of}")));
        }
        if evaluation_count(&self.params) > EVALUATIONS_MAX {
            return Err(malformed("too many evaluations"));
        }
        let bytes: usize = self.patterns.iter().map(String::len).sum();
        if self.patterns.len() > PATTERNS_MAX || bytes > PATTERNS_BYTES_MAX {
            return Err(malformed("too many patterns"));
        }
        let of_volumes = self.of_streams || !self.patterns.is_empty();
        let parse = if of_volumes { syntax::parse_exact_of_any } else { syntax::parse_exact };
        let expr = parse(&self.query).map_err(|error| QueryError::Invalid(error.to_string()))?;
        let plan = match self.of_streams {
            true => Plan::of_streams(&expr, &self.params)?,
            false if of_volumes => Plan::by_patterns(&expr, &self.params, &self.patterns)?,
            false => Plan::new(&expr, &self.params)?,
        };
        let leaf = plan.leaves().get(self.leaf as usize);
        let leaf = leaf.ok_or_else(|| malformed(&format!("the query has no {}th", self.leaf)))?;
        Ok(leaf.piece(self.range, self.shard))
    }
}

/// What a plan was made of; shared by its leaves and their pieces.
#[derive(Debug)]
struct Source {
    expr: Expr,
    params: Params,
    patterns: Arc<[String]>,
    /// Made when it is first asked for.
    text: OnceLock<Arc<str>>,
}

/// A selector, its pipeline and its range function, over some rows: the unit that reads rows.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub(crate) program: Arc<Program>,
    source: Arc<Source>,
    /// Among the leaves of the plan.
    number: u32,
    range: TimeRange,
    shard: Shard,
}

impl Leaf {
    /// The leaves of the plan of `expr`.
    pub(super) fn of_plan(
        programs: Vec<Program>,
        expr: &Expr,
        params: &Params,
        patterns: Arc<[String]>,
    ) -> Vec<Arc<Leaf>> {
        if programs.is_empty() {
            return Vec::new();
        }
        let text = OnceLock::new();
        let (expr, params) = (expr.clone(), params.clone());
        let source = Arc::new(Source { expr, params, patterns, text });
        let leaf = |(number, program): (usize, Program)| {
            Arc::new(Leaf {
                range: program.range,
                program: Arc::new(program),
                source: Arc::clone(&source),
                number: number as u32,
                shard: Shard::WHOLE,
            })
        };
        programs.into_iter().enumerate().map(leaf).collect()
    }

    /// The leaf of a selector alone: it knows which streams that selects ([`Leaf::selects`]). Its
    /// range is of no use.
    ///
    /// # Errors
    /// A matcher cannot be compiled.
    pub fn of_selector(matchers: &[Matcher]) -> Result<Arc<Leaf>, QueryError> {
        let params = Params { end: UnixNanos(1), ..Params::at(UnixNanos(0)) };
        let log = LogExpr { matchers: matchers.to_vec(), stages: Vec::new() };
        let plan = Plan::new(&Expr::Log(log), &params)?;
        Ok(Arc::clone(&plan.leaves()[0]))
    }

    /// How this leaf travels. The text of the query is made once per plan.
    pub fn origin(&self) -> Origin {
        let Source { expr, params, patterns, text } = &*self.source;
        Origin {
            query: Arc::clone(text.get_or_init(|| syntax::exact(expr).into())),
            params: params.clone(),
            leaf: self.number,
            range: self.range,
            shard: self.shard,
            of_streams: self.program.of_streams,
            patterns: Arc::clone(patterns),
        }
    }

    /// The same windows, functions and demands over fewer rows: those in `range` too, of the
    /// streams of `shard`.
    ///
    /// # Panics
    /// If this leaf has a shard already and `shard` is another.
    pub fn piece(&self, range: TimeRange, shard: Shard) -> Arc<Leaf> {
        assert!(shard.index < shard.of, "a shard is one of as many as there are");
        assert!(self.shard == Shard::WHOLE || self.shard == shard, "a shard is not sharded again");
        let from_ns = range.from_ns.max(self.range.from_ns);
        let to_ns = range.to_ns.min(self.range.to_ns).max(from_ns);
        let range = TimeRange { from_ns, to_ns };
        Arc::new(Leaf { range, shard, ..self.clone() })
    }

    /// Which streams.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// Ranges of at most `span_ns` that cover the leaf's, cut at multiples of `span_ns`, in the
    /// order in which their rows matter: a log query's newest or oldest first, as it asks. Not more
    /// than `most` (at least 2) of them: then they are longer.
    pub fn cut(&self, span_ns: i64, most: usize) -> Vec<TimeRange> {
        let TimeRange { from_ns, to_ns } = self.range;
        if from_ns >= to_ns {
            return Vec::new();
        }
        let length = i128::from(to_ns) - i128::from(from_ns);
        // Both ends may lie between two multiples: one more range than the quotient.
        let longest = length / (most.max(2) as i128 - 1) + 1;
        let fits = length / i128::from(span_ns.max(1)) + 2 <= most as i128;
        let span = if fits { i128::from(span_ns.max(1)) } else { longest.max(span_ns.into()) };
        let mut ranges = Vec::new();
        let mut from = i128::from(from_ns);
        while from < i128::from(to_ns) {
            let to = ((from.div_euclid(span) + 1) * span).min(to_ns.into());
            ranges.push(TimeRange { from_ns: from as i64, to_ns: to as i64 });
            from = to;
        }
        if self.direction() == Some(Direction::Backward) {
            ranges.reverse();
        }
        ranges
    }

    /// Whether a stream is selected.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.shard.holds(labels.key()) && self.program.selects(labels)
    }

    /// Whether stream matcher `index` accepts a value; a missing label is the empty text. With
    /// [`Leaf::holds`] the same as [`Leaf::selects`], once per distinct value.
    pub fn accepts(&self, index: usize, value: &str) -> bool {
        self.program.accepts(index, value)
    }

    /// Whether a stream is of the leaf's shard.
    pub fn holds(&self, stream: StreamKey) -> bool {
        self.shard.holds(stream)
    }

    /// The stream matchers.
    pub fn matchers(&self) -> &[Matcher] {
        &self.program.matchers
    }

    /// Rows that can matter.
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// Columns that are read by a worker without overlaps. A metadata column that is named here
    /// need not exist.
    pub fn needs(&self) -> Needs {
        self.program.needs.clone()
    }

    /// Columns that are read by a worker with these overlaps: a row hash covers the whole row.
    pub fn needs_with(&self, overlaps: &Overlaps) -> Needs {
        if overlaps.is_empty() {
            return self.needs();
        }
        Needs { line_bytes: true, lengths: true, metadata: None, pairs: false }
    }

    /// Whether every row of a selected stream in the range is a sample of one, or of the length of
    /// its line: then [`Worker::count_run`] takes in runs of rows that were not read.
    pub fn counts_rows(&self) -> bool {
        self.program.counts_rows()
    }

    /// The limit of a log query whose answer are the first rows, from this end of time, of all that
    /// its selector and its range take: none is dropped, none is equal to another but by its bytes.
    pub fn takes_first(&self) -> Option<(usize, Direction)> {
        self.program.takes_first()
    }

    /// Every line that counts contains one needle of each group (an AND of ORs), as stored.
    pub fn needles(&self) -> &[Vec<Needle>] {
        &self.program.needles
    }

    /// Text that lines hold because of filters on labels that parsers take out of them.
    pub fn label_needles(&self) -> &[LabelNeedles] {
        &self.program.label_needles
    }

    /// A worker for one thread. Rows inside `overlaps` are kept apart as rows (R2). Log queries
    /// need no overlaps: each of their candidates carries its row hash anyway.
    pub fn worker(self: &Arc<Self>, overlaps: Arc<Overlaps>) -> Worker {
        Worker::new(self, overlaps)
    }

    /// By how much the windows are shifted into the past.
    pub(super) fn offset_ns(&self) -> i64 {
        match &self.program.kind {
            LeafKind::Metric(metric) => metric.offset_ns,
            LeafKind::Log(_) => 0,
        }
    }

    /// Whether this leaf selects lines (a log query) rather than samples.
    pub fn is_log(&self) -> bool {
        matches!(self.program.kind, LeafKind::Log(_))
    }

    /// The end of time a log query starts from; `None` if this leaf selects samples.
    pub fn direction(&self) -> Option<Direction> {
        match &self.program.kind {
            LeafKind::Log(log) => Some(log.demand.direction),
            LeafKind::Metric(_) => None,
        }
    }

    /// The partial of no rows.
    pub fn empty(self: &Arc<Self>) -> Partial {
        Partial::default()
    }

    /// Whether a source can be left out because no stream of it is selected.
    pub fn selects_any(&self, source: &StreamSource) -> bool {
        source.streams.iter().any(|labels| self.selects(labels))
    }
}
