//! `bytes_over_time` and `bytes_rate`: every line is a sample of its length (contract 7.3).
//!
//! Partial: lines and their bytes per pane; merged by addition. Lines count too, for a window of
//! empty lines has the value 0 and a window without lines has none.

use super::panes::Invertible;
use super::{Cell, Sample};

/// Lines of a pane and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub lines: u64,
    pub bytes: u64,
}

impl Cell for Bytes {
    fn is_empty(&self) -> bool {
        self.lines == 0
    }
    #[inline]
    fn add(&mut self, sample: Sample) {
        self.lines += 1;
        self.bytes += sample.bits;
    }
    fn merge(&mut self, other: &Bytes) {
        self.lines += other.lines;
        self.bytes += other.bytes;
    }
}

impl Invertible for Bytes {
    fn less(&self, earlier: &Bytes) -> Bytes {
        Bytes { lines: self.lines - earlier.lines, bytes: self.bytes - earlier.bytes }
    }
}
