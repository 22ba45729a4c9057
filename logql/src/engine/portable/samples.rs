//! Series of a metric leaf as columns.

use std::sync::Arc;

use base::StreamKey;

use super::{
    PortableCells, PortableError, PortableRows, PortableSamples, check_lengths, read_labels,
    write_labels,
};
use crate::engine::range::Series;
use crate::engine::range::bytes::Bytes;
use crate::engine::range::count::Count;
use crate::engine::range::panes::Panes;
use crate::engine::samples::{Apart, RowKey, Samples};
use crate::engine::windows::Cursor;
use crate::plan::Leaf;
use crate::plan::leaf::MetricLeaf;

/// Most samples of one cell: so sums of counts never overflow, however many partials there are.
const SAMPLES_MAX: u64 = 1 << 48;

pub(super) fn write(samples: &Samples) -> PortableSamples {
    let (mut cells, mut panes) = (Vec::new(), Vec::new());
    let mut values = match samples.start() {
        Series::Count(_) => PortableCells::Counts { samples: Vec::new() },
        Series::Bytes(_) => PortableCells::Lengths { samples: Vec::new(), bytes: Vec::new() },
    };
    for (_, series) in samples.series_list() {
        let before = panes.len();
        write_series(series, &mut panes, &mut values);
        cells.push((panes.len() - before) as u32);
    }
    let series = write_labels(samples.series_list().iter().map(|(labels, _)| labels));
    PortableSamples { series, cells, panes, values, apart: write_apart(samples) }
}

fn write_series(series: &Series, panes: &mut Vec<u32>, values: &mut PortableCells) {
    match (series, values) {
        (Series::Count(cells), PortableCells::Counts { samples }) => {
            for (pane, cell) in cells.iter() {
                panes.push(pane);
                samples.push(cell.0);
            }
        }
        (Series::Bytes(cells), PortableCells::Lengths { samples, bytes }) => {
            for (pane, cell) in cells.iter() {
                panes.push(pane);
                samples.push(cell.lines);
                bytes.push(cell.bytes);
            }
        }
        _ => unreachable!("series of one leaf have one function"),
    }
}

fn write_apart(samples: &Samples) -> PortableRows {
    let mut rows: Vec<(RowKey, Apart)> = samples.apart_rows().collect();
    rows.sort_unstable_by_key(|(key, _)| (key.stream, key.ts_ns, key.hash));
    let mut out = PortableRows::default();
    for (key, row) in rows {
        out.series.push(row.series);
        out.stream.push(key.stream.0);
        out.ts_ns.push(key.ts_ns);
        out.hash_high.push((key.hash >> 64) as u64);
        out.hash_low.push(key.hash as u64);
        out.order.push(row.order);
        out.row.push(row.row);
        out.sample.push(row.sample);
    }
    out
}

pub(super) fn read(
    leaf: &Leaf,
    metric: &MetricLeaf,
    columns: PortableSamples,
) -> Result<Samples, PortableError> {
    let labels = read_labels(&columns.series)?;
    let cells = read_cells(&columns, labels.len(), metric.measure.windows.panes())?;
    let mut samples = Samples::new(Arc::clone(&metric.measure));
    let mut numbers = Vec::with_capacity(labels.len());
    for (labels, series) in labels.into_iter().zip(cells) {
        let number = samples.series(labels);
        samples.merge_series(number, &series);
        numbers.push(number);
    }
    read_apart(leaf, metric, &columns.apart, &numbers, &mut samples)?;
    samples.check_limits()?;
    Ok(samples)
}

/// The series that the cells make up.
fn read_cells(
    columns: &PortableSamples,
    series: usize,
    panes: usize,
) -> Result<Vec<Series>, PortableError> {
    check_lengths(&[columns.cells.len()], series)?;
    let total = columns.cells.iter().map(|&cells| cells as usize).sum::<usize>();
    check_lengths(&[columns.panes.len()], total)?;
    let spans = Spans { columns, panes };
    match &columns.values {
        PortableCells::Counts { samples } => {
            check_lengths(&[samples.len()], total)?;
            check_samples(samples)?;
            spans.read(|at| Count(samples[at]), Series::Count)
        }
        PortableCells::Lengths { samples, bytes } => {
            check_lengths(&[samples.len(), bytes.len()], total)?;
            check_samples(samples)?;
            if bytes.iter().any(|&bytes| bytes > SAMPLES_MAX) {
                return Err(PortableError::Malformed("lengths"));
            }
            spans.read(|at| Bytes { lines: samples[at], bytes: bytes[at] }, Series::Bytes)
        }
        _ => Err(PortableError::Malformed("cells of a function that is not evaluated")),
    }
}

fn check_samples(samples: &[u64]) -> Result<(), PortableError> {
    if samples.iter().all(|&samples| (1..=SAMPLES_MAX).contains(&samples)) {
        Ok(())
    } else {
        Err(PortableError::Malformed("numbers of samples"))
    }
}

/// Which cells belong to which series.
struct Spans<'c> {
    columns: &'c PortableSamples,
    /// Number of panes there are.
    panes: usize,
}

impl Spans<'_> {
    fn read<C: crate::engine::range::Cell>(
        &self,
        cell: impl Fn(usize) -> C,
        series: fn(Panes<C>) -> Series,
    ) -> Result<Vec<Series>, PortableError> {
        let mut at = 0;
        let mut out = Vec::with_capacity(self.columns.cells.len());
        for &cells in &self.columns.cells {
            let to = at + cells as usize;
            let panes = &self.columns.panes[at..to];
            let ascending = panes.windows(2).all(|pair| pair[0] < pair[1]);
            if !ascending || panes.last().is_some_and(|&last| last as usize >= self.panes) {
                return Err(PortableError::Malformed("panes of cells"));
            }
            let list = panes.iter().zip(at..to).map(|(&pane, at)| (pane, cell(at)));
            out.push(series(Panes::Sparse(list.collect())));
            at = to;
        }
        Ok(out)
    }
}

fn read_apart(
    leaf: &Leaf,
    metric: &MetricLeaf,
    rows: &PortableRows,
    numbers: &[u32],
    samples: &mut Samples,
) -> Result<(), PortableError> {
    let PortableRows { series, stream, ts_ns, hash_high, hash_low, order, row, sample } = rows;
    let lengths = [
        series.len(),
        stream.len(),
        hash_high.len(),
        hash_low.len(),
        order.len(),
        row.len(),
        sample.len(),
    ];
    check_lengths(&lengths, ts_ns.len())?;
    let mut cursor = Cursor::default();
    for at in 0..ts_ns.len() {
        let stream = StreamKey(stream[at]);
        if !leaf.shard().holds(stream) {
            return Err(PortableError::Malformed("a row of another shard"));
        }
        let Some(pane) = cursor.pane(&metric.measure.windows, ts_ns[at]) else {
            return Err(PortableError::Malformed("a row out of all windows"));
        };
        let Some(&series) = numbers.get(series[at] as usize) else {
            return Err(PortableError::Malformed("a row without series"));
        };
        let hash = u128::from(hash_high[at]) << 64 | u128::from(hash_low[at]);
        let key = RowKey { stream, ts_ns: ts_ns[at], hash };
        let (order, row, sample) = (order[at], row[at], sample[at]);
        samples.add_apart(key, Apart { series, pane: pane as u32, sample, order, row });
    }
    Ok(())
}
