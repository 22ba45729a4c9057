//! The partial of a metric leaf: series with what they keep per pane, and rows kept apart (R2).

use std::sync::Arc;

use base::{HashMap, Labels, StreamKey};

use super::range::{Cell, Function, Sample, Series};
use super::windows::Windows;
use crate::plan::{QueryError, Volume};

/// What a metric leaf computes; shared by all its partials.
#[derive(Debug)]
pub(crate) struct Measure {
    pub windows: Windows,
    pub function: Function,
    pub max_memory_bytes: u64,
    /// Most series, where the series of the leaf are those of the answer: then there is no need to
    /// gather more of them. 0 = no limit.
    pub max_series: usize,
}

/// A row of an overlap: which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowKey {
    pub stream: StreamKey,
    pub ts_ns: i64,
    pub hash: u128,
}

/// What a row of an overlap adds, once it is known to be the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Apart {
    pub series: u32,
    pub pane: u32,
    pub sample: u64,
    /// Arrival: source, then row. Of equal rows the one that arrived first is kept.
    pub order: u64,
    pub row: u64,
}

impl Apart {
    fn sample(&self, key: RowKey) -> Sample {
        let Apart { sample: bits, order, row, .. } = *self;
        Sample { bits, ts_ns: key.ts_ns, stream: key.stream.0, order, row }
    }
}

/// Series and rows. Merging adds panes and drops equal rows: in any order, the same result.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    measure: Arc<Measure>,
    series: Vec<(Labels, Series)>,
    index: HashMap<Labels, u32>,
    apart: HashMap<RowKey, Apart>,
    /// Samples added since [`Samples::counted_bytes`] was counted.
    added: usize,
    /// Bytes that series held then.
    counted_bytes: usize,
}

/// Bytes a series takes besides its labels' text and its panes, about.
const SERIES_BYTES: usize = 200;
/// Bytes of the text of most label sets, at most.
const LABELS_BYTES: usize = 512;
/// Bytes a sample takes where all are kept, with the room that vectors leave.
const SAMPLE_BYTES: usize = 2 * size_of::<Sample>();

impl Samples {
    pub(crate) fn new(measure: Arc<Measure>) -> Samples {
        let (series, index, apart) = (Vec::new(), HashMap::default(), HashMap::default());
        Samples { measure, series, index, apart, added: 0, counted_bytes: 0 }
    }

    /// The number of the series with these labels.
    pub(crate) fn series(&mut self, labels: Labels) -> u32 {
        if let Some(&series) = self.index.get(&labels) {
            return series;
        }
        let series = self.series.len() as u32;
        self.index.insert(labels.clone(), series);
        self.series.push((labels, self.measure.function.start()));
        series
    }

    /// Adds a row.
    #[inline]
    pub(crate) fn add(&mut self, series: u32, pane: usize, sample: Sample) {
        let panes = self.measure.windows.panes();
        self.added += 1;
        self.series[series as usize].1.add(pane, panes, sample);
    }

    /// Adds rows that only count, with their bytes and instants if those matter.
    #[inline]
    pub(crate) fn add_rows(&mut self, series: u32, pane: usize, rows: Volume) {
        let panes = self.measure.windows.panes();
        self.series[series as usize].1.add_rows(pane, panes, rows);
    }

    /// Keeps a row of an overlap apart. An equal row that is there already is the same row.
    pub(crate) fn add_apart(&mut self, key: RowKey, row: Apart) {
        let kept = self.apart.entry(key).or_insert(row);
        if (row.order, row.row) < (kept.order, kept.row) {
            *kept = row;
        }
    }

    /// A series without samples.
    pub(crate) fn start(&self) -> Series {
        self.measure.function.start()
    }

    /// The series by number.
    pub(crate) fn series_list(&self) -> &[(Labels, Series)] {
        &self.series
    }

    /// The rows kept apart, in any order.
    pub(crate) fn apart_rows(&self) -> impl Iterator<Item = (RowKey, Apart)> + '_ {
        self.apart.iter().map(|(key, row)| (*key, *row))
    }

    /// Takes in other samples of a series.
    pub(crate) fn merge_series(&mut self, series: u32, other: &Series) {
        let panes = self.measure.windows.panes();
        self.series[series as usize].1.merge(other, panes);
    }

    /// Takes in `other`.
    pub(crate) fn merge(&mut self, other: Samples) -> Result<(), QueryError> {
        let mut mapped = Vec::with_capacity(other.series.len());
        for (labels, series) in other.series {
            let own = self.series(labels);
            self.merge_series(own, &series);
            self.counted_bytes += series.memory_bytes();
            mapped.push(own);
        }
        for (key, row) in other.apart {
            self.add_apart(key, Apart { series: mapped[row.series as usize], ..row });
        }
        self.check_limits()
    }

    /// Fails when more is held than the query may hold or answer. Every series has a sample.
    pub(crate) fn check_limits(&mut self) -> Result<(), QueryError> {
        let most = self.measure.max_series;
        if most > 0 && self.series.len() > most {
            return Err(QueryError::too_many_series(most));
        }
        let limit = self.measure.max_memory_bytes;
        let apart = self.apart.len() * (size_of::<RowKey>() + size_of::<Apart>());
        if limit == 0 || (self.most_bytes() + apart) as u64 <= limit {
            return Ok(());
        }
        let series = self
            .series
            .iter()
            .map(|(labels, series)| SERIES_BYTES + labels.text_bytes() + series.memory_bytes());
        self.counted_bytes = series.sum();
        self.added = 0;
        if (self.counted_bytes + apart) as u64 <= limit {
            return Ok(());
        }
        Err(QueryError::Limited(format!(
            "the query would hold more than {limit} bytes in memory: {} series and {} single rows \
             so far; consider aggregating to fewer series or reducing the time range",
            self.series.len(),
            self.apart.len(),
        )))
    }

    /// The most that series can hold, before anything is counted.
    fn most_bytes(&self) -> usize {
        let Measure { windows, function, .. } = &*self.measure;
        let fixed = SERIES_BYTES + LABELS_BYTES;
        match function.cell_bytes() {
            Some(cell) => self.series.len() * (fixed + windows.panes() * cell),
            None => self.counted_bytes + self.series.len() * fixed + self.added * SAMPLE_BYTES,
        }
    }

    /// Rows that are not equal to another count like any.
    fn add_all_apart(&mut self) {
        for (key, row) in std::mem::take(&mut self.apart) {
            self.add(row.series, row.pane as usize, row.sample(key));
        }
    }

    /// The same samples with series called by `rename`. All rows of the tenant must be in: those of
    /// others are never equal to them.
    pub(crate) fn renamed(
        mut self,
        rename: impl Fn(&Labels) -> Labels,
    ) -> Result<Samples, QueryError> {
        self.add_all_apart();
        let mut renamed = Samples::new(Arc::clone(&self.measure));
        renamed.added = self.added;
        for (labels, series) in &self.series {
            let own = renamed.series(rename(labels));
            renamed.merge_series(own, series);
            renamed.counted_bytes += series.memory_bytes();
        }
        renamed.check_limits()?;
        Ok(renamed)
    }

    /// What each series has at each evaluation at which it has rows, of a leaf of volumes or one
    /// that counts bytes. Windows must not overlap.
    pub(crate) fn volumes(mut self) -> Vec<(Labels, Vec<(u32, Volume)>)> {
        self.add_all_apart();
        let spans = self.measure.windows.spans();
        let mut out = Vec::with_capacity(self.series.len());
        for (labels, series) in self.series {
            let mut volumes = Vec::new();
            match &series {
                Series::Volume(cells) => {
                    let cells = cells.present().map(|(pane, cell)| (pane, *cell));
                    by_window(cells, spans, &mut volumes);
                }
                Series::Bytes(cells) => {
                    let cells = cells.present().map(|(pane, cell)| {
                        let (lines, bytes) = (cell.lines, cell.bytes);
                        (pane, Volume { lines, bytes, ..Volume::default() })
                    });
                    by_window(cells, spans, &mut volumes);
                }
                _ => panic!("volumes are kept as lines and bytes"),
            }
            if !volumes.is_empty() {
                out.push((labels, volumes));
            }
        }
        out
    }

    /// The value of each series at each evaluation.
    pub(crate) fn finish(mut self) -> Vec<(Labels, Vec<Option<f64>>)> {
        self.add_all_apart();
        if self.measure.function.is_absent() {
            self.series(Labels::empty()); // there may have been no sample
        }
        let Measure { windows, function, .. } = &*self.measure;
        let mut out = Vec::with_capacity(self.series.len());
        for (labels, series) in self.series {
            let values = series.values(windows, *function);
            if values.iter().any(Option::is_some) {
                out.push((labels, values));
            }
        }
        out
    }
}

/// Merges cells by pane into those by window, of windows that follow one another.
fn by_window(
    cells: impl Iterator<Item = (u32, Volume)>,
    spans: &[(u32, u32)],
    out: &mut Vec<(u32, Volume)>,
) {
    let mut window = 0;
    for (pane, volume) in cells {
        while spans[window].1 <= pane {
            window += 1;
        }
        assert!(spans[window].0 <= pane, "cells lie in windows, and windows do not overlap");
        match out.last_mut() {
            Some((last, sum)) if *last as usize == window => sum.merge(&volume),
            _ => out.push((window as u32, volume)),
        }
    }
}
