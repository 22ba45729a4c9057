//! Finding bytes in the lines of a page.
//!
//! Lines lie one after the other without separators, so a hit in the joined bytes counts only if
//! one line holds it whole. A search skips to the next line after a hit: rows are wanted, not hits.

use aho_corasick::{AhoCorasick, MatchKind};
use base::{Bitmap, StrView};
use memchr::memmem;
use regex_automata::meta;
use regex_automata::util::syntax;

use crate::syntax::goregex;

/// If fewer than one row in this many is still selected, single lines are searched.
const SPARSE: usize = 8;

/// Finds literals.
#[derive(Clone, Debug)]
pub(crate) enum Literals {
    /// The empty literal: everywhere.
    Empty,
    /// One.
    One(Box<memmem::Finder<'static>>),
    /// Several, the leftmost first.
    Many(AhoCorasick),
    /// One or several without regard to ASCII case.
    IgnoreCase(meta::Regex),
}

impl Literals {
    /// A searcher for any of `literals`.
    pub(crate) fn new(literals: &[Vec<u8>]) -> Literals {
        if literals.iter().any(Vec::is_empty) {
            return Literals::Empty;
        }
        if let [one] = literals {
            return Literals::One(Box::new(memmem::Finder::new(one).into_owned()));
        }
        // Leftmost kinds alone use the vectorised packed search.
        let kind = MatchKind::LeftmostFirst;
        match AhoCorasick::builder().match_kind(kind).build(literals) {
            Ok(many) => Literals::Many(many),
            Err(_) => Literals::Empty, // beyond its limits: a superset that verification narrows
        }
    }

    /// A searcher for any of `literals` whatever the case of their ASCII letters.
    pub(crate) fn ignore_case(literals: &[Vec<u8>]) -> Literals {
        if literals.iter().any(Vec::is_empty) {
            return Literals::Empty;
        }
        let escaped: Vec<String> = literals.iter().map(|literal| escape_bytes(literal)).collect();
        let config = syntax::Config::new().case_insensitive(true).unicode(false).utf8(false);
        let built = meta::Regex::builder()
            .configure(meta::Config::new().utf8_empty(false))
            .syntax(config)
            .build(&escaped.join("|"));
        built.map_or(Literals::Empty, Literals::IgnoreCase)
    }

    /// Whether everything matches.
    pub(crate) fn matches_all(&self) -> bool {
        matches!(self, Literals::Empty)
    }

    /// Whether `text` holds a literal.
    #[inline]
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.find(text).is_some()
    }

    #[inline]
    fn find(&self, text: &[u8]) -> Option<(usize, usize)> {
        match self {
            Literals::Empty => Some((0, 0)),
            Literals::One(finder) => finder.find(text).map(|at| (at, at + finder.needle().len())),
            Literals::Many(many) => many.find(text).map(|hit| (hit.start(), hit.end())),
            Literals::IgnoreCase(regex) => regex.find(text).map(|hit| (hit.start(), hit.end())),
        }
    }

    /// Sets in `hits` the rows of `rows` whose line holds a literal.
    pub(crate) fn scan(&self, lines: StrView<'_>, rows: &Bitmap, hits: &mut Bitmap) {
        if self.matches_all() {
            hits.or(rows);
            return;
        }
        if rows.count() * SPARSE < rows.len() {
            for row in rows.iter() {
                if self.is_match(lines.get(row)) {
                    hits.set(row);
                }
            }
            return;
        }
        let Some(mut row) = rows.next(0) else {
            return;
        };
        let bytes = lines.bytes;
        let end = lines.span(last_row(rows)).1;
        let (mut at, _) = lines.span(row);
        while let Some((from, to)) = self.find(&bytes[at..end]) {
            let (from, to) = (at + from, at + to);
            // Hits come in order: the row of each is found by walking on.
            while lines.span(row).1 <= from {
                row += 1;
            }
            let line_end = lines.span(row).1;
            if rows.get(row) && (to <= line_end || self.is_match(&bytes[from..line_end])) {
                hits.set(row);
            }
            // An unselected row is skipped like one that was hit.
            match rows.next(row + 1) {
                Some(next) => row = next,
                None => break,
            }
            at = lines.span(row).0;
        }
    }
}

/// The last selected row; there is one.
fn last_row(rows: &Bitmap) -> usize {
    let words = rows.words();
    let index = words.iter().rposition(|&word| word != 0).expect("a row is selected");
    index * 64 + words[index].ilog2() as usize
}

fn escape_bytes(literal: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for &byte in literal {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let written = write!(out, "\\x{byte:02x}");
            debug_assert!(written.is_ok());
        }
    }
    out
}

/// Finds a regular expression in lines.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    regex: meta::Regex,
    /// Any line but the empty one: [`Required::anything`](super::needles::Required).
    anything: bool,
    /// Every match holds one of these; none = unknown.
    required: Option<Literals>,
    /// The literals are the whole expression: a hit needs no check.
    exact: bool,
}

impl Pattern {
    /// Builds from an expression in the syntax of `regex-syntax`.
    pub(crate) fn new(pattern: &str) -> Result<Pattern, String> {
        let regex = build(pattern)?;
        let found = super::needles::of_pattern(pattern);
        if found.everything {
            let required = Some(Literals::Empty);
            return Ok(Pattern { regex, anything: false, exact: true, required });
        }
        let required = found.best.map(|group| {
            let literals: Vec<Vec<u8>> = group.iter().map(|needle| needle.bytes.clone()).collect();
            if group.iter().any(|needle| needle.ignore_case) {
                Literals::ignore_case(&literals)
            } else {
                Literals::new(&literals)
            }
        });
        let required = required.filter(|literals| !literals.matches_all());
        let exact = found.exact && required.is_some();
        Ok(Pattern { regex, anything: found.anything, exact, required })
    }

    /// Whether `line` matches.
    #[inline]
    pub(crate) fn is_match(&self, line: &[u8]) -> bool {
        match &self.required {
            Some(literals) if self.exact => literals.is_match(line),
            _ if self.anything => !line.is_empty(),
            _ => self.regex.is_match(line),
        }
    }

    /// Sets in `hits` the rows of `rows` whose line matches. `candidates` is scratch.
    pub(crate) fn scan(
        &self,
        lines: StrView<'_>,
        rows: &Bitmap,
        hits: &mut Bitmap,
        candidates: &mut Bitmap,
    ) {
        let Some(literals) = &self.required else {
            for row in rows.iter() {
                if self.is_match(lines.get(row)) {
                    hits.set(row);
                }
            }
            return;
        };
        if self.exact {
            literals.scan(lines, rows, hits);
            return;
        }
        candidates.reset_none(rows.len());
        literals.scan(lines, rows, candidates);
        for row in candidates.iter() {
            if self.regex.is_match(lines.get(row)) {
                hits.set(row);
            }
        }
    }
}

/// Most bytes a compiled expression may take: what Go's limits on repetition allow, with room.
const REGEX_BYTES_MAX: usize = 64 << 20;

/// What makes searches fast takes longer to prepare for a pattern above this length than it saves.
const LONG_BYTES: usize = 16 << 10;

/// Compiles an expression over bytes; `.` and classes mean UTF-8 characters as in Go.
pub(crate) fn build(pattern: &str) -> Result<meta::Regex, String> {
    let config = syntax::Config::new().utf8(false).nest_limit(goregex::NEST_LIMIT + 4);
    let mut limits = meta::Config::new().utf8_empty(false).nfa_size_limit(Some(REGEX_BYTES_MAX));
    if pattern.len() > LONG_BYTES {
        limits = limits.onepass(false).auto_prefilter(false);
    }
    let built = meta::Regex::builder().configure(limits).syntax(config).build(pattern);
    built.map_err(|error| format!("error parsing regexp: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::rows::Strings;
    use proptest::prelude::*;

    fn joined(lines: &[&str]) -> Strings {
        let mut strings = Strings::default();
        for line in lines {
            strings.push(line.as_bytes());
        }
        strings
    }

    fn rows_hit(literals: &Literals, lines: &[&str]) -> Vec<usize> {
        let strings = joined(lines);
        let mut hits = Bitmap::none(lines.len());
        literals.scan(strings.view(), &Bitmap::all(lines.len()), &mut hits);
        hits.iter().collect()
    }

    #[test]
    fn a_hit_lies_inside_one_line() {
        let one = Literals::new(&[b"abc".to_vec()]);
        assert_eq!(rows_hit(&one, &["ab", "c", "", "xabcabc", "abc"]), [3, 4]);
        let many = Literals::new(&[b"abcd".to_vec(), b"bc".to_vec()]);
        assert_eq!(rows_hit(&many, &["abc", "d", "abcd", "b", "c"]), [0, 2]);
        let folded = Literals::ignore_case(&[b"Foo.".to_vec()]);
        assert_eq!(rows_hit(&folded, &["xfOO.", "foox", "FOO."]), [0, 2]);
        assert_eq!(rows_hit(&Literals::new(&[Vec::new()]), &["", "a"]), [0, 1]);
    }

    #[test]
    fn several_literals_use_the_packed_search() {
        let Literals::Many(many) = Literals::new(&[b"error".to_vec(), b"warn".to_vec()]) else {
            panic!("two literals")
        };
        assert_eq!(many.match_kind(), MatchKind::LeftmostFirst);
    }

    proptest! {
        #[test]
        fn whole_page_search_agrees_with_line_by_line(
            lines in prop::collection::vec("[abcABC\n]{0,6}", 1..40),
            needles in prop::collection::vec("[abcABC]{1,3}", 1..4),
            keep in prop::collection::vec(any::<bool>(), 40),
            pattern in prop::sample::select(vec![
                "ab", "a.c", "a|bc", "(?i)ab", "^ab", "c$", "a+b", "(ab|ba)c?", ".*ab.*", "[ab]c",
                "(?i)a(b|c)", "a\nb", "x*", "(?i:a)b",
            ]),
        ) {
            let strings = joined(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            let mut rows = Bitmap::none(lines.len());
            for row in (0..lines.len()).filter(|&row| keep[row]) {
                rows.set(row);
            }
            let bytes: Vec<Vec<u8>> = needles.iter().map(|n| n.clone().into_bytes()).collect();
            for fold in [false, true] {
                let literals =
                    if fold { Literals::ignore_case(&bytes) } else { Literals::new(&bytes) };
                let mut hits = Bitmap::none(lines.len());
                literals.scan(strings.view(), &rows, &mut hits);
                for (row, line) in lines.iter().enumerate() {
                    let holds = needles.iter().any(|needle| {
                        if fold {
                            line.to_ascii_lowercase().contains(&needle.to_ascii_lowercase())
                        } else {
                            line.contains(needle.as_str())
                        }
                    });
                    prop_assert_eq!(hits.get(row), keep[row] && holds);
                }
            }
            let compiled = Pattern::new(pattern).unwrap();
            let plain = build(pattern).unwrap();
            let mut hits = Bitmap::none(lines.len());
            compiled.scan(strings.view(), &rows, &mut hits, &mut Bitmap::default());
            for (row, line) in lines.iter().enumerate() {
                prop_assert_eq!(hits.get(row), keep[row] && plain.is_match(line.as_bytes()));
                prop_assert_eq!(compiled.is_match(line.as_bytes()), plain.is_match(line.as_bytes()));
            }
        }
    }
}
