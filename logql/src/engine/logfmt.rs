//! `| logfmt`: `key=value` pairs (contract 6.3).

use base::PageView;
use base::quote::quote;

use super::columns::{ErrorKind, Text};
use super::names::{Keys, NONE};
use super::pipeline::RunRows;
use super::wanted::Wanted;

/// A mistake in a line, with its byte position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A quote or an equals sign where none may stand.
    Unexpected(u8),
    /// A key that is no UTF-8.
    InvalidKey,
    /// No closing quote.
    Unterminated,
    /// A broken escape in a quoted value.
    InvalidQuoted,
}

impl Mistake {
    /// The text of `__error_details__`. `position` counts from 0.
    pub(crate) fn text(self, position: usize) -> String {
        let position = position + 1;
        let what = match self {
            Mistake::Unexpected(byte) => {
                let quoted = quote(char::from(byte).encode_utf8(&mut [0; 4]));
                // Go quotes a character: a quote in it needs no backslash.
                format!("unexpected '{}'", quoted[1..quoted.len() - 1].replace("\\\"", "\""))
            }
            Mistake::InvalidKey => "invalid key".to_owned(),
            Mistake::Unterminated => "unterminated quoted value".to_owned(),
            Mistake::InvalidQuoted => "invalid quoted value".to_owned(),
        };
        format!("logfmt syntax error at pos {position} : {what}")
    }
}

/// One pair of a line. An absent and an empty value are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Byte range of the key.
    pub key: (usize, usize),
    /// Byte range of the value, without quotes.
    pub value: (usize, usize),
    /// The value held a backslash: its range is one of the scratch space, unescaped.
    pub escaped: bool,
}

/// Walks the pairs of a line.
#[derive(Clone, Debug)]
pub(crate) struct Pairs<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Pairs<'a> {
    pub(crate) fn new(line: &'a [u8]) -> Pairs<'a> {
        Pairs { line, at: 0 }
    }

    /// Goes on behind a mistake: at the next white space.
    pub(crate) fn skip(&mut self) {
        while self.line.get(self.at).is_some_and(|&byte| byte > b' ') {
            self.at += 1;
        }
    }

    /// Where the walk stands; after a mistake, where that was noticed.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The next pair, or what is wrong with it. A value with escapes is appended to `scratch`.
    pub(crate) fn next(&mut self, scratch: &mut Vec<u8>) -> Option<Result<Pair, Mistake>> {
        while *self.line.get(self.at)? <= b' ' {
            self.at += 1;
        }
        Some(self.pair(scratch))
    }

    fn pair(&mut self, scratch: &mut Vec<u8>) -> Result<Pair, Mistake> {
        let from = self.at;
        let mut ascii = true;
        let mut assigned = false;
        while let Some(&byte) = self.line.get(self.at) {
            match byte {
                b'=' if self.at == from => return Err(Mistake::Unexpected(byte)),
                b'=' => {
                    assigned = true;
                    break;
                }
                b'"' => return Err(Mistake::Unexpected(byte)),
                0..=b' ' => break,
                _ => ascii &= byte < 0x80,
            }
            self.at += 1;
        }
        let key = (from, self.at);
        if !ascii && has_replacement(&self.line[from..self.at]) {
            return Err(Mistake::InvalidKey);
        }
        let none = Pair { key, value: (0, 0), escaped: false };
        if !assigned {
            return Ok(none);
        }
        self.at += 1;
        match self.line.get(self.at) {
            None | Some(0..=b' ') => Ok(none),
            Some(b'"') => self.quoted(none, scratch),
            Some(_) => self.bare(none),
        }
    }

    fn bare(&mut self, pair: Pair) -> Result<Pair, Mistake> {
        let from = self.at;
        while let Some(&byte) = self.line.get(self.at) {
            match byte {
                b'=' | b'"' => return Err(Mistake::Unexpected(byte)),
                0..=b' ' => break,
                _ => self.at += 1,
            }
        }
        Ok(Pair { value: (from, self.at), ..pair })
    }

    fn quoted(&mut self, pair: Pair, scratch: &mut Vec<u8>) -> Result<Pair, Mistake> {
        let from = self.at + 1;
        let mut at = from;
        let mut escaped = false;
        loop {
            let Some(found) = memchr::memchr2(b'"', b'\\', self.line.get(at..).unwrap_or(&[]))
            else {
                self.at = self.line.len();
                return Err(Mistake::Unterminated);
            };
            at += found;
            if self.line[at] == b'"' {
                break;
            }
            escaped = true;
            at += 2;
        }
        self.at = at + 1;
        if !escaped {
            return Ok(Pair { value: (from, at), ..pair });
        }
        let kept = scratch.len();
        if !unquote(&self.line[from..at], scratch) {
            scratch.truncate(kept);
            return Err(Mistake::InvalidQuoted);
        }
        Ok(Pair { value: (kept, scratch.len()), escaped, ..pair })
    }
}

/// Whether the text holds bytes that are no UTF-8, or U+FFFD itself.
fn has_replacement(text: &[u8]) -> bool {
    std::str::from_utf8(text).map_or(true, |text| text.contains(char::REPLACEMENT_CHARACTER))
}

/// Unescapes the inside of a quoted value, by JSON's rules (a lone surrogate is U+FFFD, a bad byte
/// too, control characters are not allowed). False = broken.
fn unquote(raw: &[u8], out: &mut Vec<u8>) -> bool {
    let mut at = 0;
    while at < raw.len() {
        let byte = raw[at];
        if byte < b' ' {
            return false;
        }
        if byte != b'\\' {
            out.push(byte);
            at += 1;
            continue;
        }
        match raw.get(at + 1) {
            Some(&plain @ (b'"' | b'\\' | b'/' | b'\'')) => out.push(plain),
            Some(b'b') => out.push(8),
            Some(b'f') => out.push(12),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'u') => {
                let Some((c, used)) = unicode(&raw[at..]) else {
                    return false;
                };
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                at += used;
                continue;
            }
            _ => return false,
        }
        at += 2;
    }
    true
}

fn unicode(raw: &[u8]) -> Option<(char, usize)> {
    let unit = |raw: &[u8]| -> Option<u32> {
        let digits = raw.strip_prefix(b"\\u")?.get(..4)?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let high = unit(raw)?;
    if let Some(c) = char::from_u32(high) {
        return Some((c, 6));
    }
    if (0xd800..0xdc00).contains(&high)
        && let Some(low @ 0xdc00..=0xdfff) = raw.get(6..).and_then(unit)
    {
        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return char::from_u32(code).map(|c| (c, 12));
    }
    Some((char::REPLACEMENT_CHARACTER, 6))
}

/// How `| logfmt` was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    /// Stop at the first mistake and set the error.
    pub strict: bool,
    /// Keep keys without a value.
    pub keep_empty: bool,
}

/// The value as a label has it: empty where it is no UTF-8.
pub(crate) fn text_of(page: &PageView<'_>, row: usize, pair: &Pair, scratch: &[u8]) -> Text {
    let (from, to) = pair.value;
    if pair.escaped {
        let bad = has_replacement(&scratch[from..to]);
        return if bad { Text::EMPTY } else { Text::scratch(from, to) };
    }
    let start = page.lines.span(row).0;
    let raw = &page.lines.bytes[start + from..start + to];
    if !raw.is_ascii() && has_replacement(raw) {
        return Text::EMPTY;
    }
    Text::line(start + from, start + to)
}

/// Extracts from the lines of a run.
pub(crate) fn extract(
    mut run: RunRows<'_, '_, '_>,
    keys: &mut Keys,
    wanted: &Wanted,
    flags: Flags,
) {
    while let Some(row) = run.next_row() {
        let RunRows { page, columns, names, .. } = &mut run;
        columns.parsed.begin(row);
        keys.begin_line();
        let mut missing = wanted.missing(columns.parsed.of(row));
        let line = page.lines.get(row);
        let mut pairs = Pairs::new(line);
        while let Some(pair) = pairs.next(&mut columns.scratch) {
            let pair = match pair {
                Ok(pair) => pair,
                Err(mistake) if flags.strict => {
                    let details = mistake.text(pairs.position());
                    columns.fail(row, ErrorKind::Logfmt, Some(&details));
                    break;
                }
                Err(_) => {
                    pairs.skip();
                    continue;
                }
            };
            let mut name = keys.meaning(names, 0, &line[pair.key.0..pair.key.1]).name;
            if name != NONE && columns.taken(page, row, name) {
                name = names.extracted(name);
            }
            if name == NONE || !wanted.takes(name) || columns.parsed.has(name) {
                continue;
            }
            let text = text_of(page, row, &pair, &columns.scratch);
            if text.is_empty() && !flags.keep_empty {
                continue;
            }
            columns.parsed.add(row, name, text);
            if wanted.counts(name) {
                missing -= 1;
                if missing == 0 {
                    break;
                }
            }
        }
    }
}
