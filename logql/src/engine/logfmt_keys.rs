//! `| logfmt a="key", b`: the values of given keys (contract 6.3).

use super::columns::{ErrorKind, Text};
use super::logfmt::{Flags, Pairs, text_of};
use super::names::{Keys, NONE, NameId};
use super::pipeline::RunRows;

/// A requested key and the label it fills.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requested {
    /// The label.
    pub name: NameId,
    /// The key, sanitised.
    pub key: NameId,
}

/// Extracts from the lines of a run. Every requested label is set; one that is not found is empty,
/// unless something of its name is there already.
pub(crate) fn extract(
    mut run: RunRows<'_, '_, '_>,
    keys: &mut Keys,
    requested: &[Requested],
    flags: Flags,
) {
    while let Some(row) = run.next_row() {
        let RunRows { page, columns, names, .. } = &mut run;
        columns.parsed.begin(row);
        keys.begin_line();
        let line = page.lines.get(row);
        let mut pairs = Pairs::new(line);
        while let Some(pair) = pairs.next(&mut columns.scratch) {
            let pair = match pair {
                Ok(pair) => pair,
                Err(mistake) if flags.strict => {
                    let details = mistake.text(pairs.position());
                    columns.fail(row, ErrorKind::Logfmt, Some(&details));
                    break;
                }
                Err(_) => {
                    pairs.skip();
                    continue;
                }
            };
            let key = keys.meaning(names, 0, &line[pair.key.0..pair.key.1]).name;
            if key == NONE {
                continue;
            }
            for wanted in requested.iter().filter(|wanted| wanted.key == key) {
                let taken = columns.taken(page, row, wanted.name);
                let name = if taken { names.extracted(wanted.name) } else { wanted.name };
                if name != NONE {
                    // Of a key that is there twice the last value stays, unlike in plain `logfmt`.
                    let text = text_of(page, row, &pair, &columns.scratch);
                    columns.parsed.set(row, name, text);
                }
            }
        }
        for wanted in requested {
            if !columns.taken(page, row, wanted.name) {
                columns.parsed.add(row, wanted.name, Text::EMPTY);
            }
        }
    }
}
