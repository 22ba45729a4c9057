//! Labels of the rows of one page while it is evaluated.
//!
//! Three kinds (contract 5): stream labels are constant over a run, structured metadata comes as
//! dictionary columns, parsed labels are spans into the line or into a scratch arena. Effective
//! order: parsed, then metadata, then stream.

use base::{Bitmap, DictView, Labels, PageView};

use super::names::{NONE, NameId, Names};

/// Bytes of a parsed value: a span of the page's line arena or of the scratch arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    at: u32,
    len: u32,
}

/// The bytes are in the scratch arena.
const SCRATCH: u32 = 1 << 31;
/// The label was set, not extracted: a parser that finds it later sets it anew.
const SET: u32 = 1 << 30;
const FLAGS: u32 = SCRATCH | SET;
/// Where no text begins: there is no such label, whatever stream and metadata say.
const GONE: u32 = u32::MAX;

impl Text {
    /// The empty text.
    pub(crate) const EMPTY: Text = Text { at: 0, len: 0 };
    /// No label of this name.
    const GONE: Text = Text { at: GONE, len: 0 };

    /// Whether it says that there is no such label.
    #[inline]
    pub(crate) fn is_gone(self) -> bool {
        self.at == GONE
    }

    /// Whether the label was set rather than extracted.
    #[inline]
    pub(crate) fn is_set(self) -> bool {
        self.len & SET != 0
    }

    fn with_flag_of(self, other: Text) -> Text {
        Text { len: self.len & !SET | other.len & SET, ..self }
    }

    /// Bytes `from..to` of the line arena. A line is far shorter than 2 GiB.
    #[inline]
    pub(crate) fn line(from: usize, to: usize) -> Text {
        debug_assert!(to - from < SET as usize);
        Text { at: from as u32, len: (to - from) as u32 }
    }

    /// Bytes of the scratch arena from `from` to its end.
    #[inline]
    pub(crate) fn scratch(from: usize, to: usize) -> Text {
        assert!(to < GONE as usize && to - from < SET as usize, "scratch arena over 4 GiB");
        Text { at: from as u32, len: (to - from) as u32 | SCRATCH }
    }

    /// The bytes.
    #[inline]
    pub(crate) fn bytes<'a>(self, lines: &'a [u8], scratch: &'a [u8]) -> &'a [u8] {
        let arena = if self.len & SCRATCH == 0 { lines } else { scratch };
        let at = self.at as usize;
        &arena[at..at + (self.len & !FLAGS) as usize]
    }

    /// Whether there are no bytes.
    pub(crate) fn is_empty(self) -> bool {
        self.len & !FLAGS == 0
    }
}

/// Parsed labels: a short list per row, all lists in one vector. A list has a name once.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    rows: Vec<(u32, u32)>,
    entries: Vec<(NameId, Text)>,
    /// Per name: the mark of the last row that has it, and where. So "first extraction wins" is one
    /// look, however many labels a line has.
    seen: Vec<(u32, u32)>,
    mark: u32,
    /// Some label of the page was set or taken away.
    changed: bool,
}

impl Parsed {
    /// Makes room for `rows` rows without labels.
    pub(crate) fn reset(&mut self, rows: usize) {
        self.rows.clear();
        self.rows.resize(rows, (0, 0));
        self.entries.clear();
        self.changed = false;
    }

    /// Begins to add to `row`. What it has from an earlier stage stays.
    #[inline]
    pub(crate) fn begin(&mut self, row: usize) {
        if self.mark == u32::MAX {
            self.seen.clear();
            self.mark = 0;
        }
        self.mark += 1;
        let (from, to) = self.rows[row];
        let end = self.entries.len() as u32;
        if from == to {
            self.rows[row] = (end, end);
            return;
        }
        if to != end {
            // Another row lies behind: the list moves to the end, where it can grow.
            self.entries.extend_from_within(from as usize..to as usize);
            self.rows[row] = (end, self.entries.len() as u32);
        }
        let (from, to) = self.rows[row];
        for at in from..to {
            self.mark_seen(self.entries[at as usize].0, at);
        }
    }

    #[inline]
    fn mark_seen(&mut self, name: NameId, at: u32) {
        let name = name as usize;
        if name >= self.seen.len() {
            self.seen.resize(name + 1, (0, 0));
        }
        self.seen[name] = (self.mark, at);
    }

    /// Where the row begun last has something of this name.
    #[inline]
    fn place(&self, name: NameId) -> Option<usize> {
        let &(mark, at) = self.seen.get(name as usize)?;
        (mark == self.mark).then_some(at as usize)
    }

    fn push(&mut self, row: usize, name: NameId, text: Text) {
        self.mark_seen(name, self.entries.len() as u32);
        self.entries.push((name, text));
        self.rows[row].1 = self.entries.len() as u32;
    }

    /// Whether a parser found `name` on the row begun last.
    #[inline]
    pub(crate) fn has(&self, name: NameId) -> bool {
        self.place(name).is_some_and(|at| !self.entries[at].1.is_set())
    }

    /// Adds what a parser found on the row begun last, unless one found that name before.
    #[inline]
    pub(crate) fn add(&mut self, row: usize, name: NameId, text: Text) -> bool {
        match self.place(name) {
            None => self.push(row, name, text),
            Some(at) if self.entries[at].1.is_set() => self.entries[at].1 = text,
            Some(_) => return false,
        }
        true
    }

    /// Sets a label of the row begun last, whatever it has.
    pub(crate) fn set(&mut self, row: usize, name: NameId, text: Text) {
        match self.place(name) {
            None => self.push(row, name, text),
            Some(at) => self.entries[at].1 = text,
        }
    }

    /// Sets a label of the row begun last that no parser found.
    pub(crate) fn put(&mut self, row: usize, name: NameId, text: Text) {
        self.changed = true;
        match self.place(name) {
            None => self.push(row, name, Text { len: text.len | SET, ..text }),
            Some(at) => self.entries[at].1 = text.with_flag_of(self.entries[at].1),
        }
    }

    /// Takes a label away from the row begun last. Labels of stream and metadata stay hidden.
    pub(crate) fn hide(&mut self, row: usize, name: NameId) {
        self.put(row, name, Text::GONE);
    }

    /// Takes away every label of the row begun last whose name is not kept.
    pub(crate) fn hide_parsed(&mut self, row: usize, keep: impl Fn(NameId, Text) -> bool) {
        self.changed = true;
        let (from, to) = self.rows[row];
        for (name, text) in &mut self.entries[from as usize..to as usize] {
            if !text.is_gone() && !keep(*name, *text) {
                *text = Text::GONE.with_flag_of(*text);
            }
        }
    }

    /// Whether some label of the page was set or taken away.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// The labels of `row` there are.
    pub(crate) fn live(&self, row: usize) -> impl Iterator<Item = (NameId, Text)> + '_ {
        self.of(row).iter().copied().filter(|(_, text)| !text.is_gone())
    }

    /// Moves what lies in the line arena to the scratch arena.
    fn detach(&mut self, row: usize, lines: &[u8], scratch: &mut Vec<u8>) {
        let (from, to) = self.rows[row];
        for (_, text) in &mut self.entries[from as usize..to as usize] {
            if text.len & SCRATCH == 0 && !text.is_gone() {
                let at = scratch.len();
                scratch.extend_from_slice(text.bytes(lines, &[]));
                *text = Text::scratch(at, scratch.len()).with_flag_of(*text);
            }
        }
    }

    /// Labels of `row` in order of extraction.
    #[inline]
    pub(crate) fn of(&self, row: usize) -> &[(NameId, Text)] {
        let (from, to) = self.rows[row];
        &self.entries[from as usize..to as usize]
    }

    /// What is said of the label `name` of `row`: a text, or that it is gone.
    #[inline]
    pub(crate) fn get(&self, row: usize, name: NameId) -> Option<Text> {
        self.of(row).iter().find(|entry| entry.0 == name).map(|entry| entry.1)
    }
}

/// What went wrong with rows: the fields `__error__` and `__error_details__`.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    rows: Vec<(Text, Option<Text>)>,
    count: usize,
}

/// The kinds of `__error__` (contract 6.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// `| json`.
    Json,
    /// `| logfmt --strict`.
    Logfmt,
    /// Numeric label filters.
    LabelFilter,
    /// `| unwrap`.
    SampleExtraction,
    /// `| line_format`, `| label_format`.
    Template,
}

impl ErrorKind {
    /// The value of `__error__`.
    pub(crate) fn text(self) -> &'static str {
        match self {
            ErrorKind::Json => "JSONParserErr",
            ErrorKind::Logfmt => "LogfmtParserErr",
            ErrorKind::LabelFilter => "LabelFilterErr",
            ErrorKind::SampleExtraction => "SampleExtractionErr",
            ErrorKind::Template => "TemplateFormatErr",
        }
    }
}

impl Errors {
    /// No errors yet.
    pub(crate) fn reset(&mut self) {
        self.rows.clear();
        self.count = 0;
    }

    /// Whether no row has an error, or details that outlived theirs (`| drop __error__`).
    #[inline]
    pub(crate) fn none(&self) -> bool {
        self.count == 0
    }

    /// The error of `row`; empty text = none.
    #[inline]
    pub(crate) fn of(&self, row: usize) -> Text {
        self.rows.get(row).map_or(Text::EMPTY, |error| error.0)
    }

    /// The details of the error of `row`.
    pub(crate) fn details(&self, row: usize) -> Option<Text> {
        self.rows.get(row).and_then(|error| error.1)
    }

    fn slot(&mut self, row: usize) -> &mut (Text, Option<Text>) {
        if row >= self.rows.len() {
            self.rows.resize(row + 1, (Text::EMPTY, None));
        }
        &mut self.rows[row]
    }

    /// Sets both fields; counts the row if it had neither.
    pub(crate) fn set(&mut self, row: usize, error: Text, details: Option<Text>) {
        let counts = |fields: &(Text, Option<Text>)| !fields.0.is_empty() || fields.1.is_some();
        let slot = self.slot(row);
        let had = counts(slot);
        *slot = (error, details);
        match (had, counts(slot)) {
            (false, true) => self.count += 1,
            (true, false) => self.count -= 1,
            _ => {}
        }
    }

    /// Sets the details field alone.
    pub(crate) fn set_details(&mut self, row: usize, details: Text) {
        self.set(row, self.of(row), Some(details));
    }

    /// Clears the error field, the details field, or both.
    pub(crate) fn clear(&mut self, row: usize, error: bool, details: bool) {
        if row < self.rows.len() {
            let (known, known_details) = self.rows[row];
            let left = if error { Text::EMPTY } else { known };
            self.set(row, left, known_details.filter(|_| !details));
        }
    }
}

/// Which names the current run's stream and the page's metadata occupy.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    mark: u32,
    stream: Option<u32>,
    base: Vec<(u32, u16)>,
    meta: Vec<(u32, u16)>,
    /// Per metadata column of the page: its name, and its name in this run.
    columns: Vec<NameId>,
    effective: Vec<NameId>,
    /// Columns whose name in this run a later column has too (`x` renamed to `x_extracted`, beside
    /// an `x_extracted` of its own): they count on rows where the later has no value.
    shadowed: Vec<(NameId, u16)>,
}

impl Scope {
    /// Begins a page with these metadata columns.
    pub(crate) fn begin_page(&mut self, names: &mut Names, metadata: &[DictView<'_>]) {
        assert!(metadata.len() < usize::from(u16::MAX), "too many metadata columns");
        self.columns.clear();
        self.columns.extend(metadata.iter().map(|column| names.lookup(column.name.as_bytes())));
        self.stream = None;
    }

    /// Begins a run of `stream`, whose label names have the numbers `ids`.
    pub(crate) fn enter(&mut self, names: &mut Names, stream: u32, ids: &[NameId]) {
        if self.stream == Some(stream) {
            return;
        }
        self.stream = Some(stream);
        if self.mark == u32::MAX {
            (self.base, self.meta, self.mark) = (Vec::new(), Vec::new(), 0);
        }
        self.mark += 1;
        for (index, &id) in ids.iter().enumerate() {
            if id != NONE {
                stamp(&mut self.base, id, self.mark, index);
            }
        }
        self.effective.clear();
        self.shadowed.clear();
        for (column, &id) in self.columns.iter().enumerate() {
            let taken = id != NONE && self.base.get(id as usize).is_some_and(|b| b.0 == self.mark);
            let id = if taken { names.extracted(id) } else { id };
            let id = if matches!(id, super::names::ERROR | super::names::ERROR_DETAILS) {
                NONE // these set the error fields instead
            } else {
                id
            };
            self.effective.push(id);
            if id != NONE {
                if let Some(earlier) = self.meta(id) {
                    self.shadowed.push((id, earlier as u16));
                }
                stamp(&mut self.meta, id, self.mark, column);
            }
        }
    }

    /// Which label of the stream has this name.
    #[inline]
    pub(crate) fn base(&self, name: NameId) -> Option<usize> {
        self.base.get(name as usize).filter(|b| b.0 == self.mark).map(|b| usize::from(b.1))
    }

    /// The last metadata column with this name in this run.
    #[inline]
    pub(crate) fn meta(&self, name: NameId) -> Option<usize> {
        self.meta.get(name as usize).filter(|m| m.0 == self.mark).map(|m| usize::from(m.1))
    }

    /// The name of each metadata column in this run.
    pub(crate) fn effective(&self) -> &[NameId] {
        &self.effective
    }

    /// The metadata value that has this name on `row`.
    #[inline]
    pub(crate) fn metadata<'a>(
        &self,
        page: &PageView<'a>,
        row: usize,
        name: NameId,
    ) -> Option<&'a [u8]> {
        let value = page.metadata[self.meta(name)?].get(row);
        if value.is_some() || self.shadowed.is_empty() {
            return value;
        }
        let mut earlier = self.shadowed.iter().rev().filter(|shadowed| shadowed.0 == name);
        earlier.find_map(|shadowed| page.metadata[usize::from(shadowed.1)].get(row))
    }

    /// Whether a name decides by itself which column it is: no other has it in this run.
    pub(crate) fn is_sole(&self, name: NameId) -> bool {
        !self.shadowed.iter().any(|shadowed| shadowed.0 == name)
    }
}

fn stamp(list: &mut Vec<(u32, u16)>, id: NameId, mark: u32, index: usize) {
    let id = id as usize;
    if id >= list.len() {
        list.resize(id + 1, (0, 0));
    }
    list[id] = (mark, index as u16);
}

/// Everything about the rows of the current page that stages add; buffers live with the worker.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// Parsed labels.
    pub parsed: Parsed,
    /// Errors.
    pub errors: Errors,
    /// Who owns which name in the current run.
    pub scope: Scope,
    /// Values that are not spans of a line.
    pub scratch: Vec<u8>,
}

impl Columns {
    /// Begins a page.
    pub(crate) fn begin_page(&mut self, names: &mut Names, page: &PageView<'_>) {
        self.parsed.reset(page.len());
        self.errors.reset();
        self.scratch.clear();
        self.scope.begin_page(names, page.metadata);
    }

    /// Whether a parsed label must step aside from `name` on `row`: the stream has it, or metadata
    /// that nothing hides.
    #[inline]
    pub(crate) fn taken(&self, page: &PageView<'_>, row: usize, name: NameId) -> bool {
        self.scope.base(name).is_some()
            || (self.scope.metadata(page, row, name).is_some()
                && !(self.parsed.is_changed() && self.parsed.get(row, name).is_some()))
    }

    /// To be called before the lines of `rows` change: labels lie in them.
    pub(crate) fn detach(&mut self, lines: &[u8], rows: &Bitmap) {
        for row in rows.iter() {
            self.parsed.detach(row, lines, &mut self.scratch);
        }
    }

    /// Copies bytes into the scratch arena.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Text {
        let from = self.scratch.len();
        self.scratch.extend_from_slice(bytes);
        Text::scratch(from, self.scratch.len())
    }

    /// Notes an error on a row.
    pub(crate) fn fail(&mut self, row: usize, kind: ErrorKind, details: Option<&str>) {
        let error = self.keep(kind.text().as_bytes());
        let details = details.map(|details| self.keep(details.as_bytes()));
        self.errors.set(row, error, details);
    }

    /// The effective value of `name` on `row` of the current run.
    #[inline]
    pub(crate) fn value<'a>(
        &'a self,
        page: &PageView<'a>,
        stream: &'a Labels,
        row: usize,
        name: NameId,
    ) -> Option<&'a [u8]> {
        if let Some(text) = self.parsed.get(row, name) {
            return (!text.is_gone()).then(|| text.bytes(page.lines.bytes, &self.scratch));
        }
        if let Some(value) = self.scope.metadata(page, row, name) {
            return Some(value);
        }
        self.scope.base(name).map(|index| stream.pair(index).1.as_bytes())
    }
}
