//! What cells hold, as columns.

use super::{PortableCells, PortableError, PortableRows, PortableSamples, check_lengths};
use crate::engine::range::bytes::Bytes;
use crate::engine::range::count::Count;
use crate::engine::range::edge::Edge;
use crate::engine::range::extreme::Extreme;
use crate::engine::range::moments::Moments;
use crate::engine::range::panes::Panes;
use crate::engine::range::points::Points;
use crate::engine::range::quantile::Multiset;
use crate::engine::range::sum::{Exact, Sum};
use crate::engine::range::{Cell, Sample, Series};
use crate::engine::windows::Windows;
use crate::plan::Volume;

/// Most samples of one cell: so sums of counts never overflow, however many partials there are.
const SAMPLES_MAX: u64 = 1 << 48;

/// Columns for the cells of series like this one.
pub(super) fn none(series: &Series) -> PortableCells {
    let (samples, values, lengths) = (Vec::new(), Vec::new(), Vec::new());
    match series {
        Series::Count(_) => PortableCells::Counts { samples },
        Series::Bytes(_) => PortableCells::Lengths { samples, bytes: Vec::new() },
        Series::Volume(_) => PortableCells::Volumes {
            samples,
            bytes: Vec::new(),
            oldest_ns: Vec::new(),
            newest_ns: Vec::new(),
        },
        Series::Sum(_) => PortableCells::Sums { samples, high: Vec::new(), low: Vec::new() },
        Series::Moments(_) => PortableCells::Moments {
            samples,
            high: Vec::new(),
            low: Vec::new(),
            square_high: Vec::new(),
            square_low: Vec::new(),
        },
        Series::Min(_) | Series::Max(_) => PortableCells::Extremes { values },
        Series::Multiset(_) => PortableCells::Multisets { lengths, values, counts: Vec::new() },
        Series::First(_) | Series::Last(_) | Series::Points(_) => {
            PortableCells::Points { lengths, points: PortableRows::default() }
        }
    }
}

/// Appends the cells of a series to columns of its kind.
pub(super) fn write(series: &Series, panes: &mut Vec<u32>, columns: &mut PortableCells) {
    use PortableCells as To;
    match (series, columns) {
        (Series::Count(cells), To::Counts { samples }) => {
            each(cells, panes, |cell| samples.push(cell.0));
        }
        (Series::Bytes(cells), To::Lengths { samples, bytes }) => each(cells, panes, |cell| {
            samples.push(cell.lines);
            bytes.push(cell.bytes);
        }),
        (Series::Volume(cells), To::Volumes { samples, bytes, oldest_ns, newest_ns }) => {
            each(cells, panes, |cell| {
                samples.push(cell.lines);
                bytes.push(cell.bytes);
                oldest_ns.push(cell.oldest_ns);
                newest_ns.push(cell.newest_ns);
            })
        }
        (Series::Sum(cells), To::Sums { samples, high, low }) => each(cells, panes, |cell| {
            samples.push(cell.samples);
            high.push(cell.sum.high);
            low.push(cell.sum.low);
        }),
        (Series::Moments(cells), To::Moments { samples, high, low, square_high, square_low }) => {
            each(cells, panes, |cell| {
                samples.push(cell.samples);
                high.push(cell.sum.high);
                low.push(cell.sum.low);
                square_high.push(cell.squares.high);
                square_low.push(cell.squares.low);
            })
        }
        (Series::Min(cells), To::Extremes { values }) => {
            each(cells, panes, |cell| values.extend(cell.0));
        }
        (Series::Max(cells), To::Extremes { values }) => {
            each(cells, panes, |cell| values.extend(cell.0));
        }
        (Series::Multiset(cells), To::Multisets { lengths, values, counts }) => {
            each(cells, panes, |cell| {
                let sorted = cell.to_sorted();
                lengths.push(sorted.len() as u32);
                values.extend(sorted.iter().map(|&(value, _)| value));
                counts.extend(sorted.iter().map(|&(_, count)| count));
            });
        }
        (Series::First(cells), To::Points { lengths, points }) => {
            each(cells, panes, |cell| write_points(cell.0.as_slice(), lengths, points));
        }
        (Series::Last(cells), To::Points { lengths, points }) => {
            each(cells, panes, |cell| write_points(cell.0.as_slice(), lengths, points));
        }
        (Series::Points(cells), To::Points { lengths, points }) => each(cells, panes, |cell| {
            let mut samples = cell.0.clone();
            samples.sort_unstable_by_key(Sample::position);
            write_points(&samples, lengths, points);
        }),
        _ => unreachable!("series of one leaf have one function"),
    }
}

fn each<C: Cell>(cells: &Panes<C>, panes: &mut Vec<u32>, mut write: impl FnMut(&C)) {
    for (pane, cell) in cells.present() {
        panes.push(pane);
        write(cell);
    }
}

fn write_points(samples: &[Sample], lengths: &mut Vec<u32>, points: &mut PortableRows) {
    lengths.push(samples.len() as u32);
    for sample in samples {
        points.stream.push(sample.stream);
        points.ts_ns.push(sample.ts_ns);
        points.order.push(sample.order);
        points.row.push(sample.row);
        points.sample.push(sample.bits);
    }
}

/// The series that cells make up. `start` is one of the leaf's.
pub(super) fn read(
    columns: &PortableSamples,
    start: &Series,
    windows: &Windows,
) -> Result<Vec<Series>, PortableError> {
    use PortableCells as From;
    let cells = columns.panes.len();
    let spans = Spans { columns, windows };
    match (start, &columns.values) {
        (Series::Count(_), From::Counts { samples }) => {
            check_samples(samples, cells)?;
            spans.read(|at, _| Ok(Count(samples[at])), Series::Count)
        }
        (Series::Bytes(_), From::Lengths { samples, bytes }) => {
            check_samples(samples, cells)?;
            check_bytes(bytes, cells)?;
            spans.read(|at, _| Ok(Bytes { lines: samples[at], bytes: bytes[at] }), Series::Bytes)
        }
        (Series::Volume(_), From::Volumes { samples, bytes, oldest_ns, newest_ns }) => {
            check_samples(samples, cells)?;
            check_bytes(bytes, cells)?;
            check_lengths(&[oldest_ns.len(), newest_ns.len()], cells)?;
            let volume = |at: usize, pane: u32| {
                let (oldest_ns, newest_ns) = (oldest_ns[at], newest_ns[at]);
                let (after, last) = windows.bounds_of(pane as usize);
                if oldest_ns <= after || newest_ns < oldest_ns || newest_ns > last {
                    return Err(PortableError::Malformed("instants out of their pane"));
                }
                Ok(Volume { lines: samples[at], bytes: bytes[at], oldest_ns, newest_ns })
            };
            spans.read(volume, Series::Volume)
        }
        (Series::Sum(_), From::Sums { samples, high, low }) => {
            check_samples(samples, cells)?;
            check_lengths(&[high.len(), low.len()], cells)?;
            let sum = |at: usize| Exact { high: high[at], low: low[at] };
            spans.read(|at, _| Ok(Sum { samples: samples[at], sum: sum(at) }), Series::Sum)
        }
        (Series::Moments(_), From::Moments { samples, high, low, square_high, square_low }) => {
            check_samples(samples, cells)?;
            let lengths = [high.len(), low.len(), square_high.len(), square_low.len()];
            check_lengths(&lengths, cells)?;
            let cell = |at: usize| Moments {
                samples: samples[at],
                sum: Exact { high: high[at], low: low[at] },
                squares: Exact { high: square_high[at], low: square_low[at] },
            };
            spans.read(|at, _| Ok(cell(at)), Series::Moments)
        }
        (Series::Min(_), From::Extremes { values }) => {
            check_lengths(&[values.len()], cells)?;
            spans.read(|at, _| Ok(Extreme(Some(values[at]))), Series::Min)
        }
        (Series::Max(_), From::Extremes { values }) => {
            check_lengths(&[values.len()], cells)?;
            spans.read(|at, _| Ok(Extreme(Some(values[at]))), Series::Max)
        }
        (Series::Multiset(_), From::Multisets { lengths, values, counts }) => {
            check_samples(counts, values.len())?;
            let mut parts = Parts::new(lengths, cells, values.len())?;
            spans.read(|at, _| read_multiset(parts.take(at), values, counts), Series::Multiset)
        }
        (Series::First(_), From::Points { lengths, points }) => {
            let mut points = PointReader::new(lengths, cells, points, windows)?;
            spans.read(|at, pane| points.one(at, pane).map(Edge), Series::First)
        }
        (Series::Last(_), From::Points { lengths, points }) => {
            let mut points = PointReader::new(lengths, cells, points, windows)?;
            spans.read(|at, pane| points.one(at, pane).map(Edge), Series::Last)
        }
        (Series::Points(_), From::Points { lengths, points }) => {
            let mut points = PointReader::new(lengths, cells, points, windows)?;
            spans.read(|at, pane| points.all(at, pane).map(Points), Series::Points)
        }
        _ => Err(PortableError::Malformed("cells of another function")),
    }
}

fn check_samples(samples: &[u64], want: usize) -> Result<(), PortableError> {
    check_lengths(&[samples.len()], want)?;
    if samples.iter().all(|&samples| (1..=SAMPLES_MAX).contains(&samples)) {
        Ok(())
    } else {
        Err(PortableError::Malformed("numbers of samples"))
    }
}

fn check_bytes(bytes: &[u64], want: usize) -> Result<(), PortableError> {
    check_lengths(&[bytes.len()], want)?;
    if bytes.iter().all(|&bytes| bytes <= SAMPLES_MAX) {
        Ok(())
    } else {
        Err(PortableError::Malformed("lengths"))
    }
}

/// Which cells belong to which series.
struct Spans<'c> {
    columns: &'c PortableSamples,
    windows: &'c Windows,
}

impl Spans<'_> {
    /// `cell` makes the cell with this number, of this pane; it is asked in order.
    fn read<C: Cell>(
        &self,
        mut cell: impl FnMut(usize, u32) -> Result<C, PortableError>,
        series: fn(Panes<C>) -> Series,
    ) -> Result<Vec<Series>, PortableError> {
        let mut at = 0;
        let mut out = Vec::with_capacity(self.columns.cells.len());
        for &cells in &self.columns.cells {
            let to = at + cells as usize;
            let panes = &self.columns.panes[at..to];
            let ascending = panes.windows(2).all(|pair| pair[0] < pair[1]);
            let inside = panes.last().is_none_or(|&last| (last as usize) < self.windows.panes());
            if !ascending || !inside {
                return Err(PortableError::Malformed("panes of cells"));
            }
            let mut list = Vec::with_capacity(panes.len());
            for (&pane, at) in panes.iter().zip(at..to) {
                list.push((pane, cell(at, pane)?));
            }
            out.push(series(Panes::Sparse(list)));
            at = to;
        }
        Ok(out)
    }
}

/// Elements of a longer column, so many for each cell.
struct Parts<'c> {
    lengths: &'c [u32],
    at: usize,
}

impl Parts<'_> {
    fn new(lengths: &[u32], cells: usize, elements: usize) -> Result<Parts<'_>, PortableError> {
        check_lengths(&[lengths.len()], cells)?;
        let total = lengths.iter().map(|&length| length as usize).sum::<usize>();
        if total != elements || lengths.contains(&0) {
            return Err(PortableError::Malformed("lengths of cells"));
        }
        Ok(Parts { lengths, at: 0 })
    }

    fn take(&mut self, cell: usize) -> std::ops::Range<usize> {
        let from = self.at;
        self.at += self.lengths[cell] as usize;
        from..self.at
    }
}

fn read_multiset(
    part: std::ops::Range<usize>,
    values: &[f64],
    counts: &[u64],
) -> Result<Multiset, PortableError> {
    let sorted: Vec<(f64, u64)> =
        part.map(|at| (Multiset::canonical(values[at]), counts[at])).collect();
    if sorted.windows(2).all(|pair| pair[0].0.total_cmp(&pair[1].0).is_lt()) {
        Ok(Multiset::from_sorted(sorted))
    } else {
        Err(PortableError::Malformed("values of a multiset"))
    }
}

/// Points of cells, being read.
struct PointReader<'c> {
    parts: Parts<'c>,
    rows: &'c PortableRows,
    windows: &'c Windows,
}

impl<'c> PointReader<'c> {
    fn new(
        lengths: &'c [u32],
        cells: usize,
        rows: &'c PortableRows,
        windows: &'c Windows,
    ) -> Result<PointReader<'c>, PortableError> {
        let PortableRows { stream, ts_ns, order, row, sample, .. } = rows;
        let columns = [stream.len(), order.len(), row.len(), sample.len()];
        check_lengths(&columns, ts_ns.len())?;
        Ok(PointReader { parts: Parts::new(lengths, cells, ts_ns.len())?, rows, windows })
    }

    fn one(&mut self, cell: usize, pane: u32) -> Result<Option<Sample>, PortableError> {
        let points = self.all(cell, pane)?;
        if points.len() == 1 {
            Ok(Some(points[0]))
        } else {
            Err(PortableError::Malformed("points of a cell"))
        }
    }

    fn all(&mut self, cell: usize, pane: u32) -> Result<Vec<Sample>, PortableError> {
        let (after, last) = self.windows.bounds_of(pane as usize);
        let point = |at: usize| {
            let ts_ns = self.rows.ts_ns[at];
            if ts_ns <= after || ts_ns > last {
                return Err(PortableError::Malformed("a point out of its pane"));
            }
            let (stream, bits) = (self.rows.stream[at], self.rows.sample[at]);
            let (order, row) = (self.rows.order[at], self.rows.row[at]);
            Ok(Sample { bits, ts_ns, stream, order, row })
        };
        self.parts.take(cell).map(point).collect()
    }
}
