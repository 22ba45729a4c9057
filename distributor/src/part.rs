//! Rows of one UTC day that become one batch.

use base::{Day, RowsBuilder, UnixNanos};

use crate::columns::Columns;
use crate::level::Level;
use crate::metadata::DETECTED_LEVEL;

/// Lines of a batch: a WAL record and an append stay of a size that can be buffered.
const MAX_LINE_BYTES: usize = 32 << 20;
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
}

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
    }

    /// Whether a row of `ts_ns` belongs here.
    #[inline]
    pub(crate) fn covers(&self, ts_ns: i64) -> bool {
        self.from_ns <= ts_ns && ts_ns <= self.last_ns
    }

    /// Whether the next row should go to another part.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        let rows = self.builder.peek();
        let columns = self.columns.len();
        rows.lines.bytes.len() >= MAX_LINE_BYTES
            || (columns > FREE_COLUMNS
                && (columns > MAX_COLUMNS || columns * rows.len() > MAX_CELLS))
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
