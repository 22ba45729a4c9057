//! `first_over_time` and `last_over_time`: the value of the first or last sample (contract 7.3).
//!
//! Partial: the sample that stands first or last in its pane, with its position in time; merging
//! takes the one further out. Samples of one instant stand in order of stream and arrival.

use super::{Cell, Sample};

/// The first (or last, if `LAST`) sample of a pane.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Edge<const LAST: bool>(pub Option<Sample>);

impl<const LAST: bool> Edge<LAST> {
    /// Its value, if there is a sample.
    pub(crate) fn value(&self) -> Option<f64> {
        self.0.map(Sample::value)
    }
}

impl<const LAST: bool> Cell for Edge<LAST> {
    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
    #[inline]
    fn add(&mut self, sample: Sample) {
        let better = |known: Sample| {
            if LAST {
                sample.position() > known.position()
            } else {
                sample.position() < known.position()
            }
        };
        if self.0.is_none_or(better) {
            self.0 = Some(sample);
        }
    }
    fn merge(&mut self, other: &Edge<LAST>) {
        if let Some(sample) = other.0 {
            self.add(sample);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_sample_stays_whatever_comes_first() {
        let sample = |ts_ns: i64, row: u64| {
            let bits = (row as f64).to_bits();
            Sample { bits, ts_ns, stream: 0, order: 0, row }
        };
        let samples = [sample(5, 1), sample(3, 2), sample(9, 3), sample(9, 4), sample(3, 5)];
        let (mut first, mut last) = (Edge::<false>::default(), Edge::<true>::default());
        for sample in samples {
            first.add(sample);
            last.merge(&Edge(Some(sample)));
        }
        assert_eq!((first.value(), last.value()), (Some(2.0), Some(4.0)));
    }
}
