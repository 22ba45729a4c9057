//! `|> "..."`: literal text with `<_>` for at least one byte (contract 6.1).

use memchr::memmem;

use crate::syntax::pattern::{self, Node};

/// A compiled template.
#[derive(Clone, Debug)]
pub(crate) struct LinePattern {
    literals: Vec<memmem::Finder<'static>>,
    /// The template begins with `<_>`.
    leading: bool,
    /// The template ends with `<_>`.
    trailing: bool,
}

impl LinePattern {
    /// Reads a template. The error is Loki's.
    pub(crate) fn new(template: &[u8]) -> Result<LinePattern, String> {
        let nodes = pattern::parse_filter(template)?;
        let literals = nodes.iter().filter_map(|node| match node {
            Node::Literal(text) => Some(memmem::Finder::new(text).into_owned()),
            Node::Capture(_) | Node::Skip => None,
        });
        Ok(LinePattern {
            literals: literals.collect(),
            leading: matches!(nodes.first(), Some(Node::Skip)),
            trailing: matches!(nodes.last(), Some(Node::Skip)),
        })
    }

    /// The literals, each of which a matching line holds.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &[u8]> {
        self.literals.iter().map(|finder| finder.needle())
    }

    /// Whether the line matches: each literal where it first occurs after the one before it.
    pub(crate) fn is_match(&self, line: &[u8]) -> bool {
        if self.literals.is_empty() {
            // "" matches the empty line only, "<_>" any other.
            return line.is_empty() != self.trailing;
        }
        let mut rest = line;
        for (index, literal) in self.literals.iter().enumerate() {
            let Some(at) = literal.find(rest) else {
                return false;
            };
            if at == 0 && (index > 0 || self.leading) {
                return false; // `<_>` takes at least one byte
            }
            rest = &rest[at + literal.needle().len()..];
        }
        rest.is_empty() != self.trailing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_match_as_contracted() {
        for (template, line, want) in [
            ("", "", true),
            ("", "x", false),
            ("<_>", "x", true),
            ("<_>", "", false),
            ("a", "a", true),
            ("a", "ba", true),
            ("a", "ab", false),
            ("ERROR <_>", "ERROR x", true),
            ("ERROR <_>", "ERROR ", false),
            ("<_> done", "x done", true),
            ("<_> done", " done", false),
            ("<_>a<_>b", "xayb", true),
            ("<_>a<_>b", "xab", false),
            ("a<_>b<_>", "za1b2", true),
            ("x<_>ab", "xaabzab", false),
        ] {
            let pattern = LinePattern::new(template.as_bytes()).unwrap();
            assert_eq!(pattern.is_match(line.as_bytes()), want, "{template} on {line}");
        }
        assert!(LinePattern::new(b"<_><_>").is_err());
        assert!(LinePattern::new(b"<x>").is_err());
    }
}
