//! `rate_counter`: the rate of a counter, with its resets (contract 7.3).
//!
//! Partial: all samples with their positions, per pane; merging joins them. The increase of a window
//! is what the counter went up between its samples, extrapolated to the window's length the way
//! Prometheus does it for `rate`.

use super::panes::Panes;
use super::{Cell, Sample};
use crate::engine::windows::Windows;

/// The samples of a pane, in any order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Points(pub Vec<Sample>);

impl Cell for Points {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    #[inline]
    fn add(&mut self, sample: Sample) {
        self.0.push(sample);
    }
    fn merge(&mut self, other: &Points) {
        self.0.extend_from_slice(&other.0);
    }
    fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Sample>()
    }
}

/// The rate of each window of `seconds`.
pub(crate) fn rates(cells: &Panes<Points>, windows: &Windows, seconds: f64) -> Vec<Option<f64>> {
    let mut points: Vec<(u32, Sample)> = Vec::new();
    for (pane, cell) in cells.present() {
        let from = points.len();
        points.extend(cell.0.iter().map(|&sample| (pane, sample)));
        points[from..].sort_unstable_by_key(|(_, sample)| sample.position());
    }
    // What the counter had reached at resets up to each point.
    let mut lost = Vec::with_capacity(points.len());
    let (mut total, mut last) = (0.0, 0.0);
    for (_, sample) in &points {
        let value = sample.value();
        if value < last {
            total += last;
        }
        last = value;
        lost.push(total);
    }
    let rate = |&(from, to): &(u32, u32)| {
        let first = points.partition_point(|point| point.0 < from);
        let end = points.partition_point(|point| point.0 < to);
        let last = end.checked_sub(1).filter(|&last| last >= first)?;
        let increase = lost[last] - lost[first] + points[last].1.value() - points[first].1.value();
        let (begins, _) = windows.bounds_of(from as usize);
        let (_, ends) = windows.bounds_of(to as usize - 1);
        let (earliest, latest) = (points[first].1, points[last].1);
        let span = Span {
            start: earliest.value(),
            increase,
            samples: end - first,
            length: seconds_between(earliest.ts_ns, latest.ts_ns),
            before: seconds_between(begins, earliest.ts_ns),
            after: seconds_between(latest.ts_ns, ends),
        };
        Some(span.rate(seconds))
    };
    windows.spans().iter().map(rate).collect()
}

fn seconds_between(from_ns: i64, to_ns: i64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e9
}

/// Samples of one window; times in seconds.
struct Span {
    /// Value of the first.
    start: f64,
    /// By how much the counter went up.
    increase: f64,
    samples: usize,
    /// From the first to the last.
    length: f64,
    /// From the beginning of the window to the first.
    before: f64,
    /// From the last to the end of the window.
    after: f64,
}

impl Span {
    fn rate(&self, seconds: f64) -> f64 {
        if self.samples < 2 {
            return 0.0;
        }
        let between = self.length / (self.samples - 1) as f64;
        let mut before = self.before;
        if self.increase > 0.0 && self.start >= 0.0 {
            // A counter was not below zero.
            before = before.min(self.length * (self.start / self.increase));
        }
        // The window is covered to its end if that is as near as another sample would be.
        let reach = |gap: f64| if gap < between * 1.1 { gap } else { between / 2.0 };
        let covered = self.length + reach(before) + reach(self.after);
        self.increase * (covered / self.length) / seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(points: &[(i64, f64)]) -> Option<f64> {
        let windows = Windows::new(&crate::engine::tests::params(100, 100, 0), 100, 0);
        let mut cells = Panes::<Points>::default();
        for &(second, value) in points.iter().rev() {
            let bits = value.to_bits();
            cells.cell(0, 1).add(Sample { bits, ts_ns: second, stream: 0, order: 0, row: 0 });
        }
        // A nanosecond stands for a second: rates are per range.
        rates(&cells, &windows, 1.0)[0].map(|rate| rate.round())
    }

    #[test]
    fn increases_are_extrapolated_to_the_window() {
        assert_eq!(rate(&[]), None);
        assert_eq!(rate(&[(50, 7.0)]), Some(0.0));
        let even: Vec<(i64, f64)> = (1..=10).map(|n| (n * 10, 100.0 + n as f64 * 10.0)).collect();
        assert_eq!(rate(&even), Some(100.0));
        assert_eq!(rate(&[(40, 100.0), (50, 110.0), (60, 120.0)]), Some(30.0), "half a step");
        assert_eq!(rate(&[(10, 1.0), (60, 51.0), (100, 91.0)]), Some(91.0), "not below zero");
    }

    #[test]
    fn a_reset_counts_from_zero() {
        assert_eq!(rate(&[(40, 100.0), (50, 110.0), (60, 5.0)]), Some(22.0));
    }
}
