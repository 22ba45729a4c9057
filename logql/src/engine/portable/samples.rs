//! Series of a metric leaf as columns.

use std::sync::Arc;

use base::StreamKey;

use super::{
    PortableError, PortableRows, PortableSamples, cells, check_lengths, read_labels, write_labels,
};
use crate::engine::samples::{Apart, RowKey, Samples};
use crate::engine::windows::Cursor;
use crate::plan::Leaf;
use crate::plan::leaf::MetricLeaf;

pub(super) fn write(samples: &Samples) -> PortableSamples {
    let (mut counts, mut panes) = (Vec::new(), Vec::new());
    let mut values = cells::none(&samples.start());
    for (_, series) in samples.series_list() {
        let before = panes.len();
        cells::write(series, &mut panes, &mut values);
        counts.push((panes.len() - before) as u32);
    }
    let series = write_labels(samples.series_list().iter().map(|(labels, _)| labels));
    PortableSamples { series, cells: counts, panes, values, apart: write_apart(samples) }
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
    check_lengths(&[columns.cells.len()], labels.len())?;
    let total = columns.cells.iter().map(|&cells| cells as usize).sum::<usize>();
    check_lengths(&[columns.panes.len()], total)?;
    let mut samples = Samples::new(Arc::clone(&metric.measure));
    let cells = cells::read(&columns, &samples.start(), &metric.measure.windows)?;
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
