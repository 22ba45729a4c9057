//! How many rows and bytes streams have, and when: what the index endpoints answer from.
//!
//! A volume is `bytes_over_time` whose series are streams: structured metadata, which may be renamed
//! by them, only adds to the bytes. So every run of rows is counted from its directory entry where
//! no other source and no end of a window cuts it, and volumes are exact.

use std::sync::Arc;
use std::time::Duration;

use base::{Labels, UnixNanos};

use super::leaf::LeafKind;
use super::{Leaf, Params, Plan, QueryError, TimeRange};
use crate::engine::Partial;
use crate::engine::partial::Held;
use crate::syntax::{
    Expr, Grouping, LogExpr, Matcher, MetricExpr, RangeAggregation, RangeOp, VectorAggregation,
    VectorOp,
};

const MS: i64 = 1_000_000;

/// The label that says which patterns rows match.
pub const MATCHED: &str = "__matched__";
/// The label, or structured metadata, that says how grave rows are.
pub const LEVEL: &str = "detected_level";

/// Whose volume, and how it is divided.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumesOf {
    /// Which streams; none = all.
    pub matchers: Vec<Matcher>,
    /// Line patterns (`|>`) by which rows are told apart, instead of streams: a series has the labels
    /// [`MATCHED`], the numbers of all patterns that its rows match with commas between, and
    /// [`LEVEL`]. Rows that match none are left out. None = by streams.
    pub patterns: Arc<[String]>,
    /// Rows with `from_ns <= ts < to_ns`.
    pub range: TimeRange,
    /// Windows end at multiples of this, counted since 1970, and at the end of the range; 0 = the
    /// range is one window. Whole milliseconds.
    pub step_ns: i64,
    /// See [`Params::max_memory_bytes`].
    pub max_memory_bytes: u64,
}

/// Rows in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// How many.
    pub lines: u64,
    /// Bytes of their lines, and 8 for each pair of their metadata. By patterns: of lines alone.
    pub bytes: u64,
    /// The oldest, nanoseconds. By patterns: not known, and after the newest.
    pub oldest_ns: i64,
    /// The newest, nanoseconds.
    pub newest_ns: i64,
}

impl Default for Volume {
    fn default() -> Volume {
        Volume { lines: 0, bytes: 0, oldest_ns: i64::MAX, newest_ns: i64::MIN }
    }
}

/// A plan for volumes: one leaf, and windows.
#[derive(Debug)]
pub struct VolumesPlan {
    leaf: Arc<Leaf>,
    window_ends: Vec<i64>,
}

impl VolumesPlan {
    /// Plans `asked`. Its step must leave no more buckets than a query may have evaluations.
    pub fn new(asked: &VolumesOf) -> Result<VolumesPlan, QueryError> {
        let TimeRange { from_ns, to_ns } = asked.range;
        assert!(asked.step_ns % MS == 0, "steps are whole milliseconds");
        // The leaf is cut to the range, so that a window may reach further back: the text of a
        // query has no shorter ranges than milliseconds.
        let length_ns = to_ns.saturating_sub(from_ns).saturating_add(MS) / MS * MS;
        // A window ends with the last instant before a multiple: `(t - step, t]`.
        let (range_ns, step_ns, first, last) = match asked.step_ns {
            0 => (length_ns.max(MS), 0, to_ns.saturating_sub(1), to_ns.saturating_sub(1)),
            step => {
                let first = end_of_window(from_ns, step);
                let last = end_of_window(to_ns.saturating_sub(1).max(from_ns), step);
                (step, step, first.saturating_sub(1), last.saturating_sub(1))
            }
        };
        let params = Params {
            start: UnixNanos(first),
            end: UnixNanos(last),
            step_ns,
            max_memory_bytes: asked.max_memory_bytes,
            ..Params::at(UnixNanos(to_ns))
        };
        let plan = match asked.patterns.is_empty() {
            true => Plan::of_streams(&expression(asked, range_ns), &params)?,
            false => Plan::by_patterns(&expression(asked, range_ns), &params, &asked.patterns)?,
        };
        let leaf = plan.leaves()[0].piece(asked.range, super::Shard::WHOLE);
        let evaluations = crate::engine::windows::evaluations(&params);
        let window_ends = evaluations.map(|at| at.saturating_add(1).min(to_ns)).collect();
        Ok(VolumesPlan { leaf, window_ends })
    }

    /// The leaf, to be fed with all rows it selects.
    pub fn leaf(&self) -> &Arc<Leaf> {
        &self.leaf
    }

    /// One past the last instant of each window, ascending.
    pub fn window_ends(&self) -> &[i64] {
        &self.window_ends
    }

    /// The volume of each series in each window in which it has rows: index of the window,
    /// ascending, and volume. Series in no order.
    ///
    /// # Panics
    /// If `partial` is not of this plan's leaf.
    pub fn finish(&self, partial: Partial) -> Vec<(Labels, Vec<(u32, Volume)>)> {
        let LeafKind::Metric(_) = &self.leaf.program.kind else { panic!("volumes are samples") };
        match partial.held {
            Held::Samples(samples) => samples.volumes(),
            Held::Nothing => Vec::new(),
            Held::Entries(_) => panic!("a metric leaf gathers samples"),
        }
    }
}

/// The end of the window that `at_ns` lies in.
fn end_of_window(at_ns: i64, step_ns: i64) -> i64 {
    let end = (i128::from(at_ns).div_euclid(i128::from(step_ns)) + 1) * i128::from(step_ns);
    end.min(i64::MAX.into()) as i64
}

fn expression(asked: &VolumesOf, range_ns: i64) -> Expr {
    let range = MetricExpr::Range(RangeAggregation {
        op: RangeOp::BytesOverTime,
        parameter: None,
        log: LogExpr { matchers: asked.matchers.clone(), stages: Vec::new() },
        unwrap: None,
        range: Duration::from_nanos(range_ns.max(1) as u64),
        offset_ns: 0,
        grouping: None,
    });
    if asked.patterns.is_empty() {
        return Expr::Metric(range);
    }
    let labels = [MATCHED, LEVEL].map(str::to_owned).to_vec();
    Expr::Metric(MetricExpr::Vector(VectorAggregation {
        op: VectorOp::Sum,
        parameter: None,
        grouping: Some(Grouping { without: false, labels }),
        inner: Box::new(range),
    }))
}

#[cfg(test)]
mod tests;
