//! Ranges of streams, and where they overlap.

use base::StreamKey;
use logql::engine::overlap::{Overlaps, StreamRange};

use super::Wire;
use crate::columns::{check_ends, column, exactly, values};
use crate::error::WireError;
use crate::v1;

/// Ranges as columns.
pub fn ranges(ranges: &[StreamRange]) -> v1::StreamRanges {
    v1::StreamRanges {
        streams: column(ranges.iter().map(|range| range.stream.0)),
        min_ns: column(ranges.iter().map(|range| range.min_ns)),
        max_ns: column(ranges.iter().map(|range| range.max_ns)),
    }
}

/// Reads what [`ranges`] wrote; absent = none.
pub fn read_ranges(ranges: Option<&v1::StreamRanges>) -> Result<Vec<StreamRange>, WireError> {
    const MESSAGE: &str = "StreamRanges";
    let Some(ranges) = ranges else { return Ok(Vec::new()) };
    let streams: Vec<u64> = values(MESSAGE, "streams", &ranges.streams)?;
    let min_ns: Vec<i64> = exactly(MESSAGE, "min_ns", &ranges.min_ns, streams.len())?;
    let max_ns: Vec<i64> = exactly(MESSAGE, "max_ns", &ranges.max_ns, streams.len())?;
    let columns = streams.into_iter().zip(min_ns.into_iter().zip(max_ns));
    let range =
        |(stream, (min_ns, max_ns))| StreamRange { stream: StreamKey(stream), min_ns, max_ns };
    Ok(columns.map(range).collect())
}

impl Wire for Overlaps {
    type Message = v1::Overlaps;

    fn to_wire(&self) -> v1::Overlaps {
        // Sorted, so that equal overlaps are equal bytes.
        let mut streams: Vec<(StreamKey, &[(i64, i64)])> = self.iter().collect();
        streams.sort_unstable_by_key(|(stream, _)| *stream);
        let mut interval_ends = Vec::with_capacity(streams.len());
        let mut intervals = Vec::new();
        for (_, of_stream) in &streams {
            intervals.extend_from_slice(of_stream);
            interval_ends.push(intervals.len() as u32);
        }
        v1::Overlaps {
            streams: column(streams.iter().map(|(stream, _)| stream.0)),
            interval_ends: column(interval_ends.into_iter()),
            from_ns: column(intervals.iter().map(|interval| interval.0)),
            to_ns: column(intervals.iter().map(|interval| interval.1)),
        }
    }

    fn from_wire(message: v1::Overlaps) -> Result<Overlaps, WireError> {
        const MESSAGE: &str = "Overlaps";
        let streams: Vec<u64> = values(MESSAGE, "streams", &message.streams)?;
        let ends: Vec<u32> =
            exactly(MESSAGE, "interval_ends", &message.interval_ends, streams.len())?;
        let from_ns: Vec<i64> = values(MESSAGE, "from_ns", &message.from_ns)?;
        let to_ns: Vec<i64> = exactly(MESSAGE, "to_ns", &message.to_ns, from_ns.len())?;
        check_ends(MESSAGE, "interval_ends", &ends, from_ns.len())?;
        ensure!(
            streams.windows(2).all(|pair| pair[0] < pair[1]),
            MESSAGE,
            "streams are not sorted"
        );
        let intervals: Vec<(i64, i64)> = from_ns.into_iter().zip(to_ns).collect();
        let mut overlaps = Vec::with_capacity(streams.len());
        let mut from = 0;
        for (stream, end) in streams.into_iter().zip(ends) {
            let mine = &intervals[from..end as usize];
            from = end as usize;
            let sorted = mine.windows(2).all(|pair| pair[0].1 < pair[1].0);
            let ordered = mine.iter().all(|(from, to)| from <= to);
            ensure!(!mine.is_empty(), MESSAGE, "a stream without intervals");
            ensure!(sorted && ordered, MESSAGE, "intervals are not sorted and disjoint");
            overlaps.push((StreamKey(stream), mine.to_vec()));
        }
        Ok(overlaps.into_iter().collect())
    }
}
