//! Sets of batch ids as exact ranges.

use std::collections::BTreeMap;

use base::{BatchId, Incarnation, StoreId};

/// Sequence numbers as sorted, disjoint, inclusive ranges that never touch: an id is in the set
/// exactly if it was put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Puts in `first..=last`.
    pub fn insert(&mut self, first: u64, last: u64) {
        assert!(first <= last, "range {first}..={last} is empty");
        // The ranges that touch or overlap the new one are replaced by their union.
        let from = self.0.partition_point(|&(_, end)| end < first && first - end > 1);
        let to = self.0.partition_point(|&(begin, _)| begin <= last || begin - last == 1);
        let mut union = (first, last);
        if from < to {
            union = (first.min(self.0[from].0), last.max(self.0[to - 1].1));
        }
        self.0.splice(from..to, [union]);
    }

    /// Whether `sequence` was put in.
    pub fn contains(&self, sequence: u64) -> bool {
        let at = self.0.partition_point(|&(_, end)| end < sequence);
        self.0.get(at).is_some_and(|&(begin, _)| begin <= sequence)
    }

    /// The sequences in both.
    pub fn intersection(&self, other: &Ranges) -> Ranges {
        let (mut left, mut right) = (0, 0);
        let mut both = Vec::new();
        while let (Some(&a), Some(&b)) = (self.0.get(left), other.0.get(right)) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                both.push((first, last));
            }
            if a.1 < b.1 { left += 1 } else { right += 1 }
        }
        // Pieces of ranges that do not touch do not touch either.
        Ranges(both)
    }

    /// The sequences that are not in `other`.
    pub fn difference(&self, other: &Ranges) -> Ranges {
        let mut left = Vec::new();
        for (mut first, last) in self.iter() {
            let from = other.0.partition_point(|&(_, end)| end < first);
            let mut is_over = false;
            for &(begin, end) in other.0[from..].iter().take_while(|range| range.0 <= last) {
                if first < begin {
                    left.push((first, begin - 1));
                }
                is_over = end >= last;
                if is_over {
                    break;
                }
                first = end + 1;
            }
            if !is_over {
                left.push((first, last));
            }
        }
        Ranges(left)
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Number of ranges.
    pub fn range_count(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was put in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of sequences (saturating).
    pub fn count(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, &(first, last)| sum.saturating_add((last - first).saturating_add(1)))
    }
}

/// Batch ids, exact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdSet(pub(crate) BTreeMap<(Incarnation, StoreId), Ranges>);

impl IdSet {
    /// Puts in one id.
    pub fn insert(&mut self, id: &BatchId) {
        self.insert_range(id.incarnation, id.owner, id.sequence, id.sequence);
    }

    /// Puts in `first..=last` of one (incarnation, owner).
    pub fn insert_range(
        &mut self,
        incarnation: Incarnation,
        owner: StoreId,
        first: u64,
        last: u64,
    ) {
        self.0.entry((incarnation, owner)).or_default().insert(first, last);
    }

    /// Whether the id was put in.
    pub fn contains(&self, id: &BatchId) -> bool {
        self.0.get(&(id.incarnation, id.owner)).is_some_and(|r| r.contains(id.sequence))
    }

    /// Puts in all of `other`.
    pub fn extend(&mut self, other: &IdSet) {
        for (incarnation, owner, ranges) in other.iter() {
            for (first, last) in ranges.iter() {
                self.insert_range(incarnation, owner, first, last);
            }
        }
    }

    /// The ids in both.
    pub fn intersection(&self, other: &IdSet) -> IdSet {
        let mut both = IdSet::default();
        for (key, ranges) in &self.0 {
            let Some(others) = other.0.get(key) else { continue };
            let common = ranges.intersection(others);
            if !common.is_empty() {
                both.0.insert(*key, common);
            }
        }
        both
    }

    /// The ids that are not in `other`.
    pub fn difference(&self, other: &IdSet) -> IdSet {
        let mut left = IdSet::default();
        for (key, ranges) in &self.0 {
            let rest = match other.0.get(key) {
                Some(others) => ranges.difference(others),
                None => ranges.clone(),
            };
            if !rest.is_empty() {
                left.0.insert(*key, rest);
            }
        }
        left
    }

    /// Ranges by (incarnation, owner), ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Incarnation, StoreId, &Ranges)> {
        self.0.iter().map(|(&(incarnation, owner), ranges)| (incarnation, owner, ranges))
    }

    /// Whether no id was put in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of ids (saturating).
    pub fn count(&self) -> u64 {
        self.0.values().fold(0, |sum, ranges| sum.saturating_add(ranges.count()))
    }
}

impl<'a> FromIterator<&'a BatchId> for IdSet {
    fn from_iter<I: IntoIterator<Item = &'a BatchId>>(ids: I) -> IdSet {
        let mut set = IdSet::default();
        for id in ids {
            set.insert(id);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges(of: &[(u64, u64)]) -> Ranges {
        let mut ranges = Ranges::default();
        for &(first, last) in of {
            ranges.insert(first, last);
        }
        ranges
    }

    #[test]
    fn adjacent_ids_merge_and_others_stay_apart() {
        let set = ranges(&[(5, 5), (1, 2), (3, 3), (7, 9)]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [(1, 3), (5, 5), (7, 9)]);
        assert!(!set.contains(4) && !set.contains(6) && !set.contains(0));
    }

    #[test]
    fn the_ends_of_the_number_space_do_not_overflow() {
        let mut set = ranges(&[(u64::MAX, u64::MAX), (0, 0)]);
        assert_eq!(set.range_count(), 2);
        set.insert(1, u64::MAX - 1);
        assert_eq!(set.iter().collect::<Vec<_>>(), [(0, u64::MAX)]);
        assert_eq!(set.count(), u64::MAX);
    }

    proptest! {
        #[test]
        fn ranges_behave_as_a_set_of_numbers(
            left in prop::collection::vec((0u64..60, 0u64..5), 0..20),
            right in prop::collection::vec((0u64..60, 0u64..5), 0..20),
        ) {
            let as_set = |list: &[(u64, u64)]| -> BTreeSet<u64> {
                list.iter().flat_map(|&(from, len)| from..=from + len).collect()
            };
            let as_ranges = |list: &[(u64, u64)]| {
                ranges(&list.iter().map(|&(from, len)| (from, from + len)).collect::<Vec<_>>())
            };
            let (a, b) = (as_ranges(&left), as_ranges(&right));
            let (set_a, set_b) = (as_set(&left), as_set(&right));
            for n in 0..70 {
                prop_assert_eq!(a.contains(n), set_a.contains(&n));
            }
            prop_assert_eq!(a.count(), set_a.len() as u64);
            prop_assert!(a.0.windows(2).all(|pair| pair[1].0 > pair[0].1 + 1));
            let both: BTreeSet<u64> =
                a.intersection(&b).iter().flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(both, set_a.intersection(&set_b).copied().collect::<BTreeSet<_>>());
            prop_assert!(a.intersection(&b).0.windows(2).all(|p| p[1].0 > p[0].1));
            let rest = a.difference(&b);
            let left: BTreeSet<u64> = rest.iter().flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(left, set_a.difference(&set_b).copied().collect::<BTreeSet<_>>());
            prop_assert!(rest.0.windows(2).all(|p| p[1].0 > p[0].1 + 1));
        }
    }
}
