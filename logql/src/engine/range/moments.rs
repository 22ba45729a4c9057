//! `stdvar_over_time` and `stddev_over_time`: of the population (contract 7.3).
//!
//! Partial: number of samples, their sum and the sum of their squares per pane; merged by addition.
//! Both sums have twice a double's precision, so that the difference that the variance is does not
//! drown in rounding.

use super::sum::Exact;
use super::{Cell, Sample};

/// Samples of a pane, their sum and the sum of their squares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moments {
    pub samples: u64,
    pub sum: Exact,
    pub squares: Exact,
}

impl Moments {
    /// The variance, if there is a sample.
    pub(crate) fn variance(&self) -> Option<f64> {
        if self.samples == 0 {
            return None;
        }
        if !self.squares.high.is_finite() {
            return Some(f64::NAN);
        }
        // squares - count * mean^2, where the mean too is in two parts.
        let count = self.samples as f64;
        let mean = self.sum.high / count;
        let mean_low = (mean.mul_add(-count, self.sum.high) + self.sum.low) / count;
        let mut deviation = self.squares;
        deviation.add(scaled(Exact::square(mean), -count));
        deviation.add(Exact::of(-2.0 * count * mean * mean_low));
        // What is left of equal values is less than both sums can tell.
        let told = deviation.high > self.squares.high * 2f64.powi(-100);
        Some(if told { deviation.high / count } else { 0.0 })
    }
}

/// `value * factor` without loss of more than the last bits of the lower half.
fn scaled(value: Exact, factor: f64) -> Exact {
    let high = value.high * factor;
    let lost = value.high.mul_add(factor, -high);
    Exact { high, low: value.low.mul_add(factor, lost) }
}

impl Cell for Moments {
    fn is_empty(&self) -> bool {
        self.samples == 0
    }
    #[inline]
    fn add(&mut self, sample: Sample) {
        let value = sample.value();
        self.samples += 1;
        self.sum.add(Exact::of(value));
        self.squares.add(Exact::square(value));
    }
    fn merge(&mut self, other: &Moments) {
        self.samples += other.samples;
        self.sum.add(other.sum);
        self.squares.add(other.squares);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variance(values: &[f64]) -> Option<f64> {
        let mut cell = Moments::default();
        for (row, value) in (0..).zip(values) {
            let bits = value.to_bits();
            cell.add(Sample { bits, ts_ns: 0, stream: 0, order: 0, row });
        }
        cell.variance()
    }

    #[test]
    fn the_variance_is_that_of_the_population() {
        assert_eq!(variance(&[]), None);
        assert_eq!(variance(&[7.5]), Some(0.0));
        assert_eq!(variance(&[1.0, 2.0, 3.0, 4.0]), Some(1.25));
        assert!(variance(&[1.0, f64::INFINITY]).is_some_and(f64::is_nan));
        assert!(variance(&[1.0, f64::NAN]).is_some_and(f64::is_nan));
    }

    #[test]
    fn large_values_that_differ_little_keep_their_variance() {
        let base = 1_700_000_000_000.0;
        assert_eq!(variance(&[base, base + 1.0, base + 2.0, base + 3.0]), Some(1.25));
        assert_eq!(variance(&[0.1; 9]), Some(0.0));
    }
}
