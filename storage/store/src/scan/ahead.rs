//! Pruning the row groups of a part before any of them is scanned.
//!
//! Of a part that is far away, what all of them ask their sketches for is read at once, not one
//! round trip after the other: a row group is asked as if everything were there, and where
//! something is not, it is noted. The notes of all are read together, and those are asked again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base::shutdown::Shutdown;
use bytes::Bytes;
use logql::plan::Leaf;
use part::RangeRead;

use crate::Error;
use crate::scan::unit::{Counting, candidates};
use crate::scan::{Reader, ScanError, ScanStats, Unit};

/// Row groups that are asked together; their trigram tables are about 2 MiB.
const TOGETHER: usize = 64;
/// A log query, which may have enough before it comes to a row group, reads no more than this of it
/// ahead: rows of its id filters, but not its trigram table.
const LOG_BYTES: u64 = 8 << 10;

/// Takes row groups that have nothing `leaf` looks for out of `units`, which are of one part. Where
/// reads are cheap, only those are asked whose sketches are in memory. Blocking.
///
/// # Errors
/// [`ScanError::Cancelled`], or a read that failed.
pub fn prune(
    units: &mut Vec<Unit>,
    leaf: &Leaf,
    cancel: &Shutdown,
    stats: &mut ScanStats,
) -> Result<(), ScanError> {
    if leaf.needles().is_empty() && leaf.label_needles().is_empty() {
        return Ok(());
    }
    for together in units.chunks_mut(TOGETHER) {
        if cancel.is_cancelled() {
            return Err(ScanError::Cancelled);
        }
        prune_together(together, leaf, stats)?;
    }
    units.retain(|unit| {
        let pruned = unit.pruned.filter(|pruned| pruned.pages == 0);
        stats.pages_considered += pruned.map_or(0, |pruned| pruned.considered);
        pruned.is_none()
    });
    Ok(())
}

fn prune_together(units: &mut [Unit], leaf: &Leaf, stats: &mut ScanStats) -> Result<(), ScanError> {
    let Some(scan) = units.first().map(|unit| unit.scan.clone()) else { return Ok(()) };
    let pruned = match scan.reader.is_near() {
        true => prune_near(units, leaf, stats),
        false => prune_far(&*scan.reader, units, leaf, stats),
    };
    pruned.map_err(|error| ScanError::Store(scan.named(error)))
}

fn prune_near(units: &mut [Unit], leaf: &Leaf, stats: &mut ScanStats) -> Result<(), Error> {
    for unit in units {
        if unit.scan.footer.holds_sketches(unit.group) {
            let reader = Counting::new(&*unit.scan.reader);
            unit.pruned = Some(candidates(leaf, unit, &reader)?);
            stats.read_bytes += reader.read_bytes();
        }
    }
    Ok(())
}

fn prune_far(
    reader: &Reader,
    units: &mut [Unit],
    leaf: &Leaf,
    stats: &mut ScanStats,
) -> Result<(), Error> {
    let mut ahead = Ahead::default();
    let mut asked: Vec<usize> = (0..units.len()).collect();
    while !asked.is_empty() {
        let (mut wanted, mut waiting) = (Vec::new(), Vec::new());
        for at in asked {
            match candidates(leaf, &units[at], &ahead) {
                Ok(pruned) => units[at].pruned = Some(pruned),
                Err(error) => {
                    let mut ranges = ahead.take_wanted();
                    if ranges.is_empty() {
                        return Err(error);
                    }
                    if !leaf.is_log() || byte_count(&ranges) <= LOG_BYTES {
                        wanted.append(&mut ranges);
                        waiting.push(at);
                    }
                }
            }
        }
        if wanted.is_empty() {
            break;
        }
        wanted.sort_unstable_by_key(|range| range.start);
        stats.read_bytes += byte_count(&wanted);
        let bytes = reader.read_ranges(&wanted)?;
        ahead.read.extend(wanted.iter().map(key).zip(bytes));
        asked = waiting;
    }
    Ok(())
}

/// What was read for row groups that are asked together.
#[derive(Default)]
struct Ahead {
    read: BTreeMap<(u64, u64), Bytes>,
    /// What one of them asked for and is not there.
    wanted: Mutex<Vec<Range<u64>>>,
}

impl Ahead {
    fn wanted(&self) -> MutexGuard<'_, Vec<Range<u64>>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_wanted(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut *self.wanted())
    }
}

impl RangeRead for Ahead {
    type Error = Error;

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let found: Option<Vec<Bytes>> =
            ranges.iter().map(|range| self.read.get(&key(range)).cloned()).collect();
        found.ok_or_else(|| {
            self.wanted().extend_from_slice(ranges);
            // Seen by nobody: the note says it all.
            Error::NotFound { store: String::new(), path: String::new() }
        })
    }
}

fn key(range: &Range<u64>) -> (u64, u64) {
    (range.start, range.end)
}

fn byte_count(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}
