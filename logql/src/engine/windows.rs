//! When a metric query is evaluated and which rows each evaluation looks at.
//!
//! The window of evaluation `k` is `(t - offset - range, t - offset]` (contract 7.1). All ends of
//! windows together cut time into *panes*; a row falls into one pane and a window is a row of
//! panes. So a row is counted once however many windows overlap: O(rows + steps).

use crate::plan::Params;

/// Evaluations and panes of one range function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// Pane `p` is `(bounds[p], bounds[p + 1]]`.
    bounds: Vec<i64>,
    /// Panes `from..to` of each evaluation.
    spans: Vec<(u32, u32)>,
    /// Whether some window contains the pane.
    covered: Vec<bool>,
}

impl Windows {
    /// The windows of `range_ns` that end at each evaluation less `offset_ns`.
    pub(crate) fn new(params: &Params, range_ns: i64, offset_ns: i64) -> Windows {
        let ends: Vec<(i64, i64)> = evaluations(params)
            .map(|at| {
                let end = at.saturating_sub(offset_ns);
                (end.saturating_sub(range_ns), end)
            })
            .collect();
        let mut bounds: Vec<i64> = ends.iter().flat_map(|&(from, to)| [from, to]).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let index = |at: i64| bounds.partition_point(|&bound| bound < at) as u32;
        let spans: Vec<(u32, u32)> =
            ends.iter().map(|&(from, to)| (index(from), index(to))).collect();
        let mut covered = vec![false; bounds.len().saturating_sub(1)];
        let mut done = 0;
        for &(from, to) in &spans {
            // Windows move forward, so each pane is marked once.
            for pane in done.max(from)..to {
                covered[pane as usize] = true;
            }
            done = done.max(to);
        }
        Windows { bounds, spans, covered }
    }

    /// Number of panes.
    pub(crate) fn panes(&self) -> usize {
        self.covered.len()
    }

    /// The panes of each evaluation.
    pub(crate) fn spans(&self) -> &[(u32, u32)] {
        &self.spans
    }

    /// A pane is the instants after the first and up to the second of these.
    pub(crate) fn bounds_of(&self, pane: usize) -> (i64, i64) {
        (self.bounds[pane], self.bounds[pane + 1])
    }

    /// The first and one past the last instant that can count, if any.
    pub(crate) fn range(&self) -> (i64, i64) {
        match (self.bounds.first(), self.bounds.last()) {
            (Some(&first), Some(&last)) if first < last => {
                (first.saturating_add(1), last.saturating_add(1))
            }
            _ => (0, 0),
        }
    }
}

/// Timestamps of evaluations in an answer. Loki adds up the milliseconds of the shifted instant and
/// those of the offset, so an offset with a part below a millisecond shows.
pub(crate) fn timestamps_ms(params: &Params, offset_ns: i64) -> Vec<i64> {
    let ms = |at: i64| at.saturating_sub(offset_ns) / 1_000_000 + offset_ns / 1_000_000;
    evaluations(params).map(ms).collect()
}

/// Instants of evaluation, nanoseconds.
pub(crate) fn evaluations(params: &Params) -> impl Iterator<Item = i64> {
    let (start, step) = (params.start.0, params.step_ns);
    (0..evaluation_count(params) as i64).map(move |k| start + k * step.max(0))
}

/// How many there are.
pub(crate) fn evaluation_count(params: &Params) -> u64 {
    let (start, end, step) = (params.start.0, params.end.0, params.step_ns);
    if step > 0 && end > start { end.abs_diff(start) / step as u64 + 1 } else { 1 }
}

/// Where rows of a stretch of time fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// No window contains any of it.
    Nowhere,
    /// All of it is in this pane.
    Pane(usize),
    /// It crosses the end of a pane.
    Several,
}

impl Windows {
    /// Where `min_ns..=max_ns` falls.
    pub(crate) fn place(&self, min_ns: i64, max_ns: i64) -> Place {
        let next = self.bounds.partition_point(|&bound| bound < min_ns);
        if next == self.bounds.len() {
            return Place::Nowhere;
        }
        if max_ns > self.bounds[next] {
            return Place::Several;
        }
        if next > 0 && self.covered[next - 1] { Place::Pane(next - 1) } else { Place::Nowhere }
    }
}

/// Finds panes of instants. Neighbouring rows are most often in the same or the next pane.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    pane: usize,
}

impl Cursor {
    /// The pane of `ts_ns`, if a window contains it.
    #[inline]
    pub(crate) fn pane(&mut self, windows: &Windows, ts_ns: i64) -> Option<usize> {
        let bounds = &windows.bounds;
        let inside = |pane: usize| {
            pane + 1 < bounds.len() && bounds[pane] < ts_ns && ts_ns <= bounds[pane + 1]
        };
        if !inside(self.pane) {
            if inside(self.pane + 1) {
                self.pane += 1;
            } else {
                let next = bounds.partition_point(|&bound| bound < ts_ns);
                if next == 0 || next == bounds.len() {
                    return None;
                }
                self.pane = next - 1;
            }
        }
        windows.covered[self.pane].then_some(self.pane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Direction;
    use base::UnixNanos;
    use proptest::prelude::*;

    pub(crate) fn params(start: i64, end: i64, step: i64) -> Params {
        Params {
            start: UnixNanos(start),
            end: UnixNanos(end),
            step_ns: step,
            interval_ns: 0,
            limit: 100,
            direction: Direction::Backward,
            max_series: 0,
            max_memory_bytes: 0,
            categorize: false,
            now: UnixNanos(0),
        }
    }

    #[test]
    fn windows_are_open_to_the_left_and_closed_to_the_right() {
        let windows = Windows::new(&params(60, 60, 0), 30, 0);
        let mut cursor = Cursor::default();
        let inside: Vec<i64> = (0..70).filter(|&ts| cursor.pane(&windows, ts).is_some()).collect();
        assert_eq!((inside[0], inside[inside.len() - 1], inside.len()), (31, 60, 30));
        assert_eq!(windows.range(), (31, 61));
        assert_eq!(Windows::new(&params(60, 60, 0), 0, 0).range(), (0, 0));
    }

    #[test]
    fn an_offset_below_a_millisecond_shows_in_timestamps() {
        let params = params(5_000_000, 6_000_000, 1_000_000);
        assert_eq!(timestamps_ms(&params, 0), [5, 6]);
        assert_eq!(timestamps_ms(&params, 1_000_000), [5, 6]);
        assert_eq!(timestamps_ms(&params, 1), [4, 5]);
    }

    proptest! {
        #[test]
        fn a_row_is_in_the_panes_of_exactly_its_windows(
            start in 0i64..50, length in 0i64..60, step in 0i64..20,
            range in 0i64..40, offset in -10i64..10,
            rows in prop::collection::vec(-80i64..140, 1..30),
        ) {
            let params = params(start, start + length, step);
            let windows = Windows::new(&params, range, offset);
            let mut cursor = Cursor::default();
            for ts in rows {
                let pane = cursor.pane(&windows, ts).map(|pane| pane as u32);
                let mut any = false;
                for (k, at) in evaluations(&params).enumerate() {
                    let end = at - offset;
                    let inside = end - range < ts && ts <= end;
                    any |= inside;
                    let (from, to) = windows.spans()[k];
                    prop_assert_eq!(pane.is_some_and(|p| from <= p && p < to), inside);
                }
                prop_assert_eq!(pane.is_some(), any);
                let place = pane.map_or(Place::Nowhere, |pane| Place::Pane(pane as usize));
                prop_assert_eq!(windows.place(ts, ts), place);
                let far = ts + length;
                let places: Vec<Place> = (ts..=far).map(|ts| windows.place(ts, ts)).collect();
                match windows.place(ts, far) {
                    Place::Several => {}
                    one => prop_assert!(places.iter().all(|place| *place == one)),
                }
                prop_assert!(pane.is_none_or(|_| windows.range().0 <= ts && ts < windows.range().1));
            }
        }
    }
}
