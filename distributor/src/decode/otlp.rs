//! OTLP logs: `ExportLogsServiceRequest` in protobuf, read in place; JSON is written as protobuf first.
//!
//! A resource gives the labels of a stream and metadata of all its records, a scope metadata of its
//! records, a record the line, the timestamp and metadata of its own. What a tenant wants of
//! attributes is in [`Rules`].

mod json;
mod labels;
mod record;
mod rules;
mod value;

pub(crate) use json::to_protobuf;
pub use rules::{Action, Match, Rule, Rules};

use base::UnixNanos;

use super::protobuf::Fields;
use super::{Arena, Common, Fault, Pieces, RawLabels, Sink, Span, Spans, malformed};
use crate::error::Error;
use crate::limits::PushLimits;
use crate::metadata::normalise_name;
use crate::validate;
use labels::LabelSet;
use value::{Out, Value};

/// Text of labels of one attribute.
const MAX_LABEL_BYTES: usize = 1 << 20;
/// Nested values; Go's decoder has a limit of the same kind.
const MAX_DEPTH: usize = 64;

/// The attribute that says which service a resource is.
const SERVICE_NAME: &[u8] = b"service.name";

/// Bytes of text that values are rendered to: names repeat what stands above them, and JSON writes
/// six characters for one. What no tenant may store is not rendered, but counted, so that it is
/// refused with its numbers.
#[derive(Clone, Copy)]
struct Bounds {
    /// Metadata of a record, or of what records share.
    metadata: usize,
    /// A line: one byte more than the longest.
    line: usize,
}

impl Bounds {
    fn of(limits: &PushLimits) -> Bounds {
        let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Bounds {
            metadata: match limits.max_structured_metadata_size {
                0 => validate::MAX_METADATA_BYTES,
                limit => bytes(limit).min(validate::MAX_METADATA_BYTES),
            },
            line: match limits.max_line_size {
                0 => validate::MAX_TEXT_BYTES,
                limit => bytes(limit).saturating_add(1).min(validate::MAX_TEXT_BYTES),
            },
        }
    }
}

/// Walks `body` and calls `sink`. `now` is the time of records without one. Returns the number of
/// streams.
pub(crate) fn decode<S: Sink>(
    body: &[u8],
    limits: &PushLimits,
    now: UnixNanos,
    pieces: &mut Pieces,
    sink: &mut S,
) -> Result<usize, Error> {
    let mut walk = || {
        pieces.arena.clear();
        let names = record::Names::lay(&mut pieces.arena);
        let mut walker = Walker {
            body,
            rules: &limits.otlp,
            bounds: Bounds::of(limits),
            now,
            names,
            arena: &mut pieces.arena,
            metadata: &mut pieces.metadata,
            sink,
            streams: 0,
            labels: LabelSet::default(),
            is_named: false,
            text: String::new(),
            sent: None,
            shared: Common::default(),
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

/// How a stream was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sent {
    is_named: bool,
    /// A record had labels of its own.
    has_more: bool,
}

struct Walker<'a, S> {
    body: &'a [u8],
    rules: &'a Rules,
    bounds: Bounds,
    now: UnixNanos,
    names: record::Names,
    arena: &'a mut Arena,
    /// Of the record at hand.
    metadata: &'a mut Spans,
    sink: &'a mut S,
    streams: usize,
    /// Labels that the resource gives.
    labels: LabelSet,
    /// The resource says which service it is.
    is_named: bool,
    /// The label text of the stream that was sent last.
    text: String,
    sent: Option<Sent>,
    /// Metadata of the resource, then of the scope.
    shared: Common,
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
        let (mark, shared) = (self.arena.len(), self.shared.mark());
        self.labels.clear();
        (self.is_named, self.sent) = (false, None);
        let mut fields = Fields::new(self.body, from, to, "ResourceLogs");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    let (from, to) = fields.bytes(field, "Resource")?;
                    self.resource(from, to, mark + self.bounds.metadata)?;
                }
                _ => fields.skip(field)?,
            }
        }
        self.shared.added(shared);
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
        self.shared.back(shared);
        self.arena.truncate(mark);
        Ok(())
    }

    /// `end` of the arena for metadata.
    fn resource(&mut self, from: usize, to: usize, end: usize) -> Result<(), Fault> {
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
                Action::Metadata => self.share(attribute, end)?,
                Action::IndexLabel => {
                    let mut labels = std::mem::take(&mut self.labels);
                    let done = self.set_labels(attribute, &mut labels);
                    self.labels = labels;
                    done?;
                }
            }
        }
        Ok(())
    }

    fn scope_logs(&mut self, from: usize, to: usize) -> Result<(), Fault> {
        let (mark, shared) = (self.arena.len(), self.shared.mark());
        let mut fields = Fields::new(self.body, from, to, "ScopeLogs");
        let mut records = 0;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    let (from, to) = fields.bytes(field, "Scope")?;
                    self.scope(from, to, mark + self.bounds.metadata)?;
                }
                2 => {
                    fields.bytes(field, "LogRecords")?;
                    records += 1;
                }
                _ => fields.skip(field)?,
            }
        }
        self.shared.added(shared);
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
        self.shared.back(shared);
        self.arena.truncate(mark);
        Ok(())
    }

    fn scope(&mut self, from: usize, to: usize, end: usize) -> Result<(), Fault> {
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
                        self.share(attribute, end)?;
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
                self.shared.spans().push([key, Span::body(from, to)]);
            }
        }
        if dropped != 0 {
            let dropped = value::decimal(dropped, self.arena);
            self.shared.spans().push([self.names.scope_dropped, dropped]);
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
    fn share(&mut self, attribute: Attribute, end: usize) -> Result<(), Fault> {
        let mut out = Out { body: self.body, arena: self.arena, end };
        out.flatten(attribute.name, attribute.value, self.shared.spans())
    }

    /// An attribute as labels.
    fn set_labels(&mut self, attribute: Attribute, labels: &mut LabelSet) -> Result<(), Fault> {
        let (mut spans, mark) = (Spans::default(), self.arena.len());
        let end = mark + MAX_LABEL_BYTES;
        let mut out = Out { body: self.body, arena: self.arena, end };
        out.flatten(attribute.name, attribute.value, &mut spans)?;
        if !spans.is_whole() {
            return Err(malformed("an attribute gives more labels than a stream can have"));
        }
        let arena = self.arena.as_slice();
        for [name, value] in spans.list() {
            let name =
                normalise_name(name.of(self.body, arena)).map_err(|error| malformed(error.text))?;
            let value = String::from_utf8_lossy(value.of(self.body, arena)).into_owned();
            labels.set(name, value)?;
        }
        self.arena.truncate(mark);
        Ok(())
    }

    /// Tells the sink whose records follow, if it does not know. `more`: labels of the record.
    fn enter(&mut self, more: &LabelSet) -> Result<(), Fault> {
        let is_named = self.is_named;
        let sent = Sent { is_named, has_more: !more.is_empty() };
        if more.is_empty() && self.sent == Some(sent) {
            return Ok(());
        }
        let text = self.labels.text_with(more);
        let before = self.sent.replace(sent);
        if before.is_some_and(|before| before.is_named == is_named) && text == self.text {
            return Ok(());
        }
        self.text = text;
        self.streams += 1;
        let raw = self.text.as_bytes();
        self.sink.stream(if is_named { RawLabels::Named(raw) } else { RawLabels::Text(raw) })
    }
}

#[cfg(test)]
mod tests;
