//! `bytes_over_time` and `bytes_rate`: every line is a sample of its length (contract 7.3).
//!
//! Partial: lines and their bytes per pane; merged by addition. Lines count too, for a window of
//! empty lines has the value 0 and a window without lines has none.

use super::Cell;

/// Lines of a pane and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub lines: u64,
    pub bytes: u64,
}

impl Cell for Bytes {
    #[inline]
    fn add(&mut self, sample: u64) {
        self.lines += 1;
        self.bytes += sample;
    }
    fn merge(&mut self, other: &Bytes) {
        self.lines += other.lines;
        self.bytes += other.bytes;
    }
    fn less(&self, earlier: &Bytes) -> Bytes {
        Bytes { lines: self.lines - earlier.lines, bytes: self.bytes - earlier.bytes }
    }
    fn value(&self, per_seconds: Option<f64>) -> Option<f64> {
        let bytes = self.bytes as f64;
        (self.lines > 0).then(|| per_seconds.map_or(bytes, |seconds| bytes / seconds))
    }
}
