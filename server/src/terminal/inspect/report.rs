//! What was found in a file: one model that is printed as text and as JSON.

use std::io::{self, Write};

use base::units::ByteSize;
use serde_json::{Map, Value, json};

use crate::terminal::time::Zone;

/// Rows of a table that are printed unless all are asked for.
const SHOWN_ROWS: usize = 20;

/// What is in a file, or in a piece of one.
#[derive(Debug, Default)]
pub struct Report {
    /// What it is.
    pub kind: String,
    /// Single values.
    pub facts: Vec<(&'static str, Cell)>,
    /// Lists.
    pub tables: Vec<Table>,
    /// What is damaged: where, and what.
    pub problems: Vec<(u64, String)>,
    /// Pieces that are reports of their own.
    pub parts: Vec<Report>,
}

/// A list of things of one kind.
#[derive(Debug)]
pub struct Table {
    /// What the things are.
    pub name: &'static str,
    /// Names of the columns.
    pub columns: Vec<&'static str>,
    /// The things.
    pub rows: Vec<Vec<Cell>>,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// A count or an offset.
    Number(u64),
    /// A count of bytes.
    Bytes(u64),
    /// Nanoseconds since 1970.
    Time(i64),
    /// How many times smaller.
    Ratio(f64),
    /// Nothing.
    None,
}

impl Cell {
    /// Text of anything that can be shown.
    pub fn text(value: impl ToString) -> Cell {
        Cell::Text(value.to_string())
    }

    /// A count.
    pub fn count(value: usize) -> Cell {
        Cell::Number(value as u64)
    }

    /// Raw bytes over stored ones.
    pub fn ratio(raw_bytes: u64, stored_bytes: u64) -> Cell {
        match stored_bytes {
            0 => Cell::None,
            stored => Cell::Ratio(raw_bytes as f64 / stored as f64),
        }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Text(text) => json!(text),
            Cell::Number(number) | Cell::Bytes(number) => json!(number),
            Cell::Time(ts_ns) => json!(ts_ns),
            // Two digits are what text shows, too.
            Cell::Ratio(ratio) => json!((ratio * 100.0).round() / 100.0),
            Cell::None => Value::Null,
        }
    }

    fn show(&self, zone: Zone) -> String {
        match self {
            Cell::Text(text) => printable(text),
            Cell::Number(number) => number.to_string(),
            Cell::Bytes(bytes) => ByteSize(*bytes).to_string(),
            Cell::Time(ts_ns) => zone.exact(*ts_ns),
            Cell::Ratio(ratio) => format!("{ratio:.2}x"),
            Cell::None => "-".to_owned(),
        }
    }

    fn is_right_aligned(&self) -> bool {
        matches!(self, Cell::Number(_) | Cell::Bytes(_) | Cell::Ratio(_))
    }
}

impl Report {
    /// An empty report of a kind.
    pub fn new(kind: impl ToString) -> Report {
        Report { kind: kind.to_string(), ..Report::default() }
    }

    /// Adds a value.
    pub fn fact(&mut self, name: &'static str, value: Cell) {
        self.facts.push((name, value));
    }

    /// Says that something is damaged at `offset`.
    pub fn problem(&mut self, offset: u64, what: impl ToString) {
        self.problems.push((offset, what.to_string()));
    }

    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.parts.iter().all(Report::is_sound)
    }

    /// The report of `file` as JSON: sizes in bytes, times in nanoseconds.
    pub fn json(&self, file: &str) -> Value {
        let mut all = self.fields();
        all.insert("file".to_owned(), json!(file));
        all.insert("sound".to_owned(), json!(self.is_sound()));
        Value::Object(all)
    }

    fn fields(&self) -> Map<String, Value> {
        let mut all = Map::new();
        all.insert("kind".to_owned(), json!(self.kind));
        for (name, value) in &self.facts {
            let before = all.insert(key(name), value.json());
            debug_assert!(before.is_none(), "{name} stands there twice");
        }
        for table in &self.tables {
            let row = |cells: &Vec<Cell>| {
                let columns = table.columns.iter().map(|column| key(column));
                Value::Object(columns.zip(cells.iter().map(Cell::json)).collect())
            };
            let before = all.insert(key(table.name), table.rows.iter().map(row).collect());
            debug_assert!(before.is_none(), "{} stands there twice", table.name);
        }
        let problem = |(offset, what): &(u64, String)| json!({ "offset": offset, "problem": what });
        all.insert("damage".to_owned(), self.problems.iter().map(problem).collect());
        if !self.parts.is_empty() {
            let parts = self.parts.iter().map(|part| Value::Object(part.fields()));
            all.insert("parts".to_owned(), parts.collect());
        }
        all
    }

    /// The report as text. All rows of tables only if `all`.
    pub fn write(&self, out: &mut dyn Write, zone: Zone, all: bool) -> io::Result<()> {
        writeln!(out, "{}", printable(&self.kind))?;
        let width = self.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in &self.facts {
            writeln!(out, "  {name:<width$}  {}", value.show(zone))?;
        }
        for (offset, what) in &self.problems {
            writeln!(out, "  DAMAGED at byte {offset}: {}", printable(what))?;
        }
        for table in &self.tables {
            table.write(out, zone, all)?;
        }
        for part in &self.parts {
            writeln!(out)?;
            part.write(out, zone, all)?;
        }
        Ok(())
    }
}

impl Table {
    fn write(&self, out: &mut dyn Write, zone: Zone, all: bool) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let shown = if all { self.rows.len() } else { self.rows.len().min(SHOWN_ROWS) };
        writeln!(out, "  {} ({})", self.name, self.rows.len())?;
        let rows: Vec<Vec<String>> = self.rows[..shown]
            .iter()
            .map(|row| row.iter().map(|cell| cell.show(zone)).collect())
            .collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.columns[column].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let right: Vec<bool> = self.rows[0].iter().map(Cell::is_right_aligned).collect();
        let heads = self.columns.iter().map(|column| (*column).to_owned()).collect();
        for row in std::iter::once(&heads).chain(&rows) {
            let mut line = String::from("   ");
            for ((cell, &width), &right) in row.iter().zip(&widths).zip(&right) {
                line.push(' ');
                match right {
                    true => line.push_str(&format!("{cell:>width$}")),
                    false => line.push_str(&format!("{cell:<width$}")),
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        if shown < self.rows.len() {
            writeln!(out, "    ... and {} more (--all)", self.rows.len() - shown)?;
        }
        Ok(())
    }
}

/// The key of a name in JSON.
fn key(name: &str) -> String {
    name.replace(' ', "_")
}

/// Text that cannot move the terminal's cursor.
fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect()
}
