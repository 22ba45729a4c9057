//! Names and values of structured metadata as they are stored.

use base::quote::quote;

use crate::error::Error;

/// The name under which metadata `detected_level` is stored.
pub(crate) const DETECTED_LEVEL: &str = "detected_level";
/// OTLP's number for a level.
pub(crate) const SEVERITY_NUMBER: &str = "severity_number";

/// `name` with every run of characters other than ASCII letters and digits as one underscore, a
/// leading digit behind `key_`, and `__..__` around a reserved name kept (the OTLP translation of
/// Prometheus). A name of which nothing is left fails the request, with 500 as in Loki.
pub(crate) fn normalise_name(name: &[u8]) -> Result<String, Error> {
    if name.is_empty() {
        return Err(Error::new(500, "label name is empty"));
    }
    let reserved = name.len() >= 4 && name.starts_with(b"__") && name.ends_with(b"__");
    let inner = if reserved { &name[2..name.len() - 2] } else { name };
    let mut out = String::with_capacity(name.len() + 4);
    if reserved {
        out.push_str("__");
    } else if inner[0].is_ascii_digit() {
        out.push_str("key_");
    }
    let mut in_run = false;
    for &byte in inner {
        let kept = byte.is_ascii_alphanumeric();
        if kept {
            out.push(byte as char);
        } else if !in_run {
            out.push('_');
        }
        in_run = !kept;
    }
    if reserved {
        out.push_str("__");
    }
    if out.bytes().all(|byte| byte == b'_') {
        let (from, to) = (quote(&String::from_utf8_lossy(name)), quote(&out));
        let text = format!("normalization for label name {from} resulted in invalid name {to}");
        return Err(Error::new(500, text));
    }
    Ok(out)
}

/// `value` with every byte that is no UTF-8, and every replacement character, as a space. `out` is
/// scratch.
#[inline]
pub(crate) fn clean_value<'a>(value: &'a [u8], out: &'a mut Vec<u8>) -> &'a [u8] {
    if value.is_ascii() { value } else { clean_unicode(value, out) }
}

fn clean_unicode<'a>(value: &'a [u8], out: &'a mut Vec<u8>) -> &'a [u8] {
    const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
    let clean =
        std::str::from_utf8(value).is_ok() && memchr::memmem::find(value, REPLACEMENT).is_none();
    if clean {
        return value;
    }
    out.clear();
    for chunk in value.utf8_chunks() {
        for found in chunk.valid().chars() {
            match found {
                char::REPLACEMENT_CHARACTER => out.push(b' '),
                found => out.extend_from_slice(found.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.extend(chunk.invalid().iter().map(|_| b' '));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_label_names() {
        for (name, want) in [
            ("ok", "ok"),
            ("service.name", "service_name"),
            ("a__b", "a_b"),
            ("bad name!", "bad_name_"),
            ("http..x", "http_x"),
            ("1st", "key_1st"),
            ("_x", "_x"),
            ("ünïcode", "_n_code"),
            ("__reserved.x__", "__reserved_x__"),
            ("Trace-Id", "Trace_Id"),
        ] {
            assert_eq!(normalise_name(name.as_bytes()).as_deref(), Ok(want), "{name}");
        }
        for (name, error) in [
            ("", "label name is empty"),
            ("ž", r#"normalization for label name "ž" resulted in invalid name "_""#),
            ("___", r#"normalization for label name "___" resulted in invalid name "_""#),
        ] {
            assert_eq!(normalise_name(name.as_bytes()), Err(Error::new(500, error)), "{name}");
        }
    }

    #[test]
    fn values_lose_what_is_no_text() {
        let mut out = Vec::new();
        for (value, want) in [
            (&b"plain"[..], &b"plain"[..]),
            ("žluť".as_bytes(), "žluť".as_bytes()),
            (b"a\xff\xfeb", b"a  b"),
            ("a\u{fffd}b".as_bytes(), b"a b"),
            (b"cut \xe2\x82", b"cut   "),
        ] {
            assert_eq!(clean_value(value, &mut out), want);
        }
    }
}
