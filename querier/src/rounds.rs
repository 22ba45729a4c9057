//! Which parts are open at the same time.
//!
//! A leaf may reach over thousands of parts. Their footers are opened in rounds that fit a budget,
//! in the order of time in which a log query reads, so that one that has enough opens no more.

use std::sync::Arc;

use logql::plan::Direction;
use store::PartRecord;

/// Footer bytes, as stored, of the parts one leaf has open. Decoded they take a few times as much.
const OPEN_FOOTER_BYTES: u64 = 32 << 20;
/// Parts a leaf has open: each may hold a file descriptor.
const OPEN_PARTS: usize = 256;
/// Parts that a log query opens first; doubled with every round, because the newest usually have
/// enough.
const FIRST_PARTS: usize = 4;

/// A part and its place among the sources of the query ([`logql::engine::StreamSource::order`]).
#[derive(Clone, Debug)]
pub struct Numbered {
    /// Older parts have lower numbers.
    pub order: u64,
    /// What the catalog says about it.
    pub record: Arc<PartRecord>,
}

/// Parts in the order in which they are opened and read.
pub struct Rounds {
    list: Vec<Vec<Numbered>>,
    log: Option<Direction>,
}

impl Rounds {
    /// Cuts `records` into rounds. `log` is the direction of a log query.
    pub fn new(records: Vec<Arc<PartRecord>>, log: Option<Direction>) -> Rounds {
        let mut parts: Vec<Numbered> =
            (0..).zip(records).map(|(order, record)| Numbered { order, record }).collect();
        match log {
            None => {}
            Some(Direction::Backward) => {
                parts.sort_by_key(|part| std::cmp::Reverse(part.record.max_ts));
            }
            Some(Direction::Forward) => parts.sort_by_key(|part| part.record.min_ts),
        }
        let mut list: Vec<Vec<Numbered>> = Vec::new();
        let mut most = if log.is_some() { FIRST_PARTS } else { OPEN_PARTS };
        let mut round: Vec<Numbered> = Vec::new();
        let mut bytes = 0;
        for part in parts {
            let footer = u64::from(part.record.footer_bytes);
            let full = round.len() == most || bytes + footer > OPEN_FOOTER_BYTES;
            if full && !round.is_empty() {
                list.push(std::mem::take(&mut round));
                most = (most * 2).min(OPEN_PARTS);
                bytes = 0;
            }
            bytes += footer;
            round.push(part);
        }
        if !round.is_empty() {
            list.push(round);
        }
        Rounds { list, log }
    }

    /// The rounds, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[Numbered]> {
        self.list.iter().map(Vec::as_slice)
    }

    /// Whether all parts fit one round.
    pub fn is_one(&self) -> bool {
        self.list.len() == 1
    }

    /// Number of parts.
    pub fn parts(&self) -> usize {
        self.list.iter().map(Vec::len).sum()
    }

    /// Whether no row of `round`, and so of no later one, can be in the answer of a log query that
    /// needs no row at or beyond `bound`.
    pub fn is_beyond(&self, round: &[Numbered], bound: Option<i64>) -> bool {
        let (Some(direction), Some(bound), Some(first)) = (self.log, bound, round.first()) else {
            return false;
        };
        match direction {
            Direction::Backward => first.record.max_ts.0 <= bound,
            Direction::Forward => first.record.min_ts.0 >= bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use base::{Day, TenantId, UnixNanos};
    use store::{PartId, Place};

    use super::*;

    fn part(min: i64, max: i64, footer_bytes: u32) -> Arc<PartRecord> {
        Arc::new(PartRecord {
            id: PartId(ulid::Ulid::from_parts(min as u64, max as u128)),
            tenant: TenantId::new("acme").unwrap(),
            day: Day(0),
            place: Place::Object,
            len_bytes: 1 << 30,
            footer_bytes,
            tail_bytes: footer_bytes,
            rows: 1,
            raw_bytes: 1,
            streams: 1,
            min_ts: UnixNanos(min),
            max_ts: UnixNanos(max),
            min_key: 0,
            max_key: 0,
            level: 0,
            purged_through: 0,
            rest: Vec::new(),
        })
    }

    fn sizes(rounds: &Rounds) -> Vec<usize> {
        rounds.iter().map(<[Numbered]>::len).collect()
    }

    #[test]
    fn a_log_query_opens_few_parts_first_and_more_each_time() {
        let parts: Vec<_> = (0..100).map(|n| part(n, n + 5, 1000)).collect();
        let rounds = Rounds::new(parts.clone(), Some(Direction::Backward));
        assert_eq!(sizes(&rounds), [4, 8, 16, 32, 40]);
        assert_eq!(rounds.parts(), 100);
        let first = rounds.iter().next().unwrap();
        assert_eq!((first[0].record.max_ts.0, first[0].order), (104, 99));
        assert!(rounds.is_beyond(first, Some(104)) && !rounds.is_beyond(first, Some(103)));
        assert!(!rounds.is_beyond(first, None));
        let forward = Rounds::new(parts, Some(Direction::Forward));
        let first = forward.iter().next().unwrap();
        assert_eq!((first[0].record.min_ts.0, first[0].order), (0, 0));
        assert!(forward.is_beyond(first, Some(0)) && !forward.is_beyond(first, Some(1)));
    }

    #[test]
    fn a_metric_query_opens_what_the_budget_allows() {
        let parts: Vec<_> = (0..600).map(|n| part(n, n, 1000)).collect();
        let rounds = Rounds::new(parts, None);
        assert_eq!(sizes(&rounds), [256, 256, 88]);
        assert!(!rounds.is_beyond(rounds.iter().next().unwrap(), Some(i64::MAX)));
        let large: Vec<_> = (0..4).map(|n| part(n, n, 20 << 20)).collect();
        assert_eq!(sizes(&Rounds::new(large, None)), [1, 1, 1, 1]);
        assert!(Rounds::new(vec![part(0, 0, u32::MAX)], None).is_one());
    }
}
