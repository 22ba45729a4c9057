//! JSON as Go writes it, straight into a byte buffer.
//!
//! Strings are escaped as Go's `encoding/json` does with HTML escaping on: `<`, `>`, `&`, U+2028
//! and U+2029 become `\uXXXX`, and every byte that is not UTF-8 becomes `\ufffd`.

use base::Labels;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Bytes that end a run of bytes which are copied as they are.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    // The first byte of U+2028 and U+2029, and of many harmless characters.
    table[0xe2] = true;
    table
};

/// Appends `text` with its quotes. `text` need not be UTF-8.
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    // One pass decides for nearly all lines; it is vectorised, the pieces below are not.
    match std::str::from_utf8(text) {
        Ok(text) => escape(out, text.as_bytes()),
        Err(_) => {
            for chunk in text.utf8_chunks() {
                escape(out, chunk.valid().as_bytes());
                for _ in chunk.invalid() {
                    out.extend_from_slice(b"\\ufffd");
                }
            }
        }
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len());
    let mut from = 0;
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        if !SPECIAL[byte as usize] {
            at += 1;
            continue;
        }
        if byte == 0xe2 {
            let separator =
                text[at..].starts_with(b"\xe2\x80\xa8") || text[at..].starts_with(b"\xe2\x80\xa9");
            if separator {
                out.extend_from_slice(&text[from..at]);
                out.extend_from_slice(b"\\u202");
                out.push(HEX[(text[at + 2] & 0xf) as usize]);
                from = at + 3;
            }
            at += 3;
            continue;
        }
        out.extend_from_slice(&text[from..at]);
        at += 1;
        from = at;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[(byte >> 4) as usize]);
                out.push(HEX[(byte & 0xf) as usize]);
            }
        }
    }
    out.extend_from_slice(&text[from..]);
}

/// Appends an integer.
pub fn int(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    uint(out, value.unsigned_abs());
}

/// Appends an unsigned integer.
pub fn uint(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a float as a JSON number; NaN and infinities, which JSON has not, as 0.
pub fn number(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        out.extend_from_slice(value.to_string().as_bytes());
    } else {
        out.push(b'0');
    }
}

/// Appends milliseconds as seconds with at most three decimals.
pub fn seconds(out: &mut Vec<u8>, ts_ms: i64) {
    if ts_ms < 0 {
        out.push(b'-');
    }
    let ms = ts_ms.unsigned_abs();
    uint(out, ms / 1000);
    let part = (ms % 1000) as usize;
    if part == 0 {
        return;
    }
    let digits = [part / 100, part / 10 % 10, part % 10];
    let used = if digits[2] != 0 {
        3
    } else if digits[1] != 0 {
        2
    } else {
        1
    };
    out.push(b'.');
    out.extend(digits[..used].iter().map(|&digit| b'0' + digit as u8));
}

/// Appends a sample value with its quotes: shortest decimal without exponent, `NaN`, `+Inf`, `-Inf`.
pub fn sample_value(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value.fract() == 0.0
        && value.abs() < 9e15
        && !(value == 0.0 && value.is_sign_negative())
    {
        // Counts, by far the most common values.
        int(out, value as i64);
    } else {
        out.extend_from_slice(value.to_string().as_bytes());
    }
    out.push(b'"');
}

/// Appends labels as an object.
pub fn labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, name.as_bytes());
        out.push(b':');
        string(out, value.as_bytes());
    }
    out.push(b'}');
}

/// Appends an array of strings.
pub fn strings<T: AsRef<str>>(out: &mut Vec<u8>, texts: impl IntoIterator<Item = T>) {
    out.push(b'[');
    for (index, text) in texts.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, text.as_ref().as_bytes());
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_go_escapes_them() {
        let cases: [(&[u8], &str); 10] = [
            (b"", r#""""#),
            (b"plain", r#""plain""#),
            (b"a\"b\\c/d", r#""a\"b\\c/d""#),
            (b"\n\r\t\x08\x0c\x00\x1f\x7f", "\"\\n\\r\\t\\u0008\\u000c\\u0000\\u001f\x7f\""),
            (b"<a href='x'>&</a>", r#""\u003ca href='x'\u003e\u0026\u003c/a\u003e""#),
            ("\u{2028}|\u{2029}|\u{202a}|€".as_bytes(), "\"\\u2028|\\u2029|\u{202a}|€\""),
            ("č🚀".as_bytes(), "\"č🚀\""),
            (b"\xff<", r#""\ufffd\u003c""#),
            // Go replaces each byte of a truncated character, Rust the character.
            (b"\xe2\x82", r#""\ufffd\ufffd""#),
            (b"\xf0\x9f\x9a|\xed\xa0\x80", r#""\ufffd\ufffd\ufffd|\ufffd\ufffd\ufffd""#),
        ];
        for (text, want) in cases {
            assert_eq!(written(|out| string(out, text)), want);
        }
    }

    #[test]
    fn times_have_at_most_three_decimals() {
        for (ms, want) in [
            (0, "0"),
            (1_714_561_200_000, "1714561200"),
            (1_714_561_200_500, "1714561200.5"),
            (1_714_561_200_050, "1714561200.05"),
            (1_714_561_200_001, "1714561200.001"),
            (-1000, "-1"),
            (-1500, "-1.5"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(written(|out| seconds(out, ms)), want);
        }
    }

    #[test]
    fn values_are_shortest_decimals_without_exponent() {
        for (value, want) in [
            (0.0, "\"0\""),
            (-0.0, "\"-0\""),
            (3.0, "\"3\""),
            (-12.5, "\"-12.5\""),
            (0.0033333333333333335, "\"0.0033333333333333335\""),
            (1e21, "\"1000000000000000000000\""),
            (1e-7, "\"0.0000001\""),
            (9007199254740993.0, "\"9007199254740992\""),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"+Inf\""),
            (f64::NEG_INFINITY, "\"-Inf\""),
        ] {
            assert_eq!(written(|out| sample_value(out, value)), want);
        }
    }

    #[test]
    fn integers_cover_their_range() {
        for value in [0, 7, -7, 10, i64::MAX, i64::MIN] {
            assert_eq!(written(|out| int(out, value)), value.to_string());
        }
        assert_eq!(written(|out| uint(out, u64::MAX)), u64::MAX.to_string());
    }

    proptest! {
        #[test]
        fn any_bytes_become_json_that_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = written(|out| string(out, &bytes));
            let back: String = serde_json::from_str(&text).unwrap();
            let mut want = String::new();
            for chunk in bytes.utf8_chunks() {
                want.push_str(chunk.valid());
                want.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
            }
            prop_assert_eq!(back, want);
            let raw = text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
            prop_assert!(!raw);
        }

        #[test]
        fn any_text_survives(text in "\\PC*") {
            let written = written(|out| string(out, text.as_bytes()));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }

        #[test]
        fn any_value_reads_back(value in any::<f64>()) {
            let text = written(|out| sample_value(out, value));
            let inner = text.trim_matches('"').replace("+Inf", "inf");
            let back: f64 = inner.parse().unwrap();
            prop_assert!(back == value || back.is_nan() && value.is_nan());
            prop_assert!(!text.contains('e'));
        }
    }
}
