//! The row group that is being filled: columns that grow, the open page's lines.

use std::sync::Arc;

use base::hash::hash64;
use base::rows::Strings;
use base::{PageView, StrView};
use hashbrown::HashTable;

use crate::Options;
use crate::codec::Frame;
use crate::columns::{self, ChunkBuilder, put_chunks, put_numbers, put_values};
use crate::footer::{Page, Run};
use crate::options::{GROUP_CELLS, GROUP_METADATA_BYTES};
use crate::templates::{LEVEL, Sampler};
use crate::write::{Copied, Piece};

/// How the dictionary codes of one source page translate into those of the open row group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping {
    /// The row group this holds for.
    epoch: u64,
    columns: Vec<MappedColumn>,
}

#[derive(Clone, Debug, Default)]
struct MappedColumn {
    /// Index in `GroupBuilder::metadata`, once a row has a value.
    slot: Option<usize>,
    /// Code in the group of each source code; 0 = not asked yet.
    codes: Vec<u32>,
}

impl Mapping {
    /// Forgets everything: the source's dictionaries are others now.
    pub(crate) fn reset(&mut self) {
        self.epoch = 0;
    }

    pub(super) fn enter(&mut self, epoch: u64, page: &PageView<'_>) {
        if self.epoch == epoch {
            debug_assert_eq!(self.columns.len(), page.metadata.len());
            return;
        }
        self.epoch = epoch;
        self.columns.resize_with(page.metadata.len(), MappedColumn::default);
        for (column, view) in self.columns.iter_mut().zip(page.metadata) {
            column.slot = None;
            column.codes.clear();
            column.codes.resize(view.values.len() + 1, 0);
        }
    }
}

/// A metadata column of the open group.
#[derive(Debug)]
pub(crate) struct MetaColumn {
    pub(crate) name: Arc<str>,
    /// May be shorter than the group: rows at its end have no value.
    codes: Vec<u32>,
    values: Strings,
    index: HashTable<u32>,
}

impl MetaColumn {
    fn intern(&mut self, value: &[u8]) -> u32 {
        let values = &mut self.values;
        let hash = hash64(value);
        if let Some(&code) = self.index.find(hash, |&code| values.get(code as usize - 1) == value) {
            return code;
        }
        values.push(value);
        let code = values.len() as u32;
        self.index.insert_unique(hash, code, |&code| hash64(values.get(code as usize - 1)));
        code
    }
}

/// Reused between pages.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    runs: Vec<base::Run>,
    numbers: Vec<u64>,
}

/// The open row group.
#[derive(Debug, Default)]
pub(crate) struct GroupBuilder {
    runs: Vec<Run>,
    /// Pairs of metadata of the rows of each run.
    run_pairs: Vec<u64>,
    pages: Vec<(Page, Frame)>,
    /// Timestamps and line lengths of the closed pages.
    times: ChunkBuilder,
    lengths: ChunkBuilder,
    /// Timestamps and lines of the open page.
    ts_ns: Vec<i64>,
    lines: Strings,
    metadata: Vec<MetaColumn>,
    metadata_bytes: usize,
}

impl GroupBuilder {
    pub(super) fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// Rows so far.
    fn rows(&self) -> usize {
        self.page_start() + self.ts_ns.len()
    }

    pub(super) fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// Bytes of the distinct metadata values so far.
    pub(super) fn metadata_bytes(&self) -> usize {
        self.metadata_bytes
    }

    /// First row of the open page.
    fn page_start(&self) -> usize {
        self.pages.last().map_or(0, |(page, _)| page.end as usize)
    }

    /// Lines of the open page.
    pub(super) fn open_lines(&self) -> StrView<'_> {
        self.lines.view()
    }

    /// Line bytes of the open page.
    pub(super) fn open_bytes(&self) -> usize {
        self.lines.bytes.len()
    }

    /// Whether rows of `page` need a new row group.
    pub(super) fn is_full(&self, page: &PageView<'_>, options: &Options) -> bool {
        self.pages.len() >= options.group_pages || self.free_rows(page, options) == 0
    }

    /// How many rows with the columns of `page` still go into this group.
    fn free_rows(&self, page: &PageView<'_>, options: &Options) -> usize {
        let rows = self.rows();
        if rows > 0 && self.metadata_bytes >= GROUP_METADATA_BYTES {
            return 0;
        }
        let columns = (self.metadata.len() + page.metadata.len()).max(1);
        // A group takes at least one row, whatever it brings.
        let cells = (GROUP_CELLS / columns).max(1);
        options.group_rows.min(cells).saturating_sub(rows)
    }

    /// One past the last row of `piece` from row `from` that fits into the open page.
    pub(super) fn room(
        &self,
        piece: &Piece<'_, '_>,
        from: usize,
        page_limit: usize,
        options: &Options,
    ) -> usize {
        if self.pages.len() >= options.group_pages {
            return from;
        }
        let free = self.free_rows(piece.page, options);
        let last = piece.to.min(from.saturating_add(free));
        let lines = piece.page.lines;
        let (start, _) = lines.span(from);
        let open = self.lines.bytes.len();
        let budget = start as u64 + page_limit.saturating_sub(open) as u64;
        let fits = lines.ends[from..last].partition_point(|&end| u64::from(end) <= budget);
        if fits == 0 && self.lines.is_empty() && last > from {
            return from + 1; // longer than a page: a page of its own
        }
        from + fits
    }

    /// Takes rows `from..to` of `piece`, which [`GroupBuilder::room`] allowed.
    pub(super) fn push(
        &mut self,
        piece: &Piece<'_, '_>,
        from: usize,
        to: usize,
        mapping: &mut Mapping,
    ) {
        let before = self.rows();
        let ts_ns = &piece.page.ts_ns[from..to];
        self.ts_ns.extend_from_slice(ts_ns);
        let lines = piece.page.lines.slice(from, to);
        let joined = lines.joined();
        let shift = self.lines.bytes.len() as u32;
        self.lines.bytes.extend_from_slice(joined);
        self.lines.ends.extend(lines.ends.iter().map(|&end| end - lines.start + shift));
        let (min_ns, max_ns) = (ts_ns[0], ts_ns[ts_ns.len() - 1]);
        let (stream, end, line_bytes) = (piece.stream, self.rows() as u32, joined.len() as u64);
        self.push_run(Run { stream, end, line_bytes, min_ns, max_ns });
        for (view, map) in piece.page.metadata.iter().zip(&mut mapping.columns) {
            self.push_codes(&view.codes[from..to], view, map, before);
        }
    }

    fn push_run(&mut self, next: Run) {
        match self.runs.last_mut() {
            Some(run) if run.stream == next.stream => {
                run.end = next.end;
                run.line_bytes += next.line_bytes;
                run.max_ns = next.max_ns;
            }
            _ => {
                self.runs.push(next);
                self.run_pairs.push(0);
            }
        }
    }

    /// Appends codes of rows of the last run.
    fn push_codes(
        &mut self,
        codes: &[u32],
        view: &base::DictView<'_>,
        map: &mut MappedColumn,
        before: usize,
    ) {
        let pairs = codes.iter().filter(|&&code| code != 0).count();
        *self.run_pairs.last_mut().expect("rows have a run") += pairs as u64;
        let slot = match map.slot {
            Some(slot) => slot,
            None if pairs == 0 => return,
            None => {
                let slot = self.slot(view.name);
                map.slot = Some(slot);
                slot
            }
        };
        let column = &mut self.metadata[slot];
        let known = column.values.bytes.len();
        column.codes.resize(before, 0);
        for &code in codes {
            let mut mapped = map.codes[code as usize];
            if mapped == 0 && code != 0 {
                mapped = column.intern(view.values.get(code as usize - 1));
                map.codes[code as usize] = mapped;
            }
            column.codes.push(mapped);
        }
        self.metadata_bytes += column.values.bytes.len() - known;
    }

    fn slot(&mut self, name: &str) -> usize {
        if let Some(slot) = self.metadata.iter().position(|column| &*column.name == name) {
            return slot;
        }
        self.metadata.push(MetaColumn {
            name: name.into(),
            codes: Vec::new(),
            values: Strings::default(),
            index: HashTable::new(),
        });
        self.metadata.len() - 1
    }

    /// Shows the rows of the open page.
    pub(super) fn sample(&self, sampler: &mut Sampler, scratch: &mut Scratch) {
        let (start, end) = (self.page_start(), self.rows());
        page_runs(&self.runs, start as u32..end as u32, &mut scratch.runs);
        let levels = self.metadata.iter().find(|column| &*column.name == LEVEL);
        let level = |row: usize| match levels.and_then(|levels| levels.codes.get(start + row)) {
            Some(&code) if code > 0 => levels.map_or(&[][..], |l| l.values.get(code as usize - 1)),
            _ => &[],
        };
        sampler.rows(&scratch.runs, self.lines.view(), level, |_| true);
    }

    /// The open page's lines are in `frame`.
    pub(super) fn close_page(&mut self, frame: Frame, scratch: &mut Scratch) {
        let (start, end) = (self.page_start() as u32, self.rows() as u32);
        let page = Page {
            end,
            line_bytes: frame.raw,
            min_ns: self.ts_ns.iter().copied().min().expect("a page has rows"),
            max_ns: self.ts_ns.iter().copied().max().expect("a page has rows"),
        };
        page_runs(&self.runs, start..end, &mut scratch.runs);
        self.times.push(|out| {
            columns::put_times(out, &self.ts_ns, &scratch.runs, &mut scratch.numbers);
        });
        let lines = self.lines.view();
        self.lengths.push(|out| columns::put_lengths(out, &lines, &mut scratch.numbers));
        self.pages.push((page, frame));
        self.ts_ns.clear();
        self.lines.clear();
    }

    /// Whether `copied` fits as the next page. The open page must be empty.
    pub(super) fn has_room_for(&self, copied: &Copied<'_>, options: &Options) -> bool {
        assert!(self.ts_ns.is_empty(), "the page before is closed");
        self.pages.len() < options.group_pages
            && copied.rows as usize <= self.free_rows(copied.columns, options)
    }

    /// Takes a page of another part, whose lines are in `frame` now.
    pub(super) fn push_copied(&mut self, copied: &Copied<'_>, frame: Frame, mapping: &mut Mapping) {
        let before = self.rows();
        let Page { line_bytes, min_ns, max_ns, .. } = copied.page;
        let (stream, end) = (copied.stream, before as u32 + copied.rows);
        self.push_run(Run { stream, end, line_bytes: u64::from(line_bytes), min_ns, max_ns });
        for (view, map) in copied.columns.metadata.iter().zip(&mut mapping.columns) {
            self.push_codes(view.codes, view, map, before);
        }
        self.times.push(|out| out.extend_from_slice(copied.times));
        self.lengths.push(|out| out.extend_from_slice(copied.lengths));
        self.pages.push((Page { end, line_bytes, min_ns, max_ns }, frame));
    }

    /// Appends the raw bytes of the timestamp or length column.
    pub(super) fn put_column(&mut self, kind: u8, out: &mut Vec<u8>) {
        match kind {
            columns::kind::TIMES => self.times.finish(out),
            _ => self.lengths.finish(out),
        }
    }

    /// The metadata columns by name.
    pub(super) fn take_metadata(&mut self) -> Vec<MetaColumn> {
        let rows = self.rows();
        let mut columns = std::mem::take(&mut self.metadata);
        columns.iter_mut().for_each(|column| column.codes.resize(rows, 0));
        columns.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        columns
    }

    /// Appends the raw bytes of a metadata column.
    pub(super) fn put_metadata(
        &self,
        column: &MetaColumn,
        out: &mut Vec<u8>,
        scratch: &mut Scratch,
    ) {
        let scratch = &mut scratch.numbers;
        put_values(out, &column.values, scratch);
        let mut from = 0;
        put_chunks(out, self.pages.len(), |page, out| {
            let to = self.pages[page].0.end as usize;
            put_numbers(out, &column.codes[from..to], scratch);
            from = to;
        });
    }

    pub(super) fn take_pages(&mut self) -> Vec<(Page, Frame)> {
        std::mem::take(&mut self.pages)
    }

    pub(super) fn take_runs(&mut self) -> Vec<Run> {
        std::mem::take(&mut self.runs)
    }

    pub(super) fn take_run_pairs(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.run_pairs)
    }

    /// Starts an empty group, keeps the allocations.
    pub(super) fn clear(&mut self) {
        self.metadata_bytes = 0;
        assert!(self.ts_ns.is_empty() && self.lines.is_empty(), "the last page is closed");
        assert!(self.pages.is_empty() && self.runs.is_empty() && self.metadata.is_empty());
    }
}

/// The runs of rows `rows` of a group, with ends relative to the first of them.
pub(crate) fn page_runs(runs: &[Run], rows: std::ops::Range<u32>, out: &mut Vec<base::Run>) {
    out.clear();
    let first = runs.partition_point(|run| run.end <= rows.start);
    for run in &runs[first..] {
        let end = run.end.min(rows.end) - rows.start;
        out.push(base::Run { stream: run.stream, end });
        if run.end >= rows.end {
            break;
        }
    }
}
