//! One row group: from its directory entry to pages at the worker.

mod count;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::shutdown::Shutdown;
use bytes::Bytes;
use logql::engine::{Flow, Worker};
use logql::plan::{Direction, Leaf, Needs};
use part::{Columns, Fetched, Footer, Needle, RangeRead};

use crate::Error;
use crate::metrics::PAGES_SCANNED;
use crate::scan::{Pruned, Reader, ScanError, ScanStats, Scratch, Unit};

/// Line pages that a log query reads at first; doubled with every read, because it may have enough
/// after the first of them.
const FIRST_READ_PAGES: usize = 1;
/// Line pages that are read at once where a read costs little: their bytes stay in the processor's
/// cache until they are decompressed, and the allocator has such buffers at hand.
const NEAR_READ_PAGES: usize = 4;

/// Feeds the pages of `unit` that can matter to `worker`. Checks `cancel` before every page.
pub fn scan_unit(
    leaf: &Leaf,
    worker: &mut Worker,
    unit: &Unit,
    scratch: &mut Scratch,
    cancel: &Shutdown,
    stats: &mut ScanStats,
) -> Result<Flow, ScanError> {
    if cancel.is_cancelled() {
        return Err(ScanError::Cancelled);
    }
    let reader = Counting::new(&*unit.scan.reader);
    let pages = metrics::counter!(PAGES_SCANNED);
    let elsewhere = |name: &String| has_label(unit, name);
    let mut needles = leaf.label_needles().iter();
    let labels_of_lines = !needles.any(|needles| needles.labels.iter().any(elsewhere));
    let pass = Pass { leaf, unit, reader: &reader, cancel, labels_of_lines, pages };
    let flow = pass.run(worker, scratch, stats);
    stats.read_bytes += reader.read_bytes();
    flow.map_err(|error| match error {
        ScanError::Store(error) => ScanError::Store(unit.scan.named(error)),
        other => other,
    })
}

/// Where the lines of a page are.
enum Lines<'f> {
    /// Nowhere: only lengths are known.
    None,
    /// In what was read.
    Stored(&'f Fetched),
    /// In the reader, decoded.
    Decoded,
}

impl Unit {
    /// Pages that are left, if it was asked.
    pub fn pages_left(&self) -> Option<u32> {
        self.pruned.map(|pruned| pruned.pages.count_ones())
    }
}

/// The pages of a unit that may matter, by streams, time and sketches.
pub(super) fn candidates(
    leaf: &Leaf,
    unit: &Unit,
    reader: &dyn RangeRead<Error = Error>,
) -> Result<Pruned, Error> {
    let (footer, group, range) = (&unit.scan.footer, unit.group, leaf.range());
    let candidates = footer.candidates(group, &unit.streams, range.from_ns..range.to_ns);
    let considered = u64::from(candidates.count_ones());
    let needles: Vec<Vec<Needle<'_>>> =
        leaf.needles().iter().map(|any| any.iter().map(needle_of).collect()).collect();
    let pages = footer.page_mask(group, candidates, &needles, reader)?;
    // Only lines that are not escaped show what a parser takes out of them.
    let plain = footer.plain_pages(group) & pages;
    let elsewhere = |name: &String| has_label(unit, name);
    let labels = leaf.label_needles().iter();
    let of_lines = labels.filter(|needles| !needles.labels.iter().any(elsewhere));
    let labels: Vec<Vec<Needle<'_>>> =
        of_lines.map(|needles| needles.any.iter().map(needle_of).collect()).collect();
    if plain == 0 || labels.is_empty() {
        return Ok(Pruned { pages, considered });
    }
    let pages = pages & !plain | footer.page_mask(group, plain, &labels, reader)?;
    Ok(Pruned { pages, considered })
}

/// Everything that stays the same over the pages of a unit.
struct Pass<'a> {
    leaf: &'a Leaf,
    unit: &'a Unit,
    reader: &'a Counting<'a>,
    cancel: &'a Shutdown,
    /// No label that a filter asks for can come from a stream or from metadata here.
    labels_of_lines: bool,
    /// Counted as they are read: what a query that is given up still did is seen.
    pages: metrics::Counter,
}

impl Pass<'_> {
    fn run(
        &self,
        worker: &mut Worker,
        scratch: &mut Scratch,
        stats: &mut ScanStats,
    ) -> Result<Flow, ScanError> {
        let (scan, group) = (&self.unit.scan, self.unit.group);
        if self.is_beyond(worker, self.unit.min_ns, self.unit.max_ns) {
            return Ok(Flow::Continue);
        }
        if self.leaf.counts_rows() {
            return self.count(worker, scratch, stats);
        }
        let streams = &self.unit.streams;
        let Pruned { pages, considered } = match self.unit.pruned {
            Some(pruned) => pruned,
            None => candidates(self.leaf, self.unit, self.reader)?,
        };
        stats.pages_considered += considered;
        if pages == 0 {
            return Ok(Flow::Continue);
        }
        stats.groups += 1;
        self.enter_source(worker, scratch)?;
        let needs = match scan.overlaps(group, streams, &scratch.overlaps) {
            true => self.leaf.needs_with(&scratch.overlaps),
            false => self.leaf.needs(),
        };
        self.feed(pages, &needs, worker, scratch, stats)
    }

    /// Whether rows within `min_ns..=max_ns` cannot be in the answer any more.
    fn is_beyond(&self, worker: &Worker, min_ns: i64, max_ns: i64) -> bool {
        match (self.unit.direction, worker.threshold()) {
            (Some(Direction::Backward), Some(threshold)) => max_ns <= threshold,
            (Some(Direction::Forward), Some(threshold)) => min_ns >= threshold,
            _ => false,
        }
    }

    fn enter_source(&self, worker: &mut Worker, scratch: &mut Scratch) -> Result<(), ScanError> {
        let scan = &self.unit.scan;
        if scratch.source.as_ref().is_none_or(|last| !Arc::ptr_eq(last, scan)) {
            worker.source(&scan.source)?;
            scratch.source = Some(Arc::clone(scan));
        }
        Ok(())
    }

    /// Storage order, or for log queries from the end of time they start from.
    fn order_pages(&self, pages: u64, order: &mut Vec<usize>) {
        order.clear();
        order.extend((0..64).filter(|page| pages >> page & 1 == 1));
        let entries = self.unit.scan.footer.pages(self.unit.group);
        match self.unit.direction {
            None => {}
            Some(Direction::Backward) => {
                order.sort_by_key(|&page| std::cmp::Reverse(entries[page].max_ns));
            }
            Some(Direction::Forward) => order.sort_by_key(|&page| entries[page].min_ns),
        }
    }

    fn feed(
        &self,
        pages: u64,
        needs: &Needs,
        worker: &mut Worker,
        scratch: &mut Scratch,
        stats: &mut ScanStats,
    ) -> Result<Flow, ScanError> {
        let (footer, group) = (&*self.unit.scan.footer, self.unit.group);
        self.order_pages(pages, &mut scratch.order);
        let Needs { line_bytes, lengths, .. } = *needs;
        let metadata = needs.columns();
        let columns = Columns { line_bytes, lengths, metadata };
        let near = self.reader.is_near();
        let most = if near { NEAR_READ_PAGES } else { scratch.order.len() };
        let mut batch = match self.unit.direction {
            Some(_) => FIRST_READ_PAGES,
            None => most,
        };
        let mut at = 0;
        // The small columns are decoded, and if that costs no request read, when a page turns out
        // to matter.
        let (mut entered, mut small) = (false, None);
        while at < scratch.order.len() {
            let mut ranges = Vec::new();
            if at == 0 && !near {
                footer.column_ranges(group, &columns, &mut ranges);
            }
            let pages = &scratch.order[at..scratch.order.len().min(at + batch)];
            if needs.line_bytes {
                let mask = pages.iter().fold(0, |mask, page| mask | 1u64 << page);
                footer.line_ranges(group, mask, &mut ranges);
            }
            let fetched = Fetched::read(self.reader, ranges)?;
            if at == 0 && !near {
                small = Some(fetched.clone());
            }
            let lines = needs.line_bytes.then_some(&fetched);
            for &page in pages {
                let Some(lines) = self.lines(page, lines, worker, &mut scratch.group)? else {
                    continue;
                };
                if !std::mem::replace(&mut entered, true) {
                    let small = match small.take() {
                        Some(small) => small,
                        None => self.columns(&columns)?,
                    };
                    scratch.group.group(footer, group, &columns, &small).map_err(Error::Part)?;
                }
                if self.page(page, lines, worker, &mut scratch.group, stats)? == Flow::Enough {
                    return Ok(Flow::Enough);
                }
            }
            at += pages.len();
            batch = (batch * 2).min(most);
        }
        Ok(Flow::Continue)
    }

    fn columns(&self, columns: &Columns<'_>) -> Result<Fetched, Error> {
        let mut ranges = Vec::new();
        self.unit.scan.footer.column_ranges(self.unit.group, columns, &mut ranges);
        Fetched::read(self.reader, ranges)
    }

    /// Decodes the lines of a page first, if they can say that it does not matter: then `None`.
    fn lines<'f>(
        &self,
        page: usize,
        lines: Option<&'f Fetched>,
        worker: &Worker,
        group: &mut part::GroupReader,
    ) -> Result<Option<Lines<'f>>, ScanError> {
        let (footer, at) = (&*self.unit.scan.footer, self.unit.group);
        let Some(fetched) = lines else { return Ok(Some(Lines::None)) };
        let labels = self.labels_of_lines && footer.plain_pages(at) >> page & 1 == 1;
        if !worker.requires_text(labels) || self.is_past(page, worker) {
            return Ok(Some(Lines::Stored(fetched)));
        }
        if self.cancel.is_cancelled() {
            return Err(ScanError::Cancelled);
        }
        let joined = group.lines(footer, at, page, fetched).map_err(Error::Part)?;
        Ok(worker.may_select(joined, labels).then_some(Lines::Decoded))
    }

    fn is_past(&self, page: usize, worker: &Worker) -> bool {
        let entry = self.unit.scan.footer.pages(self.unit.group)[page];
        self.is_beyond(worker, entry.min_ns, entry.max_ns)
    }

    fn page(
        &self,
        page: usize,
        lines: Lines<'_>,
        worker: &mut Worker,
        group: &mut part::GroupReader,
        stats: &mut ScanStats,
    ) -> Result<Flow, ScanError> {
        if self.cancel.is_cancelled() {
            return Err(ScanError::Cancelled);
        }
        let footer: &Footer = &self.unit.scan.footer;
        let entries = footer.pages(self.unit.group);
        if self.is_past(page, worker) {
            return Ok(Flow::Continue);
        }
        let decoded = match lines {
            Lines::None => group.page(footer, page, None),
            Lines::Stored(fetched) => group.page(footer, page, Some(fetched)),
            Lines::Decoded => group.page_of_lines(footer, page),
        };
        let decoded = decoded.map_err(Error::Part)?;
        let view = decoded.view();
        stats.pages_scanned += 1;
        self.pages.increment(1);
        stats.rows += view.len() as u64;
        stats.line_bytes += u64::from(entries[page].line_bytes);
        let before = if page == 0 { 0 } else { entries[page - 1].end };
        let first_row = self.unit.first_row + u64::from(before);
        Ok(worker.sorted_page_at(first_row, &view)?)
    }
}

/// Whether a row of the unit may have a label of this name that is not its line's.
fn has_label(unit: &Unit, name: &str) -> bool {
    let footer = &unit.scan.footer;
    footer.has_label(&unit.streams, name) || footer.has_metadata(unit.group, name)
}

fn needle_of(needle: &logql::plan::Needle) -> Needle<'_> {
    Needle { bytes: &needle.bytes, ignore_case: needle.ignore_case }
}

/// Counts what is read.
pub(super) struct Counting<'a> {
    reader: &'a Reader,
    read_bytes: AtomicU64,
}

impl<'a> Counting<'a> {
    pub(super) fn new(reader: &'a Reader) -> Counting<'a> {
        Counting { reader, read_bytes: AtomicU64::new(0) }
    }

    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }
}

impl RangeRead for Counting<'_> {
    type Error = Error;

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let bytes: u64 = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.reader.read_ranges(ranges)
    }

    fn is_near(&self) -> bool {
        self.reader.is_near()
    }
}
