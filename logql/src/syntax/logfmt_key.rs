//! Keys of `| logfmt a="b"`.

use std::sync::LazyLock;

use super::lalr::{Driver, Grammar, Refusal, Table};

const TOKENS: &[&str] = &["$end", "STRING", "KEY"];
const END: u8 = 0;
const STRING: u8 = 1;
const KEY: u8 = 2;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let rules = vec!["Name KEY", "Name STRING"];
    Table::new(&Grammar { tokens: TOKENS, precedence: |_| None, rules })
});

/// Reads a key, quoted or not. The error is Loki's: `cannot parse expression []: ...`.
pub fn parse(expression: &str) -> Result<String, String> {
    TABLE.run(&mut Reader { rest: expression }).map_err(|refusal| {
        let (Refusal::Syntax(error) | Refusal::Action(error)) = refusal;
        format!("cannot parse expression [{expression}]: {error}")
    })
}

struct Reader<'a> {
    rest: &'a str,
}

impl Driver for Reader<'_> {
    type Value = String;
    type Error = String;

    fn next(&mut self) -> Result<(u8, String), String> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let Some(first) = self.rest.chars().next() else { return Ok((END, String::new())) };
        if first == '"' {
            let Some(end) = self.rest[1..].find('"') else {
                self.rest = "";
                return Ok((END, String::new()));
            };
            let key = self.rest[1..=end].to_owned();
            self.rest = &self.rest[end + 2..];
            return Ok((STRING, key));
        }
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/');
        if !word(first) {
            return Err(format!("unexpected char {first}"));
        }
        let length = self.rest.find(|c| !word(c)).unwrap_or(self.rest.len());
        let (key, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok((KEY, key.to_owned()))
    }

    fn reduce(
        &mut self,
        _: usize,
        values: &mut Vec<String>,
        from: usize,
    ) -> Result<String, String> {
        Ok(std::mem::take(&mut values[from]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_may_be_quoted() {
        for (text, key) in [("level", "level"), ("\"a.b c\"", "a.b c"), ("a\"b", "a")] {
            assert_eq!(parse(text).as_deref(), Ok(key));
        }
    }

    #[test]
    fn bad_keys_are_refused_with_lokis_texts() {
        for (text, error) in [
            ("", "syntax error: unexpected $end, expecting STRING or KEY"),
            ("http.path", "unexpected char ."),
            ("a b", "syntax error: unexpected KEY"),
        ] {
            assert_eq!(parse(text), Err(format!("cannot parse expression [{text}]: {error}")));
        }
    }
}
