//! One thread's evaluation of one leaf: pages in, a partial out.

mod directory;
mod tally;

use std::sync::Arc;

use base::{Bitmap, HashMap, Labels, PageView};

use super::effective::RowRef;
use super::entries::{Entries, NewRow};
use super::group::{Deciding, Grouper};
use super::names::NONE;
use super::overlap::{Overlaps, encoded_metadata, inside, row_hash};
use super::partial::{Held, Partial};
use super::pipeline::{Pipeline, Rooms, Runs, Stream};
use super::range::volume::PAIR_BYTES;
use super::range::{Measured, Sample};
use super::samples::{Apart, RowKey, Samples};
use super::search::Literals;
use super::windows::Cursor;
use super::{Flow, Stats, StreamSource};
use crate::plan::leaf::{LeafKind, MetricLeaf};
use crate::plan::{Direction, Leaf, Needle, QueryError};

pub use directory::{RunEntry, RunTaken};
use tally::{ByCode, Counting, Spans};

/// One thread's evaluation of one leaf, with private scratch space.
pub struct Worker {
    leaf: Arc<Leaf>,
    /// A copy of the leaf's: expressions keep their scratch space per copy, not per thread.
    pipeline: Pipeline,
    overlaps: Arc<Overlaps>,
    rooms: Rooms,
    streams: Vec<Stream>,
    numbers: HashMap<Labels, u32>,
    /// Per stream of the source: number in `streams`, or [`NONE`].
    table: Vec<u32>,
    order: u64,
    next_row: u64,
    selected: Bitmap,
    /// Rows of the page ascend in time within a run.
    sorted: bool,
    encoded: Vec<u8>,
    /// Streams of the table, and their numbers, whose rows [`Worker::count_run`] took in.
    counted: Vec<(u32, u32)>,
    /// Per stream: its series where the stream alone decides, or [`NONE`] = not known.
    stream_series: Vec<u32>,
    by_code: ByCode,
    gathered: Gathered,
    stats: Stats,
    /// Each finds one of the leaf's needles.
    required: Vec<Literals>,
    of_labels: Vec<Literals>,
}

enum Gathered {
    Entries { entries: Entries, numbers: Vec<u32> },
    Samples { samples: Samples, grouper: Grouper, cursor: Cursor },
}

impl Worker {
    pub(crate) fn new(leaf: &Arc<Leaf>, overlaps: Arc<Overlaps>) -> Worker {
        let gathered = match &leaf.program.kind {
            LeafKind::Log(log) => {
                Gathered::Entries { entries: Entries::new(log), numbers: Vec::new() }
            }
            LeafKind::Metric(metric) => Gathered::Samples {
                samples: Samples::new(Arc::clone(&metric.measure)),
                grouper: Grouper::default(),
                cursor: Cursor::default(),
            },
        };
        Worker {
            rooms: Rooms::new(&leaf.program.names, leaf.program.open_names()),
            leaf: Arc::clone(leaf),
            pipeline: leaf.program.pipeline.clone(),
            overlaps,
            streams: Vec::new(),
            numbers: HashMap::default(),
            table: Vec::new(),
            order: 0,
            next_row: 0,
            selected: Bitmap::default(),
            sorted: false,
            encoded: Vec::new(),
            counted: Vec::new(),
            stream_series: Vec::new(),
            by_code: ByCode::default(),
            gathered,
            stats: Stats::default(),
            required: leaf.needles().iter().filter_map(|any| literals(any)).collect(),
            of_labels: leaf.label_needles().iter().filter_map(|all| literals(&all.any)).collect(),
        }
    }

    /// Tells the worker which stream table the next pages refer to. Fails if a stage cannot be
    /// built and some stream is selected.
    pub fn source(&mut self, source: &StreamSource) -> Result<(), QueryError> {
        self.table.clear();
        self.counted.clear();
        self.order = source.order;
        self.next_row = 0;
        for labels in &source.streams {
            let number = match self.numbers.get(labels) {
                Some(&number) => number,
                None if self.leaf.selects(labels) => {
                    if let Some(error) = &self.leaf.program.build_error {
                        return Err(QueryError::Invalid(error.clone()));
                    }
                    let number = self.streams.len() as u32;
                    self.streams.push(Stream::new(labels, &mut self.rooms.names));
                    self.numbers.insert(labels.clone(), number);
                    number
                }
                None => NONE,
            };
            self.table.push(number);
        }
        Ok(())
    }

    /// What tests compare with.
    #[cfg(test)]
    pub(crate) fn without_short_cuts(&mut self) {
        self.rooms.plain = true;
    }

    /// Whether a page with these lines, joined, may hold a row that is selected: a few searches of
    /// the whole page, before anything else of it is decoded. `labels` = it is known that no label
    /// of a parser comes from elsewhere ([`Leaf::label_needles`]) and that no line has an escape.
    pub fn may_select(&self, lines: &[u8], labels: bool) -> bool {
        let found = |literals: &Literals| literals.is_match(lines);
        self.required.iter().all(found) && (!labels || self.of_labels.iter().all(found))
    }

    /// Whether [`Worker::may_select`] says anything, so that it should be asked.
    pub fn requires_text(&self, labels: bool) -> bool {
        !self.required.is_empty() || (labels && !self.of_labels.is_empty())
    }

    /// Evaluates one page, which follows the one before it in the source.
    pub fn page(&mut self, page: &PageView<'_>) -> Result<Flow, QueryError> {
        self.page_at(self.next_row, page)
    }

    /// Evaluates one page whose first row has this number in the source: for pages out of order.
    pub fn page_at(&mut self, first_row: u64, page: &PageView<'_>) -> Result<Flow, QueryError> {
        self.sorted = false;
        self.evaluate(first_row, page)
    }

    /// As [`Worker::page_at`], for a page each of whose runs ascends in time.
    pub fn sorted_page_at(
        &mut self,
        first_row: u64,
        page: &PageView<'_>,
    ) -> Result<Flow, QueryError> {
        self.sorted = true;
        self.evaluate(first_row, page)
    }

    fn evaluate(&mut self, first_row: u64, stored: &PageView<'_>) -> Result<Flow, QueryError> {
        let page = &match self.leaf.program.of_streams {
            true => PageView { metadata: &[], ..*stored },
            false => *stored,
        };
        self.next_row = first_row + page.len() as u64;
        if page.is_empty() {
            return Ok(self.flow());
        }
        assert_eq!(page.runs.last().map(|run| run.end as usize), Some(page.len()), "runs cover");
        if self.rooms.trim() {
            for stream in &mut self.streams {
                *stream = Stream::new(&stream.labels, &mut self.rooms.names);
            }
            if let Gathered::Samples { grouper, .. } = &mut self.gathered {
                grouper.trim(true);
            }
        }
        self.select(page);
        if self.selected.is_none() {
            return Ok(self.flow());
        }
        let runs = Runs { runs: page.runs, table: &self.table, streams: &self.streams };
        count_rows(page, &runs, &self.selected, &mut self.stats);
        self.rooms.begin_page(page);
        let wanted = &self.leaf.program.wanted;
        self.pipeline.run(page, &runs, &mut self.rooms, wanted, &mut self.selected);
        self.stats.selected_rows += self.selected.count() as u64;
        match &self.leaf.program.kind {
            LeafKind::Log(_) => self.gather_entries(first_row, page)?,
            LeafKind::Metric(_) => match self.rooms.lines.take() {
                None => self.gather_samples(first_row, stored, page)?,
                Some(lines) => {
                    let changed = PageView { lines: lines.view(), ..*page };
                    self.gather_samples(first_row, stored, &changed)?;
                }
            },
        }
        Ok(self.flow())
    }

    fn flow(&self) -> Flow {
        match &self.gathered {
            Gathered::Entries { entries, .. } if entries.wants_none() => Flow::Enough,
            _ => Flow::Continue,
        }
    }

    /// Selects the rows of selected streams within the time that matters.
    fn select(&mut self, page: &PageView<'_>) {
        let (from, to) = self.matters();
        let selected = &mut self.selected;
        selected.reset_none(page.len());
        let runs = Runs { runs: page.runs, table: &self.table, streams: &self.streams };
        if self.sorted {
            for (first, end, _) in runs.iter() {
                let ts_ns = &page.ts_ns[first..end];
                if from <= ts_ns[0] && ts_ns[ts_ns.len() - 1] < to {
                    selected.set_range(first, end);
                    continue;
                }
                let skipped = ts_ns.partition_point(|&ts| ts < from);
                let kept = ts_ns.partition_point(|&ts| ts < to);
                if skipped < kept {
                    selected.set_range(first + skipped, first + kept);
                }
            }
            return;
        }
        let mut any = false;
        for (first, end, _) in runs.iter() {
            selected.set_range(first, end);
            any = true;
        }
        if !any {
            return;
        }
        let oldest = page.ts_ns.iter().copied().min().unwrap_or(0);
        let newest = page.ts_ns.iter().copied().max().unwrap_or(0);
        if from <= oldest && newest < to {
            return;
        }
        for (row, &ts) in page.ts_ns.iter().enumerate() {
            if ts < from || ts >= to {
                selected.clear(row);
            }
        }
    }

    /// The first instant that matters, and one past the last.
    fn matters(&self) -> (i64, i64) {
        let range = self.leaf.range();
        let (mut from, mut to) = (range.from_ns, range.to_ns);
        if let Gathered::Entries { entries, .. } = &self.gathered
            && let (Some(threshold), LeafKind::Log(log)) =
                (entries.threshold(), &self.leaf.program.kind)
        {
            match log.demand.direction {
                Direction::Backward => from = from.max(threshold.saturating_add(1)),
                Direction::Forward => to = to.min(threshold),
            }
        }
        (from, to)
    }

    fn gather_entries(&mut self, first_row: u64, page: &PageView<'_>) -> Result<(), QueryError> {
        let Gathered::Entries { entries, numbers } = &mut self.gathered else {
            unreachable!("a log leaf gathers entries")
        };
        let runs = Runs { runs: page.runs, table: &self.table, streams: &self.streams };
        for (from, to, stream) in runs.iter() {
            let mut at = from;
            while let Some(row) = self.selected.next(at).filter(|&row| row < to) {
                at = row + 1;
                if numbers.len() <= stream as usize {
                    numbers.resize(stream as usize + 1, NONE);
                }
                if numbers[stream as usize] == NONE {
                    numbers[stream as usize] = entries.stream(runs.labels(stream));
                }
                let hash = hash_row(page, row, &mut self.encoded);
                entries.add(NewRow {
                    ts_ns: page.ts_ns[row],
                    stream: numbers[stream as usize],
                    order: self.order,
                    row: first_row + row as u64,
                    hash,
                    rendered: false,
                    metadata: encoded_metadata(&self.encoded),
                    line: page.lines.get(row),
                })?;
            }
        }
        Ok(())
    }

    /// `page` has the lines as the pipeline left them, `stored` as they are stored.
    fn gather_samples(
        &mut self,
        first_row: u64,
        stored: &PageView<'_>,
        page: &PageView<'_>,
    ) -> Result<(), QueryError> {
        let LeafKind::Metric(metric) = &self.leaf.program.kind else {
            unreachable!("a metric leaf gathers samples")
        };
        let Gathered::Samples { samples, grouper, cursor } = &mut self.gathered else {
            unreachable!("a metric leaf gathers samples")
        };
        grouper.trim(false);
        let runs = Runs { runs: page.runs, table: &self.table, streams: &self.streams };
        let rooms = &mut self.rooms;
        let made = self.pipeline.made();
        let measured = metric.measure.function.measured;
        for (from, to, number) in runs.iter() {
            let Some(first) = self.selected.next(from).filter(|&row| row < to) else {
                continue;
            };
            runs.enter(number, &mut rooms.columns, &mut rooms.names);
            let (columns, names) = (&rooms.columns, &rooms.names);
            let stream = &self.streams[number as usize];
            let deciding = grouper.begin_run(&metric.grouping, page, (columns, names), made);
            let intervals = touched(self.overlaps.of(stream.key), &page.ts_ns[first..to]);
            let reference = RowRef { page, stream, columns, names, row: first };
            let only_counts = deciding != Deciding::Row
                && intervals.is_empty()
                && columns.errors.none()
                && measured != Measured::Value;
            if only_counts {
                let windows = &metric.measure.windows;
                let spans = Spans { windows, cursor, sorted: self.sorted };
                let (selected, by_code) = (&self.selected, &mut self.by_code);
                let grouping = &metric.grouping;
                let metadata = stored.metadata;
                Counting {
                    selected,
                    by_code,
                    grouping,
                    deciding,
                    measured,
                    metadata,
                    grouper,
                    samples,
                }
                .run(spans, reference, to);
                continue;
            }
            let mut at = first;
            while let Some(row) = self.selected.next(at).filter(|&row| row < to) {
                at = row + 1;
                let ts_ns = page.ts_ns[row];
                let Some(pane) = cursor.pane(&metric.measure.windows, ts_ns) else {
                    continue;
                };
                let reference = RowRef { row, ..reference };
                if !columns.errors.none() {
                    refuse_error(metric, reference)?;
                }
                let series = grouper.of_row(&metric.grouping, deciding, reference, samples);
                let bits = match measured {
                    Measured::Line => 1,
                    Measured::Length => page.lines.length(row) as u64,
                    Measured::Stored => stored_bytes(stored, row),
                    Measured::Value => rooms.values[row].to_bits(),
                };
                let (order, number) = (self.order, first_row + row as u64);
                if intervals.is_empty() || !inside(intervals, ts_ns) {
                    let stream = stream.key.0;
                    samples.add(series, pane, Sample { bits, ts_ns, stream, order, row: number });
                    continue;
                }
                let hash = hash_row(stored, row, &mut self.encoded);
                let key = RowKey { stream: stream.key, ts_ns, hash };
                let (pane, row) = (pane as u32, number);
                samples.add_apart(key, Apart { series, pane, sample: bits, order, row });
            }
        }
        samples.check_limits()
    }

    /// For log queries: rows at or beyond this instant (older for backward, newer for forward)
    /// cannot be in the answer any more. `None` while any row can.
    pub fn threshold(&self) -> Option<i64> {
        match &self.gathered {
            Gathered::Entries { entries, .. } => entries.threshold(),
            Gathered::Samples { .. } => None,
        }
    }

    /// The result so far, ready to merge.
    pub fn finish(self) -> Partial {
        let held = match self.gathered {
            Gathered::Entries { mut entries, .. } => {
                entries.compact();
                Held::Entries(entries)
            }
            Gathered::Samples { samples, .. } => Held::Samples(samples),
        };
        Partial { held, stats: self.stats }
    }
}

/// A searcher for any of `needles`, if it can leave anything out.
fn literals(needles: &[Needle]) -> Option<Literals> {
    let texts: Vec<Vec<u8>> = needles.iter().map(|needle| needle.bytes.clone()).collect();
    let found = match needles.iter().any(|needle| needle.ignore_case) {
        true => Literals::ignore_case(&texts),
        false => Literals::new(&texts),
    };
    (!texts.is_empty() && !found.matches_all()).then_some(found)
}

/// The intervals, if one of them reaches into the time of the rows.
fn touched<'i>(intervals: &'i [(i64, i64)], ts_ns: &[i64]) -> &'i [(i64, i64)] {
    if intervals.is_empty() {
        return &[];
    }
    let oldest = ts_ns.iter().copied().min().unwrap_or(i64::MAX);
    let newest = ts_ns.iter().copied().max().unwrap_or(i64::MIN);
    let touches = intervals.iter().any(|&(from, to)| from <= newest && oldest <= to);
    if touches { intervals } else { &[] }
}

/// An error on a row that counts fails the query (contract 6.11).
fn refuse_error(metric: &MetricLeaf, row: RowRef<'_, '_>) -> Result<(), QueryError> {
    let error = row.columns.errors.of(row.row);
    if error.is_empty() || metric.grouping.keeps_error() {
        return Ok(());
    }
    let kind = error.bytes(row.page.lines.bytes, &row.columns.scratch);
    let kind = super::effective::lossy(kind);
    let labels = row.labels(&[]);
    Err(QueryError::Invalid(format!(
        "pipeline error: '{kind}' for series: '{labels}'.\n\
         Use a label filter to intentionally skip this error. (e.g | __error__!=\"{kind}\").\n\
         To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
         The label filter can also be specified after unwrap. \
         (e.g | unwrap latency | __error__=\"\" )\n"
    )))
}

/// Bytes of a row as volumes count them.
fn stored_bytes(page: &PageView<'_>, row: usize) -> u64 {
    let pairs = page.metadata.iter().filter(|column| column.codes[row] != 0).count();
    page.lines.length(row) as u64 + PAIR_BYTES * pairs as u64
}

fn hash_row(page: &PageView<'_>, row: usize, scratch: &mut Vec<u8>) -> u128 {
    let pairs = page.metadata.iter();
    let pairs = pairs.filter_map(|column| column.get(row).map(|value| (column.name, value)));
    row_hash(page.lines.get(row), pairs, scratch)
}

fn count_rows(page: &PageView<'_>, runs: &Runs<'_>, selected: &Bitmap, stats: &mut Stats) {
    for (from, to, _) in runs.iter() {
        let rows = selected.count_range(from, to);
        stats.rows += rows as u64;
        if page.lines.is_empty() {
            continue; // nobody needs lengths
        }
        if rows == to - from && rows > 0 {
            stats.line_bytes += (page.lines.span(to - 1).1 - page.lines.span(from).0) as u64;
            continue;
        }
        let mut at = from;
        while let Some(row) = selected.next(at).filter(|&row| row < to) {
            at = row + 1;
            stats.line_bytes += page.lines.length(row) as u64;
        }
    }
    let whole = selected.is_all();
    for column in page.metadata {
        let bytes = |code: u32| match code {
            0 => 0,
            code => (column.name.len() + column.values.length(code as usize - 1)) as u64,
        };
        stats.metadata_bytes += match whole {
            true => column.codes.iter().map(|&code| bytes(code)).sum::<u64>(),
            false => selected.iter().map(|row| bytes(column.codes[row])).sum(),
        };
    }
}
