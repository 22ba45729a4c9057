//! Rows of one UTC day that become one batch.

use base::{Day, RowsBuilder, UnixNanos};

use crate::columns::Columns;
use crate::level::Level;
use crate::metadata::DETECTED_LEVEL;

/// Columns and labels of a batch: a WAL record and an append stay of a size that can be buffered,
/// whatever takes it: lines, many short lines, values or cells of metadata. Only the last row may
/// pass it.
const MAX_BYTES: usize = 32 << 20;
/// Different metadata names of a batch.
const MAX_COLUMNS: usize = 1024;
/// Cells of a batch's metadata columns beyond those that real data needs: every column has a cell
/// per row, so names that differ from row to row would fill memory with empty cells.
const MAX_CELLS: usize = 4 << 20;
/// Names that any number of rows may have.
const FREE_COLUMNS: usize = 32;

/// A builder with what is known of its columns. Reused.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) day: Day,
    /// First and last instant of the day.
    from_ns: i64,
    last_ns: i64,
    pub(crate) builder: RowsBuilder,
    pub(crate) columns: Columns,
    level_slot: Option<usize>,
    level_codes: [u32; Level::COUNT],
    /// What all of it took when it was weighed last.
    bytes: usize,
    /// What there is beside the builder: labels, the part itself.
    other_bytes: usize,
    /// About what came since.
    unweighed: usize,
}

/// What a part takes without rows, and a batch around it.
const PART_BYTES: usize = 4 << 10;
/// A part is weighed when about so much has come to it.
const WEIGH_BYTES: usize = 16 << 10;
/// What the row of a line takes at least, in some columns.
const ROW_BYTES: usize = 64;

impl Part {
    pub(crate) fn new() -> Part {
        Part {
            day: Day(0),
            from_ns: 0,
            last_ns: 0,
            builder: RowsBuilder::default(),
            columns: Columns::default(),
            level_slot: None,
            level_codes: [0; Level::COUNT],
            bytes: 0,
            other_bytes: 0,
            unweighed: 0,
        }
    }

    /// Makes this an empty part of the day of `ts_ns`.
    pub(crate) fn begin(&mut self, ts_ns: i64) {
        debug_assert!(self.builder.is_empty());
        self.day = Day::of(UnixNanos(ts_ns));
        self.from_ns = self.day.start_ns();
        self.last_ns = self.from_ns.saturating_add(base::time::DAY_NS - 1);
        self.columns.clear();
        self.level_slot = None;
        self.level_codes = [0; Level::COUNT];
        (self.bytes, self.other_bytes, self.unweighed) = (0, PART_BYTES, WEIGH_BYTES);
    }

    /// A row of another stream than the row before it was pushed.
    pub(crate) fn add_labels(&mut self, bytes: usize) {
        self.other_bytes += bytes;
        self.unweighed += bytes;
    }

    /// A row with `bytes` of line and metadata was pushed; whether it is time to weigh.
    #[inline]
    pub(crate) fn is_heavier(&mut self, bytes: u64) -> bool {
        self.unweighed += bytes as usize + ROW_BYTES;
        self.unweighed >= WEIGH_BYTES
    }

    /// Weighs the part; by how much it grew since this was asked last.
    pub(crate) fn weigh(&mut self) -> usize {
        self.unweighed = 0;
        let bytes = self.builder.column_bytes() + self.other_bytes;
        bytes - std::mem::replace(&mut self.bytes, bytes)
    }

    /// Whether a row of `ts_ns` belongs here.
    #[inline]
    pub(crate) fn covers(&self, ts_ns: i64) -> bool {
        self.from_ns <= ts_ns && ts_ns <= self.last_ns
    }

    /// Whether the next row should go to another part.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        let columns = self.columns.len();
        self.bytes >= MAX_BYTES
            || (columns > FREE_COLUMNS
                && (columns > MAX_COLUMNS || columns * self.builder.len() > MAX_CELLS))
    }

    fn level_slot(&mut self) -> usize {
        match self.level_slot {
            Some(slot) => slot,
            None => *self.level_slot.insert(self.builder.column(DETECTED_LEVEL)),
        }
    }

    /// Sets `detected_level` of the row pushed last.
    #[inline]
    pub(crate) fn set_level(&mut self, level: Level) {
        let slot = self.level_slot();
        let code = &mut self.level_codes[level as usize];
        if *code == 0 {
            *code = self.builder.intern(slot, level.as_bytes());
        }
        self.builder.set_code(slot, *code);
    }

    /// As [`Part::set_level`] with a value of the client's.
    pub(crate) fn set_level_text(&mut self, value: &[u8]) {
        match Level::named(value) {
            Some(level) => self.set_level(level),
            None => {
                let slot = self.level_slot();
                self.builder.set(slot, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that `push` pushes until the part is full; the part's weight is what its batch takes.
    fn rows_until_full(mut push: impl FnMut(&mut Part, usize)) -> usize {
        let mut part = Part::new();
        part.begin(0);
        let (mut rows, mut weight) = (0, 0);
        while !part.is_full() {
            push(&mut part, rows);
            weight += part.weigh();
            rows += 1;
        }
        assert_eq!(weight, part.builder.column_bytes() + part.other_bytes);
        let bytes = part.builder.take().column_bytes() + part.other_bytes;
        assert_eq!(weight, bytes, "as large as it was taken for");
        rows
    }

    #[test]
    fn a_part_is_full_by_whatever_its_record_holds() {
        let big = vec![b'x'; 1 << 20];
        assert_eq!(rows_until_full(|part, _| part.builder.push(0, 0, &big)), 32);
        let values = rows_until_full(|part, row| {
            part.builder.push(0, 0, b"");
            let value = [&big[..], row.to_string().as_bytes()].concat();
            part.builder.metadata("name", &value);
        });
        assert_eq!(values, 32);
        let labels = rows_until_full(|part, row| {
            part.builder.push(row as u32, 0, b"");
            part.add_labels(big.len());
        });
        assert_eq!(labels, 32);
        // Twenty cells and what a row takes without them.
        let cells = rows_until_full(|part, _| {
            part.builder.push(0, 0, b"");
            for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
                part.builder.metadata(name, b"v");
            }
        });
        let most = (32 << 20) / (12 + 10 * 4);
        assert!((most - 100..=most).contains(&cells), "{cells} of {most}");
    }
}
