//! OTLP in JSON, written as protobuf: names in camel case (or as in the schema), 64-bit numbers as text
//! or number, ids in hexadecimal, other bytes in base64, enums by number or name.
//!
//! Messages are tables; unknown names are skipped, `null` is nothing.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::{Fault, malformed};

/// How a field is written.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Base64,
    Hex,
    Bool,
    /// A varint.
    Number,
    Fixed32,
    Fixed64,
    Double,
    Severity,
    One(&'static Message),
    Many(&'static Message),
}

/// Name in camel case, name in the schema, number, kind.
type Field = (&'static str, &'static str, u32, Kind);

struct Message(&'static [Field]);

static REQUEST: Message =
    Message(&[("resourceLogs", "resource_logs", 1, Kind::Many(&RESOURCE_LOGS))]);
static RESOURCE_LOGS: Message = Message(&[
    ("resource", "resource", 1, Kind::One(&RESOURCE)),
    ("scopeLogs", "scope_logs", 2, Kind::Many(&SCOPE_LOGS)),
    ("schemaUrl", "schema_url", 3, Kind::Text),
]);
static RESOURCE: Message = Message(&[
    ("attributes", "attributes", 1, Kind::Many(&KEY_VALUE)),
    ("droppedAttributesCount", "dropped_attributes_count", 2, Kind::Number),
]);
static SCOPE_LOGS: Message = Message(&[
    ("scope", "scope", 1, Kind::One(&SCOPE)),
    ("logRecords", "log_records", 2, Kind::Many(&RECORD)),
    ("schemaUrl", "schema_url", 3, Kind::Text),
]);
static SCOPE: Message = Message(&[
    ("name", "name", 1, Kind::Text),
    ("version", "version", 2, Kind::Text),
    ("attributes", "attributes", 3, Kind::Many(&KEY_VALUE)),
    ("droppedAttributesCount", "dropped_attributes_count", 4, Kind::Number),
]);
static RECORD: Message = Message(&[
    ("timeUnixNano", "time_unix_nano", 1, Kind::Fixed64),
    ("severityNumber", "severity_number", 2, Kind::Severity),
    ("severityText", "severity_text", 3, Kind::Text),
    ("body", "body", 5, Kind::One(&ANY_VALUE)),
    ("attributes", "attributes", 6, Kind::Many(&KEY_VALUE)),
    ("droppedAttributesCount", "dropped_attributes_count", 7, Kind::Number),
    ("flags", "flags", 8, Kind::Fixed32),
    ("traceId", "trace_id", 9, Kind::Hex),
    ("spanId", "span_id", 10, Kind::Hex),
    ("observedTimeUnixNano", "observed_time_unix_nano", 11, Kind::Fixed64),
    ("eventName", "event_name", 12, Kind::Text),
]);
static KEY_VALUE: Message =
    Message(&[("key", "key", 1, Kind::Text), ("value", "value", 2, Kind::One(&ANY_VALUE))]);
static ANY_VALUE: Message = Message(&[
    ("stringValue", "string_value", 1, Kind::Text),
    ("boolValue", "bool_value", 2, Kind::Bool),
    ("intValue", "int_value", 3, Kind::Number),
    ("doubleValue", "double_value", 4, Kind::Double),
    ("arrayValue", "array_value", 5, Kind::One(&ARRAY)),
    ("kvlistValue", "kvlist_value", 6, Kind::One(&MAP)),
    ("bytesValue", "bytes_value", 7, Kind::Base64),
]);
static ARRAY: Message = Message(&[("values", "values", 1, Kind::Many(&ANY_VALUE))]);
static MAP: Message = Message(&[("values", "values", 1, Kind::Many(&KEY_VALUE))]);

/// Writes `body` as protobuf into `out`, which is at most a few times as long.
pub(crate) fn to_protobuf(body: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    out.clear();
    let mut read = |body: &str| {
        let mut json = serde_json::Deserializer::from_str(body);
        Seed { message: &REQUEST, out }.deserialize(&mut json).and_then(|()| json.end())
    };
    // What is no text becomes the replacement character, as in Go.
    let done = match std::str::from_utf8(body) {
        Ok(body) => read(body),
        Err(_) => read(&String::from_utf8_lossy(body)),
    };
    done.map_err(|error| malformed(error.to_string()))
}

/// Writes the fields of one object.
struct Seed<'a> {
    message: &'static Message,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Name>()? {
            let fields = self.message.0.iter();
            let mut known = fields.filter(|(camel, plain, ..)| name.is(camel) || name.is(plain));
            match known.next() {
                Some(&(_, _, number, kind)) => {
                    map.next_value_seed(Slot { number, kind, out: self.out })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The name of a field; those that are too long to be known are not kept.
struct Name([u8; 32], usize);

impl Name {
    fn is(&self, name: &str) -> bool {
        self.0.get(..self.1) == Some(name.as_bytes())
    }
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Name, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Name;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a name")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Name, E> {
                let mut name = Name([0; 32], text.len());
                if let Some(bytes) = name.0.get_mut(..text.len()) {
                    bytes.copy_from_slice(text.as_bytes());
                }
                Ok(name)
            }
        }
        json.deserialize_str(Read)
    }
}

/// Writes one field.
struct Slot<'a> {
    number: u32,
    kind: Kind,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Slot<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl Slot<'_> {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    fn key(&mut self, wire: u32) {
        self.varint(u64::from(self.number << 3 | wire));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.key(2);
        self.varint(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// A message whose length is known when it is written: five bytes are kept for it.
    fn message<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        self.key(2);
        let at = self.out.len();
        self.out.extend_from_slice(&[0; 5]);
        write(self.out)?;
        let length = self.out.len() - at - 5;
        for index in 0..5 {
            let more = if index < 4 { 0x80 } else { 0 };
            self.out[at + index] = (length >> (7 * index)) as u8 & 0x7f | more;
        }
        Ok(())
    }

    fn integer(mut self, value: i128) -> Result<(), String> {
        let whole = |value: i128| {
            let fits = i64::try_from(value).map(|value| value as u64);
            fits.or_else(|_| u64::try_from(value)).map_err(|_| format!("{value} is out of range"))
        };
        match self.kind {
            Kind::Number | Kind::Severity => {
                let value = whole(value)?;
                self.key(0);
                self.varint(value);
            }
            Kind::Fixed64 => {
                let value = whole(value)?;
                self.key(1);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            Kind::Fixed32 => {
                let value = u32::try_from(value).map_err(|_| format!("{value} is out of range"))?;
                self.key(5);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            Kind::Double => return self.double(value as f64),
            _ => return Err(format!("unexpected number {value}")),
        }
        Ok(())
    }

    fn double(mut self, value: f64) -> Result<(), String> {
        if !matches!(self.kind, Kind::Double) {
            return Err(format!("unexpected number {value}"));
        }
        self.key(1);
        self.out.extend_from_slice(&value.to_bits().to_le_bytes());
        Ok(())
    }

    fn text(mut self, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Text => self.bytes(text.as_bytes()),
            Kind::Base64 => {
                let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
                self.bytes(&bytes);
            }
            Kind::Hex => {
                let bytes = unhex(text).ok_or("an id is no hexadecimal number")?;
                self.bytes(&bytes);
            }
            Kind::Severity if text.starts_with("SEVERITY_NUMBER_") => {
                let number = severity(text).ok_or_else(|| format!("unknown {text}"))?;
                return self.integer(number);
            }
            Kind::Number | Kind::Fixed32 | Kind::Fixed64 | Kind::Severity => {
                let number = text.parse::<i128>().map_err(|_| format!("{text:?} is no number"))?;
                return self.integer(number);
            }
            Kind::Double => {
                let number = text.parse::<f64>().map_err(|_| format!("{text:?} is no number"))?;
                return self.double(number);
            }
            Kind::Bool | Kind::One(_) | Kind::Many(_) => {
                return Err(format!("unexpected text {text:?}"));
            }
        }
        Ok(())
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let bytes = text.as_bytes();
    let pairs = bytes.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?));
    pairs.collect()
}

/// `SEVERITY_NUMBER_INFO3` and its like: four to a level.
fn severity(name: &str) -> Option<i128> {
    let name = name.strip_prefix("SEVERITY_NUMBER_")?;
    if name == "UNSPECIFIED" {
        return Some(0);
    }
    let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let (level, rest) = levels
        .iter()
        .enumerate()
        .find_map(|(at, level)| name.strip_prefix(level).map(|rest| (at as i128, rest)))?;
    let step = match rest {
        "" => 1,
        "2" => 2,
        "3" => 3,
        "4" => 4,
        _ => return None,
    };
    Some(level * 4 + step)
}

impl<'de> Visitor<'de> for Slot<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self.kind {
            Kind::Text | Kind::Base64 | Kind::Hex => "text",
            Kind::Bool => "true or false",
            Kind::One(_) => "an object",
            Kind::Many(_) => "a list",
            _ => "a number",
        })
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        if !matches!(self.kind, Kind::Bool) {
            return Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self));
        }
        self.key(0);
        self.varint(u64::from(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(value.into()).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(value.into()).map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.double(value).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.text(text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let Kind::One(message) = self.kind else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self));
        };
        self.message(|out| Seed { message, out }.visit_map(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Kind::Many(message) = self.kind else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        };
        let number = self.number;
        loop {
            let item = Slot { number, kind: Kind::One(message), out: self.out };
            if list.next_element_seed(item)?.is_none() {
                return Ok(());
            }
        }
    }
}
