//! `| pattern "<ip> - <_> \"<method>\""`: what lies between literal texts becomes labels
//! (contract 6.5).
//!
//! A literal at the beginning must be at the line's beginning. Each later literal is searched from
//! where the one before ends; where one is missing, the capture before it takes the rest.

use super::columns::Text;
use super::names::{EXTRACTED_SUFFIX, NONE, NameId};
use super::pipeline::{NameList, RunRows};
use super::wanted::Wanted;
use crate::syntax::pattern::Node;

/// A compiled template.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// What the line must begin with.
    start: Vec<u8>,
    /// Captures in order; `None` = skipped. Each goes up to a literal, the last one maybe to the
    /// end.
    captures: Vec<(Option<NameId>, Option<Vec<u8>>)>,
}

impl Pattern {
    pub(crate) fn new(nodes: &[Node], names: &mut NameList) -> Pattern {
        let mut pattern = Pattern { start: Vec::new(), captures: Vec::new() };
        for node in nodes {
            match node {
                Node::Literal(text) => match pattern.captures.last_mut() {
                    None => pattern.start.clone_from(text),
                    Some(capture) => capture.1 = Some(text.clone()),
                },
                Node::Skip => pattern.captures.push((None, None)),
                Node::Capture(name) => {
                    names.number(&format!("{name}{EXTRACTED_SUFFIX}"));
                    pattern.captures.push((Some(names.number(name)), None));
                }
            }
        }
        pattern
    }

    /// Extracts from the lines of a run.
    pub(crate) fn extract(&self, mut run: RunRows<'_, '_, '_>, wanted: &Wanted) {
        // A template makes no mistakes: what nobody asks for need not be looked for.
        let names = &mut *run.names;
        let needed = self.captures.iter().rposition(|(name, _)| {
            name.is_some_and(|name| wanted.takes(name) || wanted.takes(names.extracted(name)))
        });
        let captures = &self.captures[..needed.map_or(0, |last| last + 1)];
        while let Some(row) = run.next_row() {
            let RunRows { page, columns, names, .. } = &mut run;
            let (from, to) = page.lines.span(row);
            let line = &page.lines.bytes[from..to];
            if line.is_empty() || !begins(line, &self.start) {
                continue;
            }
            columns.parsed.begin(row);
            let mut at = self.start.len();
            for (name, literal) in captures {
                let found = literal.as_ref().and_then(|literal| find(&line[at..], literal));
                let end = found.map_or(line.len(), |found| at + found);
                if let Some(name) = *name {
                    let taken = columns.taken(page, row, name);
                    let name = if taken { names.extracted(name) } else { name };
                    if name != NONE && wanted.takes(name) {
                        columns.parsed.add(row, name, Text::line(from + at, from + end));
                    }
                }
                match (found, literal) {
                    (Some(_), Some(literal)) => at = end + literal.len(),
                    _ => break,
                }
            }
        }
    }
}

/// Whether `text` begins with `start`. No byte is never compared: the C library's comparison then
/// loads from where an empty vector points to, which takes the processor a hundred times as long.
#[inline]
fn begins(text: &[u8], start: &[u8]) -> bool {
    start.is_empty() || text.starts_with(start)
}

/// Where `literal`, which has a byte, stands first. Literals of templates are short and near: their
/// first byte is looked for, without a searcher's preparations.
#[inline]
fn find(text: &[u8], literal: &[u8]) -> Option<usize> {
    let (&first, rest) = literal.split_first()?;
    let mut at = 0;
    loop {
        at += memchr::memchr(first, &text[at..])?;
        if begins(&text[at + 1..], rest) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_literal_is_found_where_it_stands_first(
            text in "[a-c\" ]{0,40}",
            literal in "[a-c\" ]{1,4}",
        ) {
            prop_assert_eq!(find(text.as_bytes(), literal.as_bytes()), text.find(&literal));
        }
    }
}
