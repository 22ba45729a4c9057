//! Which batches are in which segment: what decides when a segment may go (W2).

use std::collections::BTreeMap;

use base::{BatchId, HashMap};

/// Segments on the disk and the unreleased batches in them.
#[derive(Default)]
pub(crate) struct Index {
    segments: BTreeMap<u64, Segment>,
    /// The first record of a batch.
    batches: HashMap<BatchId, Location>,
    /// Further segments of the few batches that were written again with a higher attempt.
    again: HashMap<BatchId, Vec<u64>>,
    bytes: u64,
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// Its segment.
    pub sequence: u64,
    /// Where its frame begins.
    pub offset: u64,
}

#[derive(Clone, Copy, Default)]
struct Segment {
    /// Up to where it holds acked records.
    acked_end: u64,
    /// Its size, as far as known.
    bytes: u64,
    /// Unreleased batches in it.
    live: u64,
}

impl Index {
    /// Adds a segment or tells its new end and size.
    pub(crate) fn set_segment(&mut self, sequence: u64, acked_end: u64, bytes: u64) {
        let segment = self.segments.entry(sequence).or_default();
        self.bytes = self.bytes - segment.bytes + bytes;
        segment.acked_end = acked_end;
        segment.bytes = bytes;
    }

    /// Forgets a segment that was deleted. It must not hold unreleased batches.
    pub(crate) fn remove_segment(&mut self, sequence: u64) {
        if let Some(segment) = self.segments.remove(&sequence) {
            assert_eq!(segment.live, 0, "segment {sequence} still holds unclaimed batches");
            self.bytes -= segment.bytes;
        }
    }

    /// Notes that `id` has a record at `at`. Returns whether the id is new.
    pub(crate) fn insert(&mut self, id: BatchId, at: Location) -> bool {
        let first = self.batches.get(&id).map(|first| first.sequence);
        match first {
            None => drop(self.batches.insert(id, at)),
            Some(first) if first == at.sequence => return false,
            Some(_) => {
                let again = self.again.entry(id).or_default();
                if again.contains(&at.sequence) {
                    return false;
                }
                again.push(at.sequence);
            }
        }
        let segment = self.segments.get_mut(&at.sequence);
        segment.expect("a batch lies in a known segment").live += 1;
        first.is_none()
    }

    /// Whether `id` has a record.
    pub(crate) fn contains(&self, id: &BatchId) -> bool {
        self.batches.contains_key(id)
    }

    /// Lets go of `id`; segments that hold nothing else appear in [`Index::free`].
    pub(crate) fn release(&mut self, id: &BatchId) {
        let Some(first) = self.batches.remove(id) else {
            return;
        };
        let again = self.again.remove(id).unwrap_or_default();
        for sequence in again.into_iter().chain([first.sequence]) {
            let segment = self.segments.get_mut(&sequence).expect("its segment is known");
            segment.live -= 1;
        }
    }

    /// Segments without unreleased batches.
    pub(crate) fn free(&self) -> Vec<u64> {
        let free = self.segments.iter().filter(|(_, segment)| segment.live == 0);
        free.map(|(&sequence, _)| sequence).collect()
    }

    /// Number and acked end of the newest segment; what a new header says about its predecessor.
    pub(crate) fn newest(&self) -> Option<(u64, u64)> {
        self.segments.last_key_value().map(|(&sequence, segment)| (sequence, segment.acked_end))
    }

    /// Whether a segment holds unreleased batches.
    pub(crate) fn is_live(&self, sequence: u64) -> bool {
        self.segments.get(&sequence).is_some_and(|segment| segment.live > 0)
    }

    /// Unreleased batches that `may_go`, of the oldest segment that has any of them.
    pub(crate) fn oldest_batches(&self, may_go: impl Fn(&BatchId) -> bool) -> Vec<BatchId> {
        let first = self.batches.iter().map(|(id, at)| (at.sequence, *id));
        let again = self.again.iter().flat_map(|(id, more)| more.iter().map(|&at| (at, *id)));
        let mut ids: Vec<(u64, BatchId)> =
            first.chain(again).filter(|(_, id)| may_go(id)).collect();
        let oldest = ids.iter().map(|&(sequence, _)| sequence).min();
        ids.retain(|&(sequence, _)| Some(sequence) == oldest);
        let mut ids: Vec<BatchId> = ids.into_iter().map(|(_, id)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The unreleased records of `ids`: by segment, where they begin, ascending.
    pub(crate) fn locate(&self, ids: &[BatchId]) -> BTreeMap<u64, Vec<u64>> {
        let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for at in ids.iter().filter_map(|id| self.batches.get(id)) {
            found.entry(at.sequence).or_default().push(at.offset);
        }
        found.values_mut().for_each(|offsets| offsets.sort_unstable());
        found
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::id;

    fn at(sequence: u64, offset: u64) -> Location {
        Location { sequence, offset }
    }

    #[test]
    fn a_segment_is_free_when_every_batch_with_a_record_in_it_was_released() {
        let mut index = Index::default();
        index.set_segment(1, 100, 100);
        index.set_segment(2, 50, 60);
        assert!(index.insert(id(1), at(1, 64)));
        assert!(index.insert(id(2), at(1, 80)));
        assert!(!index.insert(id(2), at(2, 64)), "a higher attempt in the next segment");
        assert!(!index.insert(id(2), at(2, 90)));
        assert_eq!(index.locate(&[id(2), id(1), id(3)]), BTreeMap::from([(1, vec![64, 80])]));
        assert_eq!(index.bytes(), 160);
        assert_eq!(index.oldest_batches(|_| true), [id(1), id(2)]);
        index.release(&id(1));
        index.release(&id(1));
        assert!(index.free().is_empty());
        index.release(&id(2));
        assert_eq!(index.free(), [1, 2]);
        index.remove_segment(1);
        assert_eq!((index.bytes(), index.newest()), (60, Some((2, 50))));
    }

    #[test]
    fn batches_that_may_not_go_do_not_hide_those_that_may() {
        let mut index = Index::default();
        for sequence in 1..=3 {
            index.set_segment(sequence, 100, 100);
        }
        for (batch, sequence) in [(1, 1), (2, 2), (3, 2), (4, 2), (4, 3), (5, 3)] {
            index.insert(id(batch), at(sequence, 64));
        }
        assert_eq!(index.oldest_batches(|batch| *batch != id(1)), [id(2), id(3), id(4)]);
        assert_eq!(index.oldest_batches(|batch| *batch >= id(4)), [id(4)]);
        assert_eq!(index.oldest_batches(|batch| *batch == id(5)), [id(5)]);
        assert_eq!(index.oldest_batches(|_| false), []);
    }
}
