//! Counting rows without reading them.
//!
//! Where every row of a stream is a sample of one, or of its line's length, and nothing but the
//! stream decides which series it is, a run of rows adds what its directory entry says, if all of
//! its rows fall into one pane. That is exact because rows of one source are distinct (R2), so long
//! as no other source covers an instant of the run: then its rows are needed one by one.

use base::{PageView, Run, StrView};

use super::{Gathered, Worker};
use crate::engine::effective::RowRef;
use crate::engine::group::Deciding;
use crate::engine::names::NONE;
use crate::engine::pipeline::{Made, Runs};
use crate::engine::range::Measured;
use crate::engine::range::volume::PAIR_BYTES;
use crate::engine::windows::Place;
use crate::plan::leaf::LeafKind;
use crate::plan::leaf::MetricLeaf;
use crate::plan::{QueryError, Volume};

/// Consecutive rows of one stream, as the directory of a row group tells of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunEntry {
    /// Index into the stream table of the source.
    pub stream: u32,
    /// How many; no two are equal.
    pub rows: u64,
    /// Bytes of their lines.
    pub line_bytes: u64,
    /// Their pairs of metadata; `None` = not known.
    pub pairs: Option<u64>,
    /// Oldest, nanoseconds.
    pub min_ns: i64,
    /// Newest, nanoseconds.
    pub max_ns: i64,
}

/// What became of a run. Unless it is [`RunTaken::Unread`], rows of its stream are left out of the
/// pages that follow, until [`Worker::end_runs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunTaken {
    /// Its rows are counted.
    Counted,
    /// No row of it lies in the leaf's range, or the stream is not selected.
    Outside,
    /// Its rows are needed one by one.
    Unread,
}

impl Worker {
    /// Takes in a run whose rows are told apart by stream alone: none of them has metadata of a
    /// name in [`crate::plan::Needs::metadata`].
    ///
    /// # Panics
    /// If the leaf does not [count rows](crate::plan::Leaf::counts_rows).
    pub fn count_run(&mut self, run: RunEntry) -> RunTaken {
        assert!(self.leaf.counts_rows(), "other leaves look at every row");
        let number = self.table[run.stream as usize];
        if number == NONE {
            return RunTaken::Outside;
        }
        let RunEntry { min_ns, max_ns, .. } = run;
        let range = self.leaf.range();
        let is_outside = max_ns < range.from_ns || min_ns >= range.to_ns;
        if !is_outside {
            if min_ns < range.from_ns || max_ns >= range.to_ns {
                return RunTaken::Unread;
            }
            let key = self.streams[number as usize].key;
            if self.overlaps.touches(key, min_ns, max_ns) {
                return RunTaken::Unread;
            }
            let LeafKind::Metric(metric) = &self.leaf.program.kind else {
                unreachable!("counting is for metrics")
            };
            match metric.measure.windows.place(min_ns, max_ns) {
                Place::Several => return RunTaken::Unread,
                Place::Nowhere => {}
                Place::Pane(pane) => {
                    let Some(volume) = volume(metric, &run) else { return RunTaken::Unread };
                    let series = self.series_of_stream(number);
                    let Gathered::Samples { samples, .. } = &mut self.gathered else {
                        unreachable!("a metric leaf gathers samples")
                    };
                    samples.add_rows(series, pane, volume);
                }
            }
            self.stats.rows += run.rows;
            self.stats.selected_rows += run.rows;
            self.stats.line_bytes += run.line_bytes;
        }
        self.table[run.stream as usize] = NONE;
        self.counted.push((run.stream, number));
        if is_outside { RunTaken::Outside } else { RunTaken::Counted }
    }

    /// Ends what [`Worker::count_run`] began: rows of all selected streams count again.
    pub fn end_runs(&mut self) -> Result<(), QueryError> {
        for (stream, number) in self.counted.drain(..) {
            self.table[stream as usize] = number;
        }
        match &mut self.gathered {
            Gathered::Samples { samples, .. } => samples.check_limits(),
            Gathered::Entries { .. } => Ok(()),
        }
    }

    /// The series of rows of a stream that have no metadata.
    fn series_of_stream(&mut self, number: u32) -> u32 {
        if self.stream_series.len() <= number as usize {
            self.stream_series.resize(self.streams.len(), NONE);
        }
        let known = self.stream_series[number as usize];
        if known != NONE {
            return known;
        }
        let LeafKind::Metric(metric) = &self.leaf.program.kind else {
            unreachable!("counting is for metrics")
        };
        let Gathered::Samples { samples, grouper, .. } = &mut self.gathered else {
            unreachable!("a metric leaf gathers samples")
        };
        // One row stands for all.
        let (runs, ts_ns, ends) = ([Run { stream: 0, end: 1 }], [0], [0]);
        let lines = StrView { start: 0, ends: &ends, bytes: &[] };
        let page = PageView { runs: &runs, ts_ns: &ts_ns, lines, metadata: &[] };
        let rooms = &mut self.rooms;
        rooms.begin_page(&page);
        let entered = Runs { runs: &runs, table: &[], streams: &self.streams };
        entered.enter(number, &mut rooms.columns, &mut rooms.names);
        let (columns, names) = (&rooms.columns, &rooms.names);
        let known = (columns, names);
        let deciding = grouper.begin_run(&metric.grouping, &page, known, Made::Nothing);
        assert_eq!(deciding, Deciding::Stream, "without metadata the stream decides");
        let stream = &self.streams[number as usize];
        let row = RowRef { page: &page, stream, columns, names, row: 0 };
        let series = grouper.of_row(&metric.grouping, deciding, row, samples);
        self.stream_series[number as usize] = series;
        series
    }
}

/// What the entry of a run says of what is measured; `None` if it does not.
fn volume(metric: &MetricLeaf, run: &RunEntry) -> Option<Volume> {
    let RunEntry { rows: lines, line_bytes, pairs, min_ns, max_ns, .. } = *run;
    let of_metadata = match metric.measure.function.measured {
        Measured::Stored => PAIR_BYTES * pairs?,
        _ => 0,
    };
    let bytes = line_bytes + of_metadata;
    Some(Volume { lines, bytes, oldest_ns: min_ns, newest_ns: max_ns })
}
