//! `quantile_over_time`: between two neighbours of the sorted values (contract 7.3).
//!
//! Partial: the values of each pane as a sorted multiset (R5), charged to the memory of the query;
//! merged by joining. Exact: Loki may approximate it when it shards a query.

use super::panes::Panes;
use super::{Cell, Sample};
use crate::engine::windows::Windows;

/// Values and how often each occurs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Multiset {
    /// Ascending by `f64::total_cmp`, each once.
    sorted: Vec<(f64, u64)>,
    /// Not sorted in yet.
    recent: Vec<f64>,
}

/// Fewer values than this wait to be sorted in.
const RECENT_MIN: usize = 64;

/// No number, as one value that sorts before all others: as Go sorts.
const NO_NUMBER: f64 = f64::from_bits(0xfff8_0000_0000_0000);

impl Multiset {
    /// Of values that ascend by `f64::total_cmp`.
    pub(crate) fn from_sorted(sorted: Vec<(f64, u64)>) -> Multiset {
        Multiset { sorted, recent: Vec::new() }
    }

    /// The values in order, each once, and how often it occurs.
    pub(crate) fn to_sorted(&self) -> Vec<(f64, u64)> {
        let mut whole = self.clone();
        whole.settle();
        whole.sorted
    }

    /// The value as it is kept.
    pub(crate) fn canonical(value: f64) -> f64 {
        if value.is_nan() { NO_NUMBER } else { value }
    }

    fn settle(&mut self) {
        if self.recent.is_empty() {
            return;
        }
        self.recent.sort_unstable_by(f64::total_cmp);
        let mut own = std::mem::take(&mut self.sorted).into_iter().peekable();
        let mut merged: Vec<(f64, u64)> = Vec::with_capacity(own.len() + self.recent.len());
        let mut push = |value: f64, count: u64| match merged.last_mut() {
            Some(last) if last.0.to_bits() == value.to_bits() => last.1 += count,
            _ => merged.push((value, count)),
        };
        for value in self.recent.drain(..) {
            while let Some((known, count)) = own.next_if(|known| known.0.total_cmp(&value).is_le())
            {
                push(known, count);
            }
            push(value, 1);
        }
        own.for_each(|(value, count)| push(value, count));
        self.sorted = merged;
    }
}

impl Cell for Multiset {
    fn is_empty(&self) -> bool {
        self.sorted.is_empty() && self.recent.is_empty()
    }
    #[inline]
    fn add(&mut self, sample: Sample) {
        self.recent.push(Multiset::canonical(sample.value()));
        if self.recent.len() >= RECENT_MIN.max(self.sorted.len() / 2) {
            self.settle();
        }
    }

    fn merge(&mut self, other: &Multiset) {
        self.settle();
        let other = other.to_sorted();
        let own = std::mem::take(&mut self.sorted);
        let mut merged = Vec::with_capacity(own.len() + other.len());
        let (mut own, mut other) = (own.into_iter().peekable(), other.into_iter().peekable());
        while let (Some(left), Some(right)) = (own.peek(), other.peek()) {
            let order = left.0.total_cmp(&right.0);
            let next = if order.is_le() { own.next() } else { other.next() };
            let Some((value, mut count)) = next else { break };
            if order.is_eq() {
                count += other.next().map_or(0, |equal| equal.1);
            }
            merged.push((value, count));
        }
        merged.extend(own);
        merged.extend(other);
        self.sorted = merged;
    }

    fn memory_bytes(&self) -> usize {
        self.sorted.capacity() * size_of::<(f64, u64)>() + self.recent.capacity() * 8
    }
}

/// The `q` quantile of each window.
pub(crate) fn values(cells: &Panes<Multiset>, windows: &Windows, q: f64) -> Vec<Option<f64>> {
    let panes: Vec<(u32, Vec<(f64, u64)>)> =
        cells.present().map(|(pane, set)| (pane, set.to_sorted())).collect();
    let mut distinct: Vec<f64> =
        panes.iter().flat_map(|(_, set)| set.iter().map(|&(value, _)| value)).collect();
    distinct.sort_unstable_by(f64::total_cmp);
    distinct.dedup_by_key(|value| value.to_bits());
    let mut window = Ranks::new(distinct);
    let (mut begin, mut end) = (0, 0);
    let quantile = |&(from, to): &(u32, u32)| {
        while panes.get(end).is_some_and(|pane| pane.0 < to) {
            window.change(&panes[end].1, true);
            end += 1;
        }
        while begin < end && panes[begin].0 < from {
            window.change(&panes[begin].1, false);
            begin += 1;
        }
        window.quantile(q)
    };
    windows.spans().iter().map(quantile).collect()
}

/// How often each of some values is in the window, as a tree of partial sums (Fenwick): a value
/// enters, leaves and is found by rank in logarithmic time.
struct Ranks {
    distinct: Vec<f64>,
    /// 1-based.
    sums: Vec<u64>,
    total: u64,
}

impl Ranks {
    fn new(distinct: Vec<f64>) -> Ranks {
        Ranks { sums: vec![0; distinct.len() + 1], distinct, total: 0 }
    }

    fn change(&mut self, values: &[(f64, u64)], enter: bool) {
        for (value, count) in values {
            let found = self.distinct.binary_search_by(|known| known.total_cmp(value));
            let mut at = found.expect("values of all panes were gathered") + 1;
            while at < self.sums.len() {
                let sum = &mut self.sums[at];
                *sum = if enter { *sum + count } else { *sum - count };
                at += at & at.wrapping_neg();
            }
            self.total = if enter { self.total + count } else { self.total - count };
        }
    }

    /// The value at `rank`, counted from 0.
    fn at(&self, mut rank: u64) -> f64 {
        let mut at = 0;
        let mut step = self.sums.len().next_power_of_two();
        while step > 0 {
            if let Some(&sum) = self.sums.get(at + step).filter(|&&sum| sum <= rank) {
                rank -= sum;
                at += step;
            }
            step /= 2;
        }
        self.distinct[at.min(self.distinct.len() - 1)]
    }

    fn quantile(&self, q: f64) -> Option<f64> {
        if self.total == 0 {
            return None;
        }
        if q.is_nan() {
            return Some(f64::NAN);
        }
        if q < 0.0 {
            return Some(f64::NEG_INFINITY);
        }
        if q > 1.0 {
            return Some(f64::INFINITY);
        }
        let last = self.total - 1;
        let rank = q * last as f64;
        let lower = rank.floor();
        let weight = rank - lower;
        let (low, high) = (self.at(lower as u64), self.at((lower as u64 + 1).min(last)));
        Some(low * (1.0 - weight) + high * weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(values: &[f64]) -> Multiset {
        let mut set = Multiset::default();
        for (row, value) in (0..).zip(values) {
            set.add(Sample { bits: value.to_bits(), ts_ns: 0, stream: 0, order: 0, row });
        }
        set
    }

    fn quantile(values: &[f64], q: f64) -> Option<f64> {
        let sorted = set(values).to_sorted();
        let mut ranks = Ranks::new(sorted.iter().map(|&(value, _)| value).collect());
        ranks.change(&sorted, true);
        ranks.quantile(q)
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 0.5), Some(2.5));
        assert_eq!(quantile(&[1.0, 1.0, 1.0, 9.0], 0.5), Some(1.0));
        assert_eq!(quantile(&[1.0, 2.0], 1.0), Some(2.0));
        assert_eq!(quantile(&[1.0], 1.5), Some(f64::INFINITY));
        assert_eq!(quantile(&[1.0], -0.5), Some(f64::NEG_INFINITY));
        assert!(quantile(&[f64::NAN, 1.0, 2.0], 0.0).is_some_and(f64::is_nan));
        assert_eq!(quantile(&[f64::NAN, 1.0, 2.0], 1.0), Some(2.0));
    }

    proptest! {
        #[test]
        fn sets_join_in_any_order(values in prop::collection::vec(0u8..40, 0..400), cut in 0usize..400) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let (first, second) = values.split_at(cut.min(values.len()));
            let mut joined = set(second);
            joined.merge(&set(first));
            prop_assert_eq!(joined.to_sorted(), set(&values).to_sorted());
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            for q in [0.0, 0.3, 0.99, 1.0] {
                let want = (!sorted.is_empty()).then(|| {
                    let rank: f64 = q * (sorted.len() - 1) as f64;
                    let (low, weight) = (rank as usize, rank.fract());
                    let high = (low + 1).min(sorted.len() - 1);
                    sorted[low] * (1.0 - weight) + sorted[high] * weight
                });
                prop_assert_eq!(quantile(&values, q), want);
            }
        }
    }
}
