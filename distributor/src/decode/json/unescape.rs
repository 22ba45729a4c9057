//! Undoing the escapes of JSON strings.

use super::super::{Span, malformed};
use crate::error::Error;

/// What becomes of half a surrogate pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// The string is refused.
    Strict,
    /// It is replaced by U+FFFD.
    Lenient,
}

/// Appends the string content from `at` up to its closing quote to `out`; returns the position
/// after the quote, or the position of the malformed escape.
pub(super) fn until_quote(
    text: &[u8],
    mut at: usize,
    out: &mut Vec<u8>,
    escapes: Escapes,
) -> Result<usize, usize> {
    loop {
        at = copy_plain(text, at, out);
        match text.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = unescape_one(text, at, out, escapes)?,
            _ => return Err(text.len()),
        }
    }
}

/// The content of a string or of any JSON text with its escapes undone, in `out`; `None` if there
/// is no backslash in it.
pub(super) fn unescape(text: &[u8], out: &mut Vec<u8>) -> Result<Option<Span>, Error> {
    if memchr::memchr(b'\\', text).is_none() {
        return Ok(None);
    }
    let start = out.len();
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'\\' {
            at = unescape_one(text, at, out, Escapes::Strict)
                .map_err(|_| malformed("a malformed escape in a label value"))?;
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    Ok(Some(Span::arena(start, out.len())))
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// High bits of the bytes that are quotes or backslashes; exact up to the first of them.
#[inline]
fn specials(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    (zero(quote) | zero(backslash)) & HIGHS
}

/// Appends bytes up to the next quote, backslash or the end. Escapes stand close together where
/// JSON is logged, so this goes by words, not by calls of a search.
#[inline]
fn copy_plain(text: &[u8], mut at: usize, out: &mut Vec<u8>) -> usize {
    while let Some(chunk) = text[at..].first_chunk::<8>() {
        let found = specials(u64::from_le_bytes(*chunk));
        // Always eight bytes, so that it is one store; what was too much is cut off.
        out.extend_from_slice(chunk);
        if found != 0 {
            let length = found.trailing_zeros() as usize / 8;
            out.truncate(out.len() - 8 + length);
            return at + length;
        }
        at += 8;
    }
    while let Some(&byte) = text.get(at)
        && byte != b'"'
        && byte != b'\\'
    {
        out.push(byte);
        at += 1;
    }
    at
}

/// Undoes the escape at `at`; returns the position after it, or `at` if it is malformed.
#[inline]
fn unescape_one(
    text: &[u8],
    at: usize,
    out: &mut Vec<u8>,
    escapes: Escapes,
) -> Result<usize, usize> {
    let byte = match text.get(at + 1) {
        Some(b'"') => b'"',
        Some(b'\\') => b'\\',
        Some(b'/') => b'/',
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(b'u') => return unescape_unicode(text, at, out, escapes),
        _ => return Err(at),
    };
    out.push(byte);
    Ok(at + 2)
}

fn unescape_unicode(
    text: &[u8],
    at: usize,
    out: &mut Vec<u8>,
    escapes: Escapes,
) -> Result<usize, usize> {
    let high = hex4(text, at + 2).ok_or(at)?;
    let mut encoded = [0; 4];
    let mut push = |out: &mut Vec<u8>, code: u32| {
        let found = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(found.encode_utf8(&mut encoded).as_bytes());
    };
    if !(0xd800..0xe000).contains(&high) {
        push(out, high);
        return Ok(at + 6);
    }
    match escapes {
        // The reference looks at the four digits where the second half should have them, not at
        // what stands before them, and joins what it finds.
        Escapes::Strict => {
            let low = hex4(text, at + 8).filter(|&low| low >= 0xdc00).ok_or(at)?;
            push(out, 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            Ok(at + 12)
        }
        Escapes::Lenient => {
            let follows = text.get(at + 6..at + 8) == Some(b"\\u");
            if !follows {
                push(out, high);
                return Ok(at + 6);
            }
            let low = hex4(text, at + 8).ok_or(at)?;
            if high < 0xdc00 && (0xdc00..0xe000).contains(&low) {
                push(out, 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            } else {
                push(out, high);
                push(out, low);
            }
            Ok(at + 12)
        }
    }
}

fn hex4(text: &[u8], at: usize) -> Option<u32> {
    let mut code = 0;
    for &byte in text.get(at..at + 4)? {
        code = code * 16 + (byte as char).to_digit(16)?;
    }
    Some(code)
}

/// Length of what follows the backslash of a well-formed escape.
pub(super) fn escape_length(after: &[u8]) -> Option<usize> {
    match after.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(1),
        b'u' => hex4(after, 1).map(|_| 5),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, escapes: Escapes) -> Result<String, usize> {
        let mut out = Vec::new();
        until_quote(text.as_bytes(), 0, &mut out, escapes)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn escapes_are_undone_wherever_they_stand_in_a_word() {
        for pad in 0..20 {
            let pad = "x".repeat(pad);
            let text = format!(r#"{pad}\"a\\b\/c\n\t\r\b\f\u017e\ud83d\ude80{pad}"rest"#);
            let want = format!("{pad}\"a\\b/c\n\t\r\u{8}\u{c}ž🚀{pad}");
            for escapes in [Escapes::Strict, Escapes::Lenient] {
                assert_eq!(read(&text, escapes), Ok(want.clone()));
            }
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_refused_or_replaced() {
        for (text, lenient) in [
            (r#"a\ud83d""#, Some("a\u{fffd}")),
            (r#"a\ud83d end""#, Some("a\u{fffd} end")),
            (r#"a\ud83d\u0041""#, Some("a\u{fffd}A")),
            (r#"a\ud83d\n""#, Some("a\u{fffd}\n")),
            (r#"a\ude80""#, Some("a\u{fffd}")),
            (r#"a\u12g4""#, None),
            (r#"a\x""#, None),
            (r#"a\"#, None),
            (r"open", None),
        ] {
            assert!(read(text, Escapes::Strict).is_err(), "{text}");
            assert_eq!(read(text, Escapes::Lenient).ok().as_deref(), lenient, "{text}");
        }
    }
}
