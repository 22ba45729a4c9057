//! Where two sources cover the same instant of the same stream (protocols.md R2).
//!
//! A row is (stream, timestamp, line, metadata) and counts once whatever source brings it. Each
//! source drops equals within itself. Instants of a stream that two sources cover are evaluated as
//! single rows with their 128-bit hash, and equals are dropped where they meet; everything else
//! stays aggregated.

use base::{HashMap, StreamKey};

/// Rows of one stream in one source lie within `min_ns..=max_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRange {
    /// The stream.
    pub stream: StreamKey,
    /// Oldest row, nanoseconds.
    pub min_ns: i64,
    /// Newest row, nanoseconds.
    pub max_ns: i64,
}

/// Instants, per stream, that are sent as rows. Intervals are inclusive, sorted and disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlaps {
    streams: HashMap<StreamKey, Vec<(i64, i64)>>,
}

impl Overlaps {
    /// No overlaps.
    pub fn none() -> Overlaps {
        Overlaps::default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// The intervals of `stream`.
    pub fn of(&self, stream: StreamKey) -> &[(i64, i64)] {
        self.streams.get(&stream).map_or(&[], Vec::as_slice)
    }

    /// Instants of a stream that two or more of `sources` cover. Each element is one source.
    pub fn between(_sources: &[&[StreamRange]]) -> Overlaps {
        unimplemented!()
    }

    /// Adds the instants of `other`.
    pub fn union(&mut self, _other: &Overlaps) {
        unimplemented!()
    }

    /// Whether every instant of `other` is in `self`: nothing is left that was not sent as rows.
    pub fn contains_all(&self, _other: &Overlaps) -> bool {
        unimplemented!()
    }

    /// Whether the instant is inside an overlap of the stream.
    pub fn contains(&self, stream: StreamKey, ts_ns: i64) -> bool {
        let intervals = self.of(stream);
        let next = intervals.partition_point(|&(from, _)| from <= ts_ns);
        next > 0 && ts_ns <= intervals[next - 1].1
    }
}

/// Identifies a row among the rows of one stream and instant. `metadata` is in name order.
pub fn row_hash<'a>(
    _line: &[u8],
    _metadata: impl Iterator<Item = (&'a str, &'a [u8])>,
    _scratch: &mut Vec<u8>,
) -> u128 {
    unimplemented!()
}
