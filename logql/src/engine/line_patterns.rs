//! Which of many line patterns (`|>`) each line matches. A line may match several: the label that
//! rows get names all of them, so that each pattern counts what `|>` with it would find.

use aho_corasick::{AhoCorasick, MatchKind};
use base::{Bitmap, HashMap, PageView};

use super::columns::{Columns, Text};
use super::line_pattern::LinePattern;
use super::names::NameId;
use super::pipeline::{Rooms, RowsOf, Runs};

/// The first bytes of a literal are looked for: a finder takes many times the bytes it is built of.
const FINDER_BYTES: usize = 64;

/// Compiled patterns.
#[derive(Clone, Debug)]
pub(crate) struct LinePatterns {
    patterns: Vec<LinePattern>,
    /// Finds the longest literal of each pattern; none if no pattern has one.
    finder: Option<AhoCorasick>,
    /// Patterns by their longest literal, in the order of the finder.
    by_literal: Vec<Vec<u32>>,
    /// Patterns without a literal.
    others: Vec<u32>,
    /// The label that rows get.
    label: NameId,
}

/// Space for the rows of a page.
struct Found {
    /// Row that each pattern was last looked at for, plus one.
    looked_at: Vec<u32>,
    /// Patterns of the row, ascending.
    matched: Vec<u32>,
    /// Those of the row before, and what they are called.
    last: (Vec<u32>, Text),
    /// What each pattern alone is called on this page.
    alone: Vec<Option<Text>>,
}

impl LinePatterns {
    /// Compiles. The error names the pattern.
    pub(crate) fn new(texts: &[String], label: NameId) -> Result<LinePatterns, String> {
        let mut patterns = Vec::with_capacity(texts.len());
        let mut literals: Vec<Vec<u8>> = Vec::new();
        let mut numbers: HashMap<Vec<u8>, usize> = HashMap::default();
        let (mut by_literal, mut others) = (Vec::<Vec<u32>>::new(), Vec::new());
        for (number, text) in (0u32..).zip(texts) {
            let pattern =
                LinePattern::new(text.as_bytes()).map_err(|why| format!("'{text}': {why}"))?;
            match pattern.literals().max_by_key(|literal| literal.len()) {
                None => others.push(number),
                Some(literal) => {
                    let literal = &literal[..literal.len().min(FINDER_BYTES)];
                    let at = *numbers.entry(literal.to_vec()).or_insert_with(|| {
                        literals.push(literal.to_vec());
                        by_literal.push(Vec::new());
                        literals.len() - 1
                    });
                    by_literal[at].push(number);
                }
            }
            patterns.push(pattern);
        }
        // One literal may lie in another: all occurrences count.
        let finder = match literals.is_empty() {
            true => None,
            false => {
                let builder =
                    AhoCorasick::builder().match_kind(MatchKind::Standard).build(literals);
                Some(builder.map_err(|why| why.to_string())?)
            }
        };
        Ok(LinePatterns { patterns, finder, by_literal, others, label })
    }

    /// Labels selected rows by the patterns they match; those that match none are dropped.
    pub(crate) fn apply(
        &self,
        page: &PageView<'_>,
        runs: &Runs<'_>,
        rooms: &mut Rooms,
        selected: &mut Bitmap,
    ) {
        let mut found = Found {
            looked_at: vec![0; self.patterns.len()],
            matched: Vec::new(),
            last: (Vec::new(), Text::EMPTY),
            alone: vec![None; self.patterns.len()],
        };
        let mut dropped = Vec::new();
        for run in RowsOf::each(runs, selected) {
            runs.enter(run.stream, &mut rooms.columns, &mut rooms.names);
            for row in run.rows(selected) {
                self.matches(page.lines.get(row), row as u32 + 1, &mut found);
                if found.matched.is_empty() {
                    dropped.push(row);
                    continue;
                }
                let text = found.name(&mut rooms.columns);
                rooms.columns.parsed.begin(row);
                rooms.columns.parsed.put(row, self.label, text);
            }
        }
        dropped.into_iter().for_each(|row| selected.clear(row));
    }

    /// Leaves the patterns that `line` matches. `mark` is another one for each line.
    fn matches(&self, line: &[u8], mark: u32, found: &mut Found) {
        let Found { looked_at, matched, .. } = found;
        matched.clear();
        let mut look_at = |number: u32| {
            let seen = &mut looked_at[number as usize];
            if *seen != mark {
                *seen = mark;
                if self.patterns[number as usize].is_match(line) {
                    matched.push(number);
                }
            }
        };
        self.others.iter().for_each(|&number| look_at(number));
        for hit in self.finder.iter().flat_map(|finder| finder.find_overlapping_iter(line)) {
            self.by_literal[hit.pattern().as_usize()].iter().for_each(|&number| look_at(number));
        }
        matched.sort_unstable();
    }
}

impl Found {
    /// The numbers of the patterns that the row matches, with commas between.
    fn name(&mut self, columns: &mut Columns) -> Text {
        if let [one] = self.matched[..] {
            let known = &mut self.alone[one as usize];
            return *known.get_or_insert_with(|| columns.keep(one.to_string().as_bytes()));
        }
        if self.last.0 != self.matched {
            let numbers: Vec<String> = self.matched.iter().map(u32::to_string).collect();
            self.last = (self.matched.clone(), columns.keep(numbers.join(",").as_bytes()));
        }
        self.last.1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matched(patterns: &LinePatterns, line: &[u8]) -> Vec<u32> {
        let mut found = Found {
            looked_at: vec![0; patterns.patterns.len()],
            matched: Vec::new(),
            last: (Vec::new(), Text::EMPTY),
            alone: Vec::new(),
        };
        patterns.matches(line, 1, &mut found);
        found.matched
    }

    proptest! {
        #[test]
        fn a_line_matches_together_what_it_matches_alone(
            texts in prop::collection::vec("(<_>)?([ab]{1,3}|a b)((<_>)[ab ]{1,2}){0,2}(<_>)?|<_>|", 1..12),
            line in "[ab ]{0,12}",
        ) {
            let patterns = LinePatterns::new(&texts, 7).unwrap();
            let alone = (0u32..).zip(&texts).filter(|(_, text)| {
                LinePattern::new(text.as_bytes()).unwrap().is_match(line.as_bytes())
            });
            let want: Vec<u32> = alone.map(|(number, _)| number).collect();
            prop_assert_eq!(matched(&patterns, line.as_bytes()), want);
        }
    }

    #[test]
    fn a_text_that_is_no_pattern_is_named() {
        let error = LinePatterns::new(&["a<_>".to_owned(), "<x>".to_owned()], 0).unwrap_err();
        assert_eq!(error, "'<x>': named captures are not allowed: found '<x>'");
    }
}
