//! `sum_over_time`, `avg_over_time` and `rate` of values (contract 7.3).
//!
//! Partial: number of samples and their sum per pane; merged by addition. The sum is kept in two
//! doubles, so that what is rounded away does not depend on how samples were cut and ordered.

use super::{Cell, Sample};

/// A sum in twice the precision of a double: `high + low`, where `high` is the sum rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Exact {
    pub high: f64,
    pub low: f64,
}

/// `a + b` and what rounding it loses (Knuth).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

impl Exact {
    /// A single value.
    pub(crate) fn of(value: f64) -> Exact {
        Exact { high: value, low: 0.0 }
    }

    /// The square of a value.
    pub(crate) fn square(value: f64) -> Exact {
        let high = value * value;
        let low = value.mul_add(value, -high);
        Exact { high, low: if low.is_finite() { low } else { 0.0 } }
    }

    /// Adds another sum. What is infinite or no number stays so, as in a plain sum.
    #[inline]
    pub(crate) fn add(&mut self, other: Exact) {
        let (sum, lost) = two_sum(self.high, other.high);
        if !sum.is_finite() {
            *self = Exact { high: sum, low: 0.0 };
            return;
        }
        let (low, lost_low) = two_sum(self.low, other.low);
        let (sum, lost) = two_sum(sum, lost + low);
        let (high, low) = two_sum(sum, lost + lost_low);
        *self = Exact { high, low };
    }
}

/// Samples of a pane and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    pub samples: u64,
    pub sum: Exact,
}

impl Sum {
    /// The sum, if there is a sample.
    pub(crate) fn total(&self) -> Option<f64> {
        (self.samples > 0).then_some(self.sum.high)
    }

    /// The mean, if there is a sample.
    pub(crate) fn average(&self) -> Option<f64> {
        self.total().map(|total| total / self.samples as f64)
    }
}

impl Cell for Sum {
    fn is_empty(&self) -> bool {
        self.samples == 0
    }
    #[inline]
    fn add(&mut self, sample: Sample) {
        self.samples += 1;
        self.sum.add(Exact::of(sample.value()));
    }
    fn merge(&mut self, other: &Sum) {
        self.samples += other.samples;
        self.sum.add(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sum_does_not_depend_on_the_order(
            values in prop::collection::vec(-1e15f64..1e15, 0..60),
            cut in 0usize..60,
        ) {
            let add = |values: &[f64]| {
                let mut sum = Exact::default();
                values.iter().for_each(|&value| sum.add(Exact::of(value)));
                sum
            };
            let whole = add(&values);
            let (first, second) = values.split_at(cut.min(values.len()));
            let mut parts = add(second);
            parts.add(add(first));
            prop_assert_eq!(parts.high, whole.high);
        }
    }

    #[test]
    fn cancelled_digits_come_back_and_infinities_stay() {
        let add = |values: &[f64]| {
            let mut sum = Exact::default();
            values.iter().for_each(|&value| sum.add(Exact::of(value)));
            sum.high
        };
        assert_eq!(add(&[1e16, 1.0, -1e16]), 1.0);
        assert_eq!(add(&[0.1; 10]), 1.0);
        assert_eq!(add(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(add(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(add(&[f64::NAN, 1.0]).is_nan());
    }
}
