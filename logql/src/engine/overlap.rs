//! Where two sources cover the same instant of the same stream (protocols.md R2).
//!
//! A row is (stream, timestamp, line, metadata) and counts once whatever source brings it. Each
//! source drops equals within itself. Instants of a stream that two sources cover are evaluated as
//! single rows with their 128-bit hash, and equals are dropped where they meet; everything else
//! stays aggregated.

use base::hash::hash128;
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

    /// The streams with their intervals, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (StreamKey, &[(i64, i64)])> {
        self.streams.iter().map(|(stream, intervals)| (*stream, intervals.as_slice()))
    }

    /// Instants of a stream that two or more of `sources` cover. Each element is one source, which
    /// may name a stream several times (row groups of one part): that is no overlap with itself. A
    /// range with `min_ns > max_ns` covers nothing.
    pub fn between(sources: &[&[StreamRange]]) -> Overlaps {
        let mut by_stream: HashMap<StreamKey, Vec<(i64, i64, usize)>> = HashMap::default();
        for (source, ranges) in sources.iter().enumerate() {
            for range in ranges.iter().filter(|range| range.min_ns <= range.max_ns) {
                let covered = (range.min_ns, range.max_ns, source);
                by_stream.entry(range.stream).or_default().push(covered);
            }
        }
        let mut streams = HashMap::default();
        for (stream, mut covered) in by_stream {
            if covered.iter().all(|&(_, _, source)| source == covered[0].2) {
                continue;
            }
            join_within_sources(&mut covered);
            let shared = covered_twice(&covered);
            if !shared.is_empty() {
                streams.insert(stream, shared);
            }
        }
        Overlaps { streams }
    }

    /// Adds the instants of `other`.
    pub fn union(&mut self, other: &Overlaps) {
        for (stream, intervals) in &other.streams {
            let own = self.streams.entry(*stream).or_default();
            own.extend_from_slice(intervals);
            join(own);
        }
    }

    /// Whether every instant of `other` is in `self`: nothing is left that was not sent as rows.
    pub fn contains_all(&self, other: &Overlaps) -> bool {
        other.streams.iter().all(|(stream, intervals)| {
            let own = self.of(*stream);
            intervals.iter().all(|&(from, to)| {
                let next = own.partition_point(|&(start, _)| start <= from);
                next > 0 && to <= own[next - 1].1
            })
        })
    }

    /// Whether some instant of `min_ns..=max_ns` is inside an overlap of the stream.
    pub fn touches(&self, stream: StreamKey, min_ns: i64, max_ns: i64) -> bool {
        let intervals = self.of(stream);
        let next = intervals.partition_point(|&(_, to)| to < min_ns);
        intervals.get(next).is_some_and(|&(from, _)| from <= max_ns)
    }

    /// Whether the instant is inside an overlap of the stream.
    pub fn contains(&self, stream: StreamKey, ts_ns: i64) -> bool {
        inside(self.of(stream), ts_ns)
    }
}

impl FromIterator<(StreamKey, Vec<(i64, i64)>)> for Overlaps {
    /// From inclusive intervals in any order; one whose end is before its start is left out.
    fn from_iter<I: IntoIterator<Item = (StreamKey, Vec<(i64, i64)>)>>(streams: I) -> Overlaps {
        let mut overlaps = Overlaps::none();
        for (stream, mut intervals) in streams {
            intervals.retain(|(from, to)| from <= to);
            if !intervals.is_empty() {
                let own = overlaps.streams.entry(stream).or_default();
                own.append(&mut intervals);
                join(own);
            }
        }
        overlaps
    }
}

/// Whether sorted, disjoint, inclusive `intervals` contain `ts_ns`.
pub(crate) fn inside(intervals: &[(i64, i64)], ts_ns: i64) -> bool {
    let next = intervals.partition_point(|&(from, _)| from <= ts_ns);
    next > 0 && ts_ns <= intervals[next - 1].1
}

/// Sorts intervals and joins those that touch.
fn join(intervals: &mut Vec<(i64, i64)>) {
    intervals.sort_unstable();
    intervals.dedup_by(|next, kept| {
        let touches = next.0 <= kept.1.saturating_add(1);
        if touches {
            kept.1 = kept.1.max(next.1);
        }
        touches
    });
}

/// Makes the ranges of each source disjoint, so that a range that is listed twice counts once.
fn join_within_sources(covered: &mut Vec<(i64, i64, usize)>) {
    covered.sort_unstable_by_key(|&(from, to, source)| (source, from, to));
    covered.dedup_by(|next, kept| {
        let same = next.2 == kept.2 && next.0 <= kept.1.saturating_add(1);
        if same {
            kept.1 = kept.1.max(next.1);
        }
        same
    });
}

/// The instants that at least two of the ranges contain: a sweep over their ends.
fn covered_twice(covered: &[(i64, i64, usize)]) -> Vec<(i64, i64)> {
    // At one instant all beginnings come before all ends: both are inclusive.
    let mut edges: Vec<(i64, bool)> = Vec::with_capacity(covered.len() * 2);
    for &(from, to, _) in covered {
        edges.push((from, false));
        edges.push((to, true));
    }
    edges.sort_unstable();
    let mut shared = Vec::new();
    let (mut depth, mut since) = (0, 0);
    for (at, ends) in edges {
        if ends {
            depth -= 1;
            if depth == 1 {
                shared.push((since, at));
            }
        } else {
            depth += 1;
            if depth == 2 {
                since = at;
            }
        }
    }
    join(&mut shared);
    shared
}

/// Identifies a row among the rows of one stream and instant. `metadata` is in name order and
/// leaves out absent keys.
pub fn row_hash<'a>(
    line: &[u8],
    metadata: impl Iterator<Item = (&'a str, &'a [u8])>,
    scratch: &mut Vec<u8>,
) -> u128 {
    scratch.clear();
    scratch.extend_from_slice(&hash128(line).to_le_bytes());
    for (name, value) in metadata {
        // Lengths are hashed too, so that ("ab", "c") and ("a", "bc") differ.
        scratch.extend_from_slice(&(name.len() as u32).to_le_bytes());
        scratch.extend_from_slice(name.as_bytes());
        scratch.extend_from_slice(&(value.len() as u32).to_le_bytes());
        scratch.extend_from_slice(value);
    }
    hash128(scratch)
}

/// The metadata that [`row_hash`] left in its scratch space: lengths and bytes of names and values.
pub(crate) fn encoded_metadata(scratch: &[u8]) -> &[u8] {
    &scratch[size_of::<u128>()..]
}

/// Reads what [`encoded_metadata`] gives.
pub(crate) struct MetadataPairs<'a>(pub &'a [u8]);

impl<'a> MetadataPairs<'a> {
    fn piece(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (piece, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some(piece)
    }
}

impl<'a> Iterator for MetadataPairs<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<(&'a str, &'a [u8])> {
        let name = self.piece()?;
        let value = self.piece()?;
        Some((std::str::from_utf8(name).expect("written from text"), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covered(overlaps: &Overlaps, stream: u64) -> Vec<i64> {
        (-2..40).filter(|&ts_ns| overlaps.contains(StreamKey(stream), ts_ns)).collect()
    }

    proptest! {
        #[test]
        fn an_instant_is_an_overlap_exactly_if_two_sources_cover_it(
            sources in prop::collection::vec(
                prop::collection::vec((0u64..3, 0i64..30, -1i64..8), 0..5), 0..6),
        ) {
            let range = |(stream, min_ns, width): (u64, i64, i64)| {
                StreamRange { stream: StreamKey(stream), min_ns, max_ns: min_ns + width }
            };
            let sources: Vec<Vec<StreamRange>> =
                sources.into_iter().map(|ranges| ranges.into_iter().map(range).collect()).collect();
            let slices: Vec<&[StreamRange]> = sources.iter().map(Vec::as_slice).collect();
            let overlaps = Overlaps::between(&slices);
            let mut whole = Overlaps::none();
            for stream in 0..3 {
                let want: Vec<i64> = (-2..40)
                    .filter(|ts_ns| {
                        let covers = |range: &&StreamRange| {
                            range.stream.0 == stream
                                && (range.min_ns..=range.max_ns).contains(ts_ns)
                        };
                        sources.iter().filter(|ranges| ranges.iter().any(|r| covers(&r))).count()
                            > 1
                    })
                    .collect();
                for (from, width) in (-2..40).zip([0, 1, 5].into_iter().cycle()) {
                    let any = want.iter().any(|at| (from..=from + width).contains(at));
                    prop_assert_eq!(overlaps.touches(StreamKey(stream), from, from + width), any);
                }
                prop_assert_eq!(covered(&overlaps, stream), want);
            }
            prop_assert!(overlaps.contains_all(&whole));
            whole.union(&overlaps);
            prop_assert_eq!(&whole, &overlaps);
            prop_assert!(whole.contains_all(&overlaps));
            prop_assert!(overlaps.is_empty() || !Overlaps::none().contains_all(&overlaps));
        }
    }

    #[test]
    fn metadata_reads_back_from_the_scratch_of_a_row_hash() {
        let pairs: [(&str, &[u8]); 2] = [("a", b""), ("trace", b"t1")];
        let mut scratch = Vec::new();
        row_hash(b"line", pairs.into_iter(), &mut scratch);
        let back: Vec<(&str, &[u8])> = MetadataPairs(encoded_metadata(&scratch)).collect();
        assert_eq!(back, pairs);
    }

    #[test]
    fn a_row_hash_tells_apart_what_only_joins_alike() {
        let mut scratch = Vec::new();
        let mut hash = |line: &[u8], metadata: &[(&'static str, &'static [u8])]| {
            row_hash(line, metadata.iter().copied(), &mut scratch)
        };
        let plain = hash(b"line", &[]);
        assert_eq!(plain, hash(b"line", &[]));
        let others = [
            hash(b"line", &[("a", b"bc")]),
            hash(b"line", &[("ab", b"c")]),
            hash(b"line", &[("a", b"b"), ("c", b"")]),
            hash(b"linea", &[("b", b"c")]),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(plain, *other);
            assert!(others[..index].iter().all(|earlier| earlier != other));
        }
    }
}
