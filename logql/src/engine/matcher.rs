//! Comparing a label's text: `=`, `!=`, `=~`, `!~`, expressions anchored at both ends.

use regex_automata::meta;

use super::label_text::as_written;
use super::needles::{self, Group};
use super::search;
use crate::plan::Needle;
use crate::syntax::{MatchOp, goregex};

/// A compiled comparison. A missing label is the empty text.
#[derive(Clone, Debug)]
pub(crate) struct ValueMatcher {
    /// What a hit means: false for `!=` and `!~`.
    keep: bool,
    test: Test,
    /// What a value that passes holds, as a line holds it.
    written: Vec<Group>,
}

#[derive(Clone, Debug)]
enum Test {
    Equal(Vec<u8>),
    /// An alternation of plain texts.
    OneOf(Vec<Vec<u8>>),
    Regex(meta::Regex),
    Everything,
}

impl ValueMatcher {
    /// Compiles. The error is Go's.
    pub(crate) fn new(op: MatchOp, value: &str) -> Result<ValueMatcher, String> {
        let keep = matches!(op, MatchOp::Equal | MatchOp::Regex);
        let test = match op {
            MatchOp::Equal | MatchOp::NotEqual => Test::Equal(value.as_bytes().to_vec()),
            MatchOp::Regex | MatchOp::NotRegex => regex(value)?,
        };
        let mut matcher = ValueMatcher { keep, test, written: Vec::new() };
        if keep && !matcher.is_match(b"") {
            matcher.written = as_written(&matcher.required(value));
        }
        Ok(matcher)
    }

    /// Groups of which a value that passes holds one text each.
    fn required(&self, value: &str) -> Vec<Group> {
        let exactly = |text: &Vec<u8>| Needle { bytes: text.clone(), ignore_case: false };
        match &self.test {
            Test::Equal(text) => vec![vec![exactly(text)]],
            Test::OneOf(texts) => vec![texts.iter().map(exactly).collect()],
            Test::Regex(_) => goregex::translate(value)
                .map_or(Vec::new(), |pattern| needles::of_pattern(&pattern).groups),
            Test::Everything => Vec::new(),
        }
    }

    /// What stands in a line out of which a parser takes a value that passes, unless it is escaped
    /// (`super::label_text`).
    pub(crate) fn written(&self) -> &[Group] {
        &self.written
    }

    /// Whether the value passes.
    #[inline]
    pub(crate) fn is_match(&self, value: &[u8]) -> bool {
        let hit = match &self.test {
            Test::Equal(text) => text == value,
            Test::OneOf(texts) => texts.iter().any(|text| text == value),
            Test::Regex(regex) => regex.is_match(value),
            Test::Everything => true,
        };
        hit == self.keep
    }
}

fn regex(value: &str) -> Result<Test, String> {
    if value == ".*" {
        return Ok(Test::Everything); // `.` matches a line feed here
    }
    let plain = |text: &str| !text.bytes().any(|byte| br"\.+*?()[]{}^$".contains(&byte));
    if plain(value) {
        return Ok(Test::OneOf(value.split('|').map(|text| text.as_bytes().to_vec()).collect()));
    }
    let pattern = goregex::translate(value)?;
    Ok(Test::Regex(search::build(&format!("\\A(?s:{pattern})\\z"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_anchored_and_across_lines() {
        use MatchOp::*;
        for (op, pattern, value, want) in [
            (Equal, "a", "a", true),
            (NotEqual, "a", "", true),
            (Regex, "a|b", "b", true),
            (Regex, "a|b", "ab", false),
            (Regex, "a|", "", true),
            (Regex, "a.*", "a\nb", true),
            (Regex, "", "x", false),
            (Regex, ".*", "a\nb", true),
            (Regex, ".+", "", false),
            (NotRegex, "err.*|warn", "info", true),
            (NotRegex, "err.*|warn", "warn", false),
            (Regex, "(?i)WARN", "warn", true),
        ] {
            let matcher = ValueMatcher::new(op, pattern).unwrap();
            assert_eq!(matcher.is_match(value.as_bytes()), want, "{op:?} {pattern} on {value:?}");
        }
        assert!(ValueMatcher::new(Regex, "(").is_err());
    }
}
