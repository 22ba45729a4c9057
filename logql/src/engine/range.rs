//! Range functions: what a series keeps per pane and what a window makes of it (contract 7.3).
//!
//! One file per family below `range/`. A family's cell is what samples of one pane leave behind;
//! cells merge in any order, so partials do. [`Function`] says which family a query's function is
//! of and what it makes of a window's cell; [`Series`] is what one series keeps.

pub(crate) mod bytes;
pub(crate) mod count;
pub(crate) mod edge;
pub(crate) mod extreme;
pub(crate) mod moments;
pub(crate) mod panes;
pub(crate) mod points;
pub(crate) mod quantile;
pub(crate) mod sum;
pub(crate) mod volume;

use super::windows::Windows;
use crate::plan::Volume;
use crate::syntax::{RangeAggregation, RangeOp};

use bytes::Bytes;
use count::Count;
use edge::Edge;
use extreme::Extreme;
use moments::Moments;
use panes::Panes;
use points::Points;
use quantile::Multiset;
use sum::Sum;

/// One sample, and where it stands among the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// 1, the length of the line, or the bits of a value: as [`Measured`] says.
    pub bits: u64,
    pub ts_ns: i64,
    /// Key of the stream.
    pub stream: u64,
    /// Arrival: source, then row.
    pub order: u64,
    pub row: u64,
}

impl Sample {
    /// The value of a sample that has one.
    pub(crate) fn value(self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// Position in time; samples of one instant by stream and arrival, so that it is total.
    pub(crate) fn position(&self) -> (i64, u64, u64, u64) {
        (self.ts_ns, self.stream, self.order, self.row)
    }
}

/// What samples of one pane leave behind.
pub(crate) trait Cell: Clone + Default + std::fmt::Debug {
    /// Whether it has no sample.
    fn is_empty(&self) -> bool;
    /// Takes in one more sample.
    fn add(&mut self, sample: Sample);
    /// Takes in what other samples of the pane left.
    fn merge(&mut self, other: &Self);
    /// Memory it holds besides itself, bytes.
    fn memory_bytes(&self) -> usize {
        0
    }
}

/// What a row's sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measured {
    /// 1.
    Line,
    /// Bytes of the line.
    Length,
    /// Bytes of the line, and [`volume::PAIR_BYTES`] for each pair of metadata of the row.
    Stored,
    /// What `unwrap` read.
    Value,
}

/// What is made of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Count,
    Absent,
    Bytes,
    Volume,
    Sum,
    Avg,
    Variance,
    Deviation,
    Min,
    Max,
    First,
    Last,
    Quantile(f64),
    RateCounter,
}

/// A range function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Function {
    kind: Kind,
    /// What rows give it.
    pub measured: Measured,
    /// Divide by the range.
    rate: bool,
    /// The range in seconds.
    seconds: f64,
}

impl Function {
    /// The function of an aggregation.
    pub(crate) fn of(aggregation: &RangeAggregation) -> Function {
        let RangeAggregation { op, parameter, range, .. } = *aggregation;
        let unwrapped = aggregation.unwrap.is_some();
        let (kind, rate) = match op {
            RangeOp::CountOverTime => (Kind::Count, false),
            RangeOp::Rate if unwrapped => (Kind::Sum, true),
            RangeOp::Rate => (Kind::Count, true),
            RangeOp::RateCounter => (Kind::RateCounter, false),
            RangeOp::BytesOverTime => (Kind::Bytes, false),
            RangeOp::BytesRate => (Kind::Bytes, true),
            RangeOp::AvgOverTime => (Kind::Avg, false),
            RangeOp::SumOverTime => (Kind::Sum, false),
            RangeOp::MinOverTime => (Kind::Min, false),
            RangeOp::MaxOverTime => (Kind::Max, false),
            RangeOp::StdvarOverTime => (Kind::Variance, false),
            RangeOp::StddevOverTime => (Kind::Deviation, false),
            RangeOp::QuantileOverTime => (Kind::Quantile(parameter.unwrap_or(0.0)), false),
            RangeOp::FirstOverTime => (Kind::First, false),
            RangeOp::LastOverTime => (Kind::Last, false),
            RangeOp::AbsentOverTime => (Kind::Absent, false),
        };
        let measured = match kind {
            Kind::Count | Kind::Absent => Measured::Line,
            Kind::Bytes => Measured::Length,
            Kind::Volume => Measured::Stored,
            _ => Measured::Value,
        };
        // As Go's `Duration.Seconds`: whole seconds plus the rest.
        let seconds = range.as_secs() as f64 + f64::from(range.subsec_nanos()) / 1e9;
        Function { kind, measured, rate, seconds }
    }

    /// `bytes_over_time` of what rows take with their metadata, and of when they are.
    pub(crate) fn volume(self) -> Function {
        assert_eq!(self.kind, Kind::Bytes, "volumes are bytes");
        Function { kind: Kind::Volume, measured: Measured::Stored, ..self }
    }

    /// Whether the sum over series is the function of all their samples together.
    pub(crate) fn is_additive(self) -> bool {
        matches!(self.kind, Kind::Count | Kind::Bytes | Kind::Sum)
    }

    /// Whether it answers where there is no sample.
    pub(crate) fn is_absent(self) -> bool {
        self.kind == Kind::Absent
    }

    /// A series without samples.
    pub(crate) fn start(self) -> Series {
        match self.kind {
            Kind::Count | Kind::Absent => Series::Count(Panes::default()),
            Kind::Bytes => Series::Bytes(Panes::default()),
            Kind::Volume => Series::Volume(Panes::default()),
            Kind::Sum | Kind::Avg => Series::Sum(Panes::default()),
            Kind::Variance | Kind::Deviation => Series::Moments(Panes::default()),
            Kind::Min => Series::Min(Panes::default()),
            Kind::Max => Series::Max(Panes::default()),
            Kind::First => Series::First(Panes::default()),
            Kind::Last => Series::Last(Panes::default()),
            Kind::Quantile(_) => Series::Multiset(Panes::default()),
            Kind::RateCounter => Series::Points(Panes::default()),
        }
    }

    /// Most bytes of a cell, if it has a most.
    pub(crate) fn cell_bytes(self) -> Option<usize> {
        let varies = matches!(self.kind, Kind::Quantile(_) | Kind::RateCounter);
        (!varies).then_some(size_of::<Edge<false>>())
    }

    fn per_second(self, value: f64) -> f64 {
        if self.rate { value / self.seconds } else { value }
    }
}

/// What one series keeps.
#[derive(Clone, Debug)]
pub(crate) enum Series {
    Count(Panes<Count>),
    Bytes(Panes<Bytes>),
    Volume(Panes<Volume>),
    Sum(Panes<Sum>),
    Moments(Panes<Moments>),
    Min(Panes<Extreme<false>>),
    Max(Panes<Extreme<true>>),
    First(Panes<Edge<false>>),
    Last(Panes<Edge<true>>),
    Multiset(Panes<Multiset>),
    Points(Panes<Points>),
}

/// Does the same with the cells of whatever family.
macro_rules! with_cells {
    ($series:expr, $cells:ident => $body:expr) => {
        match $series {
            Series::Count($cells) => $body,
            Series::Bytes($cells) => $body,
            Series::Volume($cells) => $body,
            Series::Sum($cells) => $body,
            Series::Moments($cells) => $body,
            Series::Min($cells) => $body,
            Series::Max($cells) => $body,
            Series::First($cells) => $body,
            Series::Last($cells) => $body,
            Series::Multiset($cells) => $body,
            Series::Points($cells) => $body,
        }
    };
}

impl Series {
    /// Adds a sample to a pane.
    #[inline]
    pub(crate) fn add(&mut self, pane: usize, panes: usize, sample: Sample) {
        with_cells!(self, cells => cells.cell(pane, panes).add(sample));
    }

    /// Adds rows that only count, of which their bytes matter, or their instants too.
    #[inline]
    pub(crate) fn add_rows(&mut self, pane: usize, panes: usize, rows: Volume) {
        let Volume { lines, bytes, .. } = rows;
        match self {
            Series::Count(cells) => cells.cell(pane, panes).0 += lines,
            Series::Bytes(cells) => cells.cell(pane, panes).merge(&Bytes { lines, bytes }),
            Series::Volume(cells) => cells.cell(pane, panes).merge(&rows),
            _ => unreachable!("other samples are added row by row"),
        }
    }

    /// Takes in another part of the same series.
    pub(crate) fn merge(&mut self, other: &Series, panes: usize) {
        match (self, other) {
            (Series::Count(own), Series::Count(other)) => own.merge(other, panes),
            (Series::Bytes(own), Series::Bytes(other)) => own.merge(other, panes),
            (Series::Volume(own), Series::Volume(other)) => own.merge(other, panes),
            (Series::Sum(own), Series::Sum(other)) => own.merge(other, panes),
            (Series::Moments(own), Series::Moments(other)) => own.merge(other, panes),
            (Series::Min(own), Series::Min(other)) => own.merge(other, panes),
            (Series::Max(own), Series::Max(other)) => own.merge(other, panes),
            (Series::First(own), Series::First(other)) => own.merge(other, panes),
            (Series::Last(own), Series::Last(other)) => own.merge(other, panes),
            (Series::Multiset(own), Series::Multiset(other)) => own.merge(other, panes),
            (Series::Points(own), Series::Points(other)) => own.merge(other, panes),
            _ => unreachable!("partials of one leaf have one function"),
        }
    }

    /// The value of each window.
    pub(crate) fn values(&self, windows: &Windows, function: Function) -> Vec<Option<f64>> {
        let rate = |value: f64| function.per_second(value);
        match self {
            Series::Count(cells) if function.is_absent() => {
                cells.running(windows, |cell| (cell.0 == 0).then_some(1.0))
            }
            Series::Count(cells) => {
                cells.running(windows, |cell| (cell.0 > 0).then(|| rate(cell.0 as f64)))
            }
            Series::Bytes(cells) => {
                cells.running(windows, |cell| (cell.lines > 0).then(|| rate(cell.bytes as f64)))
            }
            Series::Volume(cells) => {
                cells.sliding(windows, |cell| (cell.lines > 0).then_some(cell.bytes as f64))
            }
            Series::Sum(cells) if function.kind == Kind::Avg => {
                cells.sliding(windows, Sum::average)
            }
            Series::Sum(cells) => cells.sliding(windows, |cell| cell.total().map(rate)),
            Series::Moments(cells) if function.kind == Kind::Deviation => {
                cells.sliding(windows, |cell| cell.variance().map(f64::sqrt))
            }
            Series::Moments(cells) => cells.sliding(windows, Moments::variance),
            Series::Min(cells) => cells.sliding(windows, Extreme::value),
            Series::Max(cells) => cells.sliding(windows, Extreme::value),
            Series::First(cells) => cells.sliding(windows, Edge::value),
            Series::Last(cells) => cells.sliding(windows, Edge::value),
            Series::Multiset(cells) => {
                let Kind::Quantile(q) = function.kind else {
                    unreachable!("multisets are kept for quantiles")
                };
                quantile::values(cells, windows, q)
            }
            Series::Points(cells) => points::rates(cells, windows, function.seconds),
        }
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        with_cells!(self, cells => cells.memory_bytes())
    }
}
