//! The pages that hold the first rows of a log query without filters (R4): timestamps are looked at
//! before any line is read.
//!
//! A lower bound is kept while pages are looked at: the limit-th best of the distinct pairs of
//! stream and instant so far. Rows of distinct pairs are distinct rows, so that there are at least
//! as many rows at the bound or before it as the query wants, whatever else turns out to be equal.
//! Pages without a row there cannot matter.

use std::cmp::Reverse;

use base::{Bitmap, StreamKey};
use logql::plan::{Direction, Leaf};
use part::{Columns, Fetched, GroupReader};

use crate::Error;
use crate::scan::unit::Counting;
use crate::scan::{Pruned, ScanStats, Scratch, Unit};

/// Fewer pages than this are read as they come.
const FEW_PAGES: u32 = 4;

/// Takes the pages out of `units`, which are sorted for `leaf`, that no row of the answer can be
/// in; `bound` = rows there or beyond cannot be either. Does nothing where it would cost requests,
/// or where the leaf may drop rows. Blocking.
pub fn keep_first(
    units: &mut Vec<Unit>,
    leaf: &Leaf,
    bound: Option<i64>,
    scratch: &mut Scratch,
    stats: &mut ScanStats,
) -> Result<(), Error> {
    let Some((limit, direction)) = leaf.takes_first().filter(|&(limit, _)| limit > 0) else {
        return Ok(());
    };
    let range = leaf.range();
    let candidates = |unit: &Unit| {
        let footer = unit.scan.footer();
        footer.candidates(unit.group, &unit.streams, range.from_ns..range.to_ns)
    };
    let candidates: Vec<u64> = units.iter().map(candidates).collect();
    let few = candidates.iter().map(|pages| pages.count_ones()).sum::<u32>() < FEW_PAGES;
    if few || !units.iter().all(|unit| unit.scan.reader.is_near()) {
        return Ok(());
    }
    let mut first = First::new(limit, direction, bound);
    let mut bests = Vec::with_capacity(units.len());
    for (unit, &candidates) in units.iter().zip(&candidates) {
        bests.push(match first.may_hold(unit.min_ns, unit.max_ns) {
            true => first.look(unit, candidates, leaf, &mut scratch.group, stats)?,
            false => Vec::new(),
        });
    }
    let mut looked = bests.into_iter().zip(candidates);
    units.retain_mut(|unit| {
        let (bests, candidates) = looked.next().unwrap_or_default();
        let left = bests.iter().filter(|&&(_, best)| first.wants(best));
        let pages = left.fold(0, |mask, &(page, _)| mask | 1u64 << page);
        let considered = u64::from(candidates.count_ones());
        unit.pruned = Some(Pruned { pages, considered });
        if pages == 0 {
            stats.pages_considered += considered;
        }
        pages != 0
    });
    Ok(())
}

/// The best pairs of stream and instant so far. Instants are turned so that greater is better.
struct First {
    limit: usize,
    direction: Direction,
    /// No row below it matters.
    least: i64,
    pairs: Vec<(Reverse<i64>, StreamKey)>,
}

impl First {
    fn new(limit: usize, direction: Direction, bound: Option<i64>) -> First {
        let mut first = First { limit, direction, least: i64::MIN, pairs: Vec::new() };
        if let Some(bound) = bound {
            first.least = first.turned(bound).saturating_add(1);
        }
        first
    }

    fn turned(&self, ts_ns: i64) -> i64 {
        match self.direction {
            Direction::Backward => ts_ns,
            Direction::Forward => !ts_ns,
        }
    }

    fn wants(&self, turned: i64) -> bool {
        turned >= self.least
    }

    /// Whether rows between these instants may matter.
    fn may_hold(&self, min_ns: i64, max_ns: i64) -> bool {
        self.wants(self.turned(min_ns).max(self.turned(max_ns)))
    }

    fn add(&mut self, turned: i64, stream: StreamKey) {
        self.pairs.push((Reverse(turned), stream));
        if self.pairs.len() >= self.limit.saturating_mul(4).max(1024) {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.pairs.sort_unstable();
        self.pairs.dedup();
        self.pairs.truncate(self.limit);
        if let Some(&(Reverse(worst), _)) = self.pairs.get(self.limit - 1) {
            self.least = self.least.max(worst);
        }
    }

    /// Looks at the timestamps of the `candidates` of `unit`: those that may matter, each with its
    /// best row.
    fn look(
        &mut self,
        unit: &Unit,
        candidates: u64,
        leaf: &Leaf,
        group: &mut GroupReader,
        stats: &mut ScanStats,
    ) -> Result<Vec<(usize, i64)>, Error> {
        let (footer, range) = (&*unit.scan.footer, leaf.range());
        let mut bests = Vec::new();
        let columns = Columns { line_bytes: false, lengths: false, metadata: Some(&[]) };
        let mut ranges = Vec::new();
        footer.column_ranges(unit.group, &columns, &mut ranges);
        let reader = Counting::new(&*unit.scan.reader);
        let fetched = Fetched::read(&reader, ranges).map_err(|error| unit.scan.named(error))?;
        stats.read_bytes += reader.read_bytes();
        let named = |error| unit.scan.named(Error::Part(error));
        group.group(footer, unit.group, &columns, &fetched).map_err(named)?;
        for page in (0..64).filter(|page| candidates >> page & 1 == 1) {
            let entry = &footer.pages(unit.group)[page];
            if !self.may_hold(entry.min_ns.max(range.from_ns), entry.max_ns.min(range.to_ns - 1)) {
                continue;
            }
            let decoded = group.page(footer, page, None).map_err(named)?;
            let view = decoded.view();
            let mut best = None;
            let mut from = 0;
            for run in view.runs {
                let ts_ns = &view.ts_ns[from..run.end as usize];
                from = run.end as usize;
                if !is_selected(&unit.streams, run.stream) {
                    continue;
                }
                let skipped = ts_ns.partition_point(|&ts| ts < range.from_ns);
                let kept = ts_ns.partition_point(|&ts| ts < range.to_ns);
                let key = unit.scan.source.streams[run.stream as usize].key();
                best = best.max(self.take(&ts_ns[skipped..kept], key));
            }
            bests.extend(best.map(|best| (page, best)));
        }
        self.settle();
        Ok(bests)
    }

    /// Adds the rows of a stream, which ascend; gives the best.
    fn take(&mut self, ts_ns: &[i64], stream: StreamKey) -> Option<i64> {
        let mut last = None;
        for index in 0..ts_ns.len() {
            let ts_ns = match self.direction {
                Direction::Backward => ts_ns[ts_ns.len() - 1 - index],
                Direction::Forward => ts_ns[index],
            };
            let turned = self.turned(ts_ns);
            // More than the limit of one stream cannot be in the answer either.
            if !self.wants(turned) || index >= self.limit {
                break;
            }
            if last != Some(turned) {
                self.add(turned, stream);
                last = Some(turned);
            }
        }
        self.best(ts_ns)
    }

    fn best(&self, ts_ns: &[i64]) -> Option<i64> {
        let best = match self.direction {
            Direction::Backward => ts_ns.last(),
            Direction::Forward => ts_ns.first(),
        };
        best.map(|&ts| self.turned(ts))
    }
}

fn is_selected(streams: &Bitmap, stream: u32) -> bool {
    streams.get(stream as usize)
}
