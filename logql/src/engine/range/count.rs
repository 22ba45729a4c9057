//! `count_over_time` and `rate` of lines: every line is one sample (contract 7.3).
//!
//! Partial: lines per pane; merged by addition. `rate` divides by the range in seconds at the end.

use super::Cell;

/// Lines of a pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count(pub u64);

impl Cell for Count {
    #[inline]
    fn add(&mut self, sample: u64) {
        self.0 += sample;
    }
    fn merge(&mut self, other: &Count) {
        self.0 += other.0;
    }
    fn less(&self, earlier: &Count) -> Count {
        Count(self.0 - earlier.0)
    }
    fn value(&self, per_seconds: Option<f64>) -> Option<f64> {
        let count = self.0 as f64;
        (self.0 > 0).then(|| per_seconds.map_or(count, |seconds| count / seconds))
    }
}
