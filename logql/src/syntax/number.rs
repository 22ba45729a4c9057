//! Numbers as Go reads and prints them.

use std::fmt::Write;

pub(crate) use super::scanner::separators_are_inside;

/// Reads a float as `strconv.ParseFloat(text, 64)`. The error is Go's text.
pub fn parse_float(text: &str) -> Result<f64, String> {
    let fail = |why| format!("strconv.ParseFloat: parsing {}: {why}", base::quote::quote(text));
    let invalid = || fail("invalid syntax");
    let (negative, magnitude) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let mut lower = magnitude.to_ascii_lowercase();
    if lower.contains('_') {
        if !separators_are_inside(&lower) {
            return Err(invalid());
        }
        lower.retain(|c| c != '_');
    }
    let value = if matches!(lower.as_str(), "inf" | "infinity") {
        f64::INFINITY
    } else if lower == "nan" && magnitude.len() == text.len() {
        return Ok(f64::NAN);
    } else if let Some(hex) = lower.strip_prefix("0x") {
        parse_hex_float(hex).ok_or_else(invalid)?
    } else {
        let plain = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-');
        if !lower.as_bytes().iter().all(plain) {
            return Err(invalid());
        }
        lower.parse::<f64>().map_err(|_| invalid())?
    };
    if value.is_infinite() && !lower.starts_with('i') {
        return Err(fail("value out of range"));
    }
    Ok(if negative { -value } else { value })
}

/// A hexadecimal float without sign and prefix: the exponent is a must.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, part].concat();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let shape = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if shape.is_empty() || !shape.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let sign = if exponent.starts_with('-') { -1 } else { 1 };
    let exponent = sign * shape.parse::<i64>().unwrap_or(100_000).min(100_000);
    // Up to 64 bits are kept; what is cut off only has to break ties.
    let mut value: u64 = 0;
    let mut shift = -4 * part.len() as i64;
    for digit in digits.bytes() {
        let digit = u64::from((digit as char).to_digit(16)?);
        if value >> 59 == 0 {
            value = value << 4 | digit;
        } else {
            value |= u64::from(digit != 0);
            shift += 4;
        }
    }
    Some(scale_by_power_of_two(value, exponent + shift))
}

/// `value * 2^exponent`, rounded once, to the nearest.
fn scale_by_power_of_two(value: u64, exponent: i64) -> f64 {
    if value == 0 {
        return 0.0;
    }
    let top = 63 - i64::from(value.leading_zeros()) + exponent;
    if top > 1_023 {
        return f64::INFINITY;
    }
    // Bits a double of this magnitude has; fewer for subnormal ones.
    let kept = (top + 1_075).clamp(0, 53);
    let drop = 63 - i64::from(value.leading_zeros()) + 1 - kept;
    if drop <= 0 {
        return shift(value as f64, exponent);
    }
    if drop > 64 {
        return 0.0;
    }
    let wide = u128::from(value);
    let (whole, rest) = (wide >> drop, wide & ((1 << drop) - 1));
    let half = 1u128 << (drop - 1);
    let rounded = whole + u128::from(rest > half || (rest == half && whole & 1 == 1));
    shift(rounded as f64, exponent + drop)
}

/// `value * 2^exponent` for a result that is a double: in steps whose factors are doubles too.
fn shift(mut value: f64, mut exponent: i64) -> f64 {
    while exponent != 0 {
        let step = exponent.clamp(-1_000, 1_000);
        value *= 2f64.powi(step as i32);
        exponent -= step;
    }
    value
}

/// Reads a byte size: `5KB` (1000), `5KiB` (1024), `5M`, `1,024B`. What follows the number may
/// have any case and blanks before it.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let number: String = number.split(',').collect();
    let scale: u64 = match unit.trim().to_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "p" | "pb" => 1_000_000_000_000_000,
        "e" | "eb" => 1_000_000_000_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        "ti" | "tib" => 1 << 40,
        "pi" | "pib" => 1 << 50,
        "ei" | "eib" => 1 << 60,
        _ => return None,
    };
    let value = parse_float(&number).ok()? * scale as f64;
    (value < u64::MAX as f64).then_some(value as u64)
}

/// Prints a byte size with two significant digits: `5B`, `1.5kB`, `15MB`.
pub fn format_bytes(bytes: u64) -> String {
    if bytes < 10 {
        return format!("{bytes}B");
    }
    let exponent = ((bytes as f64).ln() / 1_000f64.ln()).floor();
    let unit = ["B", "kB", "MB", "GB", "TB", "PB", "EB"][exponent as usize];
    let value = (bytes as f64 / 1_000f64.powf(exponent) * 10.0 + 0.5).floor() / 10.0;
    if value < 10.0 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

/// Appends a float as `strconv.FormatFloat(value, 'f', -1, 64)`.
pub fn push_float(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        let written = write!(out, "{value}");
        debug_assert!(written.is_ok());
    }
}

/// A float as Go's `%v` prints it: the shortest text that reads back, with an exponent from 1e21
/// on and below 1e-4.
pub fn general(value: f64) -> String {
    let magnitude = value.abs();
    let mut out = String::new();
    if !value.is_finite() || value == 0.0 || (1e-4..1e21).contains(&magnitude) {
        push_float(&mut out, value);
        return out;
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').expect("an exponent was asked for");
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests;
