//! Text of labels into numbers, as Go reads them (contract 6.7): label filters and `unwrap`.

use base::quote::quote;

/// Why a value is no number; the text is Go's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable(pub String);

impl Unreadable {
    fn syntax(text: &str) -> Unreadable {
        Unreadable(format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(text)))
    }
    fn range(text: &str) -> Unreadable {
        Unreadable(format!("strconv.ParseFloat: parsing {}: value out of range", quote(text)))
    }
}

/// `strconv.ParseFloat(text, 64)`: decimal and hexadecimal, underscores between digits, `inf`,
/// `infinity` and `nan` in any case.
pub(crate) fn parse_float(text: &str) -> Result<f64, Unreadable> {
    let bytes = text.as_bytes();
    if let Some(value) = short_integer(bytes) {
        return Ok(value);
    }
    if let Some(special) = special(text) {
        return Ok(special);
    }
    let scanned = scan(bytes).ok_or_else(|| Unreadable::syntax(text))?;
    if scanned.underscores && !underscores_are_well_placed(bytes) {
        return Err(Unreadable::syntax(text));
    }
    let value = if scanned.hex {
        let plain: Vec<u8> = bytes.iter().copied().filter(|&byte| byte != b'_').collect();
        hexadecimal(&plain)
    } else if scanned.underscores {
        text.replace('_', "").parse().map_err(|_| Unreadable::syntax(text))?
    } else {
        text.parse::<f64>().map_err(|_| Unreadable::syntax(text))?
    };
    if value.is_infinite() { Err(Unreadable::range(text)) } else { Ok(value) }
}

/// The common case without any of the machinery: up to 15 digits are exact in a double.
fn short_integer(bytes: &[u8]) -> Option<f64> {
    if bytes.is_empty() || bytes.len() > 15 {
        return None;
    }
    let mut value = 0u64;
    for &byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value as f64)
}

fn special(text: &str) -> Option<f64> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1.0, &text[1..]),
        b'-' => (-1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest.eq_ignore_ascii_case("inf") || rest.eq_ignore_ascii_case("infinity") {
        return Some(sign * f64::INFINITY);
    }
    text.eq_ignore_ascii_case("nan").then_some(f64::NAN)
}

struct Scanned {
    hex: bool,
    underscores: bool,
}

/// Whether the whole text has the shape of a Go floating-point literal (with a sign).
fn scan(bytes: &[u8]) -> Option<Scanned> {
    let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let hex = bytes.len() > at + 2 && bytes[at] == b'0' && bytes[at + 1] | 0x20 == b'x';
    if hex {
        at += 2;
    }
    let (mut digits, mut point, mut underscores) = (false, false, false);
    while at < bytes.len() {
        match bytes[at] {
            b'_' => underscores = true,
            b'.' if !point => point = true,
            byte if byte.is_ascii_digit() || (hex && byte.is_ascii_hexdigit()) => digits = true,
            _ => break,
        }
        at += 1;
    }
    if !digits {
        return None;
    }
    let marker = if hex { b'p' } else { b'e' };
    let exponent = at < bytes.len() && bytes[at] | 0x20 == marker;
    if exponent {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        if !bytes.get(at).is_some_and(u8::is_ascii_digit) {
            return None;
        }
        while at < bytes.len() && (bytes[at].is_ascii_digit() || bytes[at] == b'_') {
            underscores |= bytes[at] == b'_';
            at += 1;
        }
    }
    let complete = at == bytes.len() && (exponent || !hex);
    complete.then_some(Scanned { hex, underscores })
}

/// Go's rule: an underscore stands between digits; the prefix `0x` counts as a digit.
fn underscores_are_well_placed(bytes: &[u8]) -> bool {
    #[derive(PartialEq)]
    enum Last {
        Digit,
        Underscore,
        Other,
    }
    let mut rest = bytes.strip_prefix(b"-").or(bytes.strip_prefix(b"+")).unwrap_or(bytes);
    let (mut last, mut hex) = (Last::Other, false);
    if rest.len() >= 2 && rest[0] == b'0' && matches!(rest[1] | 0x20, b'b' | b'o' | b'x') {
        (last, hex) = (Last::Digit, rest[1] | 0x20 == b'x');
        rest = &rest[2..];
    }
    for &byte in rest {
        if byte.is_ascii_digit() || (hex && byte.is_ascii_hexdigit()) {
            last = Last::Digit;
        } else if byte == b'_' {
            if last != Last::Digit {
                return false;
            }
            last = Last::Underscore;
        } else {
            if last == Last::Underscore {
                return false;
            }
            last = Last::Other;
        }
    }
    last != Last::Underscore
}

/// A hexadecimal literal without underscores that [`scan`] accepted, rounded to nearest, even.
fn hexadecimal(bytes: &[u8]) -> f64 {
    let negative = bytes[0] == b'-';
    let at = usize::from(matches!(bytes[0], b'+' | b'-')) + 2;
    let (mut mantissa, mut exponent, mut after_point, mut sticky) = (0u64, 0i64, false, false);
    let mut end = at;
    for &byte in &bytes[at..] {
        let digit = match byte {
            b'.' => {
                after_point = true;
                end += 1;
                continue;
            }
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => break,
        };
        end += 1;
        if mantissa >> 59 == 0 {
            mantissa = mantissa << 4 | u64::from(digit);
            exponent -= if after_point { 4 } else { 0 };
        } else {
            sticky |= digit != 0;
            exponent += if after_point { 0 } else { 4 };
        }
    }
    let written = std::str::from_utf8(&bytes[end + 1..]).unwrap_or("0");
    let written: i64 = written.parse().unwrap_or(if written.starts_with('-') {
        i64::from(i32::MIN)
    } else {
        i64::from(i32::MAX)
    });
    let value = scale_by_power_of_two(mantissa, sticky, exponent.saturating_add(written));
    if negative { -value } else { value }
}

/// `(mantissa + sticky) * 2^exponent`, rounded once.
fn scale_by_power_of_two(mantissa: u64, sticky: bool, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let top = 63 - i64::from(mantissa.leading_zeros());
    // The lowest bit a double of this size can keep.
    let unit = (exponent + top - 52).max(-1074);
    if exponent + top > 1023 {
        return f64::INFINITY;
    }
    let drop = unit - exponent;
    let kept = if drop <= 0 {
        u128::from(mantissa) << (-drop).min(60)
    } else if drop > 64 {
        0
    } else {
        let wide = u128::from(mantissa);
        let (kept, rest) = (wide >> drop, wide & ((1 << drop) - 1));
        let half = 1u128 << (drop - 1);
        let up = rest > half || (rest == half && (sticky || kept & 1 == 1));
        kept + u128::from(up)
    };
    // `kept` has at most 53 bits and `unit` is at least the smallest exponent: both steps exact.
    let high = unit.max(-1022 + 52) - unit;
    let scaled = kept as f64 * 2f64.powi((unit + high) as i32);
    if high == 0 { scaled } else { scaled / 2f64.powi(high as i32) }
}

/// Human byte sizes as log lines write them: `5 MB`, `10KiB`, `1,234`, `12`. Decimal prefixes are
/// powers of 1000, `i` prefixes of 1024.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, Unreadable> {
    let digits = text
        .bytes()
        .position(|byte| !byte.is_ascii_digit() && byte != b'.' && byte != b',')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let value = if number.contains(',') {
        parse_float(&number.replace(',', ""))
    } else {
        parse_float(number)
    };
    let mut value = value?;
    let unit = unit.trim().to_lowercase();
    let Some(scale) = byte_unit(&unit) else {
        return Err(Unreadable(format!("unhandled size name: {unit}")));
    };
    value *= scale as f64;
    if value >= u64::MAX as f64 {
        return Err(Unreadable(format!("too large: {text}")));
    }
    Ok(value as u64)
}

fn byte_unit(unit: &str) -> Option<u64> {
    let prefix = match unit {
        "" | "b" => return Some(1),
        _ => unit.strip_suffix('b').unwrap_or(unit),
    };
    let (letter, base) = match prefix.strip_suffix('i') {
        Some(letter) => (letter, 1024u64),
        None => (prefix, 1000u64),
    };
    let power = ["k", "m", "g", "t", "p", "e"].iter().position(|known| *known == letter)?;
    Some(base.pow(power as u32 + 1))
}

/// A Go duration in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64, Unreadable> {
    base::units::parse_go_duration(text).map_err(|error| Unreadable(error.to_string()))
}

/// Nanoseconds as seconds, as Go's `Duration.Seconds`: whole seconds plus the rest.
pub(crate) fn seconds(ns: i64) -> f64 {
    (ns / 1_000_000_000) as f64 + (ns % 1_000_000_000) as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_as_go_reads_them() {
        let cases: &[(&str, f64)] = &[
            ("0", 0.0),
            ("42", 42.0),
            ("-7", -7.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1_000", 1000.0),
            ("1_0.0_1e1_0", 10.01e10),
            ("0x1p-2", 0.25),
            ("0X1.8P1", 3.0),
            ("0x_1p0", 1.0),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x1.fffffffffffff7p0", 1.999_999_999_999_999_8),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("-0x1p1023", -8.98846567431158e307),
            ("Inf", f64::INFINITY),
            ("-infinity", f64::NEG_INFINITY),
            ("123456789012345678", 123_456_789_012_345_680.0),
            ("1e-999", 0.0),
        ];
        for &(text, want) in cases {
            assert_eq!(parse_float(text), Ok(want), "{text}");
        }
        assert!(parse_float("NaN").is_ok_and(f64::is_nan));
    }

    #[test]
    fn bad_floats_give_gos_text() {
        for text in [
            "", "abc", "1s", "1 ", " 1", "1__0", "_1", "1_", "0x1", "0x", "0xp1", "1e", "1e+",
            "+nan", "1.2.3", "1,0", "0b1", "--1", "1e_1", "infinit",
        ] {
            let error = format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(text));
            assert_eq!(parse_float(text), Err(Unreadable(error)), "{text}");
        }
        let error = "strconv.ParseFloat: parsing \"1e999\": value out of range";
        assert_eq!(parse_float("1e999"), Err(Unreadable(error.to_owned())));
        assert!(parse_float("0x1p1024").is_err());
    }

    #[test]
    fn byte_sizes_read_as_people_write_them() {
        for (text, want) in [
            ("1KB", 1000),
            ("1KiB", 1024),
            ("2Kb", 2000),
            ("2,048", 2048),
            ("1.5B", 1),
            ("5 MB", 5_000_000),
            ("3MiB", 3 << 20),
            ("10k", 10_000),
            ("1 Ei", 1 << 60),
            ("7", 7),
        ] {
            assert_eq!(parse_bytes(text), Ok(want), "{text}");
        }
        for (text, error) in [
            ("", "strconv.ParseFloat: parsing \"\": invalid syntax"),
            ("-5KB", "strconv.ParseFloat: parsing \"\": invalid syntax"),
            ("12 parsecs", "unhandled size name: parsecs"),
            ("1.5s", "unhandled size name: s"),
            ("99EB", "too large: 99EB"),
        ] {
            assert_eq!(parse_bytes(text), Err(Unreadable(error.to_owned())), "{text}");
        }
    }
}
