//! Pieces of parts that were read from an object store, kept for the next query.
//!
//! What is read of a part is always one of its frames or a row of its filters, so the same pieces are
//! asked for again whatever the query. What memory does not hold may be on a disk of this machine
//! ([`crate::disk_cache`]); only what is on neither is asked for.
//!
//! Two that want a piece at once share one request: the first claims it, the other waits for what
//! the first reads. Nobody waits while he has claims of his own that are not read, so nobody waits
//! for ever; where a claim fails, whoever waits reads for himself.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use base::HashMap;
use bytes::Bytes;
use catalog::PartId;

use crate::cache::Cache;
use crate::disk_cache::{DiskCache, Key};
use crate::error::Error;

/// What an entry takes beside its bytes, about.
const ENTRY_BYTES: u64 = 128;

/// Pieces that are kept, and those that are being read.
pub(crate) struct Pages {
    held: Cache<Key, Bytes>,
    claimed: Mutex<HashMap<Key, Arc<Claim>>>,
    disk: Option<DiskCache>,
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

/// What becomes of pieces that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// They stay in memory.
    Pieces,
    /// They do not: the caller holds what is made of them.
    Nothing,
}

impl Pages {
    /// Keeps at most `limit_bytes` in memory; 0 keeps nothing there.
    pub(crate) fn new(limit_bytes: u64, disk: Option<DiskCache>) -> Pages {
        let held = Cache::new("part-page", limit_bytes);
        Pages { held, claimed: Mutex::default(), disk }
    }

    /// The pieces `ranges` of `part`; `fetch` reads those that are not there. Blocking.
    pub(crate) fn read(
        &self,
        part: PartId,
        ranges: &[Range<u64>],
        hold: Hold,
        fetch: impl Fn(&[Range<u64>]) -> Result<Vec<Bytes>, Error>,
    ) -> Result<Vec<Bytes>, Error> {
        let key = |range: &Range<u64>| (part, range.start, range.end);
        let mut pieces: Vec<Option<Bytes>> = match hold {
            Hold::Pieces => ranges.iter().map(|range| self.held(&key(range))).collect(),
            Hold::Nothing => vec![None; ranges.len()],
        };
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
        own.settle(hold, &mut pieces, &fetch)?;
        drop(own);
        for (at, claim) in others {
            pieces[at] = match claim.wait() {
                Some(bytes) => Some(bytes),
                None => fetch(std::slice::from_ref(&ranges[at]))?.pop(),
            };
        }
        Ok(pieces.into_iter().map(Option::unwrap_or_default).collect())
    }

    #[cfg(test)]
    pub(crate) fn settle(&self) {
        self.disk.iter().for_each(DiskCache::settle);
    }

    fn held(&self, key: &Key) -> Option<Bytes> {
        self.held.get(key).map(|bytes| Bytes::clone(&bytes))
    }
}

/// Claims of one call; those that were not settled have failed when it is dropped.
struct Own<'a> {
    pages: &'a Pages,
    claims: Vec<(usize, Key, Arc<Claim>)>,
}

impl Own<'_> {
    /// Reads what is claimed, from the disk or with `fetch`, into `pieces`.
    fn settle(
        &self,
        hold: Hold,
        pieces: &mut [Option<Bytes>],
        fetch: &impl Fn(&[Range<u64>]) -> Result<Vec<Bytes>, Error>,
    ) -> Result<(), Error> {
        let mut missing = Vec::new();
        for (at, key, claim) in &self.claims {
            match self.pages.disk.as_ref().and_then(|disk| disk.read(key)) {
                Some(bytes) => pieces[*at] = Some(self.settle_one(hold, key, claim, bytes)),
                None => missing.push((*at, key, claim)),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let wanted: Vec<Range<u64>> = missing.iter().map(|(_, key, _)| key.1..key.2).collect();
        let mut fetched = Vec::with_capacity(wanted.len());
        for ((at, key, claim), bytes) in missing.into_iter().zip(fetch(&wanted)?) {
            // A copy: a slice would keep all that was read with it.
            let bytes = self.settle_one(hold, key, claim, Bytes::copy_from_slice(&bytes));
            fetched.push((*key, bytes.clone()));
            pieces[at] = Some(bytes);
        }
        if let Some(disk) = &self.pages.disk {
            disk.offer(fetched);
        }
        Ok(())
    }

    fn settle_one(&self, hold: Hold, key: &Key, claim: &Claim, bytes: Bytes) -> Bytes {
        if hold == Hold::Pieces {
            let weight = bytes.len() as u64 + ENTRY_BYTES;
            self.pages.held.insert(*key, Arc::new(bytes.clone()), weight);
        }
        claim.settle(Some(bytes.clone()));
        bytes
    }
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
        let pages = Pages::new(1 << 20, None);
        let fetched = Mutex::new(Vec::new());
        let fetch = |ranges: &[Range<u64>]| {
            fetched.lock().unwrap().extend_from_slice(ranges);
            Ok(bytes_of(ranges))
        };
        for ranges in [[1..4, 9..12], [9..12, 20..21], [1..4, 20..21]] {
            assert_eq!(
                pages.read(part(), &ranges, Hold::Pieces, fetch).unwrap(),
                bytes_of(&ranges)
            );
        }
        assert_eq!(*fetched.lock().unwrap(), [1..4, 9..12, 20..21]);
        // Without room every read is a request.
        let none = Pages::new(0, None);
        for _ in 0..2 {
            none.read(part(), &[5..6], Hold::Pieces, fetch).unwrap();
            let footer = pages.read(part(), &[1..4], Hold::Nothing, |_| Ok(bytes_of(&[7..10])));
            assert_eq!(footer.unwrap(), bytes_of(&[7..10]), "nor where it is not held");
        }
        assert_eq!(fetched.lock().unwrap()[3..], [5..6, 5..6]);
    }

    #[test]
    fn who_wants_what_another_reads_waits_for_it() {
        let pages = Pages::new(1 << 20, None);
        let (count, both) = (AtomicUsize::new(0), Barrier::new(2));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                pages.read(part(), &[1..4, 9..12], Hold::Pieces, |ranges| {
                    count.fetch_add(1, Ordering::SeqCst);
                    both.wait(); // its claims stand, the other may ask
                    both.wait(); // the other has read what is its own
                    Ok(bytes_of(ranges))
                })
            });
            both.wait();
            let read = pages.read(part(), &[9..12, 20..21], Hold::Pieces, |ranges| {
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
        let pages = Pages::new(1 << 20, None);
        let failing =
            |_: &[Range<u64>]| Err(Error::NotFound { store: "s".into(), path: "p".into() });
        assert!(pages.read(part(), &[1..4], Hold::Pieces, failing).is_err());
        assert!(pages.claimed.lock().unwrap().is_empty());
        let read = pages.read(part(), &[1..4], Hold::Pieces, |ranges| Ok(bytes_of(ranges)));
        assert_eq!(read.unwrap(), bytes_of(&[1..4]));
    }
}
