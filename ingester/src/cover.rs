//! The instants a stream's rows in a head cover, so that most rows need no look-up for duplicates.

/// Intervals kept per stream; more are joined from the oldest on, which only makes them wider.
const MAX_INTERVALS: usize = 16;

/// Sorted, disjoint, inclusive intervals that contain every row's instant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cover(Vec<(i64, i64)>);

impl Cover {
    /// Takes in the instants of some rows, in their order. Returns whether no row can equal another
    /// one: they strictly ascend and lie outside everything that was covered before.
    pub(crate) fn insert(&mut self, ts_ns: &[i64]) -> bool {
        let (Some(&first), Some(&last)) = (ts_ns.first(), ts_ns.last()) else {
            return true;
        };
        if !ts_ns.is_sorted_by(|a, b| a < b) {
            let low = ts_ns.iter().copied().min().unwrap_or(first);
            let high = ts_ns.iter().copied().max().unwrap_or(last);
            self.join(low, high);
            return false;
        }
        self.join(first, last)
    }

    /// Adds `low..=high`; returns whether it touched nothing.
    fn join(&mut self, low: i64, high: i64) -> bool {
        let from = self.0.partition_point(|&(_, end)| end < low);
        let to = self.0.partition_point(|&(begin, _)| begin <= high);
        let mut union = (low, high);
        if from < to {
            union = (low.min(self.0[from].0), high.max(self.0[to - 1].1));
        }
        self.0.splice(from..to, [union]);
        if self.0.len() > MAX_INTERVALS {
            let second = self.0.remove(1);
            self.0[0].1 = second.1;
        }
        from == to
    }

    /// Oldest and newest instant; `(i64::MAX, i64::MIN)` if there is none.
    pub(crate) fn bounds(&self) -> (i64, i64) {
        match (self.0.first(), self.0.last()) {
            (Some(first), Some(last)) => (first.0, last.1),
            _ => (i64::MAX, i64::MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_said_to_be_new_never_share_an_instant_with_another_row(
            runs in prop::collection::vec(prop::collection::vec(0i64..400, 1..6), 1..60),
        ) {
            let mut cover = Cover::default();
            let mut seen = BTreeSet::new();
            for run in runs {
                let distinct: BTreeSet<i64> = run.iter().copied().collect();
                let is_new = cover.insert(&run);
                prop_assert!(
                    !is_new || (distinct.len() == run.len() && distinct.is_disjoint(&seen))
                );
                seen.extend(distinct);
                prop_assert!(cover.0.len() <= MAX_INTERVALS);
                prop_assert!(cover.0.windows(2).all(|pair| pair[0].1 < pair[1].0));
                let covers = |ts: i64| cover.0.iter().any(|&(low, high)| low <= ts && ts <= high);
                prop_assert!(seen.iter().all(|&ts| covers(ts)));
                let bounds = (*seen.first().unwrap(), *seen.last().unwrap());
                prop_assert_eq!(cover.bounds(), bounds);
            }
        }
    }

    #[test]
    fn slices_of_time_that_several_senders_push_in_any_order_are_new() {
        let mut cover = Cover::default();
        for slice in [3, 0, 2, 1, 5, 4] {
            let rows: Vec<i64> = (slice * 10..slice * 10 + 10).collect();
            assert!(cover.insert(&rows), "slice {slice}");
        }
        assert!(!cover.insert(&[59]));
        assert!(!cover.insert(&[60, 60]));
        assert!(!cover.insert(&[62, 61]));
    }
}
