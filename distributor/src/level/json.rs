//! A level field in a JSON line: looked for, not parsed.

use memchr::memchr2;

use super::Fields;

/// The value of the first field of `fields` in the object `text`, at most `max_depth` objects
/// deep, as it is written between its quotes. Arrays are passed over.
pub(super) fn find<'a>(text: &'a [u8], fields: &Fields, max_depth: usize) -> Option<&'a [u8]> {
    let mut at = 1;
    let mut depth = 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                let end = string_end(text, at + 1)?;
                let key = &text[at + 1..end];
                at = end + 1;
                while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.get(at) {
                    at += 1;
                }
                if text.get(at) == Some(&b':') {
                    at += 1;
                    if fields.contains(key)
                        && let Some(value) = scalar(text, at)
                    {
                        return Some(value);
                    }
                }
            }
            b'{' if depth < max_depth => {
                depth += 1;
                at += 1;
            }
            b'{' => at = block_end(text, at, b'{', b'}')?,
            b'[' => at = block_end(text, at, b'[', b']')?,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return None;
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
    None
}

/// Position of the quote that ends the string whose content begins at `at`.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// The string or literal at `at`; `None` for an object or array.
fn scalar(text: &[u8], at: usize) -> Option<&[u8]> {
    let rest = text[at..].trim_ascii_start();
    match rest.first()? {
        b'"' => string_end(rest, 1).map(|end| &rest[1..end]),
        b'{' | b'[' => None,
        _ => {
            let end = rest.iter().position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\n'))?;
            Some(&rest[..end])
        }
    }
}

/// Position after the bracket that closes the one at `at`.
fn block_end(text: &[u8], mut at: usize, open: u8, close: u8) -> Option<usize> {
    let mut depth = 0usize;
    while let Some(&byte) = text.get(at) {
        if byte == b'"' {
            at = string_end(text, at + 1)?;
        } else if byte == open {
            depth += 1;
        } else if byte == close {
            depth -= 1;
            if depth == 0 {
                return Some(at + 1);
            }
        }
        at += 1;
    }
    None
}
