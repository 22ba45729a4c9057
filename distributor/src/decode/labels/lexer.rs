//! Tokens of PromQL, as far as label text can show them.

use std::borrow::Cow;

use base::quote::quote;

use super::Fault;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    LeftBrace,
    RightBrace,
    Comma,
    Equal,
    String,
    Identifier,
    /// An identifier with a colon.
    MetricIdentifier,
    Number,
    Duration,
    Keyword,
    Aggregator,
    /// `and`, `or`, `unless`, `atan2`: operators that may also be names.
    SetOperator,
    Operator,
    /// Parentheses, brackets, colon, blank.
    Punctuation,
}

/// A token is a range of the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Cuts text into tokens.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    in_braces: bool,
    open_parentheses: usize,
}

const AGGREGATORS: [&str; 14] = [
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "limitk",
    "limit_ratio",
    "max",
    "min",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
];
const KEYWORDS: [&str; 10] = [
    "bool",
    "by",
    "end",
    "group_left",
    "group_right",
    "ignoring",
    "offset",
    "on",
    "start",
    "without",
];

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Lexer<'a> {
        Lexer { text, at: 0, in_braces: false, open_parentheses: 0 }
    }

    /// The next token, white space and comments left out.
    pub(super) fn next(&mut self) -> Result<Token, Fault> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(b'#') => {
                    let rest = &self.text[self.at..];
                    self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                }
                _ => break,
            }
        }
        if self.in_braces { self.inside_braces() } else { self.statement() }
    }

    fn inside_braces(&mut self) -> Result<Token, Fault> {
        let from = self.at;
        let Some(&byte) = self.text.get(from) else {
            return Err(self.fault(from, "unexpected end of input inside braces".to_owned()));
        };
        let second = self.text.get(from + 1).copied();
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let (_, to) = self.word();
                Ok(self.token(Kind::Identifier, to))
            }
            b',' => Ok(self.token(Kind::Comma, from + 1)),
            b'"' | b'\'' | b'`' => self.string(byte),
            b'=' if second == Some(b'~') => Ok(self.token(Kind::Operator, from + 2)),
            b'=' => Ok(self.token(Kind::Equal, from + 1)),
            b'!' => match second {
                Some(b'~' | b'=') => Ok(self.token(Kind::Operator, from + 2)),
                _ => {
                    let found = self.rune(from + 1);
                    let text = format!("unexpected character after '!' inside braces: {found}");
                    Err(self.fault(from, text))
                }
            },
            b'{' => Err(self.fault(from, "unexpected left brace '{'".to_owned())),
            b'}' => {
                self.in_braces = false;
                Ok(self.token(Kind::RightBrace, from + 1))
            }
            _ => {
                let found = self.rune(from);
                Err(self.fault(from, format!("unexpected character inside braces: {found}")))
            }
        }
    }

    fn statement(&mut self) -> Result<Token, Fault> {
        let from = self.at;
        let Some(&byte) = self.text.get(from) else {
            if self.open_parentheses > 0 {
                return Err(self.fault(from, "unclosed left parenthesis".to_owned()));
            }
            return Ok(self.token(Kind::End, from));
        };
        let second = self.text.get(from + 1).copied();
        match byte {
            b'{' => {
                self.in_braces = true;
                Ok(self.token(Kind::LeftBrace, from + 1))
            }
            b',' => Ok(self.token(Kind::Comma, from + 1)),
            b'=' => match second {
                Some(b'=') => Ok(self.token(Kind::Operator, from + 2)),
                Some(b'~') => {
                    let text = "unexpected character after '=': '~'".to_owned();
                    Err(self.fault(from, text))
                }
                _ => Ok(self.token(Kind::Equal, from + 1)),
            },
            b'!' => match second {
                Some(b'=') => Ok(self.token(Kind::Operator, from + 2)),
                _ => {
                    let found = self.rune(from + 1);
                    Err(self.fault(from, format!("unexpected character after '!': {found}")))
                }
            },
            b'<' | b'>' if second == Some(b'=') => Ok(self.token(Kind::Operator, from + 2)),
            b'*' | b'/' | b'%' | b'+' | b'-' | b'^' | b'<' | b'>' | b'@' => {
                Ok(self.token(Kind::Operator, from + 1))
            }
            b'(' => {
                self.open_parentheses += 1;
                Ok(self.token(Kind::Punctuation, from + 1))
            }
            b')' => match self.open_parentheses.checked_sub(1) {
                Some(open) => {
                    self.open_parentheses = open;
                    Ok(self.token(Kind::Punctuation, from + 1))
                }
                None => Err(self.fault(from, "unexpected right parenthesis ')'".to_owned())),
            },
            b'[' => Ok(self.token(Kind::Punctuation, from + 1)),
            b']' => Err(self.fault(from, "unexpected right bracket ']'".to_owned())),
            b'"' | b'\'' | b'`' => self.string(byte),
            b'0'..=b'9' => Ok(self.number()),
            b'.' if second.is_some_and(|byte| byte.is_ascii_digit()) => Ok(self.number()),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':' => {
                let (colon, to) = self.word();
                let kind = word_kind(&self.text[from..to], colon);
                Ok(self.token(kind, to))
            }
            _ => {
                let found = self.rune(from);
                Err(self.fault(from, format!("unexpected character: {found}")))
            }
        }
    }

    fn token(&mut self, kind: Kind, to: usize) -> Token {
        let from = self.at;
        self.at = to;
        Token { kind, from, to }
    }

    fn fault(&self, at: usize, text: String) -> Fault {
        Fault { at, text }
    }

    /// The end of the word at hand and whether it has a colon, which only a statement allows.
    fn word(&self) -> (bool, usize) {
        let colons = !self.in_braces;
        let rest = &self.text[self.at..];
        let part =
            |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || (colons && *byte == b':');
        let length = rest.iter().take_while(|byte| part(byte)).count();
        (rest[..length].contains(&b':'), self.at + length)
    }

    /// A number, or a duration when letters follow.
    fn number(&mut self) -> Token {
        let rest = &self.text[self.at..];
        let part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'.';
        let length = rest.iter().take_while(|byte| part(byte)).count();
        let letters = rest[..length].iter().any(u8::is_ascii_alphabetic);
        let kind = if letters && !rest.starts_with(b"0x") { Kind::Duration } else { Kind::Number };
        self.token(kind, self.at + length)
    }

    /// A string with its quotes; its escapes are checked.
    fn string(&mut self, open: u8) -> Result<Token, Fault> {
        let from = self.at;
        let mut at = from + 1;
        loop {
            match self.text.get(at) {
                Some(&byte) if byte == open => return Ok(self.token(Kind::String, at + 1)),
                Some(b'\\') if open != b'`' => at = self.escape(from, at, open)?,
                None if open == b'`' => {
                    return Err(self.fault(from, "unterminated raw string".to_owned()));
                }
                Some(b'\n') | None if open != b'`' => {
                    return Err(self.fault(from, "unterminated quoted string".to_owned()));
                }
                Some(byte) if byte.is_ascii() => at += 1,
                _ => match decode(&self.text[at..]) {
                    Some(found) => at += found.len_utf8(),
                    None => return Err(self.fault(from, "invalid UTF-8 rune".to_owned())),
                },
            }
        }
    }

    /// Checks the escape whose backslash is at `at`; returns the position after it.
    fn escape(&self, from: usize, at: usize, open: u8) -> Result<usize, Fault> {
        let (digits, radix, max) = match self.text.get(at + 1) {
            Some(&byte) if byte == open => return Ok(at + 2),
            Some(b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'\\') => return Ok(at + 2),
            Some(b'0'..=b'7') => (3, 8, 255),
            Some(b'x') => (2, 16, 255),
            Some(b'u') => (4, 16, 0x10_ffff),
            Some(b'U') => (8, 16, 0x10_ffff),
            None => {
                return Err(self.fault(from, "escape sequence not terminated".to_owned()));
            }
            Some(_) => {
                let found = self.unicode(at + 1);
                return Err(self.fault(from, format!("unknown escape sequence {found}")));
            }
        };
        let first = at + if radix == 8 { 1 } else { 2 };
        let mut value = 0u64;
        for position in first..first + digits {
            let Some(&byte) = self.text.get(position) else {
                return Err(self.fault(from, "escape sequence not terminated".to_owned()));
            };
            let Some(digit) = (byte as char).to_digit(radix) else {
                let found = self.unicode(position);
                let text = format!("illegal character {found} in escape sequence");
                return Err(self.fault(from, text));
            };
            value = value * u64::from(radix) + u64::from(digit);
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            let text = "escape sequence is an invalid Unicode code point".to_owned();
            return Err(self.fault(from, text));
        }
        Ok(first + digits)
    }

    /// The character at `at` as Go's `%q` prints a rune.
    fn rune(&self, at: usize) -> String {
        // Go's end of input is the rune -1, which prints as the replacement character.
        let found = decode(&self.text[at.min(self.text.len())..]);
        match found.unwrap_or(char::REPLACEMENT_CHARACTER) {
            '\'' => r"'\''".to_owned(),
            '"' => "'\"'".to_owned(),
            found => {
                let quoted = quote(found.encode_utf8(&mut [0; 4]));
                format!("'{}'", &quoted[1..quoted.len() - 1])
            }
        }
    }

    /// The character at `at` as Go's `%#U` prints a rune.
    fn unicode(&self, at: usize) -> String {
        let found = decode(&self.text[at..]).unwrap_or(char::REPLACEMENT_CHARACTER);
        let code = found as u32;
        if base::quote::is_print(found) {
            format!("U+{code:04X} '{found}'")
        } else {
            format!("U+{code:04X}")
        }
    }
}

/// The first character; `None` where bytes are not UTF-8 or at the end.
fn decode(bytes: &[u8]) -> Option<char> {
    let head = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
    };
    valid.chars().next()
}

fn word_kind(word: &[u8], colon: bool) -> Kind {
    let Ok(word) = std::str::from_utf8(word) else { return Kind::Identifier };
    let lower = word.to_ascii_lowercase();
    match lower.as_str() {
        "and" | "or" | "unless" | "atan2" => Kind::SetOperator,
        "inf" | "nan" => Kind::Number,
        _ if AGGREGATORS.contains(&lower.as_str()) => Kind::Aggregator,
        _ if KEYWORDS.contains(&lower.as_str()) => Kind::Keyword,
        _ if colon => Kind::MetricIdentifier,
        _ => Kind::Identifier,
    }
}

/// The content of a string token, whose escapes the lexer has checked.
pub(super) fn unquote(token: &[u8]) -> Cow<'_, [u8]> {
    let inner = &token[1..token.len() - 1];
    if token[0] == b'`' || !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut at = 0;
    while at < inner.len() {
        if inner[at] != b'\\' {
            out.push(inner[at]);
            at += 1;
            continue;
        }
        let kind = inner[at + 1];
        let digits = match kind {
            b'0'..=b'7' => inner[at + 1..at + 4].iter(),
            b'x' => inner[at + 2..at + 4].iter(),
            b'u' => inner[at + 2..at + 6].iter(),
            b'U' => inner[at + 2..at + 10].iter(),
            _ => [].iter(),
        };
        let radix = if kind.is_ascii_digit() { 8 } else { 16 };
        let length = digits.len();
        let code =
            digits.fold(0, |code, &digit| code * radix + (digit as char).to_digit(16).unwrap_or(0));
        match kind {
            b'0'..=b'7' | b'x' => out.push(code as u8),
            b'u' | b'U' => {
                let found = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(found.encode_utf8(&mut [0; 4]).as_bytes());
            }
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            quote_or_backslash => out.push(quote_or_backslash),
        }
        at += if kind.is_ascii_digit() { 1 + length } else { 2 + length };
    }
    Cow::Owned(out)
}
