//! Instants and durations as people write them, and instants as they read them.

use std::time::Duration;

use base::units::{parse_go_duration, parse_prometheus_duration};
use chrono::{DateTime, Local, SecondsFormat, TimeZone, Utc};

/// In which zone timestamps are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Zone {
    /// The machine's.
    #[value(alias = "Local")]
    Local,
    /// Coordinated universal time.
    #[value(alias = "UTC", alias = "Utc")]
    Utc,
}

impl Zone {
    /// RFC 3339 to the second.
    pub fn seconds(self, ts_ns: i64) -> String {
        self.show(ts_ns, SecondsFormat::Secs)
    }

    /// RFC 3339 with as many digits as the instant has: none, 3, 6 or 9.
    pub fn exact(self, ts_ns: i64) -> String {
        self.show(ts_ns, SecondsFormat::AutoSi)
    }

    fn show(self, ts_ns: i64, digits: SecondsFormat) -> String {
        let utc = DateTime::<Utc>::from_timestamp_nanos(ts_ns);
        match self {
            Zone::Utc => utc.to_rfc3339_opts(digits, true),
            Zone::Local => {
                let local = Local.from_utc_datetime(&utc.naive_utc());
                local.to_rfc3339_opts(digits, true)
            }
        }
    }
}

/// An instant in nanoseconds: RFC 3339, or Unix seconds (at most 10 digits, as Loki reads them) or
/// nanoseconds.
pub fn instant(text: &str) -> Result<i64, String> {
    if let Ok(number) = text.parse::<i64>() {
        let scale = if text.len() <= 10 { 1_000_000_000 } else { 1 };
        return number.checked_mul(scale).ok_or_else(|| format!("{text} is out of range"));
    }
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|_| format!("{text:?} is neither RFC 3339 nor a Unix time"))?;
    time.timestamp_nanos_opt().ok_or_else(|| format!("{text} is out of range"))
}

/// A duration as Prometheus or Go write it: `1h30m`, `7d`, `1.5s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(duration) = parse_prometheus_duration(text) {
        return Ok(duration);
    }
    let ns = parse_go_duration(text).map_err(|error| error.to_string())?;
    u64::try_from(ns).map(Duration::from_nanos).map_err(|_| format!("{text} is negative"))
}

/// A duration in nanoseconds of a timestamp.
pub fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_loki_reads_them() {
        assert_eq!(instant("1700000000"), Ok(1_700_000_000_000_000_000));
        assert_eq!(instant("1700000000000000001"), Ok(1_700_000_000_000_000_001));
        assert_eq!(instant("1970-01-01T01:00:00.5+01:00"), Ok(500_000_000));
        assert!(instant("yesterday").unwrap_err().contains("yesterday"));
        assert!(instant("9223372036854775808").is_err());
    }

    #[test]
    fn durations_of_both_manners_are_read() {
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert!(duration("-1h").is_err());
        assert!(duration("soon").is_err());
    }

    #[test]
    fn instants_are_printed_in_the_zone_asked_for() {
        assert_eq!(Zone::Utc.seconds(1_999_999_999), "1970-01-01T00:00:01Z");
        assert_eq!(Zone::Utc.exact(1_500_000_000), "1970-01-01T00:00:01.500Z");
        assert_eq!(Zone::Utc.exact(1), "1970-01-01T00:00:00.000000001Z");
        let local = Zone::Local.exact(1);
        assert_eq!(DateTime::parse_from_rfc3339(&local).unwrap().timestamp_nanos_opt(), Some(1));
    }
}
