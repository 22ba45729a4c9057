//! `| pattern "<ip> - <_> \"<method>\""`: what lies between literal texts becomes labels
//! (contract 6.5).
//!
//! A literal at the beginning must be at the line's beginning. Each later literal is searched from
//! where the one before ends; where one is missing, the capture before it takes the rest.

use super::columns::Text;
use super::names::{EXTRACTED_SUFFIX, NONE, NameId};
use super::pipeline::{NameList, RunRows};
use crate::syntax::pattern::Node;
use memchr::memmem::Finder;

/// A compiled template.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// What the line must begin with.
    start: Vec<u8>,
    /// Captures in order; `None` = skipped. Each goes up to a literal, the last one maybe to the
    /// end.
    captures: Vec<(Option<NameId>, Option<Finder<'static>>)>,
}

impl Pattern {
    pub(crate) fn new(nodes: &[Node], names: &mut NameList) -> Pattern {
        let mut pattern = Pattern { start: Vec::new(), captures: Vec::new() };
        for node in nodes {
            match node {
                Node::Literal(text) => match pattern.captures.last_mut() {
                    None => pattern.start.clone_from(text),
                    Some(capture) => capture.1 = Some(Finder::new(text).into_owned()),
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
    pub(crate) fn extract(&self, mut run: RunRows<'_, '_, '_>) {
        while let Some(row) = run.next_row() {
            let RunRows { page, columns, names, .. } = &mut run;
            let (from, to) = page.lines.span(row);
            let line = &page.lines.bytes[from..to];
            if !line.starts_with(&self.start) || line.is_empty() {
                continue;
            }
            columns.parsed.begin(row);
            let mut at = self.start.len();
            for (name, literal) in &self.captures {
                let found = literal.as_ref().and_then(|literal| literal.find(&line[at..]));
                let end = found.map_or(line.len(), |found| at + found);
                if let Some(name) = *name {
                    let taken = columns.taken(page, row, name);
                    let name = if taken { names.extracted(name) } else { name };
                    if name != NONE {
                        columns.parsed.add(row, name, Text::line(from + at, from + end));
                    }
                }
                match (found, literal) {
                    (Some(_), Some(literal)) => at = end + literal.needle().len(),
                    _ => break,
                }
            }
        }
    }
}
