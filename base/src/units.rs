//! Byte sizes and durations as users of Loki write them.

use std::fmt;
use std::time::Duration;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Why a size or duration was not understood; the text quotes the input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(String);

impl ByteSize {
    /// Reads `5`, `256KB`, `1.5MiB`, `4mb`: as Loki's configuration, every prefix is a power of 1024.
    pub fn parse(text: &str) -> Result<ByteSize, UnitError> {
        let bad = || UnitError(format!("invalid byte size {text:?}"));
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, unit) = trimmed.split_at(digits.unwrap_or(trimmed.len()));
        let scale = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1u64,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            "t" | "tb" | "tib" => 1 << 40,
            "p" | "pb" | "pib" => 1 << 50,
            _ => return Err(bad()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(scale).map(ByteSize).ok_or_else(bad);
        }
        let number: f64 = number.parse().map_err(|_| bad())?;
        Ok(ByteSize((number * scale as f64) as u64))
    }
}

impl fmt::Display for ByteSize {
    /// Loki's way: the largest prefix that leaves a whole number or one decimal, powers of 1024.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["B", "KB", "MB", "GB", "TB", "PB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        if value.fract() == 0.0 {
            write!(f, "{value:.0}{}", UNITS[unit])
        } else {
            write!(f, "{value:.1}{}", UNITS[unit])
        }
    }
}

/// Reads a Prometheus duration: `1d`, `1h30m`, `100ms`, `0`. Units in falling order, each once.
/// The error texts are Prometheus' own.
pub fn parse_prometheus_duration(text: &str) -> Result<Duration, UnitError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(UnitError("empty duration string".to_owned()));
    }
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 24 * 3_600_000),
        ("w", 7 * 24 * 3_600_000),
        ("d", 24 * 3_600_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let invalid =
        || UnitError(format!("not a valid duration string: {}", crate::quote::quote(text)));
    let mut rest = text;
    let mut allowed = 0;
    let mut total_ms = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if digits == 0 || digits == rest.len() {
            return Err(invalid());
        }
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = &rest[..unit_end];
        let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
            let (unit, whole) = (crate::quote::quote(unit), crate::quote::quote(text));
            return Err(UnitError(format!("unknown unit {unit} in duration {whole}")));
        };
        if index < allowed {
            return Err(invalid());
        }
        allowed = index + 1;
        let add = number.checked_mul(UNITS[index].1);
        total_ms = add
            .and_then(|ms| total_ms.checked_add(ms))
            .ok_or_else(|| UnitError("duration out of range".to_owned()))?;
        rest = &rest[unit_end..];
    }
    if total_ms > i64::MAX as u64 / 1_000_000 {
        return Err(UnitError("duration out of range".to_owned()));
    }
    Ok(Duration::from_millis(total_ms))
}

/// Prints a duration as Prometheus does: `1h30m`, `0s`, `1w`; sub-millisecond parts are dropped.
pub fn format_prometheus_duration(duration: Duration) -> String {
    use std::fmt::Write;
    let mut ms = duration.as_millis() as u64;
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    // Years and weeks only when nothing is left over, as Prometheus prints them.
    let steps: [(&str, u64, bool); 7] = [
        ("y", 365 * 24 * 3_600_000, true),
        ("w", 7 * 24 * 3_600_000, true),
        ("d", 24 * 3_600_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ];
    for (unit, scale, exact) in steps {
        if exact && !ms.is_multiple_of(scale) {
            continue;
        }
        if ms / scale > 0 {
            let written = write!(out, "{}{unit}", ms / scale);
            debug_assert!(written.is_ok());
            ms %= scale;
        }
    }
    out
}

/// Prints a duration as Go's `time.Duration` does: `1h0m0s`, `1.5s`, `100ms`, `0s`.
pub fn format_go_duration(ns: i64) -> String {
    let negative = ns < 0;
    let magnitude = ns.unsigned_abs();
    let text = if magnitude == 0 {
        "0s".to_owned()
    } else if magnitude < 1_000_000_000 {
        let (scale, unit) = match magnitude {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        format!("{}{unit}", decimal(magnitude, scale))
    } else {
        let minutes = magnitude / 60_000_000_000;
        let seconds = decimal(magnitude % 60_000_000_000, 1_000_000_000);
        match (minutes / 60, minutes % 60) {
            (0, 0) => format!("{seconds}s"),
            (0, minutes) => format!("{minutes}m{seconds}s"),
            (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
        }
    };
    if negative { format!("-{text}") } else { text }
}

fn decimal(value: u64, scale: u64) -> String {
    let (whole, part) = (value / scale, value % scale);
    if part == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{part:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// Reads a Go duration: `1h30m`, `1.5s`, `-100ms`, `0`. Result in nanoseconds.
/// The error texts are Go's own.
pub fn parse_go_duration(text: &str) -> Result<i64, UnitError> {
    let quoted = || crate::quote::quote(text);
    let invalid = || UnitError(format!("time: invalid duration {}", quoted()));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let whole_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let whole = &rest[..whole_end];
        rest = &rest[whole_end..];
        let mut part = "";
        if let Some(after) = rest.strip_prefix('.') {
            let part_end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            part = &after[..part_end];
            rest = &after[part_end..];
        }
        if whole.is_empty() && part.is_empty() {
            return Err(invalid());
        }
        let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = &rest[..unit_end];
        rest = &rest[unit_end..];
        let scale: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => {
                return Err(UnitError(format!("time: missing unit in duration {}", quoted())));
            }
            other => {
                let unit = crate::quote::quote(other);
                return Err(UnitError(format!(
                    "time: unknown unit {unit} in duration {}",
                    quoted()
                )));
            }
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let mut value = whole.checked_mul(scale).ok_or_else(invalid)?;
        if !part.is_empty() {
            // In Go's order: a second over a power of ten is a whole number of nanoseconds, so
            // what was printed reads back. 18 digits are more than any unit has.
            let digits = &part[..part.len().min(18)];
            let fraction: u64 = digits.parse().map_err(|_| invalid())?;
            let unit = scale as f64 / 10f64.powi(digits.len() as i32);
            value = value.checked_add((fraction as f64 * unit) as u64).ok_or_else(invalid)?;
        }
        total = total.checked_add(value).ok_or_else(invalid)?;
        if total > 1 << 63 {
            return Err(invalid());
        }
    }
    match (negative, total) {
        (true, 0x8000_0000_0000_0000) => Ok(i64::MIN),
        (_, 0x8000_0000_0000_0000..) => Err(invalid()),
        (true, total) => Ok(-(total as i64)),
        (false, total) => Ok(total as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_durations_read_and_print() {
        for (text, ms) in
            [("0", 0), ("5m", 300_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("100ms", 100)]
        {
            assert_eq!(parse_prometheus_duration(text), Ok(Duration::from_millis(ms)));
        }
        for (ms, text) in [
            (0, "0s"),
            (5_400_000, "1h30m"),
            (30 * 86_400_000 + 3_600_000, "30d1h"),
            (604_800_000, "1w"),
            (1_500, "1s500ms"),
        ] {
            assert_eq!(format_prometheus_duration(Duration::from_millis(ms)), text);
        }
        for (text, error) in [
            ("", "empty duration string"),
            ("5", "not a valid duration string: \"5\""),
            ("-5m", "not a valid duration string: \"-5m\""),
            ("1x", "unknown unit \"x\" in duration \"1x\""),
            ("1m1h", "not a valid duration string: \"1m1h\""),
        ] {
            assert_eq!(
                parse_prometheus_duration(text).map_err(|e| e.to_string()),
                Err(error.to_owned())
            );
        }
    }

    #[test]
    fn go_durations_read_and_print() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (1_500_000_000, "1.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (-90_000_000_000, "-1m30s"),
            (5_771_310_574_128_206_780, "1603141h49m34.12820678s"),
        ] {
            assert_eq!(format_go_duration(ns), text);
            assert_eq!(parse_go_duration(text), Ok(ns));
        }
        assert_eq!(parse_go_duration("1.5h"), Ok(5_400_000_000_000));
        assert_eq!(parse_go_duration(".5s"), Ok(500_000_000));
        for bad in ["", "1d", "5", "x", "1.h.", "99999999999h"] {
            assert!(parse_go_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn byte_sizes_read_and_print() {
        for (text, bytes) in [
            ("5", 5),
            ("256KB", 262_144),
            ("1.5MiB", 1_572_864),
            ("4mb", 4_194_304),
            ("1G", 1 << 30),
        ] {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)));
        }
        assert!(ByteSize::parse("4 parsecs").is_err());
        assert_eq!(ByteSize(3 << 20).to_string(), "3MB");
        assert_eq!(ByteSize(1536).to_string(), "1.5KB");
    }
}
