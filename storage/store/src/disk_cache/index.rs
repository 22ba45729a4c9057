//! Where pieces are: what is in memory of the disk cache.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use base::HashMap;
use base::disk::DiskFile;
use base::hash::FixedState;

use super::record::Key;

/// A segment that is open for reading.
pub(super) struct Segment {
    pub(super) file: Arc<dyn DiskFile>,
    /// Bytes of the file, or more where an append failed.
    pub(super) len: u64,
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) offset: u32,
}

struct Entry {
    place: Place,
    /// Since it was written.
    is_used: bool,
}

/// Pieces by the hash of their keys: their records hold the keys, so that 24 bytes do for each.
#[derive(Default)]
pub(super) struct Index {
    entries: HashMap<u64, Entry>,
    /// By number: the oldest first.
    segments: BTreeMap<u32, Segment>,
}

impl Index {
    /// Where `key` is, if it is there; from now on it counts as used.
    pub(super) fn find(&mut self, key: &Key) -> Option<(Arc<dyn DiskFile>, Place)> {
        let entry = self.entries.get_mut(&hash(key))?;
        entry.is_used = true;
        let segment = self.segments.get(&entry.place.segment)?;
        Some((Arc::clone(&segment.file), entry.place))
    }

    pub(super) fn holds(&self, key: &Key) -> bool {
        self.entries.contains_key(&hash(key))
    }

    /// `key` is at `place` from now on.
    pub(super) fn insert(&mut self, key: &Key, place: Place) {
        self.entries.insert(hash(key), Entry { place, is_used: false });
    }

    /// `key` is not at `place` any more.
    pub(super) fn remove(&mut self, key: &Key, place: Place) {
        let key = hash(key);
        if self.entries.get(&key).is_some_and(|entry| entry.place == place) {
            self.entries.remove(&key);
        }
    }

    pub(super) fn add_segment(&mut self, number: u32, segment: Segment) {
        self.segments.insert(number, segment);
    }

    pub(super) fn segment_mut(&mut self, number: u32) -> Option<&mut Segment> {
        self.segments.get_mut(&number)
    }

    /// Number, file and bytes of the oldest segment.
    pub(super) fn oldest(&self) -> Option<(u32, Arc<dyn DiskFile>, u64)> {
        let (&number, segment) = self.segments.first_key_value()?;
        Some((number, Arc::clone(&segment.file), segment.len))
    }

    /// Offsets of the records of a segment that were used since they were written, ascending.
    pub(super) fn used(&self, segment: u32) -> Vec<u32> {
        let used = |entry: &&Entry| entry.is_used && entry.place.segment == segment;
        let mut used: Vec<u32> =
            self.entries.values().filter(used).map(|entry| entry.place.offset).collect();
        used.sort_unstable();
        used
    }

    /// Forgets a segment and all that is in it.
    pub(super) fn drop_segment(&mut self, number: u32) {
        self.segments.remove(&number);
        self.entries.retain(|_, entry| entry.place.segment != number);
    }

    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    pub(super) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.len).sum()
    }
}

fn hash(key: &Key) -> u64 {
    FixedState.hash_one(key)
}
