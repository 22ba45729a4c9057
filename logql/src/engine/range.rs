//! Range functions: what a series keeps per pane and what a window makes of it.
//!
//! One file per family below `range/`. A family's cell is what rows of one pane leave behind; cells
//! merge in any order, so partials do.

pub(crate) mod bytes;
pub(crate) mod count;
pub(crate) mod panes;

use crate::syntax::RangeOp;

use bytes::Bytes;
use count::Count;
use panes::Panes;

/// What rows leave behind in a pane.
pub(crate) trait Cell: Copy + Default + PartialEq + std::fmt::Debug {
    /// Takes in one more row with this sample.
    fn add(&mut self, sample: u64);
    /// Takes in what other rows of the pane left.
    fn merge(&mut self, other: &Self);
    /// What is left when `earlier`, the sum of the panes before a window, is taken away.
    fn less(&self, earlier: &Self) -> Self;
    /// The value of a window, if it has a sample.
    fn value(&self, per_seconds: Option<f64>) -> Option<f64>;
}

/// A range function that is executed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Function {
    /// Bytes of lines rather than lines.
    pub bytes: bool,
    /// Divide by this: the range in seconds.
    pub per_seconds: Option<f64>,
}

impl Function {
    /// The function of `op`, if it is executed.
    pub(crate) fn new(op: RangeOp, range: std::time::Duration) -> Option<Function> {
        let (bytes, rate) = match op {
            RangeOp::CountOverTime => (false, false),
            RangeOp::Rate => (false, true),
            RangeOp::BytesOverTime => (true, false),
            RangeOp::BytesRate => (true, true),
            _ => return None,
        };
        // As Go's `Duration.Seconds`: whole seconds plus the rest.
        let seconds = range.as_secs() as f64 + f64::from(range.subsec_nanos()) / 1e9;
        Some(Function { bytes, per_seconds: rate.then_some(seconds) })
    }

    /// A series without samples.
    pub(crate) fn start(self) -> Series {
        if self.bytes { Series::Bytes(Panes::default()) } else { Series::Count(Panes::default()) }
    }
}

/// What one series keeps.
#[derive(Clone, Debug)]
pub(crate) enum Series {
    Count(Panes<Count>),
    Bytes(Panes<Bytes>),
}

impl Series {
    /// Adds a row with this sample to a pane.
    #[inline]
    pub(crate) fn add(&mut self, pane: usize, panes: usize, sample: u64) {
        match self {
            Series::Count(cells) => cells.cell(pane, panes).add(sample),
            Series::Bytes(cells) => cells.cell(pane, panes).add(sample),
        }
    }

    /// Adds `rows` rows that only count.
    #[inline]
    pub(crate) fn add_rows(&mut self, pane: usize, panes: usize, rows: u64) {
        match self {
            Series::Count(cells) => cells.cell(pane, panes).0 += rows,
            Series::Bytes(_) => unreachable!("lengths are added row by row"),
        }
    }

    /// Takes in another part of the same series.
    pub(crate) fn merge(&mut self, other: &Series, panes: usize) {
        match (self, other) {
            (Series::Count(own), Series::Count(other)) => own.merge(other, panes),
            (Series::Bytes(own), Series::Bytes(other)) => own.merge(other, panes),
            _ => unreachable!("partials of one leaf have one function"),
        }
    }

    /// The value of each window.
    pub(crate) fn values(
        &self,
        windows: &super::windows::Windows,
        function: Function,
    ) -> Vec<Option<f64>> {
        match self {
            Series::Count(cells) => cells.values(windows, function.per_seconds),
            Series::Bytes(cells) => cells.values(windows, function.per_seconds),
        }
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Series::Count(cells) => cells.memory_bytes(),
            Series::Bytes(cells) => cells.memory_bytes(),
        }
    }
}
