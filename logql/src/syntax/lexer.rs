//! Text -> tokens, with the positions Loki reports.

use super::scanner::{Kind, Position, ScanError, Scanner};
use super::tokens::{self, Token};

/// What a token carries.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Carried {
    Nothing,
    /// An identifier or a number, as written.
    Word(String),
    /// A string, unquoted; Go strings need not be UTF-8.
    Text(Vec<u8>),
    /// A duration, nanoseconds.
    Nanos(i64),
    /// A byte size.
    Bytes(u64),
}

pub(super) struct Lexer<'a> {
    scanner: Scanner<'a>,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Lexer<'a> {
        Lexer { scanner: Scanner::new(text) }
    }

    /// Where the last token was noticed.
    pub fn position(&self) -> Position {
        self.scanner.position
    }

    /// The next token; at the end [`Token::End`].
    pub fn next(&mut self) -> Result<(Token, Carried), ScanError> {
        let read = self.read();
        match self.scanner.error.take() {
            Some(error) => Err(error),
            None => Ok(read),
        }
    }

    fn read(&mut self) -> (Token, Carried) {
        loop {
            let kind = self.scanner.scan();
            let word = || self.scanner.token().to_owned();
            match kind {
                Kind::End => return (Token::End, Carried::Nothing),
                Kind::Punctuation('#') => {
                    while self.scanner.peek().is_some_and(|c| c != '\n') {
                        self.scanner.take();
                    }
                }
                Kind::Punctuation('[') => return self.range(),
                Kind::Punctuation(c) => return self.punctuation(c),
                Kind::Char => return (Token::Identifier, Carried::Word(word())),
                Kind::Ident => return self.identifier(),
                Kind::Number => return self.number(),
                Kind::String | Kind::RawString => return self.string(),
            }
        }
    }

    fn punctuation(&mut self, c: char) -> (Token, Carried) {
        if c == '-' {
            if self.scanner.peek() == Some('-') {
                for flag in ["-strict", "-keep-empty"] {
                    if flag_follows(self.scanner.rest(), flag) {
                        self.scanner.take_all(flag.len());
                        return (Token::Flag, Carried::Word(format!("-{flag}")));
                    }
                }
            }
            if let Some(ns) = self.suffixed("-", is_duration_char, read_duration) {
                return (Token::Duration, Carried::Nanos(ns));
            }
        }
        match tokens::operator(c, self.scanner.peek()) {
            Some((token, length)) => {
                if length == 2 {
                    self.scanner.take();
                }
                (token, Carried::Nothing)
            }
            // What is no token of the language is read as a name, as Loki does.
            None => (Token::Identifier, Carried::Word(c.to_string())),
        }
    }

    fn identifier(&mut self) -> (Token, Carried) {
        let word = self.scanner.token();
        let lower = word.to_lowercase();
        if let Some(token) = tokens::keyword(&lower) {
            return (token, Carried::Nothing);
        }
        match tokens::function(&lower) {
            Some(token) if arguments_follow(self.scanner.rest()) => (token, Carried::Nothing),
            _ => (Token::Identifier, Carried::Word(word.to_owned())),
        }
    }

    fn number(&mut self) -> (Token, Carried) {
        let digits = self.scanner.token();
        if let Some(ns) = self.suffixed(digits, is_duration_char, read_duration) {
            return (Token::Duration, Carried::Nanos(ns));
        }
        if let Some(bytes) = self.suffixed(digits, is_bytes_char, read_bytes) {
            return (Token::Bytes, Carried::Bytes(bytes));
        }
        (Token::Number, Carried::Word(digits.to_owned()))
    }

    /// Reads `start` and the characters of a unit behind it, if `read` understands them together.
    fn suffixed<T>(
        &mut self,
        start: &str,
        accepts: fn(char) -> bool,
        read: fn(&str) -> Option<T>,
    ) -> Option<T> {
        let rest = self.scanner.rest();
        let length = rest.find(|c| !accepts(c)).unwrap_or(rest.len());
        if length == 0 {
            return None;
        }
        let unit = &rest[..length];
        let value = read(&format!("{start}{unit}"))?;
        self.scanner.take_all(unit.chars().count());
        Some(value)
    }

    fn string(&mut self) -> (Token, Carried) {
        if self.scanner.error.is_some() {
            return (Token::End, Carried::Nothing);
        }
        match unquote(self.scanner.token()) {
            Some(text) => (Token::String, Carried::Text(text)),
            None => {
                self.scanner.fail("invalid syntax");
                (Token::End, Carried::Nothing)
            }
        }
    }

    fn range(&mut self) -> (Token, Carried) {
        let mut text = String::new();
        loop {
            match self.scanner.take() {
                None => {
                    self.scanner.fail("missing closing ']' in duration");
                    return (Token::End, Carried::Nothing);
                }
                Some(']') => break,
                Some(c) => text.push(c),
            }
        }
        match base::units::parse_prometheus_duration(&text) {
            Ok(range) => (Token::Range, Carried::Nanos(range.as_nanos() as i64)),
            Err(error) => {
                self.scanner.fail(error.to_string());
                (Token::End, Carried::Nothing)
            }
        }
    }
}

/// Whether `rest` begins with `flag` as a whole word.
fn flag_follows(rest: &str, flag: &str) -> bool {
    let after = rest.strip_prefix(flag);
    after.is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
}

/// Whether `rest` begins with `(` or with a grouping.
fn arguments_follow(rest: &str) -> bool {
    let rest = rest.trim_start();
    if rest.starts_with('(') {
        return true;
    }
    ["by", "without"].iter().any(|word| {
        let head = rest.get(..word.len()).filter(|head| head.eq_ignore_ascii_case(word));
        head.is_some_and(|_| rest[word.len()..].trim_start().starts_with('('))
    })
}

fn is_duration_char(c: char) -> bool {
    c.is_numeric() || matches!(c, '.' | 'n' | 'u' | 'µ' | 'μ' | 'm' | 's' | 'h' | 'd' | 'w' | 'y')
}

fn is_bytes_char(c: char) -> bool {
    c.is_numeric() || matches!(c, '.' | 'B' | 'i' | 'k' | 'K' | 'M' | 'G' | 'T' | 'P')
}

fn read_duration(text: &str) -> Option<i64> {
    if let Ok(duration) = base::units::parse_prometheus_duration(text) {
        return i64::try_from(duration.as_nanos()).ok();
    }
    base::units::parse_go_duration(text).ok()
}

fn read_bytes(text: &str) -> Option<u64> {
    super::number::parse_bytes(text)
}

/// The value of a Go string literal; `None` if it is malformed.
fn unquote(literal: &str) -> Option<Vec<u8>> {
    let body = literal.get(1..literal.len().checked_sub(1)?)?;
    if literal.starts_with('`') {
        return Some(body.bytes().filter(|b| *b != b'\r').collect());
    }
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let length = push_escape(&mut out, escape)?;
        rest = &escape[length..];
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}

/// Appends what the escape (without its backslash) stands for; its length.
fn push_escape(out: &mut Vec<u8>, escape: &str) -> Option<usize> {
    let first = *escape.as_bytes().first()?;
    let (digits, radix, from) = match first {
        b'x' => (2, 16, 1),
        b'u' => (4, 16, 1),
        b'U' => (8, 16, 1),
        b'0'..=b'7' => (3, 8, 0),
        _ => {
            out.push(match first {
                b'a' => 7,
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 11,
                b'\\' | b'"' => first,
                _ => return None,
            });
            return Some(1);
        }
    };
    let code = u32::from_str_radix(escape.get(from..from + digits)?, radix).ok()?;
    if matches!(first, b'u' | b'U') {
        let mut buffer = [0; 4];
        out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
    } else {
        out.push(u8::try_from(code).ok()?);
    }
    Some(from + digits)
}

#[cfg(test)]
mod tests;
