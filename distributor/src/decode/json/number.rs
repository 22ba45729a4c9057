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

/// Today's nanoseconds have this many digits.
const USUAL_DIGITS: usize = 19;

/// The decimal integer at the start of `text` and its length. `None`: empty or over 64 bits. A
/// minus alone is zero, as in the reference.
#[inline]
pub(super) fn nanoseconds(text: &[u8]) -> Option<(i64, usize)> {
    if let Some(digits) = text.first_chunk::<USUAL_DIGITS>()
        && let Some(value) = usual(digits)
        && !text.get(USUAL_DIGITS).is_some_and(u8::is_ascii_digit)
    {
        return Some((value, USUAL_DIGITS));
    }
    any_nanoseconds(text)
}

/// Nineteen digits that fit 63 bits.
#[inline]
fn usual(digits: &[u8; USUAL_DIGITS]) -> Option<i64> {
    let (high, rest) = digits.split_first_chunk::<8>()?;
    let (low, rest) = rest.split_first_chunk::<8>()?;
    let mut value = u64::from(eight_digits(*high)?) * 100_000_000 + u64::from(eight_digits(*low)?);
    for byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    i64::try_from(value).ok()
}

/// Eight ASCII digits at once: pairs, then fours, then all (the known trick of three multiplies).
#[inline]
fn eight_digits(bytes: [u8; 8]) -> Option<u32> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let word = u64::from_le_bytes(bytes);
    let digits = word.wrapping_sub(ZEROS);
    // A byte above 9 shows in its high half, either itself or after six are added.
    let over = digits.wrapping_add(0x0606_0606_0606_0606) | digits;
    if over & 0xf0f0_f0f0_f0f0_f0f0 != 0 {
        return None;
    }
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some(((fours * 10_000 + (fours >> 32)) & 0xffff_ffff) as u32)
}

fn any_nanoseconds(text: &[u8]) -> Option<(i64, usize)> {
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
    fn nineteen_digits_are_read_at_once_or_not_at_all() {
        let base = b"1234567890123456789\"";
        assert_eq!(nanoseconds(base), Some((1_234_567_890_123_456_789, 19)));
        for at in 0..19 {
            for byte in 0..=255u8 {
                let mut text = *base;
                text[at] = byte;
                assert_eq!(nanoseconds(&text), any_nanoseconds(&text), "{text:?}");
            }
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
