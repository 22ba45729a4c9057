//! Rows as columns, owned ([`Rows`]) and borrowed ([`PageView`]).
//!
//! This is the one in-memory shape of log lines. Line bytes and metadata values lie in arenas with
//! end offsets; metadata is dictionary-coded per column, so that a filter looks at each distinct
//! value once. Stream ids are runs, because pushes and parts both keep a stream's rows together.

use hashbrown::HashTable;
use std::sync::Arc;

use crate::hash::hash64;

/// Consecutive rows of one stream: from the previous run's `end` up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Index into the stream table that goes with these rows.
    pub stream: u32,
    /// One past the last row of the run.
    pub end: u32,
}

/// Byte strings one after the other. At most 4 GiB together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    /// End of each string in `bytes`; ascending.
    pub ends: Vec<u32>,
    /// All bytes.
    pub bytes: Vec<u8>,
}

impl Strings {
    /// Appends one string.
    #[inline]
    pub fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        assert!(self.bytes.len() <= u32::MAX as usize, "arena over 4 GiB");
        self.ends.push(self.bytes.len() as u32);
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no strings.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// String `index`.
    #[inline]
    pub fn get(&self, index: usize) -> &[u8] {
        self.view().get(index)
    }

    /// A borrowed view of all strings.
    pub fn view(&self) -> StrView<'_> {
        StrView { start: 0, ends: &self.ends, bytes: &self.bytes }
    }

    /// Removes all strings, keeps the allocations.
    pub fn clear(&mut self) {
        self.ends.clear();
        self.bytes.clear();
    }
}

/// A borrowed slice of [`Strings`]: `ends` are offsets into `bytes`, the first string starts at
/// `start`. So a range of rows of a larger arena is a view without copying.
#[derive(Clone, Copy, Debug, Default)]
pub struct StrView<'a> {
    /// Where string 0 begins in `bytes`.
    pub start: u32,
    /// End of each string in `bytes`.
    pub ends: &'a [u32],
    /// The arena.
    pub bytes: &'a [u8],
}

impl<'a> StrView<'a> {
    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no strings.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Where string `index` lies in `bytes`.
    #[inline]
    pub fn span(&self, index: usize) -> (usize, usize) {
        let from = if index == 0 { self.start } else { self.ends[index - 1] };
        (from as usize, self.ends[index] as usize)
    }

    /// String `index`.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        let (from, to) = self.span(index);
        &self.bytes[from..to]
    }

    /// Length of string `index` in bytes; needs no `bytes`.
    #[inline]
    pub fn length(&self, index: usize) -> usize {
        let (from, to) = self.span(index);
        to - from
    }

    /// Strings `from..to` as a view of their own.
    pub fn slice(&self, from: usize, to: usize) -> StrView<'a> {
        let start = if from == 0 { self.start } else { self.ends[from - 1] };
        StrView { start, ends: &self.ends[from..to], bytes: self.bytes }
    }

    /// The bytes of all strings together.
    pub fn joined(&self) -> &'a [u8] {
        let end = self.ends.last().copied().unwrap_or(self.start);
        &self.bytes[self.start as usize..end as usize]
    }
}

/// One structured-metadata key: a code per row, 0 = the row has no such key, `k` = `values[k - 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DictColumn {
    /// The key.
    pub name: Arc<str>,
    /// One code per row.
    pub codes: Vec<u32>,
    /// Distinct values in order of first appearance.
    pub values: Strings,
}

impl DictColumn {
    /// A borrowed view of the whole column.
    pub fn view(&self) -> DictView<'_> {
        DictView { name: &self.name, codes: &self.codes, values: self.values.view() }
    }

    /// The value of `row`.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        match self.codes[row] {
            0 => None,
            code => Some(self.values.get(code as usize - 1)),
        }
    }
}

/// Borrowed [`DictColumn`]; `codes` may be a row range of a larger column.
#[derive(Clone, Copy, Debug)]
pub struct DictView<'a> {
    /// The key.
    pub name: &'a str,
    /// One code per row of the page; 0 = absent, `k` = `values.get(k - 1)`.
    pub codes: &'a [u32],
    /// Distinct values.
    pub values: StrView<'a>,
}

impl<'a> DictView<'a> {
    /// The value of `row`.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a [u8]> {
        match self.codes[row] {
            0 => None,
            code => Some(self.values.get(code as usize - 1)),
        }
    }
}

/// What an operator sees: a range of rows, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct PageView<'a> {
    /// Stream of each row range; ends are page-relative and the last is the row count.
    pub runs: &'a [Run],
    /// Timestamp of each row, nanoseconds.
    pub ts_ns: &'a [i64],
    /// Lines. `bytes` is empty when the plan asked for lengths only.
    pub lines: StrView<'a>,
    /// Structured metadata, the columns the plan asked for, sorted by name.
    pub metadata: &'a [DictView<'a>],
}

impl PageView<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ts_ns.len()
    }

    /// Whether the page has no rows.
    pub fn is_empty(&self) -> bool {
        self.ts_ns.is_empty()
    }
}

/// Rows of several streams, in columns. The order of rows is the owner's business.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Streams of the rows; ends are ascending and the last equals the row count.
    pub runs: Vec<Run>,
    /// Timestamp of each row, nanoseconds.
    pub ts_ns: Vec<i64>,
    /// The log lines.
    pub lines: Strings,
    /// Structured metadata, sorted by name, each name once; every column has one code per row.
    pub metadata: Vec<DictColumn>,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ts_ns.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ts_ns.is_empty()
    }

    /// Bytes that the columns take: lines, a timestamp and an end per row, a code per row and
    /// metadata column, names and distinct values. A record or a message of them is as large.
    pub fn column_bytes(&self) -> usize {
        let dictionary = |column: &DictColumn| {
            let values = &column.values;
            column_bytes(&column.name) + values.bytes.len() + values.len() * VALUE_BYTES
        };
        row_bytes(self) + self.metadata.iter().map(dictionary).sum::<usize>()
    }

    /// Bytes of all lines and all distinct metadata values.
    pub fn raw_bytes(&self) -> usize {
        let metadata: usize = self.metadata.iter().map(|column| column.values.bytes.len()).sum();
        self.lines.bytes.len() + metadata
    }

    /// Borrowed metadata columns, for [`Rows::page`].
    pub fn metadata_views(&self) -> Vec<DictView<'_>> {
        self.metadata.iter().map(DictColumn::view).collect()
    }

    /// All rows as one page. `metadata` comes from [`Rows::metadata_views`].
    pub fn page<'a>(&'a self, metadata: &'a [DictView<'a>]) -> PageView<'a> {
        PageView { runs: &self.runs, ts_ns: &self.ts_ns, lines: self.lines.view(), metadata }
    }

    /// Panics unless the columns fit each other. Called where rows enter or leave a room.
    pub fn assert_consistent(&self) {
        let rows = self.len();
        assert_eq!(self.runs.last().map_or(0, |run| run.end as usize), rows, "runs cover the rows");
        assert!(self.runs.windows(2).all(|w| w[0].end < w[1].end), "runs ascend");
        assert_eq!(self.lines.len(), rows, "one line per row");
        assert!(self.metadata.windows(2).all(|w| w[0].name < w[1].name), "metadata sorted");
        for column in &self.metadata {
            assert_eq!(column.codes.len(), rows, "one code per row in {}", column.name);
        }
    }
}

/// What a distinct value takes beside its bytes: its end.
const VALUE_BYTES: usize = size_of::<u32>();

/// What a metadata column takes beside its codes and values: its name and three counts.
fn column_bytes(name: &str) -> usize {
    name.len() + 3 * size_of::<u32>()
}

/// What rows take beside names and values of metadata.
#[inline]
fn row_bytes(rows: &Rows) -> usize {
    let of_row = size_of::<i64>() + size_of::<u32>() + rows.metadata.len() * size_of::<u32>();
    rows.lines.bytes.len() + rows.len() * of_row + rows.runs.len() * size_of::<Run>()
}

/// The runs that have some of the rows `from..to`, which are not empty: found without a look at the
/// others, because whoever goes through a page run by run asks for each.
pub fn runs_of(runs: &[Run], from: usize, to: usize) -> &[Run] {
    debug_assert!(from < to);
    let first = runs.partition_point(|run| run.end as usize <= from);
    // Mostly it is one run: a few steps forward before the rest is halved.
    let rest = &runs[first..];
    let near = rest.iter().take(4).position(|run| run.end as usize >= to);
    let last = near.unwrap_or_else(|| rest.partition_point(|run| (run.end as usize) < to));
    &rest[..rest.len().min(last + 1)]
}

/// Fills [`Rows`] row by row without an allocation per row once its buffers are warm.
#[derive(Clone, Debug, Default)]
pub struct RowsBuilder {
    rows: Rows,
    /// Per metadata column (same order as `rows.metadata`, which is insertion order until
    /// [`RowsBuilder::finish`]): value -> code.
    index: Vec<HashTable<u32>>,
    /// Bytes of names and values of metadata, and of their ends.
    dictionary_bytes: usize,
    /// Columns of the rows that [`RowsBuilder::take`] gave away, for the rows that follow.
    spare: Vec<Spare>,
}

/// What of a column outlives its rows: the name, the emptied index, and how large it was.
#[derive(Clone, Debug)]
struct Spare {
    name: Arc<str>,
    index: HashTable<u32>,
    values: usize,
    value_bytes: usize,
}

/// Columns that get room for all expected rows when they begin.
const MAX_RESERVED_COLUMNS: usize = 32;
/// More names than this are not kept for the next rows: they were somebody's mistake.
const MAX_SPARE_COLUMNS: usize = 64;
/// A larger index is freed instead of kept.
const MAX_SPARE_INDEX: usize = 1 << 17;

impl RowsBuilder {
    /// A builder with room for `rows` rows and `line_bytes` bytes of lines.
    pub fn with_capacity(rows: usize, line_bytes: usize) -> RowsBuilder {
        let mut builder = RowsBuilder::default();
        builder.rows.ts_ns.reserve(rows);
        builder.rows.lines.ends.reserve(rows);
        builder.rows.lines.bytes.reserve(line_bytes);
        builder
    }

    /// Number of rows so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of lines and distinct metadata values so far.
    pub fn raw_bytes(&self) -> usize {
        self.rows.raw_bytes()
    }

    /// [`Rows::column_bytes`] of what [`RowsBuilder::finish`] would give now, at no cost.
    #[inline]
    pub fn column_bytes(&self) -> usize {
        row_bytes(&self.rows) + self.dictionary_bytes
    }

    /// The rows so far. Metadata columns may be shorter than the rows and are not sorted yet.
    pub fn peek(&self) -> &Rows {
        &self.rows
    }

    /// Appends a row of `stream`; its metadata follows by [`RowsBuilder::metadata`].
    #[inline]
    pub fn push(&mut self, stream: u32, ts_ns: i64, line: &[u8]) {
        self.rows.ts_ns.push(ts_ns);
        self.rows.lines.push(line);
        let end = self.rows.ts_ns.len() as u32;
        match self.rows.runs.last_mut() {
            Some(run) if run.stream == stream => run.end = end,
            _ => self.rows.runs.push(Run { stream, end }),
        }
    }

    /// Sets metadata `name` of the row pushed last. A second value for a name replaces the first.
    #[inline]
    pub fn metadata(&mut self, name: &str, value: &[u8]) {
        let slot = self.column(name);
        self.set(slot, value);
    }

    /// The slot of metadata column `name`, made if it is new. Slots stay valid until `finish`.
    pub fn column(&mut self, name: &str) -> usize {
        let columns = &mut self.rows.metadata;
        if let Some(slot) = columns.iter().position(|column| &*column.name == name) {
            return slot;
        }
        let spare = self.spare.iter().position(|spare| &*spare.name == name);
        let (name, index, values) = match spare.map(|at| self.spare.swap_remove(at)) {
            Some(spare) => {
                let values = Strings {
                    ends: Vec::with_capacity(spare.values),
                    bytes: Vec::with_capacity(spare.value_bytes),
                };
                (spare.name, spare.index, values)
            }
            None => (name.into(), HashTable::new(), Strings::default()),
        };
        // Names without end are used by few rows each.
        let is_usual = columns.len() < MAX_RESERVED_COLUMNS;
        let codes = Vec::with_capacity(if is_usual { self.rows.ts_ns.capacity() } else { 0 });
        self.dictionary_bytes += column_bytes(&name);
        columns.push(DictColumn { name, codes, values });
        self.index.push(index);
        columns.len() - 1
    }

    /// Whether column `slot` of the row pushed last has a value.
    #[inline]
    pub fn is_set(&self, slot: usize) -> bool {
        let codes = &self.rows.metadata[slot].codes;
        codes.len() == self.rows.ts_ns.len() && codes.last().is_some_and(|&code| code != 0)
    }

    /// Sets column `slot` of the row pushed last.
    #[inline]
    pub fn set(&mut self, slot: usize, value: &[u8]) {
        let rows = self.rows.ts_ns.len();
        assert!(rows > 0, "metadata before the first row");
        let code = self.intern(slot, value);
        self.set_code(slot, code);
    }

    /// Sets column `slot` of the row pushed last to the value whose code [`RowsBuilder::intern`]
    /// gave.
    #[inline]
    pub fn set_code(&mut self, slot: usize, code: u32) {
        let rows = self.rows.ts_ns.len();
        let codes = &mut self.rows.metadata[slot].codes;
        if codes.len() == rows {
            codes[rows - 1] = code;
        } else {
            codes.resize(rows - 1, 0);
            codes.push(code);
        }
    }

    /// The code of `value` in column `slot`, made if it is new. Valid until `finish` or `take`.
    pub fn intern(&mut self, slot: usize, value: &[u8]) -> u32 {
        let values = &mut self.rows.metadata[slot].values;
        let index = &mut self.index[slot];
        let hash = hash64(value);
        if let Some(&code) = index.find(hash, |&code| values.get(code as usize - 1) == value) {
            return code;
        }
        values.push(value);
        self.dictionary_bytes += value.len() + VALUE_BYTES;
        let code = values.len() as u32;
        index.insert_unique(hash, code, |&code| hash64(values.get(code as usize - 1)));
        code
    }

    /// Appends rows `from..to` of `page`; `stream_of` maps its stream numbers to this builder's.
    pub fn append(
        &mut self,
        page: &PageView<'_>,
        from: usize,
        to: usize,
        mut stream_of: impl FnMut(u32) -> u32,
    ) {
        assert!(from <= to && to <= page.len());
        if from == to {
            return;
        }
        let base = self.rows.ts_ns.len();
        self.rows.ts_ns.extend_from_slice(&page.ts_ns[from..to]);
        let lines = page.lines.slice(from, to);
        let arena = &mut self.rows.lines;
        let shift = arena.bytes.len() as u64;
        arena.bytes.extend_from_slice(lines.joined());
        assert!(arena.bytes.len() <= u32::MAX as usize, "arena over 4 GiB");
        let start = u64::from(lines.start);
        arena.ends.extend(lines.ends.iter().map(|&end| (u64::from(end) - start + shift) as u32));

        for run in runs_of(page.runs, from, to) {
            let stream = stream_of(run.stream);
            let end = (base + (run.end as usize).min(to) - from) as u32;
            match self.rows.runs.last_mut() {
                Some(last) if last.stream == stream => last.end = end,
                _ => self.rows.runs.push(Run { stream, end }),
            }
        }

        // Columns of one page mostly lie in this builder as they lie there.
        let mut next = 0;
        for column in page.metadata {
            let codes = &column.codes[from..to];
            if codes.iter().all(|&code| code == 0) {
                continue;
            }
            let slot = match self.rows.metadata.get(next) {
                Some(known) if &*known.name == column.name => next,
                _ => self.column(column.name),
            };
            next = slot + 1;
            self.rows.metadata[slot].codes.resize(base, 0);
            if codes.len() < column.values.len() {
                // A few rows of a large dictionary: a table of all its values would cost more.
                for &code in codes {
                    let code = match code {
                        0 => 0,
                        code => self.intern(slot, column.values.get(code as usize - 1)),
                    };
                    self.rows.metadata[slot].codes.push(code);
                }
                continue;
            }
            // A value is interned once however many of its rows follow.
            let mut mapped = vec![0u32; column.values.len() + 1];
            for &code in codes {
                if code != 0 && mapped[code as usize] == 0 {
                    mapped[code as usize] = self.intern(slot, column.values.get(code as usize - 1));
                }
            }
            let target = &mut self.rows.metadata[slot].codes;
            target.extend(codes.iter().map(|&code| mapped[code as usize]));
        }
    }

    /// Makes room for `rows` more rows and `line_bytes` more bytes of lines.
    pub fn reserve(&mut self, rows: usize, line_bytes: usize) {
        self.rows.ts_ns.reserve(rows);
        self.rows.lines.ends.reserve(rows);
        self.rows.lines.bytes.reserve(line_bytes);
    }

    /// As [`RowsBuilder::finish`], but the builder stays, empty and warm: columns of the same names
    /// get their indexes back and start at the size they had.
    pub fn take(&mut self) -> Rows {
        for (column, mut index) in self.rows.metadata.iter().zip(self.index.drain(..)) {
            if self.spare.len() >= MAX_SPARE_COLUMNS || index.capacity() > MAX_SPARE_INDEX {
                continue;
            }
            index.clear();
            self.spare.push(Spare {
                name: column.name.clone(),
                index,
                values: column.values.ends.len(),
                value_bytes: column.values.bytes.len(),
            });
        }
        let rows = std::mem::take(&mut self.rows);
        self.dictionary_bytes = 0;
        finish(rows)
    }

    /// Pads and sorts the metadata columns and hands out the rows.
    pub fn finish(self) -> Rows {
        finish(self.rows)
    }
}

fn finish(mut rows: Rows) -> Rows {
    let count = rows.len();
    for column in &mut rows.metadata {
        column.codes.resize(count, 0);
    }
    rows.metadata.retain(|column| !column.values.is_empty());
    rows.metadata.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    rows.assert_consistent();
    rows
}

#[cfg(test)]
mod tests;
