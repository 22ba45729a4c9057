//! Counting neighbouring rows of one pane together.

use base::{Bitmap, DictView, PageView};

use crate::engine::effective::RowRef;
use crate::engine::group::{Deciding, Grouper, Grouping};
use crate::engine::range::Measured;
use crate::engine::range::volume::PAIR_BYTES;
use crate::engine::samples::Samples;
use crate::engine::windows::{Cursor, Windows};
use crate::plan::Volume;

/// Walks over the rows of a run, pane by pane.
pub(super) struct Spans<'c> {
    pub windows: &'c Windows,
    pub cursor: &'c mut Cursor,
    /// Rows ascend in time.
    pub sorted: bool,
}

/// Rows `from..to` fall into `pane`; among them may be some that are not selected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub pane: usize,
    pub from: usize,
    pub to: usize,
}

impl Spans<'_> {
    /// The next span of rows that begins with a selected row at or after `at`.
    pub(super) fn next(
        &mut self,
        ts_ns: &[i64],
        selected: &Bitmap,
        mut at: usize,
        to: usize,
    ) -> Option<Span> {
        loop {
            let row = selected.next(at).filter(|&row| row < to)?;
            let Some(pane) = self.cursor.pane(self.windows, ts_ns[row]) else {
                at = row + 1;
                continue;
            };
            let (after, last) = self.windows.bounds_of(pane);
            let rest = &ts_ns[row..to];
            let length = match self.sorted {
                true => ascending(rest, last),
                // As far as time stays in the pane, selected or not.
                false => rest.iter().take_while(|&&ts| after < ts && ts <= last).count(),
            };
            return Some(Span { pane, from: row, to: row + length });
        }
    }
}

/// How many of `ts_ns`, which ascend, are at most `last`; the first is. Steps double, because panes
/// may hold a few rows or all of them.
fn ascending(ts_ns: &[i64], last: i64) -> usize {
    let (mut low, mut step) = (0, 8);
    while low + step < ts_ns.len() && ts_ns[low + step] <= last {
        low += step;
        step *= 2;
    }
    let high = ts_ns.len().min(low + step);
    low + ts_ns[low..high].partition_point(|&ts| ts <= last)
}

/// Counts the rows of a run whose series the stream or one metadata column decides.
pub(super) struct Counting<'c> {
    pub selected: &'c Bitmap,
    pub by_code: &'c mut ByCode,
    pub grouping: &'c Grouping,
    pub deciding: Deciding,
    pub measured: Measured,
    /// Of the page, all that there is: rows of volumes are told apart as if they had none.
    pub metadata: &'c [DictView<'c>],
    pub grouper: &'c mut Grouper,
    pub samples: &'c mut Samples,
}

impl Counting<'_> {
    /// Counts the selected rows from `first.row` to `to`.
    pub(super) fn run(&mut self, mut spans: Spans<'_>, first: RowRef<'_, '_>, to: usize) {
        let Counting { selected, grouping, deciding, measured, metadata, .. } = *self;
        let page = first.page;
        let mut at = first.row;
        while let Some(span) = spans.next(page.ts_ns, selected, at, to) {
            at = span.to;
            let mut add = |row: usize, rows: Volume| {
                let row = RowRef { row, ..first };
                let series = self.grouper.of_row(grouping, deciding, row, self.samples);
                self.samples.add_rows(series, span.pane, rows);
            };
            match deciding {
                Deciding::Column(column) => {
                    let column = &page.metadata[column];
                    self.by_code.add(page, column, selected, span, measured);
                    self.by_code.drain(|row, lines, bytes| {
                        add(row, Volume { lines, bytes, ..Volume::default() });
                    });
                }
                _ => {
                    let mut rows = measure(page, selected, span, measured);
                    if measured == Measured::Stored {
                        store(page, metadata, selected, span, &mut rows);
                    }
                    add(span.from, rows);
                }
            }
        }
    }
}

/// Rows and line bytes of the selected rows of a span.
fn measure(page: &PageView<'_>, selected: &Bitmap, span: Span, measured: Measured) -> Volume {
    let Span { from, to, .. } = span;
    let rows = selected.count_range(from, to);
    let mut volume = Volume { lines: rows as u64, ..Volume::default() };
    if measured == Measured::Line {
        return volume;
    }
    if rows == to - from {
        volume.bytes = (page.lines.span(to - 1).1 - page.lines.span(from).0) as u64;
        return volume;
    }
    for row in rows_of(selected, span) {
        volume.bytes += page.lines.length(row) as u64;
    }
    volume
}

/// Adds what metadata takes, and sets when the rows are.
fn store(
    page: &PageView<'_>,
    metadata: &[DictView<'_>],
    selected: &Bitmap,
    span: Span,
    rows: &mut Volume,
) {
    let Span { from, to, .. } = span;
    let whole = rows.lines == (to - from) as u64;
    let pairs = metadata.iter().map(|column| match whole {
        true => column.codes[from..to].iter().filter(|&&code| code != 0).count(),
        false => rows_of(selected, span).filter(|&row| column.codes[row] != 0).count(),
    });
    rows.bytes += PAIR_BYTES * pairs.sum::<usize>() as u64;
    for row in rows_of(selected, span) {
        rows.oldest_ns = rows.oldest_ns.min(page.ts_ns[row]);
        rows.newest_ns = rows.newest_ns.max(page.ts_ns[row]);
    }
}

/// The selected rows of a span.
fn rows_of(selected: &Bitmap, span: Span) -> impl Iterator<Item = usize> + '_ {
    let mut at = span.from;
    std::iter::from_fn(move || {
        let row = selected.next(at).filter(|&row| row < span.to)?;
        at = row + 1;
        Some(row)
    })
}

/// Rows and bytes by the code of one metadata column.
#[derive(Debug, Default)]
pub(super) struct ByCode {
    /// (rows, bytes, first row) of each code.
    counts: Vec<(u32, u64, u32)>,
    /// Codes with rows.
    touched: Vec<u32>,
}

impl ByCode {
    /// Counts the selected rows of a span.
    pub(super) fn add(
        &mut self,
        page: &PageView<'_>,
        column: &DictView<'_>,
        selected: &Bitmap,
        span: Span,
        measured: Measured,
    ) {
        let codes = column.values.len() + 1;
        if self.counts.len() < codes {
            self.counts.resize(codes, (0, 0, 0));
        }
        let Span { from, to, .. } = span;
        let whole = selected.count_range(from, to) == to - from;
        if whole && measured == Measured::Line {
            for (row, &code) in (from as u32..).zip(&column.codes[from..to]) {
                self.one(code, row, 0);
            }
            return;
        }
        let mut at = from;
        while let Some(row) = selected.next(at).filter(|&row| row < to) {
            at = row + 1;
            let bytes = match measured {
                Measured::Line => 0,
                _ => page.lines.length(row) as u64,
            };
            self.one(column.codes[row], row as u32, bytes);
        }
    }

    #[inline]
    fn one(&mut self, code: u32, row: u32, bytes: u64) {
        let count = &mut self.counts[code as usize];
        if count.0 == 0 {
            count.2 = row;
            self.touched.push(code);
        }
        count.0 += 1;
        count.1 += bytes;
    }

    /// Gives (a row with the code, rows, bytes) for each code, and forgets them.
    pub(super) fn drain(&mut self, mut take: impl FnMut(usize, u64, u64)) {
        for code in self.touched.drain(..) {
            let (rows, bytes, row) = std::mem::take(&mut self.counts[code as usize]);
            take(row as usize, u64::from(rows), bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn doubling_steps_find_what_a_plain_search_finds(
            mut ts in prop::collection::vec(0i64..40, 1..200),
            last in 0i64..40,
        ) {
            ts.sort_unstable();
            let last = last.max(ts[0]);
            prop_assert_eq!(ascending(&ts, last), ts.iter().filter(|&&at| at <= last).count());
        }
    }
}
