//! How many lines and bytes streams have: what the index endpoints answer from.
//!
//! A volume is `bytes_over_time` whose series are told apart by labels of streams alone: structured
//! metadata, which may be renamed by them, has no part in it. So every run of rows is counted from
//! its directory entry where no other source and no end of a bucket cuts it, and volumes are exact.

use std::sync::Arc;
use std::time::Duration;

use base::{Labels, UnixNanos};

use super::leaf::LeafKind;
use super::{Leaf, Params, Plan, QueryError, TimeRange};
use crate::engine::Partial;
use crate::engine::partial::Held;
use crate::syntax::{
    self, Expr, Grouping, LogExpr, Matcher, MetricExpr, RangeAggregation, RangeOp,
    VectorAggregation, VectorOp,
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
    /// The labels by which streams must be told apart; `None` = by all. They may be by more.
    pub by: Option<Vec<String>>,
    /// Line patterns (`|>`) by which rows are told apart, instead of labels: a series has the labels
    /// [`MATCHED`], the numbers of all patterns that its rows match with commas between, and
    /// [`LEVEL`]. Rows that match none are left out. None = by labels.
    pub patterns: Arc<[String]>,
    /// Rows with `from_ns <= ts < to_ns`.
    pub range: TimeRange,
    /// Buckets end at multiples of this, counted since 1970, and at the end of the range; 0 = the
    /// range is one bucket. Whole milliseconds.
    pub step_ns: i64,
    /// See [`Params::max_memory_bytes`].
    pub max_memory_bytes: u64,
}

/// Rows of some streams in a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// How many.
    pub lines: u64,
    /// Bytes of their lines.
    pub bytes: u64,
}

/// A plan for volumes: one leaf, and buckets.
#[derive(Debug)]
pub struct VolumesPlan {
    leaf: Arc<Leaf>,
    bucket_ends: Vec<i64>,
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
                let first = end_of_bucket(from_ns, step);
                let last = end_of_bucket(to_ns.saturating_sub(1).max(from_ns), step);
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
        let bucket_ends = evaluations.map(|at| at.saturating_add(1).min(to_ns)).collect();
        Ok(VolumesPlan { leaf, bucket_ends })
    }

    /// The leaf, to be fed with all rows it selects.
    pub fn leaf(&self) -> &Arc<Leaf> {
        &self.leaf
    }

    /// One past the last instant of each bucket, ascending.
    pub fn bucket_ends(&self) -> &[i64] {
        &self.bucket_ends
    }

    /// The volume of each series in each bucket; series without rows are left out. In no order.
    ///
    /// # Panics
    /// If `partial` is not of this plan's leaf.
    pub fn finish(&self, partial: Partial) -> Vec<(Labels, Vec<Volume>)> {
        let LeafKind::Metric(_) = &self.leaf.program.kind else { panic!("volumes are samples") };
        match partial.held {
            Held::Samples(samples) => samples.volumes(),
            Held::Nothing => Vec::new(),
            Held::Entries(_) => panic!("a metric leaf gathers samples"),
        }
    }
}

/// The end of the bucket that `at_ns` lies in.
fn end_of_bucket(at_ns: i64, step_ns: i64) -> i64 {
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
    let told_by = [MATCHED, LEVEL].map(str::to_owned).to_vec();
    let labels = match &asked.by {
        _ if !asked.patterns.is_empty() => &told_by,
        Some(labels) => labels,
        None => return Expr::Metric(range),
    };
    let sum = Expr::Metric(MetricExpr::Vector(VectorAggregation {
        op: VectorOp::Sum,
        parameter: None,
        grouping: Some(Grouping { without: false, labels: labels.clone() }),
        inner: Box::new(range.clone()),
    }));
    // Not every text is a name in a query: what cannot be written cannot travel.
    match syntax::parse_exact_of_any(&syntax::exact(&sum)) {
        Ok(read) if read == sum => sum,
        _ => Expr::Metric(range),
    }
}

#[cfg(test)]
mod tests;
