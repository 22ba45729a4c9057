//! Numbers, characters and strings in templates, as Go writes them.

use super::lexer::{Item, Kind};

/// The value of a number or a character.
pub(super) fn number(item: &Item) -> Option<(Option<i64>, f64)> {
    if item.kind == Kind::CharConstant {
        let inner = unquote_with(&item.text, '\'')?;
        let text = String::from_utf8(inner).ok()?;
        let mut chars = text.chars();
        let (c, None) = (chars.next()?, chars.next()) else { return None };
        return Some((Some(i64::from(c as u32)), f64::from(c as u32)));
    }
    let plain = item.text.replace('_', "");
    let (sign, body) = match plain.strip_prefix('-') {
        Some(body) => (-1, body),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = body.to_ascii_lowercase();
    let radix = |prefix: &str, radix: u32| {
        lower.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok())
    };
    let octal = lower.len() > 1 && lower.starts_with('0') && !lower.contains(['.', 'e', 'x', 'b']);
    let int = radix("0x", 16).or_else(|| radix("0b", 2)).or_else(|| radix("0o", 8));
    let int = int.or_else(|| if octal { radix("0", 8) } else { lower.parse().ok() });
    if let Some(int) = int {
        return Some((Some(sign * int), (sign * int) as f64));
    }
    let float = crate::syntax::number::parse_float(&plain).ok()?;
    let whole = float.fract() == 0.0 && float.abs() < 9e18;
    Some((whole.then_some(float as i64), float))
}

/// A quoted Go string as bytes.
pub(super) fn unquote(text: &str) -> Option<Vec<u8>> {
    if let Some(raw) = text.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', "").into_bytes());
    }
    unquote_with(text, '"')
}

fn unquote_with(text: &str, quote: char) -> Option<Vec<u8>> {
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut out = Vec::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let kind = chars.next()?;
        let mut digits = |count: usize, radix: u32, first: Option<char>| -> Option<u32> {
            let rest: String = chars.by_ref().take(count - usize::from(first.is_some())).collect();
            let all: String = first.into_iter().chain(rest.chars()).collect();
            (all.len() == count).then(|| u32::from_str_radix(&all, radix).ok()).flatten()
        };
        let plain = match kind {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' => b'\\',
            '"' | '\'' if kind == quote => kind as u8,
            'x' => digits(2, 16, None)? as u8,
            '0'..='7' => u8::try_from(digits(3, 8, Some(kind))?).ok()?,
            'u' | 'U' => {
                let code = digits(if kind == 'u' { 4 } else { 8 }, 16, None)?;
                let c = char::from_u32(code)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        out.push(plain);
    }
    Some(out)
}
