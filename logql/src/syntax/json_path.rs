//! Paths of `| json a="b.c[0]"`.

use std::sync::LazyLock;

use super::lalr::{Driver, Grammar, Refusal, Table};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Member of an object: `.name` or `["name"]`.
    Field(String),
    /// Element of an array.
    Index(usize),
}

const TOKENS: &[&str] = &["$end", "DOT", "LSB", "RSB", "STRING", "FIELD", "INDEX"];
const END: u8 = 0;
const DOT: u8 = 1;
const LSB: u8 = 2;
const RSB: u8 = 3;
const STRING: u8 = 4;
const FIELD: u8 = 5;
const INDEX: u8 = 6;

/// The productions; [`Reader::reduce`] goes by their order.
const RULES: &[&str] = &[
    "Path Start",
    "Path Path DOT FIELD",
    "Path Path LSB STRING RSB",
    "Path Path LSB INDEX RSB",
    "Start FIELD",
    "Start LSB STRING RSB",
    "Start LSB INDEX RSB",
];

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    Table::new(&Grammar { tokens: TOKENS, precedence: |_| None, rules: RULES.to_vec() })
});

/// Reads a path. The error is Loki's: `cannot parse expression [a..b]: syntax error: ...`.
pub fn parse(expression: &str) -> Result<Vec<Segment>, String> {
    let mut reader = Reader { rest: expression };
    let path = TABLE.run(&mut reader).map_err(|refusal| {
        let (Refusal::Syntax(error) | Refusal::Action(error)) = refusal;
        format!("cannot parse expression [{expression}]: {error}")
    })?;
    Ok(path)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn next_token(&mut self) -> Result<(u8, Vec<Segment>), String> {
        let Some(first) = self.rest.chars().next() else { return Ok((END, Vec::new())) };
        let operator = match first {
            '.' => Some(DOT),
            '[' => Some(LSB),
            ']' => Some(RSB),
            _ => None,
        };
        if let Some(token) = operator {
            self.rest = &self.rest[1..];
            return Ok((token, Vec::new()));
        }
        if first == '"' {
            return self.string();
        }
        if first.is_ascii_digit() {
            return self.index();
        }
        if !(first == '_' || first.is_alphabetic()) {
            return Err(format!("unexpected char {first}"));
        }
        let length = self.rest.find(['.', '[', ']']).unwrap_or(self.rest.len());
        let (field, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok((FIELD, vec![Segment::Field(field.to_owned())]))
    }

    fn string(&mut self) -> Result<(u8, Vec<Segment>), String> {
        let mut text = String::new();
        let mut chars = self.rest[1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 2..];
                    return Ok((STRING, vec![Segment::Field(text)]));
                }
                '\\' => match chars.next() {
                    Some((_, escaped)) => text.push(escaped),
                    None => break,
                },
                c => text.push(c),
            }
        }
        self.rest = "";
        Ok((END, Vec::new()))
    }

    fn index(&mut self) -> Result<(u8, Vec<Segment>), String> {
        let length = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(length);
        // A number counts only with what ends it.
        if !rest.starts_with(['.', ']']) {
            self.rest = "";
            return Ok((END, Vec::new()));
        }
        self.rest = rest;
        let index = digits.parse().map_err(|_| format!("unexpected index {digits}"))?;
        Ok((INDEX, vec![Segment::Index(index)]))
    }
}

impl Driver for Reader<'_> {
    type Value = Vec<Segment>;
    type Error = String;

    fn next(&mut self) -> Result<(u8, Self::Value), String> {
        self.next_token()
    }

    fn reduce(
        &mut self,
        rule: usize,
        values: &mut Vec<Self::Value>,
        from: usize,
    ) -> Result<Self::Value, String> {
        let mut take = |at: usize| std::mem::take(&mut values[from + at]);
        Ok(match rule {
            0 | 4 => take(0),
            1..=3 => {
                let mut path = take(0);
                path.extend(take(2));
                path
            }
            _ => take(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_into_segments() {
        let field = |name: &str| Segment::Field(name.to_owned());
        for (text, path) in [
            ("a", vec![field("a")]),
            ("a.b-c.d_1", vec![field("a"), field("b-c"), field("d_1")]),
            ("a[0].b", vec![field("a"), Segment::Index(0), field("b")]),
            ("[\"spa ce\"][12]", vec![field("spa ce"), Segment::Index(12)]),
            ("a[\"q\\\"\"]", vec![field("a"), field("q\"")]),
        ] {
            assert_eq!(parse(text), Ok(path), "{text}");
        }
    }

    #[test]
    fn bad_paths_are_refused_with_lokis_texts() {
        for (text, error) in [
            ("a[", "unexpected $end, expecting STRING or INDEX"),
            ("a..b", "unexpected DOT, expecting FIELD"),
            ("", "unexpected $end, expecting LSB or FIELD"),
            ("a[b]", "unexpected FIELD, expecting STRING or INDEX"),
            ("[0", "unexpected $end, expecting STRING or INDEX"),
            ("a.b.[0]", "unexpected LSB, expecting FIELD"),
            ("0", "unexpected $end, expecting LSB or FIELD"),
        ] {
            let error = format!("cannot parse expression [{text}]: syntax error: {error}");
            assert_eq!(parse(text), Err(error));
        }
        assert!(parse("[99999999999999999999]").is_err());
    }
}
