//! Volumes: what rows take, and between which instants they lie (contract 2.8).
//!
//! Partial: rows, bytes, oldest and newest instant per pane; merged by addition and extremes.

use super::{Cell, Sample};
use crate::plan::Volume;

/// What a pair of metadata counts for besides the line: its name and its value are numbers of four
/// bytes in a chunk of Loki's (recorded: index/volume of rows with and without metadata).
pub(crate) const PAIR_BYTES: u64 = 8;

impl Cell for Volume {
    fn is_empty(&self) -> bool {
        self.lines == 0
    }
    #[inline]
    fn add(&mut self, sample: Sample) {
        let (bytes, at) = (sample.bits, sample.ts_ns);
        self.merge(&Volume { lines: 1, bytes, oldest_ns: at, newest_ns: at });
    }
    fn merge(&mut self, other: &Volume) {
        self.lines += other.lines;
        self.bytes += other.bytes;
        self.oldest_ns = self.oldest_ns.min(other.oldest_ns);
        self.newest_ns = self.newest_ns.max(other.newest_ns);
    }
}
