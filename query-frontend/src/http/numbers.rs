//! Go's number and time readers, as far as request parameters need them.

use base::UnixNanos;
use chrono::NaiveDate;

/// Why an integer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntError {
    /// Not an integer.
    Syntax,
    /// Does not fit 64 bits.
    Range,
}

/// `strconv.ParseInt(text, 10, 64)`.
pub fn parse_int(text: &str) -> Result<i64, IntError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(IntError::Syntax);
    }
    text.parse().map_err(|_| IntError::Range)
}

/// `strconv.ParseFloat(text, 64)`; `None` for bad syntax and for numbers beyond 64 bits alike.
pub fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    match lower.as_str() {
        "inf" | "infinity" => {
            return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        "nan" if unsigned.len() == text.len() => return Some(f64::NAN),
        _ => {}
    }
    let magnitude = match lower.strip_prefix("0x") {
        Some(hex) => parse_hex_float(hex)?,
        None => parse_decimal(&lower)?,
    };
    if magnitude.is_infinite() {
        return None;
    }
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

fn parse_decimal(text: &str) -> Option<f64> {
    let plain =
        text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-' | b'_'));
    if !plain || !text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    without_underscores(text)?.parse().ok()
}

/// Removes underscores that stand between digits; any other is an error.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit =
        |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_hexdigit);
    for (at, &byte) in bytes.iter().enumerate() {
        if byte == b'_' && !(digit(at.checked_sub(1)) && digit(Some(at + 1))) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// What follows `0x`: hexadecimal digits with an optional point, and a mandatory `p` exponent.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let mantissa = without_underscores(mantissa.strip_prefix('_').unwrap_or(mantissa))?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((&mantissa, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let sign_and_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if sign_and_digits.is_empty() || !sign_and_digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut exponent: i64 = exponent.parse().ok()?;
    let mut bits: u64 = 0;
    for (at, digit) in whole.chars().chain(part.chars()).enumerate() {
        let digit = u64::from(digit.to_digit(16)?);
        if bits >> 58 != 0 {
            // More digits than a double has: keep whether anything was lost.
            bits |= u64::from(digit != 0);
            exponent += if at < whole.len() { 4 } else { 0 };
        } else {
            bits = bits << 4 | digit;
            exponent -= if at < whole.len() { 0 } else { 4 };
        }
    }
    let exponent = exponent.clamp(-2000, 2000) as i32;
    // Two steps, so that neither power of two leaves the range of a double on its own.
    let half = exponent / 2;
    Some(bits as f64 * 2f64.powi(half) * 2f64.powi(exponent - half))
}

/// `time.Parse(time.RFC3339Nano, text)`. Instants beyond 64-bit nanoseconds saturate.
pub fn parse_rfc3339(text: &str) -> Option<UnixNanos> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 20 {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<u32> {
        let digits = text.get(from..to)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok()
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, want)| bytes[at] != want) {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(number(0, 4)? as i32, number(5, 7)?, number(8, 10)?)?;
    let time = date.and_hms_opt(number(11, 13)?, number(14, 16)?, number(17, 19)?)?;
    let mut rest = &text[19..];
    let mut nanos = 0i64;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        // Go keeps nine digits and drops the rest.
        let kept = &fraction[..digits.min(9)];
        nanos = kept.parse::<i64>().ok()? * 10i64.pow(9 - kept.len() as u32);
        rest = &fraction[digits..];
    }
    let seconds = time.and_utc().timestamp() - zone_seconds(rest)?;
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Some(UnixNanos(total.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64))
}

/// `Z` or `+hh:mm`.
fn zone_seconds(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let bytes = text.as_bytes();
    let sign = match bytes.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = [1, 2, 4, 5].iter().all(|&at| bytes.get(at).is_some_and(u8::is_ascii_digit));
    if bytes.len() != 6 || bytes[3] != b':' || !digits {
        return None;
    }
    let hours: i64 = text[1..3].parse().ok()?;
    let minutes: i64 = text[4..6].parse().ok()?;
    if hours > 24 || minutes > 60 {
        return None;
    }
    Some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_read_as_strconv_reads_them() {
        for (text, want) in [
            ("5", Ok(5)),
            ("+5", Ok(5)),
            ("-5", Ok(-5)),
            ("9223372036854775807", Ok(i64::MAX)),
            ("-9223372036854775808", Ok(i64::MIN)),
            ("9223372036854775808", Err(IntError::Range)),
            ("99999999999999999999", Err(IntError::Range)),
            ("", Err(IntError::Syntax)),
            ("-", Err(IntError::Syntax)),
            ("+-5", Err(IntError::Syntax)),
            ("1_000", Err(IntError::Syntax)),
            ("0x10", Err(IntError::Syntax)),
            (" 5", Err(IntError::Syntax)),
            ("5.0", Err(IntError::Syntax)),
        ] {
            assert_eq!(parse_int(text), want, "{text}");
        }
    }

    #[test]
    fn floats_read_as_strconv_reads_them() {
        for (text, want) in [
            ("5", 5.0),
            ("-0.25", -0.25),
            ("1.", 1.0),
            (".5", 0.5),
            ("1e3", 1000.0),
            ("1E-3", 0.001),
            ("+Inf", f64::INFINITY),
            ("-infinity", f64::NEG_INFINITY),
            ("0x1p3", 8.0),
            ("0x1.8p1", 3.0),
            ("-0X.8P0", -0.5),
            ("0x1p-1074", 5e-324),
            ("1_000.5", 1000.5),
        ] {
            assert_eq!(parse_float(text), Some(want), "{text}");
        }
        assert!(parse_float("NaN").is_some_and(f64::is_nan));
        for text in
            ["", "+", ".", "abc", "1e400", "-1e400", "5s", "+nan", "0x10", "1e", "_1", "1_", " 1"]
        {
            assert_eq!(parse_float(text), None, "{text}");
        }
    }

    #[test]
    fn instants_read_as_go_reads_rfc3339() {
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.5Z", 500_000_000),
            ("1970-01-01T00:00:00,000000001Z", 1),
            ("1970-01-01T02:00:00+02:00", 0),
            ("1969-12-31T19:00:00.1234567899-05:00", 123_456_789),
            ("2024-05-01T13:00:00+02:00", 1_714_561_200_000_000_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000_000_000),
            ("0001-01-01T00:00:00Z", i64::MIN),
            ("9999-01-01T00:00:00Z", i64::MAX),
        ] {
            assert_eq!(parse_rfc3339(text), Some(UnixNanos(ns)), "{text}");
        }
        for text in [
            "",
            "2024-05-01",
            "2024-05-01T10:00:00",
            "2024-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-05-01 10:00:00Z",
            "2024-05-01T10:00:00.Z",
            "2024-05-01T10:00:00+0200",
            "2024-05-01T10:00:00Zx",
            "2024-05-01T25:00:00Z",
            "2024-05-0éT10:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
