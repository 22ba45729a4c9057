//! Undoing the escapes of JSON strings.

use super::super::{Arena, Fault, Span, malformed};

/// What becomes of half a surrogate pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// The string is refused.
    Strict,
    /// It is replaced by U+FFFD.
    Lenient,
}

/// Bytes of a surrogate pair.
pub(super) const LONGEST: usize = 12;

/// Appends the string content from `at` up to its closing quote to `out`; returns the position
/// after the quote, or the position of the malformed escape.
pub(super) fn until_quote(
    text: &[u8],
    mut at: usize,
    out: &mut Arena,
    escapes: Escapes,
) -> Result<usize, usize> {
    loop {
        let (read, written) = simple(&text[at..], out.room(MIN_ROOM));
        at += read;
        out.advance(written);
        match text.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = unescape_one(text, at, out, escapes)?,
            // The room is used up, or the body is nearly at its end.
            Some(&byte) => {
                out.push(byte);
                at += 1;
            }
            None => return Err(text.len()),
        }
    }
}

/// Room that [`simple`] is given: a usual line, so that it is called once for it.
const MIN_ROOM: usize = 1024;

/// Copies `text` to `target`, undoing escapes of two characters, until a quote, another escape, or
/// the end of either; returns the bytes read and written. Escapes stand close together where JSON
/// is logged, so this goes by words, not by calls of a search.
fn simple(text: &[u8], target: &mut [u8]) -> (usize, usize) {
    let (mut read, mut written) = (0, 0);
    while let (Some(from), Some(to)) = (text.get(read..), target.get_mut(written..)) {
        let (Some(chunk), Some(room)) = (from.first_chunk::<10>(), to.first_chunk_mut::<9>())
        else {
            break;
        };
        let Some((word, _)) = chunk.split_first_chunk::<8>() else { break };
        let found = specials(u64::from_le_bytes(*word));
        // Always eight bytes, so that it is one store; what is too much is written over.
        room[..8].copy_from_slice(word);
        if found == 0 {
            read += 8;
            written += 8;
            continue;
        }
        let length = (found.trailing_zeros() / 8) as usize & 7;
        // Of an escape the second byte counts; a quote is none, nor is anything in the table.
        let byte = SIMPLE[chunk[length + 1] as usize];
        if chunk[length] == b'"' || byte == 0 {
            return (read + length, written + length);
        }
        room[length] = byte;
        read += length + 2;
        written += length + 1;
    }
    (read, written)
}

/// The content of a string or of any JSON text with its escapes undone, in `out`; `None` if there
/// is no backslash in it.
pub(super) fn unescape(text: &[u8], out: &mut Arena) -> Result<Option<Span>, Fault> {
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

/// Undoes the escape at `at`; returns the position after it, or `at` if it is malformed.
#[inline]
fn unescape_one(text: &[u8], at: usize, out: &mut Arena, escapes: Escapes) -> Result<usize, usize> {
    let Some(&kind) = text.get(at + 1) else { return Err(at) };
    match SIMPLE[kind as usize] {
        0 if kind == b'u' => unescape_unicode(text, at, out, escapes),
        0 => Err(at),
        byte => {
            out.push(byte);
            Ok(at + 2)
        }
    }
}

/// What an escape of two characters stands for; 0: none.
const SIMPLE: [u8; 256] = {
    let mut table = [0; 256];
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table[b'n' as usize] = b'\n';
    table[b't' as usize] = b'\t';
    table[b'r' as usize] = b'\r';
    table[b'b' as usize] = 8;
    table[b'f' as usize] = 12;
    table
};

fn unescape_unicode(
    text: &[u8],
    at: usize,
    out: &mut Arena,
    escapes: Escapes,
) -> Result<usize, usize> {
    let high = hex4(text, at + 2).ok_or(at)?;
    let mut encoded = [0; 4];
    let mut push = |out: &mut Arena, code: u32| {
        let found = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend(found.encode_utf8(&mut encoded).as_bytes());
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
        b'u' => hex4(after, 1).map(|_| 5),
        kind => (SIMPLE[*kind as usize] != 0).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, escapes: Escapes) -> Result<String, usize> {
        let mut out = Arena::default();
        until_quote(text.as_bytes(), 0, &mut out, escapes)?;
        Ok(String::from_utf8(out.as_slice().to_vec()).unwrap())
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
