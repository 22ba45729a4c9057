//! Functions on text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex_automata::meta::Regex;

use super::exec::map;
use super::functions::{Call, Kind};
use super::value::Value;
use super::{Data, OUTPUT_MAX, printf};
use crate::engine::convert;
use crate::engine::label_replace::expand;
use crate::engine::search;
use crate::syntax::goregex;
use Kind::{Any, Int, Text};

type Row = (&'static str, &'static [Kind], Option<Kind>, Call);
type Given<'g> = &'g [Value];
type Made = Result<Value, String>;

pub(super) const FUNCTIONS: &[Row] = &[
    ("lower", &[Text], None, |_, g| mapped(g, lower)),
    ("ToLower", &[Text], None, |_, g| mapped(g, lower)),
    ("upper", &[Text], None, |_, g| mapped(g, |c| single(c, c.to_uppercase()))),
    ("ToUpper", &[Text], None, |_, g| mapped(g, |c| single(c, c.to_uppercase()))),
    ("title", &[Text], None, |_, g| title(text(g, 0))),
    ("trunc", &[Int, Text], None, |_, g| truncated(int(g, 0), bytes(g, 1))),
    ("substr", &[Int, Int, Text], None, |_, g| substring(int(g, 0), int(g, 1), bytes(g, 2))),
    ("replace", &[Text, Text, Text], None, |_, g| {
        replaced(bytes(g, 2), bytes(g, 0), bytes(g, 1), -1)
    }),
    ("Replace", &[Text, Text, Text, Int], None, |_, g| {
        replaced(bytes(g, 0), bytes(g, 1), bytes(g, 2), int(g, 3))
    }),
    ("trim", &[Text], None, |_, g| made(text(g, 0).trim())),
    ("TrimSpace", &[Text], None, |_, g| made(text(g, 0).trim())),
    ("trimAll", &[Text, Text], None, |_, g| trimmed(g, 1, 0, true, true)),
    ("Trim", &[Text, Text], None, |_, g| trimmed(g, 0, 1, true, true)),
    ("TrimLeft", &[Text, Text], None, |_, g| trimmed(g, 0, 1, true, false)),
    ("TrimRight", &[Text, Text], None, |_, g| trimmed(g, 0, 1, false, true)),
    ("trimSuffix", &[Text, Text], None, |_, g| without_suffix(bytes(g, 1), bytes(g, 0))),
    ("TrimSuffix", &[Text, Text], None, |_, g| without_suffix(bytes(g, 0), bytes(g, 1))),
    ("trimPrefix", &[Text, Text], None, |_, g| without_prefix(bytes(g, 1), bytes(g, 0))),
    ("TrimPrefix", &[Text, Text], None, |_, g| without_prefix(bytes(g, 0), bytes(g, 1))),
    ("alignLeft", &[Int, Text], None, |_, g| aligned(int(g, 0), text(g, 1), true)),
    ("alignRight", &[Int, Text], None, |_, g| aligned(int(g, 0), text(g, 1), false)),
    ("indent", &[Int, Text], None, |_, g| indented("", int(g, 0), bytes(g, 1))),
    ("nindent", &[Int, Text], None, |_, g| indented("\n", int(g, 0), bytes(g, 1))),
    ("repeat", &[Int, Text], None, |_, g| Ok(Value::text(&repeated(int(g, 0), bytes(g, 1))?))),
    ("contains", &[Text, Text], None, |_, g| {
        Ok(Value::Bool(memchr::memmem::find(bytes(g, 1), bytes(g, 0)).is_some()))
    }),
    ("hasPrefix", &[Text, Text], None, |_, g| {
        Ok(Value::Bool(bytes(g, 1).starts_with(bytes(g, 0))))
    }),
    ("hasSuffix", &[Text, Text], None, |_, g| Ok(Value::Bool(bytes(g, 1).ends_with(bytes(g, 0))))),
    ("regexReplaceAll", &[Text, Text, Text], None, |_, g| matches_replaced(g, true)),
    ("regexReplaceAllLiteral", &[Text, Text, Text], None, |_, g| matches_replaced(g, false)),
    ("count", &[Text, Text], None, |_, g| {
        let subject = text(g, 1);
        Ok(Value::Int(regex(&text(g, 0))?.find_iter(subject.as_bytes()).count() as i64))
    }),
    ("urlencode", &[Text], None, |_, g| Ok(Value::text(&url_encoded(bytes(g, 0))))),
    ("urldecode", &[Text], None, |_, g| Ok(Value::text(&url_decoded(bytes(g, 0))?))),
    ("b64enc", &[Text], None, |_, g| made(&STANDARD.encode(bytes(g, 0)))),
    ("b64dec", &[Text], None, |_, g| base64_decoded(bytes(g, 0))),
    ("html", &[], Some(Any), |data, g| {
        escaped(data, g, |c| {
            Some(match c {
                '"' => "&#34;",
                '\'' => "&#39;",
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '\0' => "\u{fffd}",
                _ => return None,
            })
        })
    }),
    ("js", &[], Some(Any), |data, g| made(&script_escaped(&joined(data, g)))),
    ("urlquery", &[], Some(Any), |data, g| Ok(Value::text(&url_encoded(&joined(data, g))))),
    ("default", &[Any], Some(Any), |_, g| {
        let given = g.get(1).filter(|given| given.is_true());
        Ok(given.unwrap_or(&g[0]).clone())
    }),
    ("fromJson", &[Text], None, |_, g| {
        let read = serde_json::from_slice::<serde_json::Value>(bytes(g, 0));
        Ok(read.map_or_else(|_| Value::text(b""), json))
    }),
    ("bytes", &[Text], None, |_, g| {
        let read = convert::parse_bytes(&text(g, 0)).map_err(|why| why.0)?;
        Ok(Value::Float(read as f64))
    }),
    ("duration", &[Text], None, |_, g| seconds(g)),
    ("duration_seconds", &[Text], None, |_, g| seconds(g)),
];

fn bytes<'g>(given: Given<'g>, at: usize) -> &'g [u8] {
    match &given[at] {
        Value::Str(text) => text,
        _ => &[], // arguments are checked
    }
}

fn text<'g>(given: Given<'g>, at: usize) -> std::borrow::Cow<'g, str> {
    String::from_utf8_lossy(bytes(given, at))
}

fn int(given: Given<'_>, at: usize) -> i64 {
    match &given[at] {
        Value::Int(value) => *value,
        _ => 0, // arguments are checked
    }
}

fn made(text: &str) -> Made {
    Ok(Value::text(text.as_bytes()))
}

fn seconds(given: Given<'_>) -> Made {
    let ns = convert::parse_duration(&text(given, 0)).map_err(|why| why.0)?;
    Ok(Value::Float(convert::seconds(ns)))
}

/// Go maps one character to one.
fn single(c: char, mut mapped: impl ExactSizeIterator<Item = char>) -> char {
    match (mapped.len(), mapped.next()) {
        (1, Some(one)) => one,
        _ => c,
    }
}

fn lower(c: char) -> char {
    // The only letter whose lower case is two characters, but one in Go.
    if c == '\u{130}' { 'i' } else { single(c, c.to_lowercase()) }
}

fn mapped(given: Given<'_>, map: impl Fn(char) -> char) -> Made {
    made(&text(given, 0).chars().map(map).collect::<String>())
}

fn title(text: std::borrow::Cow<'_, str>) -> Made {
    let mut start = true;
    let capital = |c: char| {
        let out = if start { single(c, c.to_uppercase()) } else { c };
        let word = c == '_' || c.is_alphanumeric() || (!c.is_ascii() && !c.is_whitespace());
        start = !word;
        out
    };
    made(&text.chars().map(capital).collect::<String>())
}

fn truncated(count: i64, text: &[u8]) -> Made {
    let length = text.len() as i64;
    let kept = if count < 0 && length.saturating_add(count) > 0 {
        &text[(length + count) as usize..]
    } else if count >= 0 && length > count {
        &text[..count as usize]
    } else {
        text
    };
    Ok(Value::text(kept))
}

fn substring(start: i64, end: i64, text: &[u8]) -> Made {
    let length = text.len() as i64;
    let out_of_range =
        |what: String| Err(format!("runtime error: slice bounds out of range {what}"));
    if start < 0 {
        if end < 0 {
            return out_of_range(format!("[:{end}]"));
        }
        if end > length {
            return out_of_range(format!("[:{end}] with length {length}"));
        }
        return Ok(Value::text(&text[..end as usize]));
    }
    let end = if end < 0 || end > length { length } else { end };
    if start > end {
        return out_of_range(format!("[{start}:{end}]"));
    }
    Ok(Value::text(&text[start as usize..end as usize]))
}

fn replaced(text: &[u8], old: &[u8], new: &[u8], most: i64) -> Made {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    let push = |out: &mut Vec<u8>, from: usize, to: usize| {
        out.extend_from_slice(&text[from..to]);
        out.extend_from_slice(new);
        if out.len() > OUTPUT_MAX { Err("the result is too long".to_owned()) } else { Ok(()) }
    };
    if old.is_empty() {
        // Before each character and at the end.
        let valid = String::from_utf8_lossy(text);
        let starts = valid.char_indices().map(|(at, _)| at).chain([valid.len()]);
        for at in starts.take(most).take_while(|&at| at <= text.len()) {
            push(&mut out, from, at)?;
            from = at;
        }
    } else {
        for at in memchr::memmem::find_iter(text, old).take(most) {
            push(&mut out, from, at)?;
            from = at + old.len();
        }
    }
    out.extend_from_slice(&text[from..]);
    Ok(Value::text(&out))
}

fn trimmed(given: Given<'_>, subject: usize, cut: usize, left: bool, right: bool) -> Made {
    let (subject, cut) = (text(given, subject), text(given, cut));
    let inside = |c: char| cut.contains(c);
    let mut out: &str = &subject;
    if left {
        out = out.trim_start_matches(inside);
    }
    if right {
        out = out.trim_end_matches(inside);
    }
    made(out)
}

fn without_suffix(text: &[u8], suffix: &[u8]) -> Made {
    Ok(Value::text(text.strip_suffix(suffix).unwrap_or(text)))
}

fn without_prefix(text: &[u8], prefix: &[u8]) -> Made {
    Ok(Value::text(text.strip_prefix(prefix).unwrap_or(text)))
}

fn aligned(count: i64, text: std::borrow::Cow<'_, str>, left: bool) -> Made {
    let length = text.chars().count();
    let Ok(count) = usize::try_from(count) else { return made(&text) };
    if count.saturating_add(text.len()) > OUTPUT_MAX {
        return Err("the result is too long".to_owned());
    }
    let pad = " ".repeat(count.saturating_sub(length));
    made(&if left {
        text.chars().take(count).collect::<String>() + &pad
    } else {
        pad + &text.chars().skip(length.saturating_sub(count)).collect::<String>()
    })
}

fn repeated(count: i64, text: &[u8]) -> Result<Vec<u8>, String> {
    let Ok(count) = usize::try_from(count) else {
        return Err("strings: negative Repeat count".to_owned());
    };
    if count.saturating_mul(text.len()) > OUTPUT_MAX {
        return Err("strings: Repeat output length overflow".to_owned());
    }
    Ok(text.repeat(count))
}

fn indented(before: &str, count: i64, text: &[u8]) -> Made {
    let pad = repeated(count, b" ")?;
    let Value::Str(body) = replaced(text, b"\n", &[b"\n", &pad[..]].concat(), -1)? else {
        return Ok(Value::None);
    };
    Ok(Value::text(&[before.as_bytes(), &pad, &body].concat()))
}

fn regex(expression: &str) -> Result<Regex, String> {
    search::build(&goregex::translate(expression)?)
}

fn matches_replaced(given: Given<'_>, expands: bool) -> Made {
    let (subject, template) = (text(given, 1), text(given, 2));
    let regex = regex(&text(given, 0))?;
    let mut captures = regex.create_captures();
    let mut out = String::new();
    let mut from = 0;
    for found in regex.find_iter(subject.as_bytes()) {
        out.push_str(&subject[from..found.start()]);
        if expands {
            let input = regex_automata::Input::new(subject.as_bytes()).range(found.start()..);
            regex.search_captures(&input, &mut captures);
            out.push_str(&expand(&template, &subject, &captures));
        } else {
            out.push_str(&template);
        }
        from = found.end();
        if out.len() > OUTPUT_MAX {
            return Err("the result is too long".to_owned());
        }
    }
    out.push_str(&subject[from..]);
    made(&out)
}

/// `url.QueryEscape`.
fn url_encoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        match byte {
            b' ' => out.push(b'+'),
            b'-' | b'_' | b'.' | b'~' => out.push(byte),
            byte if byte.is_ascii_alphanumeric() => out.push(byte),
            byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}

/// `url.QueryUnescape`.
fn url_decoded(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = text.get(at + 1..at + 3);
                let hex = digits.and_then(|digits| std::str::from_utf8(digits).ok());
                let hex = hex.filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
                    let shown = String::from_utf8_lossy(&text[at..text.len().min(at + 3)]);
                    return Err(format!("invalid URL escape {}", base::quote::quote(&shown)));
                };
                out.push(byte);
                at += 2;
            }
            byte => out.push(byte),
        }
        at += 1;
    }
    Ok(out)
}

/// Pads; what cannot be decoded gives Go's text as the result.
fn base64_decoded(text: &[u8]) -> Made {
    let mut padded: Vec<u8> = text.to_vec();
    while !padded.len().is_multiple_of(4) {
        padded.push(b'=');
    }
    let config = base64::engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let engine = base64::engine::GeneralPurpose::new(&base64::alphabet::STANDARD, config);
    padded.retain(|byte| !matches!(byte, b'\r' | b'\n'));
    match engine.decode(&padded) {
        Ok(decoded) => Ok(Value::text(&decoded)),
        Err(error) => {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _)
                | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                base64::DecodeError::InvalidLength(at) => at,
                base64::DecodeError::InvalidPadding => padded.len(),
            };
            made(&format!("illegal base64 data at input byte {at}"))
        }
    }
}

/// All arguments as `fmt.Sprint` joins them.
fn joined(data: &dyn Data, given: Given<'_>) -> Vec<u8> {
    printf::print(given, data)
}

fn escaped(data: &dyn Data, given: Given<'_>, escape: fn(char) -> Option<&'static str>) -> Made {
    let subject = joined(data, given);
    let mut out = String::new();
    for c in String::from_utf8_lossy(&subject).chars() {
        match escape(c) {
            Some(escaped) => out.push_str(escaped),
            None => out.push(c),
        }
    }
    made(&out)
}

/// Text for a string of a script: what has a meaning there or cannot be printed is escaped.
fn script_escaped(subject: &[u8]) -> String {
    let mut out = String::new();
    for c in String::from_utf8_lossy(subject).chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '<' | '>' | '&' | '=' | ..' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_ascii() || base::quote::is_print(c) => out.push(c),
            c => out.push_str(&format!("\\u{:04X}", u32::from(c))),
        }
    }
    out
}

fn json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::None,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Value::text(text.as_bytes()),
        serde_json::Value::Array(items) => {
            Value::List(items.into_iter().map(json).collect::<Vec<Value>>().into())
        }
        serde_json::Value::Object(entries) => {
            map(entries.into_iter().map(|(name, value)| (name, json(value))).collect())
        }
    }
}
