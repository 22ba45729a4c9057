//! Volumes as Loki tells them: in KiB of chunks, spread over the time of each.
//!
//! Loki answers from an index that knows of each chunk how many KiB it has and from when to when its
//! rows are. Rows here are in no chunks, and an answer must not depend on where they happen to be.
//! So a chunk is what a stream has in a *window*: two hours from a multiple of two hours on, or the
//! step where that is longer; where nothing is asked in steps, the whole range.

use base::UnixNanos;
use logql::plan::Volume;

/// How long a chunk grows in Loki, if it does not become too large (`ingester.max_chunk_age`).
const CHUNK_NS: i64 = 2 * 3600 * 1_000_000_000;
const KIB: u64 = 1024;
const MS: i64 = 1_000_000;

/// Length of a window for a step; 0 = one window.
pub(super) fn window_ns(step_ns: i64) -> i64 {
    if step_ns == 0 { 0 } else { step_ns.max(CHUNK_NS) }
}

/// What a stream has in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    kib: u64,
    from_ms: i64,
    /// The last instant.
    to_ms: i64,
}

impl Chunk {
    /// Of a volume that has rows.
    pub(super) fn of(volume: &Volume) -> Chunk {
        let Volume { bytes, oldest_ns, newest_ns, .. } = *volume;
        Chunk {
            kib: bytes.saturating_add(KIB / 2) / KIB,
            from_ms: oldest_ns.div_euclid(MS),
            to_ms: newest_ns.div_euclid(MS),
        }
    }

    /// All of it, bytes.
    pub(super) fn bytes(self) -> u64 {
        self.kib * KIB
    }

    /// Bytes of it in a bucket that it reaches into: whole KiB.
    fn bytes_in(self, bucket: Bucket) -> u64 {
        let length = self.to_ms.abs_diff(self.from_ms);
        if length == 0 {
            return self.bytes();
        }
        let from = self.from_ms.max(bucket.from_ms);
        let inside = self.to_ms.min(bucket.to_ms).abs_diff(from);
        let kib = u128::from(self.kib) * u128::from(inside) / u128::from(length);
        kib as u64 * KIB
    }

    /// Index and bytes of each of `buckets`, which ascend, that it reaches into; none may be 0.
    pub(super) fn spread(self, buckets: &[Bucket]) -> impl Iterator<Item = (usize, u64)> + '_ {
        let first = buckets.partition_point(|bucket| bucket.to_ms < self.from_ms);
        let reached = buckets[first..].iter().take_while(move |it| it.from_ms <= self.to_ms);
        (first..).zip(reached.map(move |bucket| self.bytes_in(*bucket)))
    }
}

/// A step of an answer: first and last millisecond. The last one is its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    pub from_ms: i64,
    pub to_ms: i64,
}

impl Bucket {
    /// Buckets end a millisecond before multiples of the step, and at `end`. A step of 0 is one.
    pub(super) fn all(start: UnixNanos, end: UnixNanos, step_ns: i64) -> Vec<Bucket> {
        let (mut from_ms, end_ms) = (start.0.div_euclid(MS), end.0.div_euclid(MS));
        let step_ms = step_ns / MS;
        let mut buckets = Vec::new();
        if step_ms > 0 {
            let next = |at: i64| (at.div_euclid(step_ms) + 1) * step_ms;
            while next(from_ms) < end_ms {
                buckets.push(Bucket { from_ms, to_ms: next(from_ms) - 1 });
                from_ms = next(from_ms);
            }
        }
        buckets.push(Bucket { from_ms, to_ms: end_ms });
        buckets
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn chunk(bytes: u64, from_ms: i64, to_ms: i64) -> Chunk {
        let (oldest_ns, newest_ns) = (from_ms * MS + 7, to_ms * MS + 7);
        Chunk::of(&Volume { lines: 2, bytes, oldest_ns, newest_ns })
    }

    fn buckets(start_s: i64, end_s: i64, step_s: i64) -> Vec<(i64, i64)> {
        let (start, end) = (UnixNanos(start_s * SECOND), UnixNanos(end_s * SECOND));
        let buckets = Bucket::all(start, end, step_s * SECOND);
        buckets.iter().map(|bucket| (bucket.from_ms, bucket.to_ms)).collect()
    }

    #[test]
    fn chunks_are_rounded_to_whole_kib() {
        for (bytes, kib) in [(0, 0), (511, 0), (512, 1), (1535, 1), (1536, 2)] {
            assert_eq!(chunk(bytes, 0, 9).bytes(), kib * KIB, "{bytes}");
        }
    }

    #[test]
    fn buckets_end_before_multiples_of_the_step_and_at_the_end() {
        assert_eq!(buckets(20, 40, 10), [(20_000, 29_999), (30_000, 40_000)]);
        assert_eq!(buckets(25, 41, 10), [(25_000, 29_999), (30_000, 39_999), (40_000, 41_000)]);
        assert_eq!(buckets(-15, 0, 10), [(-15_000, -10_001), (-10_000, 0)]);
        assert_eq!(buckets(25, 41, 0), [(25_000, 41_000)]);
        assert_eq!(buckets(25, 25, 10), [(25_000, 25_000)]);
    }

    #[test]
    fn a_chunk_is_spread_over_its_time_in_whole_kib() {
        let buckets = Bucket::all(UnixNanos(0), UnixNanos(40 * SECOND), 10 * SECOND);
        let spread = |chunk: Chunk| chunk.spread(&buckets).collect::<Vec<_>>();
        let kib = |of: &[(usize, u64)]| of.iter().map(|&(at, kib)| (at, kib * KIB)).collect();
        let thirty: Vec<(usize, u64)> = kib(&[(0, 4), (1, 9), (2, 5)]);
        assert_eq!(spread(chunk(20 * KIB, 5_000, 26_000)), thirty);
        assert_eq!(spread(chunk(3 * KIB, 12_000, 12_000)), kib(&[(1, 3)]));
        assert_eq!(spread(chunk(3 * KIB, 12_000, 19_999)), kib(&[(1, 3)]));
        // It reaches there, and has nothing to tell.
        assert_eq!(spread(chunk(100, 12_000, 35_000)), kib(&[(1, 0), (2, 0), (3, 0)]));
    }

    proptest! {
        #[test]
        fn what_is_spread_is_lost_only_below_a_kib_per_bucket(
            (bytes, from, length) in (0u64..1 << 40, 0i64..100_000, 0i64..100_000),
            step in 1i64..50,
        ) {
            let buckets = Bucket::all(UnixNanos(0), UnixNanos(200 * SECOND), step * SECOND);
            let chunk = chunk(bytes, from, from + length);
            let spread: Vec<(usize, u64)> = chunk.spread(&buckets).collect();
            let sum: u64 = spread.iter().map(|&(_, bytes)| bytes).sum();
            prop_assert!(sum <= chunk.bytes());
            // Between two buckets is a millisecond that is in neither.
            let between = chunk.bytes() * spread.len() as u64 / length.max(1) as u64;
            prop_assert!(sum + between + spread.len() as u64 * KIB >= chunk.bytes());
            let of = |at: i64| buckets.iter().position(|it| (it.from_ms..=it.to_ms).contains(&at));
            prop_assert_eq!(spread.first().map(|first| first.0), of(from));
            prop_assert_eq!(spread.last().map(|last| last.0), of(from + length));
        }
    }
}
