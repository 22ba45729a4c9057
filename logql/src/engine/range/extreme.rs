//! `min_over_time` and `max_over_time`: no number counts only where there is nothing else
//! (contract 7.3).
//!
//! Partial: the least or greatest value per pane; merging takes the better one.

use super::{Cell, Sample};

/// The least (or greatest, if `MAX`) value of a pane.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extreme<const MAX: bool>(pub Option<f64>);

impl<const MAX: bool> Extreme<MAX> {
    /// The value, if there is a sample.
    pub(crate) fn value(&self) -> Option<f64> {
        self.0
    }

    fn take(&mut self, value: f64) {
        self.0 = match self.0 {
            Some(known)
                if value.is_nan() || (MAX && known >= value) || (!MAX && known <= value) =>
            {
                Some(known)
            }
            _ => Some(value),
        };
    }
}

impl<const MAX: bool> Cell for Extreme<MAX> {
    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
    #[inline]
    fn add(&mut self, sample: Sample) {
        self.take(sample.value());
    }
    fn merge(&mut self, other: &Extreme<MAX>) {
        if let Some(value) = other.0 {
            self.take(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_counts_only_where_there_is_nothing_else() {
        let of = |values: &[f64]| {
            let mut least = Extreme::<false>::default();
            let mut greatest = Extreme::<true>::default();
            for &value in values {
                least.merge(&Extreme(Some(value)));
                greatest.merge(&Extreme(Some(value)));
            }
            (least.value(), greatest.value())
        };
        assert_eq!(of(&[]), (None, None));
        assert_eq!(of(&[2.0, f64::NAN, 1.0, 3.0]), (Some(1.0), Some(3.0)));
        assert_eq!(of(&[f64::NAN, 2.0]), (Some(2.0), Some(2.0)));
        assert!(of(&[f64::NAN]).0.is_some_and(f64::is_nan));
    }
}
