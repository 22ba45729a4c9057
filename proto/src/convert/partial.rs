//! Portable partials. Only the layout is checked here; `Partial::from_portable` checks what it
//! says against the leaf.

use base::rows::Strings;
use bytes::Bytes;
use logql::engine::Stats;
use logql::engine::portable::{
    PortableCells, PortableEntries, PortableHeld, PortableLabels, PortablePartial, PortableRows,
    PortableSamples,
};

use super::{Wire, required};
use crate::columns::{column, values};
use crate::error::WireError;
use crate::v1::{self, partial::Held, samples::Values};

const MESSAGE: &str = "Partial";

impl Wire for PortablePartial {
    type Message = v1::Partial;

    fn to_wire(&self) -> v1::Partial {
        let held = self.held.as_ref().map(|held| match held {
            PortableHeld::Samples(samples) => Held::Samples(write_samples(samples)),
            PortableHeld::Entries(entries) => Held::Entries(write_entries(entries)),
        });
        v1::Partial {
            rows: self.stats.rows,
            line_bytes: self.stats.line_bytes,
            metadata_bytes: self.stats.metadata_bytes,
            selected_rows: self.stats.selected_rows,
            held,
        }
    }

    fn from_wire(message: v1::Partial) -> Result<PortablePartial, WireError> {
        let held = match message.held {
            None => None,
            Some(Held::Samples(samples)) => Some(PortableHeld::Samples(read_samples(samples)?)),
            Some(Held::Entries(entries)) => Some(PortableHeld::Entries(read_entries(entries)?)),
        };
        let stats = Stats {
            rows: message.rows,
            line_bytes: message.line_bytes,
            metadata_bytes: message.metadata_bytes,
            selected_rows: message.selected_rows,
        };
        Ok(PortablePartial { stats, held })
    }
}

fn write_entries(entries: &PortableEntries) -> v1::Entries {
    v1::Entries {
        streams: Some(write_labels(&entries.streams)),
        ts_ns: column(entries.ts_ns.iter().copied()),
        stream: column(entries.stream.iter().copied()),
        order: column(entries.order.iter().copied()),
        row: column(entries.row.iter().copied()),
        lines: Some(write_strings(&entries.lines)),
        metadata_lengths: column(entries.metadata_lengths.iter().copied()),
        metadata: Some(write_strings(&entries.metadata)),
    }
}

fn read_entries(entries: v1::Entries) -> Result<PortableEntries, WireError> {
    Ok(PortableEntries {
        streams: read_labels(entries.streams)?,
        ts_ns: values(MESSAGE, "ts_ns", &entries.ts_ns)?,
        stream: values(MESSAGE, "stream", &entries.stream)?,
        order: values(MESSAGE, "order", &entries.order)?,
        row: values(MESSAGE, "row", &entries.row)?,
        lines: read_strings(entries.lines)?,
        metadata_lengths: values(MESSAGE, "metadata_lengths", &entries.metadata_lengths)?,
        metadata: read_strings(entries.metadata)?,
    })
}

fn write_samples(samples: &PortableSamples) -> v1::Samples {
    v1::Samples {
        series: Some(write_labels(&samples.series)),
        cells: column(samples.cells.iter().copied()),
        panes: column(samples.panes.iter().copied()),
        values: Some(write_cells(&samples.values)),
        apart: Some(write_rows(&samples.apart)),
    }
}

fn read_samples(samples: v1::Samples) -> Result<PortableSamples, WireError> {
    Ok(PortableSamples {
        series: read_labels(samples.series)?,
        cells: values(MESSAGE, "cells", &samples.cells)?,
        panes: values(MESSAGE, "panes", &samples.panes)?,
        values: read_cells(required(MESSAGE, "values", samples.values)?)?,
        apart: read_rows(samples.apart)?,
    })
}

fn write_cells(cells: &PortableCells) -> Values {
    let counts = |values: &[u64]| column(values.iter().copied());
    let numbers = |values: &[f64]| column(values.iter().copied());
    let lengths = |values: &[u32]| column(values.iter().copied());
    match cells {
        PortableCells::Counts { samples } => {
            Values::Counts(v1::Counts { samples: counts(samples) })
        }
        PortableCells::Lengths { samples, bytes } => {
            Values::Lengths(v1::Lengths { samples: counts(samples), bytes: counts(bytes) })
        }
        PortableCells::Volumes { samples, bytes, oldest_ns, newest_ns } => {
            Values::Volumes(v1::Volumes {
                samples: counts(samples),
                bytes: counts(bytes),
                oldest_ns: column(oldest_ns.iter().copied()),
                newest_ns: column(newest_ns.iter().copied()),
            })
        }
        PortableCells::Sums { samples, high, low } => Values::Sums(v1::Sums {
            samples: counts(samples),
            high: numbers(high),
            low: numbers(low),
        }),
        PortableCells::Moments { samples, high, low, square_high, square_low } => {
            Values::Moments(v1::Moments {
                samples: counts(samples),
                high: numbers(high),
                low: numbers(low),
                square_high: numbers(square_high),
                square_low: numbers(square_low),
            })
        }
        PortableCells::Extremes { values } => {
            Values::Extremes(v1::Extremes { values: numbers(values) })
        }
        PortableCells::Multisets { lengths: of_cell, values, counts: how_often } => {
            Values::Multisets(v1::Multisets {
                lengths: lengths(of_cell),
                values: numbers(values),
                counts: counts(how_often),
            })
        }
        PortableCells::Points { lengths: of_cell, points } => Values::Points(v1::Points {
            lengths: lengths(of_cell),
            points: Some(write_rows(points)),
        }),
    }
}

fn read_cells(cells: Values) -> Result<PortableCells, WireError> {
    let counts = |name: &str, bytes: &Bytes| values::<u64>(MESSAGE, name, bytes);
    let numbers = |name: &str, bytes: &Bytes| values::<f64>(MESSAGE, name, bytes);
    let lengths = |bytes: &Bytes| values::<u32>(MESSAGE, "lengths", bytes);
    Ok(match cells {
        Values::Counts(cells) => {
            PortableCells::Counts { samples: counts("samples", &cells.samples)? }
        }
        Values::Lengths(cells) => PortableCells::Lengths {
            samples: counts("samples", &cells.samples)?,
            bytes: counts("bytes", &cells.bytes)?,
        },
        Values::Volumes(cells) => PortableCells::Volumes {
            samples: counts("samples", &cells.samples)?,
            bytes: counts("bytes", &cells.bytes)?,
            oldest_ns: values(MESSAGE, "oldest_ns", &cells.oldest_ns)?,
            newest_ns: values(MESSAGE, "newest_ns", &cells.newest_ns)?,
        },
        Values::Sums(cells) => PortableCells::Sums {
            samples: counts("samples", &cells.samples)?,
            high: numbers("high", &cells.high)?,
            low: numbers("low", &cells.low)?,
        },
        Values::Moments(cells) => PortableCells::Moments {
            samples: counts("samples", &cells.samples)?,
            high: numbers("high", &cells.high)?,
            low: numbers("low", &cells.low)?,
            square_high: numbers("square_high", &cells.square_high)?,
            square_low: numbers("square_low", &cells.square_low)?,
        },
        Values::Extremes(cells) => {
            PortableCells::Extremes { values: numbers("values", &cells.values)? }
        }
        Values::Multisets(cells) => PortableCells::Multisets {
            lengths: lengths(&cells.lengths)?,
            values: numbers("values", &cells.values)?,
            counts: counts("counts", &cells.counts)?,
        },
        Values::Points(cells) => PortableCells::Points {
            lengths: lengths(&cells.lengths)?,
            points: read_rows(cells.points)?,
        },
    })
}

fn write_rows(rows: &PortableRows) -> v1::ApartRows {
    v1::ApartRows {
        series: column(rows.series.iter().copied()),
        stream: column(rows.stream.iter().copied()),
        ts_ns: column(rows.ts_ns.iter().copied()),
        hash_high: column(rows.hash_high.iter().copied()),
        hash_low: column(rows.hash_low.iter().copied()),
        order: column(rows.order.iter().copied()),
        row: column(rows.row.iter().copied()),
        sample: column(rows.sample.iter().copied()),
    }
}

fn read_rows(rows: Option<v1::ApartRows>) -> Result<PortableRows, WireError> {
    let rows = rows.unwrap_or_default();
    Ok(PortableRows {
        series: values(MESSAGE, "series", &rows.series)?,
        stream: values(MESSAGE, "stream", &rows.stream)?,
        ts_ns: values(MESSAGE, "ts_ns", &rows.ts_ns)?,
        hash_high: values(MESSAGE, "hash_high", &rows.hash_high)?,
        hash_low: values(MESSAGE, "hash_low", &rows.hash_low)?,
        order: values(MESSAGE, "order", &rows.order)?,
        row: values(MESSAGE, "row", &rows.row)?,
        sample: values(MESSAGE, "sample", &rows.sample)?,
    })
}

fn write_labels(labels: &PortableLabels) -> v1::LabelSets {
    v1::LabelSets {
        counts: column(labels.lengths.iter().copied()),
        ends: column(labels.texts.ends.iter().copied()),
        text: Bytes::copy_from_slice(&labels.texts.bytes),
    }
}

fn read_labels(labels: Option<v1::LabelSets>) -> Result<PortableLabels, WireError> {
    let labels = labels.unwrap_or_default();
    Ok(PortableLabels {
        lengths: values(MESSAGE, "counts", &labels.counts)?,
        texts: Strings { ends: values(MESSAGE, "ends", &labels.ends)?, bytes: labels.text.into() },
    })
}

fn write_strings(strings: &Strings) -> v1::Texts {
    v1::Texts {
        ends: column(strings.ends.iter().copied()),
        text: Bytes::copy_from_slice(&strings.bytes),
    }
}

fn read_strings(strings: Option<v1::Texts>) -> Result<Strings, WireError> {
    let strings = strings.unwrap_or_default();
    Ok(Strings { ends: values(MESSAGE, "ends", &strings.ends)?, bytes: strings.text.into() })
}
