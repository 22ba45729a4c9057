//! The head of one (tenant, day): mutable rows in memory, as pages in order of arrival.
//!
//! A page is closed at about 256 KiB of lines and never changes again; the open one is copied for a
//! query that wants it. So appends and queries never wait for each other's work.
//!
//! **Invariant:** a head holds whole batches, and no two rows of it are equal in stream, timestamp,
//! line and metadata. Only rows within the time that their stream covers already need a look-up.

use std::sync::Arc;

use base::rows::Strings;
use base::{Batch, BatchId, DictView, HashMap, HashSet, Labels, PageView, Rows, RowsBuilder};
use logql::engine::overlap::{StreamRange, row_hash};

use crate::cover::Cover;

/// Lines of a page: what one search covers, and what a query copies of the open page.
const PAGE_LINE_BYTES: usize = 256 << 10;
/// Rows of a page, for very short lines.
const PAGE_ROWS: usize = 16 << 10;
/// Rows of one batch become a page without being copied if their lines are between these sizes.
const ADOPT_LINE_BYTES: (usize, usize) = (PAGE_LINE_BYTES / 4, 2 << 20);
/// Codes of a page's metadata columns, for rows that all have other names: a column has a code per
/// row, used or not.
const PAGE_CODE_BYTES: usize = 4 << 20;

/// Rows in order of arrival that do not change any more.
#[derive(Debug)]
pub struct Page {
    /// Number of the first row among the head's rows.
    pub first_row: u64,
    /// Oldest row, nanoseconds.
    pub min_ns: i64,
    /// Newest row, nanoseconds.
    pub max_ns: i64,
    /// The rows; `Run::stream` indexes the head's streams.
    pub rows: Rows,
}

impl Page {
    pub(crate) fn new(first_row: u64, rows: Rows) -> Page {
        let min_ns = rows.ts_ns.iter().copied().min().unwrap_or(i64::MAX);
        let max_ns = rows.ts_ns.iter().copied().max().unwrap_or(i64::MIN);
        Page { first_row, min_ns, max_ns, rows }
    }

    /// Number of the first row behind it.
    fn end_row(&self) -> u64 {
        self.first_row + self.rows.len() as u64
    }
}

/// Mutable rows of one tenant and day.
#[derive(Default)]
pub struct Head {
    streams: Arc<Vec<Labels>>,
    index: HashMap<Labels, u32>,
    /// Instants of the rows of each stream.
    covers: Vec<Cover>,
    closed: Vec<Arc<Page>>,
    closed_rows: u64,
    closed_bytes: usize,
    open: RowsBuilder,
    /// The open page as queries got it, until the next append.
    open_copy: Option<Arc<Page>>,
    /// Hashes of the first `seen_rows` rows. Filled only when some row may equal another one.
    seen: HashSet<u128>,
    seen_rows: u64,
    batches: Vec<BatchId>,
    /// Of each batch: its place among all batches of this process, and its first row.
    arrivals: Vec<Arrival>,
    scratch: Vec<u8>,
    /// Runs that [`Head::index_rows`] went through.
    #[cfg(test)]
    visited_runs: usize,
}

/// When a batch came, and where its rows begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Place among all batches that this process took in.
    pub order: u64,
    /// Number of its first row among the head's rows.
    pub first_row: u64,
}

/// What an append did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Rows that are in the head now.
    pub rows: u64,
    /// Rows that were there already.
    pub duplicates: u64,
    /// Line bytes of the duplicates.
    pub duplicate_bytes: u64,
    /// First stream of the head that this batch brought; later ones follow it.
    pub first_new_stream: usize,
}

/// All rows of a head at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Labels of the streams.
    pub streams: Arc<Vec<Labels>>,
    /// Range of each stream, same order.
    pub ranges: Vec<StreamRange>,
    /// The pages in order of arrival.
    pub pages: Vec<Arc<Page>>,
}

impl Head {
    /// Adds all rows of `batch` that are not here yet. `order` is its place among all batches.
    pub fn append(&mut self, batch: Batch, order: u64) -> Appended {
        self.arrivals.push(Arrival { order, first_row: self.rows() });
        let mut appended = Appended { first_new_stream: self.streams.len(), ..Appended::default() };
        let streams: Vec<u32> = batch.streams.iter().map(|labels| self.stream(labels)).collect();
        let mut rows = batch.rows;
        let mut from = 0;
        for run in &mut rows.runs {
            run.stream = streams[run.stream as usize];
            from = run.end;
        }
        assert_eq!(from as usize, rows.len(), "runs cover the rows");
        self.open_copy = None;
        self.batches.push(batch.id);
        self.append_rows(rows, &mut appended);
        appended
    }

    fn stream(&mut self, labels: &Labels) -> u32 {
        if let Some(&stream) = self.index.get(labels) {
            return stream;
        }
        let stream = self.streams.len() as u32;
        Arc::make_mut(&mut self.streams).push(labels.clone());
        self.index.insert(labels.clone(), stream);
        self.covers.push(Cover::default());
        stream
    }

    /// `rows` name streams of this head.
    fn append_rows(&mut self, mut rows: Rows, appended: &mut Appended) {
        let mut are_new = Vec::with_capacity(rows.runs.len());
        let mut from = 0;
        for run in &rows.runs {
            let to = run.end as usize;
            are_new.push(self.covers[run.stream as usize].insert(&rows.ts_ns[from..to]));
            from = to;
        }
        if is_page(&rows) && are_new.iter().all(|&is_new| is_new) {
            appended.rows += rows.len() as u64;
            if !self.open.is_empty() {
                self.close_page();
            }
            shrink(&mut rows);
            self.push_page(rows);
            return;
        }
        let metadata = rows.metadata_views();
        let page = rows.page(&metadata);
        let mut from = 0;
        for (run, is_new) in rows.runs.iter().zip(are_new) {
            let to = run.end as usize;
            if is_new {
                self.copy(&page, from, to, run.stream, appended);
            } else {
                self.append_distinct(&page, from, to, run.stream, appended);
            }
            from = to;
        }
    }

    /// Rows `from..to` of `page`, all of `stream`, some of which may be here already. Rows that are
    /// taken are copied in ranges.
    fn append_distinct(
        &mut self,
        page: &PageView<'_>,
        from: usize,
        to: usize,
        stream: u32,
        appended: &mut Appended,
    ) {
        self.index_rows();
        let mut pending = from;
        for row in from..to {
            if !self.is_new(page, row, stream) {
                self.copy(page, pending, row, stream, appended);
                pending = row + 1;
                appended.duplicates += 1;
                appended.duplicate_bytes += page.lines.length(row) as u64;
            }
        }
        self.copy(page, pending, to, stream, appended);
        self.seen_rows = self.rows();
    }

    fn copy(
        &mut self,
        page: &PageView<'_>,
        mut from: usize,
        to: usize,
        stream: u32,
        appended: &mut Appended,
    ) {
        appended.rows += (to - from) as u64;
        while from < to {
            let used = self.open.peek().lines.bytes.len();
            let until = (page.lines.span(from).0 + PAGE_LINE_BYTES.saturating_sub(used)) as u32;
            // At least one row, however long; else those that end within the page.
            let fit = page.lines.ends[from..to].partition_point(|&end| end <= until).max(1);
            let end = to.min(from + fit).min(from + PAGE_ROWS - self.open.len());
            let columns = self.open.peek().metadata.len() + page.metadata.len();
            let codes = columns * (self.open.len() + end - from) * size_of::<u32>();
            if codes >= PAGE_CODE_BYTES && !self.open.is_empty() {
                self.close_page();
                continue;
            }
            self.open.append(page, from, end, |_| stream);
            from = end;
            let is_full = self.open.peek().lines.bytes.len() >= PAGE_LINE_BYTES
                || self.open.len() >= PAGE_ROWS
                || from < to;
            if is_full {
                self.close_page();
            }
        }
    }

    fn close_page(&mut self) {
        // The next page will be as large as this one.
        let next = RowsBuilder::with_capacity(self.open.len(), PAGE_LINE_BYTES);
        let rows = std::mem::replace(&mut self.open, next).finish();
        self.push_page(rows);
    }

    fn push_page(&mut self, rows: Rows) {
        let first_row = self.closed_rows;
        self.closed_rows += rows.len() as u64;
        self.closed_bytes += memory_bytes(&rows);
        self.closed.push(Arc::new(Page::new(first_row, rows)));
    }

    /// Hashes the rows that are here and were not hashed yet, so that others can be looked up.
    fn index_rows(&mut self) {
        let from_row = self.seen_rows;
        if from_row == self.rows() {
            return;
        }
        let first_page = self.closed.partition_point(|page| page.end_row() <= from_row);
        let closed = self.closed[first_page..].iter().map(|page| (page.first_row, &page.rows));
        let behind = closed.chain([(self.closed_rows, self.open.peek())]);
        for (first_row, rows) in behind {
            let skip = from_row.saturating_sub(first_row) as usize;
            if skip >= rows.len() {
                continue;
            }
            let mut from = skip;
            for run in base::rows::runs_of(&rows.runs, skip, rows.len()) {
                #[cfg(test)]
                {
                    self.visited_runs += 1;
                }
                for row in from..run.end as usize {
                    let metadata = sorted_metadata(rows, row);
                    let line = rows.lines.get(row);
                    let hash = row_hash(line, metadata.into_iter(), &mut self.scratch);
                    self.seen.insert(place(hash, run.stream, rows.ts_ns[row]));
                }
                from = run.end as usize;
            }
        }
        self.seen_rows = self.rows();
    }

    /// Whether the row was not here yet; from now on it is. All rows before it are hashed.
    fn is_new(&mut self, page: &PageView<'_>, row: usize, stream: u32) -> bool {
        let present = |column: &DictView<'_>| column.codes[row] != 0;
        let metadata = page.metadata.iter().filter(|column| present(column));
        let values = metadata.filter_map(|column| Some((column.name, column.get(row)?)));
        let hash = row_hash(page.lines.get(row), values, &mut self.scratch);
        self.seen.insert(place(hash, stream, page.ts_ns[row]))
    }

    /// Everything that is here now. Copies at most the open page.
    pub fn snapshot(&mut self) -> Snapshot {
        if !self.open.is_empty() && self.open_copy.is_none() {
            let rows = self.open.clone().finish();
            self.open_copy = Some(Arc::new(Page::new(self.closed_rows, rows)));
        }
        let pages = self.closed.iter().chain(&self.open_copy).cloned().collect();
        let ranges = self.streams.iter().zip(&self.covers);
        let ranges = ranges.map(|(labels, cover)| {
            let (min_ns, max_ns) = cover.bounds();
            StreamRange { stream: labels.key(), min_ns, max_ns }
        });
        Snapshot { streams: self.streams.clone(), ranges: ranges.collect(), pages }
    }

    /// Ids of the batches whose rows are here.
    pub fn batches(&self) -> &[BatchId] {
        &self.batches
    }

    /// When each batch came, in their order.
    pub fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }

    /// Ids and arrivals of the batches, when nothing else is needed any more.
    pub fn into_batches(self) -> (Vec<BatchId>, Vec<Arrival>) {
        (self.batches, self.arrivals)
    }

    /// Labels of the streams.
    pub fn streams(&self) -> &[Labels] {
        &self.streams
    }

    /// Newest row of the `index`th stream, nanoseconds.
    pub fn newest_ns(&self, index: usize) -> i64 {
        self.covers[index].bounds().1
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.closed_rows + self.open.len() as u64
    }

    /// Bytes of lines, distinct metadata values and the codes that refer to them.
    pub fn raw_bytes(&self) -> usize {
        // Unused capacity of the open page is filled soon.
        let open = self.open.peek();
        self.closed_bytes + open.raw_bytes() + open.len() * 16 + code_bytes(open)
    }

    /// Whether no batch was appended.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

/// Whether the rows of a batch are a page as they are: neither tiny nor huge.
fn is_page(rows: &Rows) -> bool {
    let bytes = rows.lines.bytes.len();
    (ADOPT_LINE_BYTES.0..=ADOPT_LINE_BYTES.1).contains(&bytes) && code_bytes(rows) < PAGE_CODE_BYTES
}

/// Gives back unused memory behind the columns: one copy of a column that has more than a quarter
/// too much. A decoder reserves by the size of the body, which for JSON is more than its lines.
fn shrink(rows: &mut Rows) {
    fn fit<T>(column: &mut Vec<T>) {
        if column.capacity() > column.len() + column.len() / 4 {
            column.shrink_to_fit();
        }
    }
    fit(&mut rows.ts_ns);
    fit(&mut rows.lines.ends);
    fit(&mut rows.lines.bytes);
    for column in &mut rows.metadata {
        fit(&mut column.codes);
        fit(&mut column.values.bytes);
    }
}

/// What the columns take in memory, unused capacity included.
pub(crate) fn memory_bytes(rows: &Rows) -> usize {
    let strings = |strings: &Strings| strings.bytes.capacity() + strings.ends.capacity() * 4;
    let columns = rows.metadata.iter();
    let metadata: usize = columns.map(|c| c.codes.capacity() * 4 + strings(&c.values)).sum();
    strings(&rows.lines) + rows.ts_ns.capacity() * 8 + rows.runs.capacity() * 8 + metadata
}

/// What the columns of metadata cost beyond their values.
fn code_bytes(rows: &Rows) -> usize {
    rows.metadata.len() * rows.len() * size_of::<u32>()
}

/// The hash of a row at its place: equal rows of one head have equal places.
fn place(row_hash: u128, stream: u32, ts_ns: i64) -> u128 {
    let mut bytes = [0u8; 28];
    bytes[..16].copy_from_slice(&row_hash.to_le_bytes());
    bytes[16..20].copy_from_slice(&stream.to_le_bytes());
    bytes[20..].copy_from_slice(&ts_ns.to_le_bytes());
    base::hash::hash128(&bytes)
}

/// Metadata of a row in name order; the columns of an open page are in order of appearance.
fn sorted_metadata(rows: &Rows, row: usize) -> Vec<(&str, &[u8])> {
    let columns = rows.metadata.iter().filter(|column| row < column.codes.len());
    let values = columns.filter_map(|column| Some((&*column.name, column.get(row)?)));
    let mut values: Vec<(&str, &[u8])> = values.collect();
    values.sort_unstable_by_key(|&(name, _)| name);
    values
}

#[cfg(test)]
mod tests;
