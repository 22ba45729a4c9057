//! A cursor over JSON text: white space, punctuation, literals, strings, and skipping of values
//! without recursion.

use memchr::memchr2;

use super::super::{Arena, Fault, Span, malformed};
use super::number;
use super::unescape::{self, Escapes};

/// Deeper values are refused; the reference's limit.
const MAX_DEPTH: usize = 10_000;

/// A position in JSON text. Every method steps over white space first.
pub(crate) struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
    /// Open brackets of the value being skipped: whether each is an object.
    nesting: Vec<bool>,
}

impl<'a> Cursor<'a> {
    /// At the start of `body`; `nesting` is scratch.
    pub(crate) fn new(body: &'a [u8], mut nesting: Vec<bool>) -> Cursor<'a> {
        nesting.clear();
        Cursor { body, at: 0, nesting }
    }

    pub(crate) fn into_nesting(self) -> Vec<bool> {
        self.nesting
    }

    pub(crate) fn body(&self) -> &'a [u8] {
        self.body
    }

    pub(crate) fn rewind(&mut self) {
        self.at = 0;
        self.nesting.clear();
    }

    pub(crate) fn seek(&mut self, at: usize) {
        self.at = at;
    }

    /// Where the next token begins.
    pub(crate) fn position(&mut self) -> usize {
        self.space();
        self.at
    }

    pub(crate) fn at_end(&self) -> bool {
        self.at >= self.body.len()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.body.get(self.at) {
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&mut self) -> Option<u8> {
        match self.body.get(self.at) {
            Some(&byte) if byte > b' ' => Some(byte),
            _ => {
                self.space();
                self.body.get(self.at).copied()
            }
        }
    }

    /// Steps over `byte` if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Fails unless `byte` is next.
    pub(crate) fn peek_is(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() == Some(byte) { Ok(()) } else { Err(self.expected(byte as char)) }
    }

    /// Steps over `byte`, which must be next.
    #[inline]
    pub(crate) fn open(&mut self, byte: u8) -> Result<(), Fault> {
        if self.eat(byte) { Ok(()) } else { Err(self.expected(byte as char)) }
    }

    pub(crate) fn open_object_or_null(&mut self) -> Result<bool, Fault> {
        self.open_or_null(b'{')
    }

    #[inline]
    pub(crate) fn open_array_or_null(&mut self) -> Result<bool, Fault> {
        if self.eat(b'[') { Ok(true) } else { self.open_or_null(b'[') }
    }

    /// Steps over `null`, which must be next.
    pub(crate) fn null(&mut self) -> Result<(), Fault> {
        self.peek();
        self.literal(b"null")
    }

    fn open_or_null(&mut self, byte: u8) -> Result<bool, Fault> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(true)
            }
            Some(b'n') => self.literal(b"null").map(|()| false),
            _ => Err(self.expected(byte as char)),
        }
    }

    /// After an element: true for a comma, false for the end.
    #[inline]
    pub(crate) fn comma_or(&mut self, end: u8) -> Result<bool, Fault> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(found) if found == end => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.expected(end as char)),
        }
    }

    /// A key and its colon.
    #[inline]
    pub(crate) fn key(&mut self, arena: &mut Arena) -> Result<Span, Fault> {
        let key = self.string(arena, Escapes::Strict)?;
        self.open(b':')?;
        Ok(key)
    }

    /// A string; one with escapes is written to `arena`.
    #[inline]
    pub(crate) fn string(&mut self, arena: &mut Arena, escapes: Escapes) -> Result<Span, Fault> {
        self.open(b'"')?;
        let (from, length) = self.plain()?;
        if self.body[from + length] == b'"' {
            self.at = from + length + 1;
            return Ok(Span::body(from, from + length));
        }
        let start = arena.len();
        arena.extend(&self.body[from..from + length]);
        self.at = unescape::until_quote(self.body, from + length, arena, escapes)
            .map_err(|at| self.bad_string(at))?;
        Ok(Span::arena(start, arena.len()))
    }

    /// The bytes up to the next quote or backslash, which may not be control characters. (After a
    /// backslash they may: so does the reference.)
    #[inline]
    fn plain(&mut self) -> Result<(usize, usize), Fault> {
        let rest = &self.body[self.at..];
        let Some(length) = memchr2(b'"', b'\\', rest) else {
            self.at = self.body.len();
            return Err(self.bad("a string does not end"));
        };
        // No early exit, so that it is done in vectors.
        let control = rest[..length].iter().fold(false, |any, &byte| any | (byte < b' '));
        if control {
            return Err(self.bad("control character in a string"));
        }
        Ok((self.at, length))
    }

    fn skip_string(&mut self) -> Result<(), Fault> {
        self.open(b'"')?;
        let (from, length) = self.plain()?;
        self.at = from + length;
        loop {
            let Some(length) = memchr2(b'"', b'\\', &self.body[self.at..]) else {
                self.at = self.body.len();
                return Err(self.bad("a string does not end"));
            };
            self.at += length + 1;
            if self.body[self.at - 1] == b'"' {
                return Ok(());
            }
            match unescape::escape_length(&self.body[self.at..]) {
                Some(length) => self.at += length,
                None => return Err(self.bad_string(self.at)),
            }
        }
    }

    /// A string that holds a decimal number of nanoseconds.
    #[inline]
    pub(crate) fn timestamp(&mut self) -> Result<i64, Fault> {
        self.open(b'"')?;
        let digits = &self.body[self.at..];
        match number::nanoseconds(digits) {
            Some((value, length)) if digits.get(length) == Some(&b'"') => {
                self.at += length + 1;
                Ok(value)
            }
            _ => {
                self.end_if_cut();
                Err(self.bad("a timestamp is no number of nanoseconds"))
            }
        }
    }

    /// Any value.
    pub(crate) fn skip_value(&mut self) -> Result<(), Fault> {
        self.nesting.clear();
        loop {
            match self.peek() {
                Some(b'"') => self.skip_string()?,
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    if self.nesting.len() >= MAX_DEPTH {
                        return Err(self.bad("exceeded max depth"));
                    }
                    let object = open == b'{';
                    if !self.eat(if object { b'}' } else { b']' }) {
                        self.nesting.push(object);
                        self.skip_key(object)?;
                        continue;
                    }
                }
                Some(b'n') => self.literal(b"null")?,
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'-' | b'0'..=b'9') => self.skip_number()?,
                _ => return Err(self.bad("no value")),
            }
            loop {
                let Some(&object) = self.nesting.last() else {
                    return Ok(());
                };
                if self.comma_or(if object { b'}' } else { b']' })? {
                    self.skip_key(object)?;
                    break;
                }
                self.nesting.pop();
            }
        }
    }

    fn skip_key(&mut self, object: bool) -> Result<(), Fault> {
        if object {
            self.skip_string()?;
            self.open(b':')?;
        }
        Ok(())
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), Fault> {
        if self.body[self.at..].starts_with(literal) {
            self.at += literal.len();
            return Ok(());
        }
        let rest = &self.body[self.at..];
        if literal.starts_with(rest) {
            self.at = self.body.len();
        }
        Err(self.bad("no value"))
    }

    fn skip_number(&mut self) -> Result<(), Fault> {
        match number::length(&self.body[self.at..]) {
            Some(length) => {
                self.at += length;
                Ok(())
            }
            None => {
                self.end_if_cut();
                Err(self.bad("a malformed number"))
            }
        }
    }

    /// Goes to the end if only a part of a number stands before it.
    fn end_if_cut(&mut self) {
        let part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        if self.body[self.at..].iter().all(part) {
            self.at = self.body.len();
        }
    }

    #[cold]
    fn bad_string(&mut self, at: usize) -> Fault {
        // The longest escape may have been cut.
        let cut = at + unescape::LONGEST >= self.body.len();
        self.at = if cut { self.body.len() } else { at };
        self.bad("a malformed string")
    }

    #[cold]
    fn expected(&self, what: char) -> Fault {
        let found = self.body.get(self.at).map(|&byte| (byte as char).escape_default().to_string());
        let found = found.unwrap_or_else(|| "the end".to_owned());
        self.bad(&format!("expect {what}, but found {found}"))
    }

    #[cold]
    fn bad(&self, what: &str) -> Fault {
        malformed(format!("{what}, error found in #{} byte of the JSON body", self.at + 1))
    }
}
