//! Where a range of time is cut.

use base::time::DAY_NS;
use logql::plan::{Direction, TimeRange};

/// Most pieces of one leaf, about: above it they are longer than a day. Each costs a handshake.
const MOST: i64 = 256;

/// Ranges that cover a range, in the order in which they are evaluated. Never none: also nothing
/// must be asked once, because stages may be refused only where a stream is selected.
#[derive(Clone, Debug)]
pub struct Cuts {
    /// What is left; none when all of it was given out.
    left: Option<TimeRange>,
    /// Length of the next piece; it ends at a multiple of it.
    span_ns: i64,
    /// Length of those after it.
    longest_ns: i64,
    direction: Direction,
}

impl Cuts {
    /// Of the rows of a leaf; `split_ns` = 0 is one piece. `direction` is that of a log query.
    pub fn new(range: TimeRange, split_ns: i64, direction: Option<Direction>) -> Cuts {
        let length = range.to_ns.saturating_sub(range.from_ns).max(0);
        let days = (length / MOST / DAY_NS).saturating_add(1);
        let longest_ns = days.saturating_mul(DAY_NS).max(split_ns);
        let span_ns = match (split_ns, direction) {
            (..=0, _) => i64::MAX,
            (split_ns, Some(_)) => split_ns,
            (_, None) => longest_ns,
        };
        let direction = direction.unwrap_or(Direction::Forward);
        Cuts { left: Some(range), span_ns, longest_ns: longest_ns.max(span_ns), direction }
    }
}

impl Iterator for Cuts {
    type Item = TimeRange;

    fn next(&mut self) -> Option<TimeRange> {
        let TimeRange { from_ns, to_ns } = self.left.take()?;
        let span = i128::from(self.span_ns);
        // The next multiple of the length inside the range, from the end it starts from. One
        // instant, such as the last one of a window, is not worth a piece: it stays with the next.
        let cut = match self.direction {
            Direction::Forward => (i128::from(from_ns) + 1).div_euclid(span) * span + span,
            Direction::Backward => (i128::from(to_ns) - 2).div_euclid(span) * span,
        };
        self.span_ns = self.longest_ns;
        // The longest length there is means that nothing is cut.
        let inside = self.longest_ns < i64::MAX
            && (i128::from(from_ns) + 2..i128::from(to_ns) - 1).contains(&cut);
        if !inside {
            return Some(TimeRange { from_ns, to_ns });
        }
        let cut = cut as i64;
        let (first, rest) = (TimeRange { from_ns, to_ns: cut }, TimeRange { from_ns: cut, to_ns });
        let (piece, left) = match self.direction {
            Direction::Forward => (first, rest),
            Direction::Backward => (rest, first),
        };
        self.left = Some(left);
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn range(from_ns: i64, to_ns: i64) -> TimeRange {
        TimeRange { from_ns, to_ns }
    }

    fn hours(cuts: Cuts) -> Vec<(i64, i64)> {
        cuts.map(|range| (range.from_ns / HOUR, range.to_ns / HOUR)).collect()
    }

    #[test]
    fn a_log_query_reads_a_short_piece_first_and_then_days() {
        let three_days = range(0, 71 * HOUR);
        let backward = hours(Cuts::new(three_days, HOUR, Some(Direction::Backward)));
        assert_eq!(backward, [(70, 71), (48, 70), (24, 48), (0, 24)]);
        let forward = hours(Cuts::new(three_days, HOUR, Some(Direction::Forward)));
        assert_eq!(forward, [(0, 1), (1, 24), (24, 48), (48, 71)]);
    }

    #[test]
    fn an_instant_behind_a_cut_stays_with_the_piece_before_it() {
        let cuts =
            |range, direction| -> Vec<TimeRange> { Cuts::new(range, HOUR, direction).collect() };
        let (day, three) = (24 * HOUR, 72 * HOUR);
        assert_eq!(
            cuts(range(0, three + 1), Some(Direction::Backward)),
            [
                range(71 * HOUR, three + 1),
                range(2 * day, 71 * HOUR),
                range(day, 2 * day),
                range(0, day)
            ],
        );
        let samples = [range(-1, day), range(day, 2 * day), range(2 * day, three + 1)];
        assert_eq!(cuts(range(-1, three + 1), None), samples);
        assert_eq!(
            cuts(range(HOUR - 1, day + 1), Some(Direction::Forward)),
            [range(HOUR - 1, 2 * HOUR), range(2 * HOUR, day + 1)],
        );
    }

    #[test]
    fn samples_are_cut_between_days() {
        let cuts = |split_ns| hours(Cuts::new(range(30 * HOUR, 80 * HOUR), split_ns, None));
        assert_eq!(cuts(HOUR), [(30, 48), (48, 72), (72, 80)]);
        assert_eq!(cuts(48 * HOUR), [(30, 48), (48, 80)]);
        assert_eq!(cuts(0), [(30, 80)], "0 is no cut");
    }

    #[test]
    fn centuries_are_a_few_hundred_pieces() {
        let ever = range(-4_500_000_000_000_000_000, 4_500_000_000_000_000_000);
        for direction in [None, Some(Direction::Forward), Some(Direction::Backward)] {
            let count = Cuts::new(ever, HOUR, direction).count();
            assert!((100..300).contains(&count), "{count}");
            assert_eq!(Cuts::new(range(i64::MIN, i64::MAX), 0, direction).count(), 1);
        }
    }

    proptest! {
        #[test]
        fn every_instant_is_in_one_piece_and_pieces_are_in_order(
            from_ns in -100 * HOUR..100 * HOUR,
            length in 0..2000 * HOUR,
            split_ns in prop_oneof![Just(0), 1..HOUR, HOUR..100 * HOUR],
            direction in prop_oneof![
                Just(None), Just(Some(Direction::Forward)), Just(Some(Direction::Backward))
            ],
        ) {
            let whole = range(from_ns, from_ns + length);
            let mut pieces: Vec<TimeRange> = Cuts::new(whole, split_ns, direction).collect();
            prop_assert!(pieces.len() < 300, "{}", pieces.len());
            if direction == Some(Direction::Backward) {
                pieces.reverse();
            }
            let mut at = whole.from_ns;
            for piece in &pieces {
                prop_assert_eq!(piece.from_ns, at);
                prop_assert!(piece.from_ns < piece.to_ns || pieces.len() == 1);
                at = piece.to_ns;
            }
            prop_assert_eq!(at, whole.to_ns);
        }
    }
}
