//! `| pattern "<ip> - <_> \"<method>\""`: what lies between literal texts becomes labels
//! (contract 6.5).
//!
//! A literal at the beginning must be at the line's beginning. Each later literal is searched from
//! where the one before ends; where one is missing, the capture before it takes the rest.

use memchr::memmem;

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
    captures: Vec<(Option<NameId>, Option<Literal>)>,
}

impl Pattern {
    pub(crate) fn new(nodes: &[Node], names: &mut NameList) -> Pattern {
        let mut pattern = Pattern { start: Vec::new(), captures: Vec::new() };
        for node in nodes {
            match node {
                Node::Literal(text) => match pattern.captures.last_mut() {
                    None => pattern.start.clone_from(text),
                    Some(capture) => capture.1 = Some(Literal::new(text)),
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
                let found = literal.as_ref().and_then(|literal| literal.find(&line[at..]));
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

/// Longest literal that is looked for by its first byte, bytes.
const SHORT_MAX: usize = 32;

/// A text between captures; has a byte.
#[derive(Clone, Debug)]
enum Literal {
    Short(Vec<u8>),
    /// A line may be looked through as often as the text is long, but by a searcher.
    Long(Box<memmem::Finder<'static>>),
}

impl Literal {
    fn new(text: &[u8]) -> Literal {
        match text.len() {
            ..=SHORT_MAX => Literal::Short(text.to_vec()),
            _ => Literal::Long(Box::new(memmem::Finder::new(text).into_owned())),
        }
    }

    fn len(&self) -> usize {
        match self {
            Literal::Short(text) => text.len(),
            Literal::Long(searcher) => searcher.needle().len(),
        }
    }

    /// Where it stands first.
    #[inline]
    fn find(&self, text: &[u8]) -> Option<usize> {
        match self {
            Literal::Short(literal) => find(text, literal),
            Literal::Long(searcher) => searcher.find(text),
        }
    }
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
            literal in prop_oneof!["[a-c\" ]{1,4}", "[a-b]{31,34}"],
            more in 0usize..3,
        ) {
            let text = text + &literal.repeat(more);
            let found = Literal::new(literal.as_bytes()).find(text.as_bytes());
            prop_assert_eq!(found, text.find(&literal));
        }
    }

    #[test]
    fn only_short_literals_are_compared_at_every_place() {
        for length in [1, SHORT_MAX, SHORT_MAX + 1, 100_000] {
            let literal = Literal::new(&vec![b'a'; length]);
            assert_eq!(literal.len(), length);
            assert_eq!(matches!(literal, Literal::Short(_)), length <= 32, "{length}");
        }
    }
}
