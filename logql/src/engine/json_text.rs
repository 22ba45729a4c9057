//! Strings of JSON as label values.

/// Appends `raw` unescaped; false = a broken escape sequence.
pub(crate) fn unescape(raw: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let Some(&kind) = rest.get(at + 1) else {
            return false;
        };
        let mut used = 2;
        match kind {
            b'"' | b'\\' | b'/' => out.push(kind),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let Some((c, length)) = unicode(&rest[at..]) else {
                    return false;
                };
                used = length;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return false,
        }
        rest = &rest[at + used..];
    }
    out.extend_from_slice(rest);
    true
}

/// Reads `\uXXXX`, or the two of a surrogate pair. A lone surrogate is an error.
fn unicode(raw: &[u8]) -> Option<(char, usize)> {
    let high = unit(raw)?;
    if !(0xd800..=0xdfff).contains(&high) {
        return Some((char::from_u32(high)?, 6));
    }
    let low = unit(raw.get(6..)?)?;
    if low < 0xdc00 {
        return None;
    }
    let code = (high.wrapping_sub(0xd800) << 10).wrapping_add(low - 0xdc00) + 0x1_0000;
    Some((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12))
}

fn unit(raw: &[u8]) -> Option<u32> {
    let digits = raw.strip_prefix(b"\\u")?.get(..4)?;
    let mut value = 0;
    for &digit in digits {
        value = value << 4 | char::from(digit).to_digit(16)?;
    }
    Some(value)
}

/// Appends a string value as a label has it: unescaped if `escaped` (nothing if an escape is
/// broken), with a space for every bad byte and every U+FFFD.
pub(crate) fn push_clean(raw: &[u8], escaped: bool, out: &mut Vec<u8>) {
    let from = out.len();
    if !escaped {
        out.extend_from_slice(raw);
    } else if !unescape(raw, out) {
        out.truncate(from);
        return;
    }
    let clean = match std::str::from_utf8(&out[from..]) {
        Ok(text) => !text.contains(char::REPLACEMENT_CHARACTER),
        Err(_) => false,
    };
    if clean {
        return;
    }
    let dirty = out.split_off(from);
    for chunk in dirty.utf8_chunks() {
        for (index, piece) in chunk.valid().split(char::REPLACEMENT_CHARACTER).enumerate() {
            if index > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(piece.as_bytes());
        }
        out.extend(chunk.invalid().iter().map(|_| b' '));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_unescape_and_bad_bytes_become_spaces() {
        for (raw, escaped, want) in [
            (&br"plain"[..], true, &b"plain"[..]),
            (br#"a\"b\\c\/d"#, true, br#"a"b\c/d"#),
            (br"\b\f\n\r\t", true, b"\x08\x0c\n\r\t"),
            (br"\u017elu\u0165", true, "žluť".as_bytes()),
            (br"\ud83d\ude80!", true, "🚀!".as_bytes()),
            (br"\ufffd|", true, b" |"),
            (br"\ud83d", true, b""),
            (br"\ud83dx", true, b""),
            (br"\x", true, b""),
            (br"\u12", true, b""),
            (b"a\xff\xfeb\xc3", false, b"a  b "),
            ("ok ž \u{fffd}".as_bytes(), false, "ok ž  ".as_bytes()),
        ] {
            let mut out = b"kept".to_vec();
            push_clean(raw, escaped, &mut out);
            assert_eq!(&out[4..], want, "{}", String::from_utf8_lossy(raw));
        }
    }
}
