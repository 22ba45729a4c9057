//! Numbers in JSON text.

/// Length of the JSON number at the start of `text`. `None`: none, or a malformed one.
pub(super) fn length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    // A leading zero stands alone, but for the reference's negative numbers.
    if whole == 0 || (at == 0 && whole > 1 && text[0] == b'0') {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return None;
        }
        at += exponent;
    }
    Some(at)
}

/// The decimal integer at the start of `text` and its length. `None`: empty or over 64 bits. A
/// minus alone is zero, as in the reference.
#[inline]
pub(super) fn nanoseconds(text: &[u8]) -> Option<(i64, usize)> {
    let negative = text.first() == Some(&b'-');
    let mut at = usize::from(negative);
    let mut value = 0u64;
    while let Some(&byte) = text.get(at)
        && byte.is_ascii_digit()
    {
        let digit = u64::from(byte - b'0');
        // 18 digits and a sign never overflow.
        value =
            if at < 18 { value * 10 + digit } else { value.checked_mul(10)?.checked_add(digit)? };
        at += 1;
    }
    if at == 0 {
        return None;
    }
    match (negative, i64::try_from(value)) {
        (false, Ok(value)) => Some((value, at)),
        (true, Ok(value)) => Some((-value, at)),
        (true, Err(_)) if value == 1 << 63 => Some((i64::MIN, at)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_json_syntax() {
        for (text, want) in [
            ("0", Some(1)),
            ("-0.5,", Some(4)),
            ("12e+3}", Some(5)),
            ("1E5", Some(3)),
            ("01", None),
            ("-01", Some(3)),
            ("1.", None),
            (".5", None),
            ("1e", None),
            ("-", None),
        ] {
            assert_eq!(length(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn nanoseconds_fill_64_bits_and_no_more() {
        for (text, want) in [
            ("0\"", Some((0, 1))),
            ("-1\"", Some((-1, 2))),
            ("-", Some((0, 1))),
            ("1714557600000000000\"", Some((1_714_557_600_000_000_000, 19))),
            ("9223372036854775807", Some((i64::MAX, 19))),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some((i64::MIN, 20))),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("000000000000000000000000001", Some((1, 27))),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nanoseconds(text.as_bytes()), want, "{text}");
        }
    }
}
