//! Values of attributes and bodies: any type, as text in the form of the collector's `AsString`.

use std::fmt::Display;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::protobuf::Fields;
use super::super::{Arena, Fault, Span, Spans, malformed};
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

/// Members of a map that is written as one text: they are sorted first.
const MAX_MEMBERS: usize = 64 << 10;

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

/// Where pairs and texts of values go, and how far.
pub(super) struct Out<'a> {
    pub(super) body: &'a [u8],
    pub(super) arena: &'a mut Arena,
    /// The arena is not filled beyond this: what does not fit is counted.
    pub(super) end: usize,
}

impl Out<'_> {
    /// Appends name and text of `value` to `out`, of a map those of all that lies in it under joined
    /// names. Pairs that do not fit the arena are counted with their bytes.
    pub(super) fn flatten(
        &mut self,
        name: Span,
        value: Value,
        out: &mut Spans,
    ) -> Result<(), Fault> {
        if matches!(value, Value::Map(..)) {
            let mut path = name.of(self.body, self.arena.as_slice()).to_vec();
            return self.flatten_map(&mut path, value, out, 1);
        }
        let mark = self.arena.len();
        let (text, rest) = self.text(value)?;
        if rest == 0 {
            out.push([name, text]);
        } else {
            out.count((name.len() + text.len()) as u64 + rest);
            self.arena.truncate(mark);
        }
        Ok(())
    }

    /// `path` is the joined name of the map.
    fn flatten_map(
        &mut self,
        path: &mut Vec<u8>,
        map: Value,
        out: &mut Spans,
        depth: usize,
    ) -> Result<(), Fault> {
        let (body, length) = (self.body, path.len());
        members(body, map, |(from, to), value| {
            if depth > MAX_DEPTH {
                return Err(too_deep());
            }
            path.truncate(length);
            path.push(b'_');
            path.extend_from_slice(&body[from..to]);
            if matches!(value, Value::Map(..)) {
                return self.flatten_map(path, value, out, depth + 1);
            }
            let mark = self.arena.len();
            let name = self.lay(path);
            if name.len() == path.len() {
                return self.flatten(name, value, out);
            }
            // The name does not fit, so that the text is only measured.
            let end = std::mem::replace(&mut self.end, self.arena.len());
            let (text, rest) = self.text(value)?;
            self.end = end;
            out.count((path.len() + text.len()) as u64 + rest);
            self.arena.truncate(mark);
            Ok(())
        })
    }

    /// As much of `bytes` as fits.
    fn lay(&mut self, bytes: &[u8]) -> Span {
        let from = self.arena.len();
        let mut json = Json { arena: self.arena, end: self.end, rest: 0 };
        json.put(bytes);
        Span::arena(from, self.arena.len())
    }

    /// `value` as one text, and how many bytes of it did not fit.
    pub(super) fn text(&mut self, value: Value) -> Result<(Span, u64), Fault> {
        let body = self.body;
        Ok(match value {
            Value::Empty => (Span::default(), 0),
            Value::Text(from, to) => (Span::body(from, to), 0),
            Value::Bool(value) => (lay(if value { b"true" } else { b"false" }, self.arena), 0),
            Value::Int(value) => (decimal(value, self.arena), 0),
            Value::Double(value) if !value.is_finite() => {
                let text: &[u8] = match value {
                    f64::INFINITY => b"json: unsupported value: +Inf",
                    f64::NEG_INFINITY => b"json: unsupported value: -Inf",
                    _ => b"json: unsupported value: NaN",
                };
                (lay(text, self.arena), 0)
            }
            Value::Bytes(from, to) => self.write(|json| {
                json.base64(&body[from..to]);
                Ok(true)
            })?,
            Value::Double(_) | Value::List(..) | Value::Map(..) => {
                // Go gives up on what JSON cannot say, and returns nothing.
                self.write(|json| write_json(json, body, value, 0))?
            }
        })
    }

    /// What `write` writes; nothing if it says so.
    fn write(
        &mut self,
        write: impl FnOnce(&mut Json<'_>) -> Result<bool, Fault>,
    ) -> Result<(Span, u64), Fault> {
        let from = self.arena.len();
        let mut json = Json { arena: self.arena, end: self.end, rest: 0 };
        let (is_whole, rest) = (write(&mut json)?, json.rest);
        if !is_whole {
            self.arena.truncate(from);
            return Ok((Span::default(), 0));
        }
        Ok((Span::arena(from, self.arena.len()), rest))
    }
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

/// Text being written to the end of the arena.
struct Json<'a> {
    arena: &'a mut Arena,
    end: usize,
    /// Bytes that did not fit.
    rest: u64,
}

impl Json<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let fit = self.end.saturating_sub(self.arena.len()).min(bytes.len());
        // Behind a gap nothing follows.
        let fit = if self.rest > 0 { 0 } else { fit };
        self.arena.extend(&bytes[..fit]);
        self.rest += (bytes.len() - fit) as u64;
    }

    fn base64(&mut self, bytes: &[u8]) {
        // Multiples of three have no padding: their texts are one text.
        let mut text = [0; 1024];
        for chunk in bytes.chunks(768) {
            let length = STANDARD.encode_slice(chunk, &mut text);
            self.put(&text[..length.expect("768 bytes are 1024 characters")]);
        }
    }

    fn string(&mut self, bytes: &[u8]) {
        self.put(b"\"");
        for chunk in bytes.utf8_chunks() {
            let text = chunk.valid();
            let mut plain_from = 0;
            for (at, found) in text.char_indices() {
                let mut code = [0; 6];
                let escaped: &[u8] = match found {
                    '"' => b"\\\"",
                    '\\' => b"\\\\",
                    '\n' => b"\\n",
                    '\r' => b"\\r",
                    '\t' => b"\\t",
                    '\u{8}' => b"\\b",
                    '\u{c}' => b"\\f",
                    '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                        let mut rest = &mut code[..];
                        write!(rest, "\\u{:04x}", found as u32).expect("four digits");
                        &code
                    }
                    _ => continue,
                };
                self.put(&text.as_bytes()[plain_from..at]);
                self.put(escaped);
                plain_from = at + found.len_utf8();
            }
            self.put(&text.as_bytes()[plain_from..]);
            for _ in chunk.invalid() {
                self.put(b"\\ufffd");
            }
        }
        self.put(b"\"");
    }
}

/// JSON as Go's `encoding/json` writes it: keys sorted, the last of equal ones. `false`: a number
/// has no JSON.
fn write_json(out: &mut Json<'_>, body: &[u8], value: Value, depth: usize) -> Result<bool, Fault> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    match value {
        Value::Empty => out.put(b"null"),
        Value::Text(from, to) => out.string(&body[from..to]),
        Value::Bool(value) => out.put(if value { b"true" } else { b"false" }),
        Value::Int(value) => out.put(value.to_string().as_bytes()),
        Value::Double(value) if !value.is_finite() => return Ok(false),
        Value::Double(value) => out.put(float(value).as_bytes()),
        Value::Bytes(from, to) => {
            out.put(b"\"");
            out.base64(&body[from..to]);
            out.put(b"\"");
        }
        Value::List(..) => {
            let (mut separator, mut is_whole) = (b'[', true);
            members(body, value, |_, item| {
                out.put(&[separator]);
                separator = b',';
                is_whole &= write_json(out, body, item, depth + 1)?;
                Ok(())
            })?;
            out.put(if separator == b'[' { b"[]" } else { b"]" });
            return Ok(is_whole);
        }
        Value::Map(..) => return write_map(out, body, value, depth),
    }
    Ok(true)
}

fn write_map(out: &mut Json<'_>, body: &[u8], map: Value, depth: usize) -> Result<bool, Fault> {
    let mut pairs: Vec<(&[u8], Value)> = Vec::new();
    members(body, map, |(from, to), value| {
        if pairs.len() == MAX_MEMBERS {
            return Err(malformed(format!("a map has more than {MAX_MEMBERS} members")));
        }
        pairs.push((&body[from..to], value));
        Ok(())
    })?;
    pairs.sort_by_key(|&(key, _)| key);
    let (mut separator, mut is_whole) = (b'{', true);
    for (at, &(key, value)) in pairs.iter().enumerate() {
        if pairs.get(at + 1).is_some_and(|&(next, _)| next == key) {
            continue;
        }
        out.put(&[separator]);
        separator = b',';
        out.string(key);
        out.put(b":");
        is_whole &= write_json(out, body, value, depth + 1)?;
    }
    out.put(if separator == b'{' { b"{}" } else { b"}" });
    Ok(is_whole)
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
