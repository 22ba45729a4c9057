//! Whole queries: tables of cases, and the same answer however the rows are cut.

mod cuts;
mod pieces;
mod plain;
mod random;
mod seeds;
mod shortcuts;
mod tables;

use std::sync::Arc;

use base::{Labels, RowsBuilder, UnixNanos};

use super::overlap::{Overlaps, StreamRange};
use super::{Answer, Partial, RunEntry, RunTaken, Stats, StreamSource, Worker};
use crate::plan::{Direction, Leaf, Params, Plan, QueryError};
use crate::syntax;

/// A row as a test writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TestRow {
    pub stream: usize,
    pub ts_ns: i64,
    pub line: String,
    pub metadata: Vec<(String, String)>,
}

/// An instant query at `at`; a log query over `start..end` has `step_ns` 0 too.
pub(super) fn params(start: i64, end: i64, step_ns: i64) -> Params {
    Params {
        start: UnixNanos(start),
        end: UnixNanos(end),
        step_ns,
        interval_ns: 0,
        limit: 100,
        direction: Direction::Forward,
        max_series: 0,
        max_memory_bytes: 0,
        categorize: false,
        now: UnixNanos(0),
    }
}

/// Pages of `per_page` rows each.
pub(super) fn pages(rows: &[TestRow], per_page: usize) -> Vec<base::Rows> {
    rows.chunks(per_page.max(1))
        .map(|chunk| {
            let mut builder = RowsBuilder::default();
            for row in chunk {
                builder.push(row.stream as u32, row.ts_ns, row.line.as_bytes());
                for (name, value) in &row.metadata {
                    builder.metadata(name, value.as_bytes());
                }
            }
            builder.finish()
        })
        .collect()
}

/// Feeds pages to a worker as a reader of storage would: only the columns the leaf asks for.
pub(super) fn feed(
    leaf: &Leaf,
    worker: &mut Worker,
    pages: &[base::Rows],
    overlaps: &Overlaps,
) -> Result<(), QueryError> {
    let needs = if leaf.is_log() { leaf.needs() } else { leaf.needs_with(overlaps) };
    let mut first = 0;
    for rows in pages {
        let mut views = rows.metadata_views();
        if let Some(columns) = needs.columns() {
            views.retain(|view| columns.iter().any(|name| name == view.name));
        }
        let mut page = rows.page(&views);
        if !needs.line_bytes {
            page.lines.bytes = &[];
        }
        worker.page_at(first, &page)?;
        first += rows.len() as u64;
    }
    Ok(())
}

/// Feeds rows that are sorted by stream and time as a reader of parts would: row groups of a few
/// pages, of which runs are counted from their directory where that is possible.
pub(super) fn feed_part(
    leaf: &Leaf,
    worker: &mut Worker,
    rows: &[TestRow],
    per_page: usize,
    overlaps: &Overlaps,
) -> Result<(), QueryError> {
    let mut first = 0;
    for group in rows.chunks(per_page * 3) {
        let looked_at = |row: &TestRow| match leaf.needs().metadata {
            None => !row.metadata.is_empty(),
            Some(names) => row.metadata.iter().any(|(name, _)| names.contains(name)),
        };
        let by_stream_alone = !group.iter().any(looked_at);
        let mut is_whole = false;
        for run in group.chunk_by(|a, b| a.stream == b.stream) {
            let entry = RunEntry {
                stream: run[0].stream as u32,
                rows: run.len() as u64,
                line_bytes: run.iter().map(|row| row.line.len() as u64).sum(),
                // Parts of an older writer do not say.
                pairs: (!per_page.is_multiple_of(3))
                    .then(|| run.iter().map(|row| row.metadata.len() as u64).sum()),
                min_ns: run[0].ts_ns,
                max_ns: run[run.len() - 1].ts_ns,
            };
            let counts = leaf.counts_rows() && by_stream_alone;
            let is_left = !counts || worker.count_run(entry) == RunTaken::Unread;
            is_whole |= is_left && !overlaps.is_empty();
        }
        let needs = if is_whole { leaf.needs_with(overlaps) } else { leaf.needs() };
        for rows in pages(group, per_page) {
            let mut views = rows.metadata_views();
            if let Some(columns) = needs.columns() {
                views.retain(|view| columns.iter().any(|name| name == view.name));
            }
            let mut page = rows.page(&views);
            if !needs.line_bytes {
                page.lines.bytes = &[];
            }
            if !needs.lengths {
                page.lines.ends = &[];
            }
            worker.sorted_page_at(first, &page)?;
            first += rows.len() as u64;
        }
        worker.end_runs()?;
    }
    Ok(())
}

/// Evaluates over one source, one worker per leaf.
pub(super) fn evaluate(
    query: &str,
    params: &Params,
    streams: &[Labels],
    rows: &[TestRow],
) -> Result<(Answer, Stats), QueryError> {
    let expr = syntax::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let plan = Plan::new(&expr, params)?;
    let source = StreamSource { streams: streams.to_vec(), order: 0 };
    let mut stats = Stats::default();
    let mut partials = Vec::new();
    for leaf in plan.leaves() {
        let overlaps = Arc::new(Overlaps::none());
        let mut worker = leaf.worker(Arc::clone(&overlaps));
        worker.source(&source)?;
        feed(leaf, &mut worker, &pages(rows, 3), &overlaps)?;
        let partial: Partial = worker.finish();
        stats.add(&partial.stats());
        partials.push(partial);
    }
    Ok((plan.finish(partials)?, stats))
}

/// The ranges of a source's rows by stream.
pub(super) fn ranges(streams: &[Labels], rows: &[TestRow]) -> Vec<StreamRange> {
    let mut ranges: Vec<StreamRange> = Vec::new();
    for row in rows {
        let stream = streams[row.stream].key();
        match ranges.iter_mut().find(|range| range.stream == stream) {
            Some(range) => {
                range.min_ns = range.min_ns.min(row.ts_ns);
                range.max_ns = range.max_ns.max(row.ts_ns);
            }
            None => ranges.push(StreamRange { stream, min_ns: row.ts_ns, max_ns: row.ts_ns }),
        }
    }
    ranges
}

/// An answer as text that tests compare.
pub(super) fn show(answer: &Answer) -> Vec<String> {
    match answer {
        Answer::Streams(streams) => {
            let line = |entry: &super::Entry| {
                format!("{} {}", entry.ts_ns, String::from_utf8_lossy(&entry.line))
            };
            let lines = streams.iter().map(|stream| {
                let entries: Vec<String> = stream.entries.iter().map(line).collect();
                format!("{} [{}]", stream.labels, entries.join(", "))
            });
            lines.collect()
        }
        Answer::Vector(vector) => {
            vector.iter().map(|(labels, sample)| format!("{labels} {}", sample.value)).collect()
        }
        Answer::Matrix(matrix) => matrix
            .iter()
            .map(|(labels, samples)| {
                let samples: Vec<String> =
                    samples.iter().map(|s| format!("{}@{}", s.value, s.ts_ms)).collect();
                format!("{labels} {}", samples.join(" "))
            })
            .collect(),
        Answer::Scalar(sample) => vec![format!("scalar {}", sample.value)],
    }
}
