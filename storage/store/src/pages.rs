//! Pieces of parts that were read from an object store, kept for the next query.
//!
//! What is read of a part is always one of its frames or a row of its filters, so the same pieces are
//! asked for again whatever the query. Two that want a piece at once share one request: the first
//! claims it, the other waits for what the first reads. Nobody waits while he has claims of his own
//! that are not read, so nobody waits for ever; where a claim fails, whoever waits reads for himself.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use base::HashMap;
use bytes::Bytes;
use catalog::PartId;

use crate::cache::Cache;
use crate::error::Error;

/// A piece: the part, where it begins, where it ends.
type Key = (PartId, u64, u64);

/// What an entry takes beside its bytes, about.
const ENTRY_BYTES: u64 = 128;

/// Pieces that are kept, and those that are being read.
pub(crate) struct Pages {
    held: Cache<Key, Bytes>,
    claimed: Mutex<HashMap<Key, Arc<Claim>>>,
}

/// A piece that somebody reads.
#[derive(Default)]
struct Claim {
    outcome: Mutex<Option<Option<Bytes>>>,
    settled: Condvar,
}

impl Claim {
    fn settle(&self, bytes: Option<Bytes>) {
        *lock(&self.outcome) = Some(bytes);
        self.settled.notify_all();
    }

    /// `None`: it failed.
    fn wait(&self) -> Option<Bytes> {
        let outcome = lock(&self.outcome);
        let settled = self.settled.wait_while(outcome, |outcome| outcome.is_none());
        settled.unwrap_or_else(PoisonError::into_inner).clone().flatten()
    }
}

impl Pages {
    /// Keeps at most `limit_bytes`; 0 keeps nothing.
    pub(crate) fn new(limit_bytes: u64) -> Pages {
        Pages { held: Cache::new("part-page", limit_bytes), claimed: Mutex::default() }
    }

    /// The pieces `ranges` of `part`; `fetch` reads those that are not there. Blocking.
    pub(crate) fn read(
        &self,
        part: PartId,
        ranges: &[Range<u64>],
        fetch: impl Fn(&[Range<u64>]) -> Result<Vec<Bytes>, Error>,
    ) -> Result<Vec<Bytes>, Error> {
        let key = |range: &Range<u64>| (part, range.start, range.end);
        let mut pieces: Vec<Option<Bytes>> = ranges
            .iter()
            .map(|range| self.held.get(&key(range)).map(|bytes| Bytes::clone(&bytes)))
            .collect();
        let (mut own, mut others) = (Own { pages: self, claims: Vec::new() }, Vec::new());
        {
            let mut claimed = lock(&self.claimed);
            for (at, range) in ranges.iter().enumerate().filter(|&(at, _)| pieces[at].is_none()) {
                match claimed.get(&key(range)) {
                    Some(claim) => others.push((at, Arc::clone(claim))),
                    None => {
                        let claim = Arc::<Claim>::default();
                        claimed.insert(key(range), Arc::clone(&claim));
                        own.claims.push((at, key(range), claim));
                    }
                }
            }
        }
        let wanted: Vec<Range<u64>> =
            own.claims.iter().map(|&(at, ..)| ranges[at].clone()).collect();
        if !wanted.is_empty() {
            let read = fetch(&wanted)?;
            for ((at, key, claim), bytes) in own.claims.iter().zip(read) {
                // A copy: a slice would keep all that was read with it.
                let bytes = Bytes::copy_from_slice(&bytes);
                let weight = bytes.len() as u64 + ENTRY_BYTES;
                self.held.insert(*key, Arc::new(bytes.clone()), weight);
                claim.settle(Some(bytes.clone()));
                pieces[*at] = Some(bytes);
            }
        }
        drop(own);
        for (at, claim) in others {
            pieces[at] = match claim.wait() {
                Some(bytes) => Some(bytes),
                None => fetch(std::slice::from_ref(&ranges[at]))?.pop(),
            };
        }
        Ok(pieces.into_iter().map(Option::unwrap_or_default).collect())
    }
}

/// Claims of one call; those that were not settled have failed when it is dropped.
struct Own<'a> {
    pages: &'a Pages,
    claims: Vec<(usize, Key, Arc<Claim>)>,
}

impl Drop for Own<'_> {
    fn drop(&mut self) {
        let mut claimed = lock(&self.pages.claimed);
        for (_, key, claim) in &self.claims {
            claimed.remove(key);
            if lock(&claim.outcome).is_none() {
                claim.settle(None);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // a list of ranges, of one
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use base::random::{Random, SeededRandom};
    use base::time::ManualClock;

    use super::*;

    fn part() -> PartId {
        PartId(SeededRandom::new(1).ulid(&ManualClock::default()))
    }

    fn bytes_of(ranges: &[Range<u64>]) -> Vec<Bytes> {
        let byte = |range: &Range<u64>| vec![range.start as u8; (range.end - range.start) as usize];
        ranges.iter().map(|range| Bytes::from(byte(range))).collect()
    }

    #[test]
    fn a_piece_is_fetched_once_and_one_that_is_missing_alone() {
        let pages = Pages::new(1 << 20);
        let fetched = Mutex::new(Vec::new());
        let fetch = |ranges: &[Range<u64>]| {
            fetched.lock().unwrap().extend_from_slice(ranges);
            Ok(bytes_of(ranges))
        };
        for ranges in [[1..4, 9..12], [9..12, 20..21], [1..4, 20..21]] {
            assert_eq!(pages.read(part(), &ranges, fetch).unwrap(), bytes_of(&ranges));
        }
        assert_eq!(*fetched.lock().unwrap(), [1..4, 9..12, 20..21]);
        // Without room every read is a request.
        let none = Pages::new(0);
        for _ in 0..2 {
            none.read(part(), &[5..6], fetch).unwrap();
        }
        assert_eq!(fetched.lock().unwrap()[3..], [5..6, 5..6]);
    }

    #[test]
    fn who_wants_what_another_reads_waits_for_it() {
        let pages = Pages::new(1 << 20);
        let (count, both) = (AtomicUsize::new(0), Barrier::new(2));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                pages.read(part(), &[1..4, 9..12], |ranges| {
                    count.fetch_add(1, Ordering::SeqCst);
                    both.wait(); // its claims stand, the other may ask
                    both.wait(); // the other has read what is its own
                    Ok(bytes_of(ranges))
                })
            });
            both.wait();
            let read = pages.read(part(), &[9..12, 20..21], |ranges| {
                assert_eq!(ranges, [20..21]);
                count.fetch_add(1, Ordering::SeqCst);
                both.wait();
                Ok(bytes_of(ranges))
            });
            assert_eq!(read.unwrap(), bytes_of(&[9..12, 20..21]));
            assert_eq!(first.join().unwrap().unwrap(), bytes_of(&[1..4, 9..12]));
        });
        assert_eq!(count.into_inner(), 2);
    }

    #[test]
    fn a_failed_read_fails_its_caller_and_leaves_no_claim() {
        let pages = Pages::new(1 << 20);
        let failing =
            |_: &[Range<u64>]| Err(Error::NotFound { store: "s".into(), path: "p".into() });
        assert!(pages.read(part(), &[1..4], failing).is_err());
        assert!(pages.claimed.lock().unwrap().is_empty());
        let read = pages.read(part(), &[1..4], |ranges| Ok(bytes_of(ranges)));
        assert_eq!(read.unwrap(), bytes_of(&[1..4]));
    }
}
