//! One thread's evaluation of one leaf: pages in, a partial out.

use std::sync::Arc;

use base::{Bitmap, HashMap, Labels, PageView};

use super::effective::RowRef;
use super::entries::{Entries, NewRow};
use super::group::{Deciding, Grouper};
use super::names::NONE;
use super::overlap::{Overlaps, encoded_metadata, inside, row_hash};
use super::partial::{Held, Partial};
use super::pipeline::{Pipeline, Rooms, Runs, Stream};
use super::range::{Measured, Sample};
use super::samples::{Apart, RowKey, Samples};
use super::windows::{Cursor, Windows};
use super::{Flow, Stats, StreamSource};
use crate::plan::leaf::{LeafKind, MetricLeaf};
use crate::plan::{Direction, Leaf, QueryError};

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
    encoded: Vec<u8>,
    gathered: Gathered,
    stats: Stats,
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
            encoded: Vec::new(),
            gathered,
            stats: Stats::default(),
        }
    }

    /// Tells the worker which stream table the next pages refer to. Fails if a stage cannot be
    /// built and some stream is selected.
    pub fn source(&mut self, source: &StreamSource) -> Result<(), QueryError> {
        self.table.clear();
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

    /// Evaluates one page, which follows the one before it in the source.
    pub fn page(&mut self, page: &PageView<'_>) -> Result<Flow, QueryError> {
        self.page_at(self.next_row, page)
    }

    /// Evaluates one page whose first row has this number in the source: for pages out of order.
    pub fn page_at(&mut self, first_row: u64, page: &PageView<'_>) -> Result<Flow, QueryError> {
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
                None => self.gather_samples(first_row, page, page)?,
                Some(lines) => {
                    let changed = PageView { lines: lines.view(), ..*page };
                    self.gather_samples(first_row, page, &changed)?;
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
        let selected = &mut self.selected;
        selected.reset_none(page.len());
        let runs = Runs { runs: page.runs, table: &self.table, streams: &self.streams };
        let mut any = false;
        for (from, to, _) in runs.iter() {
            selected.set_range(from, to);
            any = true;
        }
        if !any {
            return;
        }
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
        for (from, to, number) in runs.iter() {
            let Some(first) = self.selected.next(from).filter(|&row| row < to) else {
                continue;
            };
            runs.enter(number, &mut rooms.columns, &mut rooms.names);
            let (columns, names) = (&rooms.columns, &rooms.names);
            let stream = &self.streams[number as usize];
            let deciding = grouper.begin_run(&metric.grouping, page, columns, made);
            let intervals = self.overlaps.of(stream.key);
            let reference = RowRef { page, stream, columns, names, row: first };
            let only_counts = deciding == Deciding::Stream
                && intervals.is_empty()
                && columns.errors.none()
                && metric.measure.function.measured == Measured::Line;
            if only_counts {
                let windows = &metric.measure.windows;
                let mut counter = PaneCounter { windows, cursor, selected: &self.selected };
                let mut at = first;
                while let Some((pane, rows)) = counter.next(page.ts_ns, &mut at, to) {
                    let series = grouper.of_row(&metric.grouping, deciding, reference, samples);
                    samples.add_rows(series, pane, rows);
                }
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
                let bits = match metric.measure.function.measured {
                    Measured::Line => 1,
                    Measured::Length => page.lines.length(row) as u64,
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

/// Counts neighbouring rows of one pane together.
struct PaneCounter<'c> {
    windows: &'c Windows,
    cursor: &'c mut Cursor,
    selected: &'c Bitmap,
}

impl PaneCounter<'_> {
    /// The next pane that selected rows from `at` on fall into, and how many do one after the
    /// other. `at` moves behind them.
    fn next(&mut self, ts_ns: &[i64], at: &mut usize, to: usize) -> Option<(usize, u64)> {
        loop {
            let row = self.selected.next(*at).filter(|&row| row < to)?;
            *at = row + 1;
            let Some(pane) = self.cursor.pane(self.windows, ts_ns[row]) else {
                continue;
            };
            let (after, last) = self.windows.bounds_of(pane);
            // As far as time stays in the pane, selected or not: a scan without branches on bits.
            let stays = |&&ts: &&i64| after < ts && ts <= last;
            let end = *at + ts_ns[*at..to].iter().take_while(stays).count();
            *at = end;
            return Some((pane, self.selected.count_range(row, end) as u64));
        }
    }
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

fn hash_row(page: &PageView<'_>, row: usize, scratch: &mut Vec<u8>) -> u128 {
    let pairs = page.metadata.iter();
    let pairs = pairs.filter_map(|column| column.get(row).map(|value| (column.name, value)));
    row_hash(page.lines.get(row), pairs, scratch)
}

fn count_rows(page: &PageView<'_>, runs: &Runs<'_>, selected: &Bitmap, stats: &mut Stats) {
    for (from, to, _) in runs.iter() {
        let rows = selected.count_range(from, to);
        stats.rows += rows as u64;
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
    for column in page.metadata {
        for row in selected.iter() {
            if let code @ 1.. = column.codes[row] {
                let length = column.name.len() + column.values.length(code as usize - 1);
                stats.metadata_bytes += length as u64;
            }
        }
    }
}
