//! `| unpack`: gives back the line and the labels that an agent packed into an object
//! (contract 6.6).

use super::columns::{ErrorKind, Text};
use super::json::{self, Halt, Kind, Value, Visitor};
use super::json_text::{push_clean, unescape};
use super::names::{KeyMeaning, Keys, NONE, NameId, Names};
use super::pipeline::RunRows;
use super::wanted::Wanted;

/// The key of the line.
const ENTRY: &[u8] = b"_entry";
/// The text of `__error_details__`.
const NO_OBJECT: &str = "expecting json object(6), but it is not";

/// Members of one object.
struct Members<'m> {
    names: &'m mut Names,
    keys: &'m mut Keys,
    /// Strings: name, escaped or not, bytes.
    labels: &'m mut Vec<(NameId, bool, usize, usize)>,
    entry: Option<(bool, usize, usize)>,
    /// The key before the value that comes next is the line's.
    at_entry: bool,
}

impl Visitor for Members<'_> {
    fn key(&mut self, parent: u32, key: &[u8]) -> KeyMeaning {
        self.at_entry = parent == 0 && key == ENTRY;
        let meaning = self.keys.meaning(self.names, parent, key);
        // Also a key that nobody needs is told of, if it is the line's; objects are not entered.
        let name = if self.at_entry { 0 } else { meaning.name };
        KeyMeaning { name, prefix: NONE }
    }

    fn value(&mut self, name: NameId, _data: &[u8], value: Value) -> Result<(), Halt> {
        let Kind::String { escaped } = value.kind else { return Ok(()) };
        if self.at_entry {
            self.entry = Some((escaped, value.from, value.to));
        } else {
            self.labels.push((name, escaped, value.from, value.to));
        }
        Ok(())
    }
}

/// Extracts from the lines of a run. `line` is called with each row and its line
/// from now on.
pub(crate) fn extract(
    mut run: RunRows<'_, '_, '_>,
    keys: &mut Keys,
    wanted: &Wanted,
    mut line: impl FnMut(usize, &[u8]),
) {
    let (mut labels, mut entry_text) = (Vec::new(), Vec::new());
    while let Some(row) = run.next_row() {
        let RunRows { page, columns, names, .. } = &mut run;
        let data = page.lines.get(row);
        if data.first() != Some(&b'{') {
            if !data.is_empty() {
                columns.fail(row, ErrorKind::Json, Some(NO_OBJECT));
            }
            line(row, data);
            continue;
        }
        labels.clear();
        keys.begin_line();
        let mut members =
            Members { names, keys, labels: &mut labels, entry: None, at_entry: false };
        let walked = json::walk(data, &mut members);
        let entry = members.entry;
        if let Err(Halt::Malformed(details)) = walked {
            columns.fail(row, ErrorKind::Json, Some(details));
            line(row, data);
            continue;
        }
        let Some((escaped, from, to)) = entry else {
            line(row, data);
            continue;
        };
        columns.parsed.begin(row);
        for &(name, escaped, from, to) in &labels {
            let taken = columns.taken(page, row, name);
            let name = if taken { names.extracted(name) } else { name };
            if name == NONE || !wanted.takes(name) {
                continue;
            }
            let at = columns.scratch.len();
            push_clean(&data[from..to], escaped, &mut columns.scratch);
            let text = Text::scratch(at, columns.scratch.len());
            columns.parsed.set(row, name, text);
        }
        entry_text.clear();
        if !escaped {
            entry_text.extend_from_slice(&data[from..to]);
        } else if !unescape(&data[from..to], &mut entry_text) {
            entry_text.clear();
        }
        line(row, &entry_text);
    }
}
