//! `count_over_time`, `rate` of lines and `absent_over_time`: every line, or every line that has
//! the value, is one sample (contract 7.3).
//!
//! Partial: samples per pane; merged by addition. `rate` divides by the range in seconds at the
//! end; `absent_over_time` answers 1 for windows without samples, of which it has one series.

use super::panes::Invertible;
use super::{Cell, Sample};

/// Samples of a pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count(pub u64);

impl Cell for Count {
    fn is_empty(&self) -> bool {
        self.0 == 0
    }
    #[inline]
    fn add(&mut self, _sample: Sample) {
        self.0 += 1;
    }
    fn merge(&mut self, other: &Count) {
        self.0 += other.0;
    }
}

impl Invertible for Count {
    fn less(&self, earlier: &Count) -> Count {
        Count(self.0 - earlier.0)
    }
}
