//! OTLP logs: `ExportLogsServiceRequest` in protobuf, read in place; JSON is written as protobuf first.
//!
//! A resource gives the labels of a stream and metadata of all its records, a scope metadata of its
//! records, a record the line, the timestamp and metadata of its own. What a tenant wants of
//! attributes is in [`Rules`].

mod json;
mod record;
mod rules;
mod value;

pub(crate) use json::to_protobuf;
pub use rules::{Action, Match, Rule, Rules};

use base::UnixNanos;
use base::quote::quote_into;

use super::protobuf::Fields;
use super::{Arena, Fault, Pieces, RawLabels, Sink, Span, malformed};
use crate::error::Error;
use crate::metadata::normalise_name;
use value::Value;

/// What rendered attributes may take beyond the size of the body: nested names repeat those above.
const FREE_ARENA_BYTES: usize = 1 << 20;
/// Nested values; Go's decoder has a limit of the same kind.
const MAX_DEPTH: usize = 64;

/// The attribute that says which service a resource is.
const SERVICE_NAME: &[u8] = b"service.name";

/// Walks `body` and calls `sink`. `now` is the time of records without one. Returns the number of
/// streams.
pub(crate) fn decode<S: Sink>(
    body: &[u8],
    rules: &Rules,
    now: UnixNanos,
    pieces: &mut Pieces,
    sink: &mut S,
) -> Result<usize, Error> {
    let mut walk = || {
        pieces.arena.clear();
        let names = record::Names::lay(&mut pieces.arena);
        let mut walker = Walker {
            body,
            rules,
            now,
            names,
            arena: &mut pieces.arena,
            metadata: &mut pieces.metadata,
            sink,
            streams: 0,
            labels: Vec::new(),
            is_named: false,
            text: String::new(),
            sent: None,
            shared: Vec::new(),
        };
        walker.request()?;
        Ok(walker.streams)
    };
    walk().map_err(|fault: Fault| *fault)
}

/// An attribute: where its name lies, and its value.
#[derive(Clone, Copy)]
struct Attribute {
    name: Span,
    value: Value,
}

struct Walker<'a, S> {
    body: &'a [u8],
    rules: &'a Rules,
    now: UnixNanos,
    names: record::Names,
    arena: &'a mut Arena,
    /// Of the record at hand.
    metadata: &'a mut Vec<[Span; 2]>,
    sink: &'a mut S,
    streams: usize,
    /// Labels that the resource gives.
    labels: Vec<(String, String)>,
    /// The resource says which service it is.
    is_named: bool,
    /// The label text of the stream that was sent last, and how it was sent.
    text: String,
    sent: Option<bool>,
    /// Metadata of the resource, then of the scope.
    shared: Vec<[Span; 2]>,
}

impl<S: Sink> Walker<'_, S> {
    fn request(&mut self) -> Result<(), Fault> {
        let mut fields = Fields::new(self.body, 0, self.body.len(), "ExportLogsServiceRequest");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    let (from, to) = fields.bytes(field, "ResourceLogs")?;
                    self.resource_logs(from, to)?;
                }
                _ => fields.skip(field)?,
            }
        }
        Ok(())
    }

    /// Two passes: the resource may follow its records.
    fn resource_logs(&mut self, from: usize, to: usize) -> Result<(), Fault> {
        let mark = self.arena.len();
        self.labels.clear();
        self.shared.clear();
        (self.is_named, self.sent) = (false, None);
        let mut fields = Fields::new(self.body, from, to, "ResourceLogs");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    let (from, to) = fields.bytes(field, "Resource")?;
                    self.resource(from, to)?;
                }
                _ => fields.skip(field)?,
            }
        }
        let mut fields = Fields::new(self.body, from, to, "ResourceLogs");
        while let Some(field) = fields.next()? {
            match field.number {
                2 => {
                    let (from, to) = fields.bytes(field, "ScopeLogs")?;
                    self.scope_logs(from, to)?;
                }
                _ => fields.skip(field)?,
            }
        }
        self.arena.truncate(mark);
        Ok(())
    }

    fn resource(&mut self, from: usize, to: usize) -> Result<(), Fault> {
        let mut fields = Fields::new(self.body, from, to, "Resource");
        while let Some(field) = fields.next()? {
            if field.number != 1 {
                fields.skip(field)?;
                continue;
            }
            let (from, to) = fields.bytes(field, "Attributes")?;
            let attribute = self.attribute(from, to)?;
            let name = attribute.name.of(self.body, self.arena.as_slice());
            self.is_named |= name == SERVICE_NAME && !self.is_empty(attribute.value)?;
            match self.rules.resource(name) {
                Action::Drop => {}
                Action::Metadata => self.share(attribute)?,
                Action::IndexLabel => {
                    let pairs = self.label_pairs(attribute)?;
                    set_labels(&mut self.labels, pairs);
                }
            }
        }
        Ok(())
    }

    fn scope_logs(&mut self, from: usize, to: usize) -> Result<(), Fault> {
        let (mark, shared) = (self.arena.len(), self.shared.len());
        let mut fields = Fields::new(self.body, from, to, "ScopeLogs");
        let mut records = 0;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    let (from, to) = fields.bytes(field, "Scope")?;
                    self.scope(from, to)?;
                }
                2 => {
                    fields.bytes(field, "LogRecords")?;
                    records += 1;
                }
                _ => fields.skip(field)?,
            }
        }
        self.sink.expect(records);
        let mut fields = Fields::new(self.body, from, to, "ScopeLogs");
        while let Some(field) = fields.next()? {
            match field.number {
                2 => {
                    let (from, to) = fields.bytes(field, "LogRecords")?;
                    self.record(from, to)?;
                }
                _ => fields.skip(field)?,
            }
        }
        self.shared.truncate(shared);
        self.arena.truncate(mark);
        Ok(())
    }

    fn scope(&mut self, from: usize, to: usize) -> Result<(), Fault> {
        let (mut name, mut version, mut dropped) = ((from, from), (from, from), 0);
        let mut fields = Fields::new(self.body, from, to, "InstrumentationScope");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => name = fields.bytes(field, "Name")?,
                2 => version = fields.bytes(field, "Version")?,
                3 => {
                    let (from, to) = fields.bytes(field, "Attributes")?;
                    let attribute = self.attribute(from, to)?;
                    let name = attribute.name.of(self.body, self.arena.as_slice());
                    if self.rules.scope(name) != Action::Drop {
                        self.share(attribute)?;
                    }
                }
                4 => dropped = fields.varint_of(field, "DroppedAttributesCount")? as u32,
                _ => fields.skip(field)?,
            }
        }
        for (key, (from, to)) in
            [(self.names.scope_name, name), (self.names.scope_version, version)]
        {
            if from != to {
                self.shared.push([key, Span::body(from, to)]);
            }
        }
        if dropped != 0 {
            let dropped = value::decimal(dropped, self.arena);
            self.shared.push([self.names.scope_dropped, dropped]);
        }
        Ok(())
    }

    fn attribute(&self, from: usize, to: usize) -> Result<Attribute, Fault> {
        let (key, value) = value::key_value(self.body, from, to)?;
        Ok(Attribute { name: Span::body(key.0, key.1), value })
    }

    fn is_empty(&self, value: Value) -> Result<bool, Fault> {
        Ok(match value {
            Value::Empty => true,
            Value::Text(from, to) => from == to,
            _ => false,
        })
    }

    /// An attribute of the resource or the scope as metadata.
    fn share(&mut self, attribute: Attribute) -> Result<(), Fault> {
        let mut pairs = std::mem::take(&mut self.shared);
        let done = self.flatten(attribute, &mut pairs);
        self.shared = pairs;
        done
    }

    /// Name and text of an attribute; of a map those of what lies in it.
    fn flatten(&mut self, attribute: Attribute, out: &mut Vec<[Span; 2]>) -> Result<(), Fault> {
        value::flatten(self.body, attribute.name, attribute.value, self.arena, out, 0)?;
        if self.arena.len() > self.body.len().saturating_mul(4) + FREE_ARENA_BYTES {
            return Err(malformed("attributes nest too much text"));
        }
        Ok(())
    }

    /// An attribute as labels.
    fn label_pairs(&mut self, attribute: Attribute) -> Result<Vec<(String, String)>, Fault> {
        let mut spans = Vec::new();
        let mark = self.arena.len();
        self.flatten(attribute, &mut spans)?;
        let arena = self.arena.as_slice();
        let mut pairs = Vec::with_capacity(spans.len());
        for [name, value] in spans {
            let name =
                normalise_name(name.of(self.body, arena)).map_err(|error| malformed(error.text))?;
            let value = String::from_utf8_lossy(value.of(self.body, arena)).into_owned();
            pairs.push((name, value));
        }
        self.arena.truncate(mark);
        Ok(pairs)
    }

    /// Tells the sink whose records follow, if it does not know. `more`: labels of the record.
    fn enter(&mut self, more: Vec<(String, String)>) -> Result<(), Fault> {
        let is_named = self.is_named;
        if more.is_empty() && self.sent == Some(is_named) && !self.rules.labels_of_records() {
            return Ok(());
        }
        let mut text = String::from("{");
        let mut labels = &self.labels;
        let mut all;
        if !more.is_empty() {
            all = self.labels.clone();
            set_labels(&mut all, more);
            labels = &all;
        }
        for (index, (name, value)) in labels.iter().enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            text.push_str(name);
            text.push('=');
            quote_into(&mut text, value);
        }
        text.push('}');
        if self.sent == Some(is_named) && text == self.text {
            return Ok(());
        }
        self.text = text;
        self.sent = Some(is_named);
        self.streams += 1;
        let raw = self.text.as_bytes();
        self.sink.stream(if is_named { RawLabels::Named(raw) } else { RawLabels::Text(raw) })
    }
}

/// Sets `pairs` in `labels`: a later value of a name counts.
fn set_labels(labels: &mut Vec<(String, String)>, pairs: Vec<(String, String)>) {
    for (name, value) in pairs {
        match labels.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => labels.push((name, value)),
        }
    }
}

#[cfg(test)]
mod tests;
