//! Splits a text the way Go's `text/scanner` does in its default mode, positions included: Loki's
//! lexer sits on it, and its error positions are that scanner's.
//!
//! Reference: the documentation of Go's `text/scanner` and the Go language's literals.

use std::sync::LazyLock;

/// Kinds of lexical elements; operators are single characters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    Ident,
    Number,
    Char,
    String,
    RawString,
    Punctuation(char),
}

/// A position: `line` is 0 where Go's scanner calls it invalid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub line: u32,
    pub column: u32,
}

/// The first thing that is wrong with a literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScanError {
    pub at: Position,
    pub text: String,
}

pub(super) struct Scanner<'a> {
    text: &'a str,
    /// Byte after `ahead`.
    offset: usize,
    /// The character not consumed yet; `None` at the end.
    ahead: Option<char>,
    ahead_len: usize,
    /// Of `ahead`: its line, and its column counted in characters (0 = `ahead` is a line feed).
    line: u32,
    column: u32,
    last_line_len: u32,
    token_start: usize,
    /// Of the last element, or of its column only once single characters were taken.
    pub position: Position,
    pub error: Option<ScanError>,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Scanner<'a> {
        let mut scanner = Scanner {
            text,
            offset: 0,
            ahead: None,
            ahead_len: 0,
            line: 1,
            column: 0,
            last_line_len: 0,
            token_start: 0,
            position: Position::default(),
            error: None,
        };
        scanner.advance();
        if scanner.ahead == Some('\u{feff}') {
            scanner.advance();
        }
        scanner
    }

    /// The next element.
    pub fn scan(&mut self) -> Kind {
        self.position.line = 0;
        loop {
            while matches!(self.ahead, Some('\t' | '\n' | '\r' | ' ')) {
                self.advance();
            }
            self.token_start = self.offset - self.ahead_len;
            self.position = if self.column > 0 {
                Position { line: self.line, column: self.column }
            } else {
                Position { line: self.line - 1, column: self.last_line_len }
            };
            let Some(first) = self.ahead else { return Kind::End };
            if let Some(kind) = self.element(first) {
                return kind;
            }
        }
    }

    /// `None` after a comment.
    fn element(&mut self, first: char) -> Option<Kind> {
        if is_ident(first, true) {
            while self.ahead.is_some_and(|c| is_ident(c, false)) {
                self.advance();
            }
            return Some(Kind::Ident);
        }
        if first.is_ascii_digit() {
            self.number(false);
            return Some(Kind::Number);
        }
        self.advance();
        Some(match first {
            '"' => {
                self.quoted('"');
                Kind::String
            }
            '\'' => {
                if self.quoted('\'') != 1 {
                    self.fail("invalid char literal");
                }
                Kind::Char
            }
            '`' => {
                while self.ahead.is_some_and(|c| c != '`') {
                    self.advance();
                }
                if self.ahead.is_none() {
                    self.fail("literal not terminated");
                } else {
                    self.advance();
                }
                Kind::RawString
            }
            '.' if self.ahead.is_some_and(|c| c.is_ascii_digit()) => {
                self.number(true);
                Kind::Number
            }
            '/' if matches!(self.ahead, Some('/' | '*')) => {
                self.comment();
                return None;
            }
            other => Kind::Punctuation(other),
        })
    }

    /// The bytes of the last element.
    pub fn token(&self) -> &'a str {
        &self.text[self.token_start..self.offset - self.ahead_len]
    }

    /// What follows the last element.
    pub fn rest(&self) -> &'a str {
        &self.text[self.offset - self.ahead_len..]
    }

    /// The next character, not consumed.
    pub fn peek(&self) -> Option<char> {
        self.ahead
    }

    /// Takes one character as it is. The position loses its line by that.
    pub fn take(&mut self) -> Option<char> {
        self.position.line = 0;
        let taken = self.ahead;
        if taken.is_some() {
            self.advance();
        }
        taken
    }

    /// Takes `count` characters.
    pub fn take_all(&mut self, count: usize) {
        for _ in 0..count {
            self.take();
        }
    }

    pub fn fail(&mut self, text: impl Into<String>) {
        if self.error.is_none() {
            self.error = Some(ScanError { at: self.position, text: text.into() });
        }
    }

    fn advance(&mut self) {
        let Some(c) = self.text[self.offset..].chars().next() else {
            if self.ahead_len > 0 {
                self.column += 1;
            }
            self.ahead = None;
            self.ahead_len = 0;
            return;
        };
        self.ahead = Some(c);
        self.ahead_len = c.len_utf8();
        self.offset += self.ahead_len;
        self.column += 1;
        match c {
            '\0' => self.fail("invalid character NUL"),
            '\n' => {
                self.line += 1;
                self.last_line_len = self.column;
                self.column = 0;
            }
            _ => {}
        }
    }

    /// The rest of a literal whose opening quote is consumed; the number of its characters.
    fn quoted(&mut self, quote: char) -> usize {
        let mut count = 0;
        while self.ahead != Some(quote) {
            if matches!(self.ahead, None | Some('\n')) {
                self.fail("literal not terminated");
                self.advance();
                return count;
            }
            if self.ahead == Some('\\') {
                self.escape(quote);
            } else {
                self.advance();
            }
            count += 1;
        }
        self.advance();
        count
    }

    fn escape(&mut self, quote: char) {
        self.advance();
        let Some(c) = self.ahead else { return self.fail("invalid char escape") };
        match c {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => self.advance(),
            _ if c == quote => self.advance(),
            '0'..='7' => self.escape_digits(8, 3),
            'x' => {
                self.advance();
                self.escape_digits(16, 2);
            }
            'u' => {
                self.advance();
                self.escape_digits(16, 4);
            }
            'U' => {
                self.advance();
                self.escape_digits(16, 8);
            }
            _ => self.fail("invalid char escape"),
        }
    }

    fn escape_digits(&mut self, radix: u32, count: usize) {
        for _ in 0..count {
            if !self.ahead.is_some_and(|c| c.is_digit(radix)) {
                return self.fail("invalid char escape");
            }
            self.advance();
        }
    }

    fn comment(&mut self) {
        let block = self.ahead == Some('*');
        self.advance();
        let mut before = None;
        loop {
            match (block, self.ahead) {
                (false, None | Some('\n')) => return,
                (true, None) => return self.fail("comment not terminated"),
                (true, Some('/')) if before == Some('*') => return self.advance(),
                _ => {
                    before = self.ahead;
                    self.advance();
                }
            }
        }
    }

    /// A number whose first digit (or the point before it) comes next (is consumed).
    fn number(&mut self, point_seen: bool) {
        let mut shape = Digits::default();
        let (mut radix, mut name, mut prefix) = (10, "decimal literal", ' ');
        let mut float = point_seen;
        if !point_seen {
            if self.ahead == Some('0') {
                self.advance();
                prefix = self.ahead.map_or('0', |c| c.to_ascii_lowercase());
                (radix, name) = match prefix {
                    'x' => (16, "hexadecimal literal"),
                    'o' => (8, "octal literal"),
                    'b' => (2, "binary literal"),
                    _ => (8, "octal literal"),
                };
                if matches!(prefix, 'x' | 'o' | 'b') {
                    self.advance();
                } else {
                    prefix = '0';
                    shape.any = true;
                }
            }
            self.digits(radix, &mut shape);
            if self.ahead == Some('.') {
                self.advance();
                float = true;
            }
        }
        if float {
            if matches!(prefix, 'o' | 'b') {
                self.fail(format!("invalid radix point in {name}"));
            }
            self.digits(radix, &mut shape);
        }
        if !shape.any {
            self.fail(format!("{name} has no digits"));
        }
        let exponent = self.exponent(prefix, &mut shape);
        if !exponent && prefix == 'x' && float {
            self.fail("hexadecimal mantissa requires a 'p' exponent");
        }
        if let (false, false, Some(digit)) = (float, exponent, shape.too_big) {
            self.fail(format!("invalid digit '{digit}' in {name}"));
        }
        if shape.separated && !separators_are_inside(self.token()) {
            self.fail("'_' must separate successive digits");
        }
    }

    fn exponent(&mut self, prefix: char, shape: &mut Digits) -> bool {
        let Some(letter @ ('e' | 'E' | 'p' | 'P')) = self.ahead else { return false };
        if letter.eq_ignore_ascii_case(&'e') && !matches!(prefix, ' ' | '0') {
            self.fail(format!("'{letter}' exponent requires decimal mantissa"));
        }
        if letter.eq_ignore_ascii_case(&'p') && prefix != 'x' {
            self.fail(format!("'{letter}' exponent requires hexadecimal mantissa"));
        }
        self.advance();
        if matches!(self.ahead, Some('+' | '-')) {
            self.advance();
        }
        let mut digits = Digits::default();
        self.digits(10, &mut digits);
        shape.separated |= digits.separated;
        if !digits.any {
            self.fail("exponent has no digits");
        }
        true
    }

    fn digits(&mut self, radix: u32, shape: &mut Digits) {
        // Decimal digits beyond the radix belong to the number and make it invalid.
        let accepted = radix.max(10);
        while let Some(c) = self.ahead {
            if c == '_' {
                shape.separated = true;
            } else if c.is_digit(accepted) {
                shape.any = true;
                if !c.is_digit(radix) && shape.too_big.is_none() {
                    shape.too_big = Some(c);
                }
            } else {
                return;
            }
            self.advance();
        }
    }
}

#[derive(Default)]
struct Digits {
    any: bool,
    separated: bool,
    too_big: Option<char>,
}

/// Whether every `_` of a number stands between two digits (a prefix like `0x` counts as one).
pub(crate) fn separators_are_inside(number: &str) -> bool {
    let bytes = number.as_bytes();
    let prefixed = bytes.len() >= 2 && bytes[0] == b'0' && bytes[1].is_ascii_alphabetic();
    let hex = prefixed && bytes[1].eq_ignore_ascii_case(&b'x');
    let digit = |at: usize| {
        let b = bytes[at];
        b.is_ascii_digit() || (hex && b.is_ascii_hexdigit()) || (prefixed && at == 1)
    };
    (0..bytes.len()).filter(|&at| bytes[at] == b'_').all(|at| {
        let before = at > 0 && digit(at - 1);
        before && at + 1 < bytes.len() && digit(at + 1)
    })
}

/// Go's identifiers: letters (category L), `_`, and, behind the first, digits (category Nd).
pub(super) fn is_ident(c: char, first: bool) -> bool {
    if c.is_ascii() {
        return c == '_' || c.is_ascii_alphabetic() || (!first && c.is_ascii_digit());
    }
    static LETTERS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| ranges(r"\pL"));
    static DIGITS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| ranges(r"\p{Nd}"));
    let within = |ranges: &[(char, char)]| {
        let at = ranges.partition_point(|&(_, last)| last < c);
        ranges.get(at).is_some_and(|&(from, _)| from <= c)
    };
    within(&LETTERS) || (!first && within(&DIGITS))
}

fn ranges(class: &str) -> Vec<(char, char)> {
    use regex_syntax::hir::{Class, HirKind};
    let hir = regex_syntax::parse(class).expect("the class is a constant");
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().map(|r| (r.start(), r.end())).collect()
        }
        _ => Vec::new(),
    }
}
