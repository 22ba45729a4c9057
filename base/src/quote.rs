//! Go's `strconv.Quote` : how Loki prints strings in label sets and LogQL.

/// Appends `text` as a double-quoted Go string literal.
pub fn quote_into(out: &mut String, text: &str) {
    out.push('"');
    let mut plain_from = 0;
    for (at, c) in text.char_indices() {
        if c == ' ' || (c.is_ascii_graphic() && c != '"' && c != '\\') {
            continue;
        }
        if !c.is_ascii() && is_print(c) {
            continue;
        }
        out.push_str(&text[plain_from..at]);
        plain_from = at + c.len_utf8();
        push_escape(out, c);
    }
    out.push_str(&text[plain_from..]);
    out.push('"');
}

/// `text` as a double-quoted Go string literal.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote_into(&mut out, text);
    out
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
/// Rust's own printable table (behind `escape_debug`) is cut from the same Unicode categories.
pub fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    let mut buffer = String::from("a"); // a mark is printable only after a base
    buffer.push(c);
    buffer.escape_debug().count() == 2
}

fn push_escape(out: &mut String, c: char) {
    use std::fmt::Write;
    let short = match c {
        '\x07' => "\\a",
        '\x08' => "\\b",
        '\x0c' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\x0b' => "\\v",
        '"' => "\\\"",
        '\\' => "\\\\",
        _ => "",
    };
    if !short.is_empty() {
        out.push_str(short);
        return;
    }
    let code = c as u32;
    let written = if code < 0x80 {
        write!(out, "\\x{code:02x}")
    } else if code < 0x1_0000 {
        write!(out, "\\u{code:04x}")
    } else {
        write!(out, "\\U{code:08x}")
    };
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        for (text, want) in [
            ("", r#""""#),
            ("plain text", r#""plain text""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("nl\n tab\t bell\x07 nul\0 del\x7f", r#""nl\n tab\t bell\a nul\x00 del\x7f""#),
            ("ž🚀", r#""ž🚀""#),
            ("nbsp\u{a0} zwsp\u{200b} ls\u{2028}", r#""nbsp\u00a0 zwsp\u200b ls\u2028""#),
            ("e\u{301}", "\"e\u{301}\""),
            ("\u{10ffff}", r#""\U0010ffff""#),
        ] {
            assert_eq!(quote(text), want);
        }
    }
}
