//! Values of attributes and bodies: any type, as text in the form of the collector's `AsString`.

use std::fmt::Display;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::protobuf::Fields;
use super::super::{Arena, Fault, Span, malformed};
use super::MAX_DEPTH;

/// An `AnyValue`; texts, lists and maps are ranges of the body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Value {
    #[default]
    Empty,
    Text(usize, usize),
    Bool(bool),
    Int(i64),
    Double(f64),
    List(usize, usize),
    Map(usize, usize),
    Bytes(usize, usize),
}

/// Reads an `AnyValue`; of several kinds the last counts.
pub(super) fn any(body: &[u8], from: usize, to: usize) -> Result<Value, Fault> {
    let mut fields = Fields::new(body, from, to, "AnyValue");
    let mut value = Value::Empty;
    while let Some(field) = fields.next()? {
        let range = |(from, to), make: fn(usize, usize) -> Value| make(from, to);
        value = match field.number {
            1 => range(fields.bytes(field, "StringValue")?, Value::Text),
            2 => Value::Bool(fields.varint_of(field, "BoolValue")? != 0),
            3 => Value::Int(fields.varint_of(field, "IntValue")? as i64),
            4 => Value::Double(f64::from_bits(fields.fixed64_of(field, "DoubleValue")?)),
            5 => range(fields.bytes(field, "ArrayValue")?, Value::List),
            6 => range(fields.bytes(field, "KvlistValue")?, Value::Map),
            7 => range(fields.bytes(field, "BytesValue")?, Value::Bytes),
            _ => {
                fields.skip(field)?;
                continue;
            }
        };
    }
    Ok(value)
}

/// Reads a `KeyValue`: where its key lies, and its value.
pub(super) fn key_value(
    body: &[u8],
    from: usize,
    to: usize,
) -> Result<((usize, usize), Value), Fault> {
    let mut fields = Fields::new(body, from, to, "KeyValue");
    let (mut key, mut value) = ((from, from), Value::Empty);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => key = fields.bytes(field, "Key")?,
            2 => {
                let (from, to) = fields.bytes(field, "Value")?;
                value = any(body, from, to)?;
            }
            _ => fields.skip(field)?,
        }
    }
    Ok((key, value))
}

/// Calls `each` with the key-value pairs of a map, or with the values of a list, whose key is empty.
fn members(
    body: &[u8],
    value: Value,
    mut each: impl FnMut((usize, usize), Value) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let (from, to, is_map) = match value {
        Value::List(from, to) => (from, to, false),
        Value::Map(from, to) => (from, to, true),
        _ => return Ok(()),
    };
    let mut fields = Fields::new(body, from, to, "Values");
    while let Some(field) = fields.next()? {
        if field.number != 1 {
            fields.skip(field)?;
            continue;
        }
        let (from, to) = fields.bytes(field, "Values")?;
        let (key, value) = match is_map {
            true => key_value(body, from, to)?,
            false => ((from, from), any(body, from, to)?),
        };
        each(key, value)?;
    }
    Ok(())
}

fn too_deep() -> Fault {
    malformed(format!("values nest deeper than {MAX_DEPTH}"))
}

/// Appends name and text of `value`, of a map those of all that lies in it under joined names.
pub(super) fn flatten(
    body: &[u8],
    name: Span,
    value: Value,
    arena: &mut Arena,
    out: &mut Vec<[Span; 2]>,
    depth: usize,
) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    if !matches!(value, Value::Map(..)) {
        let text = text(body, value, arena)?;
        out.push([name, text]);
        return Ok(());
    }
    let limit = body.len().saturating_mul(4) + super::FREE_ARENA_BYTES;
    members(body, value, |(from, to), value| {
        if arena.len() > limit {
            return Err(malformed("attributes nest too much text"));
        }
        let joined = [name.of(body, arena.as_slice()), &body[from..to]].join(&b'_');
        let joined = lay(&joined, arena);
        flatten(body, joined, value, arena, out, depth + 1)
    })
}

/// `value` as one text.
pub(super) fn text(body: &[u8], value: Value, arena: &mut Arena) -> Result<Span, Fault> {
    Ok(match value {
        Value::Empty => Span::default(),
        Value::Text(from, to) => Span::body(from, to),
        Value::Bool(value) => lay(if value { b"true" } else { b"false" }, arena),
        Value::Int(value) => decimal(value, arena),
        Value::Double(value) if !value.is_finite() => {
            let text: &[u8] = match value {
                f64::INFINITY => b"json: unsupported value: +Inf",
                f64::NEG_INFINITY => b"json: unsupported value: -Inf",
                _ => b"json: unsupported value: NaN",
            };
            lay(text, arena)
        }
        Value::Bytes(from, to) => lay(STANDARD.encode(&body[from..to]).as_bytes(), arena),
        Value::Double(_) | Value::List(..) | Value::Map(..) => {
            let mut out = Vec::new();
            // Go gives up on what JSON cannot say, and returns nothing.
            let is_whole = write_json(&mut out, body, value, 0)?;
            lay(if is_whole { &out } else { b"" }, arena)
        }
    })
}

fn lay(bytes: &[u8], arena: &mut Arena) -> Span {
    let from = arena.len();
    arena.extend(bytes);
    Span::arena(from, arena.len())
}

/// A number in decimal digits.
pub(super) fn decimal(number: impl Display, arena: &mut Arena) -> Span {
    let from = arena.len();
    let mut digits = [0u8; 24];
    let mut rest = &mut digits[..];
    write!(rest, "{number}").expect("64 bits have at most 20 digits and a sign");
    let unused = rest.len();
    arena.extend(&digits[..24 - unused]);
    Span::arena(from, arena.len())
}

/// Bytes in lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8], arena: &mut Arena) -> Span {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let from = arena.len();
    for &byte in bytes {
        arena.push(DIGITS[usize::from(byte >> 4)]);
        arena.push(DIGITS[usize::from(byte & 15)]);
    }
    Span::arena(from, arena.len())
}

/// JSON as Go's `encoding/json` writes it: keys sorted, the last of equal ones. `false`: a number
/// has no JSON.
fn write_json(out: &mut Vec<u8>, body: &[u8], value: Value, depth: usize) -> Result<bool, Fault> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    match value {
        Value::Empty => out.extend_from_slice(b"null"),
        Value::Text(from, to) => write_string(out, &body[from..to]),
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Double(value) if !value.is_finite() => return Ok(false),
        Value::Double(value) => out.extend_from_slice(float(value).as_bytes()),
        Value::Bytes(from, to) => write_string(out, STANDARD.encode(&body[from..to]).as_bytes()),
        Value::List(..) => {
            let (mut separator, mut is_whole) = (b'[', true);
            members(body, value, |_, item| {
                out.push(separator);
                separator = b',';
                is_whole &= write_json(out, body, item, depth + 1)?;
                Ok(())
            })?;
            out.extend_from_slice(if separator == b'[' { b"[]" } else { b"]" });
            return Ok(is_whole);
        }
        Value::Map(..) => {
            let mut pairs: Vec<(&[u8], Value)> = Vec::new();
            members(body, value, |(from, to), value| {
                pairs.push((&body[from..to], value));
                Ok(())
            })?;
            pairs.sort_by_key(|&(key, _)| key);
            let (mut separator, mut is_whole) = (b'{', true);
            for (at, &(key, value)) in pairs.iter().enumerate() {
                if pairs.get(at + 1).is_some_and(|&(next, _)| next == key) {
                    continue;
                }
                out.push(separator);
                separator = b',';
                write_string(out, key);
                out.push(b':');
                is_whole &= write_json(out, body, value, depth + 1)?;
            }
            out.extend_from_slice(if separator == b'{' { b"{}" } else { b"}" });
            return Ok(is_whole);
        }
    }
    Ok(true)
}

fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for found in chunk.valid().chars() {
            match found {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\u{8}' => out.extend_from_slice(b"\\b"),
                '\u{c}' => out.extend_from_slice(b"\\f"),
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                    out.extend_from_slice(format!("\\u{:04x}", found as u32).as_bytes());
                }
                found => out.extend_from_slice(found.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

/// A finite number as `encoding/json` writes it.
fn float(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        };
    }
    format!("{value}")
}
