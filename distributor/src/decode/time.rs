//! Timestamps as Go reads them.

/// `time.Time{}` (year 1) in nanoseconds, as Go's `UnixNano` overflows it. An entry without a
/// timestamp has it.
pub(crate) const GO_ZERO_NS: i64 = nanos(-62_135_596_800, 0);

/// Seconds and nanoseconds as nanoseconds; out of range it wraps, as Go does.
pub(crate) const fn nanos(seconds: i64, nanos: i64) -> i64 {
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos)
}

/// Reads RFC 3339, any number of fraction digits. `None` if it is not.
pub(crate) fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let two = |at: usize| -> Option<i64> {
        let (high, low) = (*text.get(at)?, *text.get(at + 1)?);
        let digits = high.is_ascii_digit() && low.is_ascii_digit();
        digits.then(|| i64::from(high - b'0') * 10 + i64::from(low - b'0'))
    };
    let is = |at: usize, byte: u8| text.get(at) == Some(&byte);
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
        return None;
    }
    let year = two(0)? * 100 + two(2)?;
    let (month, day) = (two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let date = chrono::NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
    let mut at = 19;
    let mut fraction = 0i64;
    if is(at, b'.') {
        let digits = text[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        for position in 0..9 {
            let digit = if position < digits { text[at + 1 + position] - b'0' } else { 0 };
            fraction = fraction * 10 + i64::from(digit);
        }
        at += 1 + digits;
    }
    let offset = match text.get(at)? {
        b'Z' if text.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if text.len() == at + 6 && is(at + 3, b':') => {
            let (hours, minutes) = (two(at + 1)?, two(at + 4)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let magnitude = hours * 3600 + minutes * 60;
            if *sign == b'-' { -magnitude } else { magnitude }
        }
        _ => return None,
    };
    let midnight = date.and_hms_opt(0, 0, 0)?.and_utc().timestamp();
    let seconds = midnight + hour * 3600 + minute * 60 + second - offset;
    Some(nanos(seconds, fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_reads_as_go_does() {
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-05-01T10:00:00.123456789Z", 1_714_557_600_123_456_789),
            ("2024-05-01T12:00:00.5+02:00", 1_714_557_600_500_000_000),
            ("1969-12-31T23:59:59.9999999999Z", -1),
            ("0001-01-01T00:00:00Z", -6_795_364_578_871_345_152),
        ] {
            assert_eq!(parse_rfc3339(text.as_bytes()), Some(ns), "{text}");
        }
        for bad in [
            "",
            "2024-05-01",
            "2024-05-01T10:00:00",
            "2024-05-01 10:00:00Z",
            "2024-02-30T10:00:00Z",
            "2024-05-01T24:00:00Z",
            "2024-05-01T10:00:00.Z",
            "2024-05-01T10:00:00+2:00",
            "2024-05-01T10:00:00Zx",
        ] {
            assert_eq!(parse_rfc3339(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(GO_ZERO_NS, -6_795_364_578_871_345_152);
    }
}
