//! The timestamp of each line: now, or what a field of the line says.

use chrono::{DateTime, NaiveDateTime};
use serde_json::Value;

/// Gives lines their timestamps.
#[derive(Debug)]
pub struct Stamper {
    /// Field to read; [`None`] = the time of sending.
    field: Option<String>,
    now_ns: i64,
    /// What the field of the line before said.
    told_ns: Option<i64>,
    last_ns: Option<i64>,
}

impl Stamper {
    /// Timestamps from `field`, or from the clock.
    pub fn new(field: Option<String>) -> Stamper {
        Stamper { field, now_ns: 0, told_ns: None, last_ns: None }
    }

    /// Lines from here on are read at this instant.
    pub fn set_now(&mut self, now_ns: i64) {
        self.now_ns = now_ns;
    }

    /// The timestamp of the next line.
    ///
    /// Without a field: now, and always later than the line before, so that order stays. With one:
    /// what it says, made one nanosecond later than the line before where both say the same; a line
    /// that does not have the field (a stack trace goes on) follows the one before it.
    pub fn stamp(&mut self, line: &str) -> i64 {
        let told = self.field.as_deref().and_then(|field| field_of(line, field));
        let after_last = self.last_ns.map(|last| last.saturating_add(1));
        let ts_ns = match (told, after_last) {
            (Some(told), Some(after_last)) if self.told_ns == Some(told) => after_last,
            (Some(told), _) => told,
            (None, Some(after_last)) if self.field.is_some() => after_last,
            (None, after_last) => self.now_ns.max(after_last.unwrap_or(i64::MIN)),
        };
        self.told_ns = told.or(self.told_ns);
        self.last_ns = Some(ts_ns);
        ts_ns
    }
}

/// The timestamp in `field` of a line that is a JSON object or has `field=value` in it.
fn field_of(line: &str, field: &str) -> Option<i64> {
    if line.trim_start().starts_with('{') {
        let parsed: serde_json::Map<String, Value> = serde_json::from_str(line).ok()?;
        return match parsed.get(field)? {
            Value::String(text) => parse(text),
            Value::Number(number) => parse(&number.to_string()),
            _ => None,
        };
    }
    let mut rest = line;
    loop {
        let at = rest.find(field)?;
        let (before, after) = (&rest[..at], &rest[at + field.len()..]);
        let begins = before.is_empty() || before.ends_with([' ', '\t']);
        match after.strip_prefix('=') {
            Some(value) if begins => {
                return parse(match value.strip_prefix('"') {
                    Some(quoted) => quoted.split('"').next()?,
                    None => value.split([' ', '\t']).next()?,
                });
            }
            _ => rest = after,
        }
    }
}

/// RFC 3339 (a space for the T is fine; without a zone it is UTC), or Unix time in seconds,
/// milliseconds, microseconds or nanoseconds, told apart by the number of digits.
fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        let scale = match text.trim_start_matches('-').len() {
            0..=10 => 1_000_000_000,
            11..=13 => 1_000_000,
            14..=16 => 1_000,
            _ => 1,
        };
        return number.checked_mul(scale);
    }
    if let Some((seconds, fraction)) = text.split_once('.')
        && let Ok(seconds) = seconds.parse::<i64>()
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
    {
        let nanos: i64 = format!("{fraction:0<9}")[..9].parse().ok()?;
        let nanos = if text.starts_with('-') { -nanos } else { nanos };
        return seconds.checked_mul(1_000_000_000)?.checked_add(nanos);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1)) {
        return time.timestamp_nanos_opt();
    }
    let naive = text.replacen('T', " ", 1).replace(',', ".");
    let naive = NaiveDateTime::parse_from_str(&naive, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    naive.and_utc().timestamp_nanos_opt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_of_the_clock_always_grow() {
        let mut stamper = Stamper::new(None);
        stamper.set_now(100);
        assert_eq!([stamper.stamp("a"), stamper.stamp("b")], [100, 101]);
        stamper.set_now(50);
        assert_eq!(stamper.stamp("c"), 102);
        stamper.set_now(500);
        assert_eq!(stamper.stamp("d"), 500);
    }

    #[test]
    fn a_field_gives_the_time_and_lines_without_it_follow() {
        let mut stamper = Stamper::new(Some("ts".to_owned()));
        stamper.set_now(7);
        assert_eq!(stamper.stamp("no field yet"), 7);
        assert_eq!(stamper.stamp(r#"{"ts":1700000000,"m":"a"}"#), 1_700_000_000_000_000_000);
        assert_eq!(stamper.stamp(r#"{"ts":1700000000,"m":"b"}"#), 1_700_000_000_000_000_001);
        assert_eq!(stamper.stamp("  at stack.trace"), 1_700_000_000_000_000_002);
        assert_eq!(stamper.stamp("level=info ts=1700000000"), 1_700_000_000_000_000_003);
        // An older line stays older.
        assert_eq!(stamper.stamp("ts=1600000000.5 x"), 1_600_000_000_500_000_000);
    }

    #[test]
    fn the_usual_forms_of_time_are_read() {
        let wanted = Some(1_714_557_600_123_000_000);
        for text in [
            "1714557600123",
            "1714557600123000",
            "1714557600123000000",
            "1714557600.123",
            "2024-05-01T10:00:00.123Z",
            "2024-05-01T12:00:00.123+02:00",
            "2024-05-01 10:00:00.123Z",
            "2024-05-01 10:00:00,123",
            "2024-05-01T10:00:00.123",
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
        for text in ["", "noon", "1.2.3", "99999999999999999999", "2024-05-01"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_the_whole_name_is_the_field() {
        assert_eq!(field_of("xts=1 ts=2", "ts"), Some(2_000_000_000));
        assert_eq!(field_of(r#"a=b ts="2024-05-01 10:00:00""#, "ts"), parse("1714557600"));
        assert_eq!(field_of("tsx=1", "ts"), None);
        assert_eq!(field_of(r#"{"a":{"ts":1}}"#, "ts"), None);
    }
}
