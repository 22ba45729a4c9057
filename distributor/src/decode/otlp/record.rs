//! One log record: line, timestamp, metadata.

use super::super::protobuf::Fields;
use super::super::{Arena, Entry, Fault, Pairs, Sink, Span, malformed};
use super::labels::LabelSet;
use super::value::{self, Out, Value};
use super::{Action, Walker};
use crate::metadata::normalise_name;

/// What the first-class field replaces.
const EVENT_NAME: &str = "event_name";

/// Names of metadata that fields become, in the arena.
#[derive(Clone, Copy)]
pub(super) struct Names {
    observed_timestamp: Span,
    severity_number: Span,
    severity_text: Span,
    dropped: Span,
    flags: Span,
    trace_id: Span,
    span_id: Span,
    event_name: Span,
    pub(super) scope_name: Span,
    pub(super) scope_version: Span,
    pub(super) scope_dropped: Span,
}

impl Names {
    /// Writes the names into `arena`, which is empty.
    pub(super) fn lay(arena: &mut Arena) -> Names {
        let mut lay = |name: &str| {
            let from = arena.len();
            arena.extend(name.as_bytes());
            Span::arena(from, arena.len())
        };
        Names {
            observed_timestamp: lay("observed_timestamp"),
            severity_number: lay("severity_number"),
            severity_text: lay("severity_text"),
            dropped: lay("dropped_attributes_count"),
            flags: lay("flags"),
            trace_id: lay("trace_id"),
            span_id: lay("span_id"),
            event_name: lay(EVENT_NAME),
            scope_name: lay("scope_name"),
            scope_version: lay("scope_version"),
            scope_dropped: lay("scope_dropped_attributes_count"),
        }
    }
}

/// The fields of a record but its attributes.
#[derive(Default)]
struct Record {
    time_ns: u64,
    observed_ns: u64,
    severity_number: i32,
    severity_text: (usize, usize),
    body: Value,
    dropped: u32,
    flags: u32,
    trace_id: (usize, usize),
    span_id: (usize, usize),
    event_name: (usize, usize),
}

impl<S: Sink> Walker<'_, S> {
    pub(super) fn record(&mut self, from: usize, to: usize) -> Result<(), Fault> {
        let mark = self.arena.len();
        self.metadata.clear();
        let record = self.fields(from, to)?;
        let labels = self.attributes(from, to, &record)?;
        self.first_class(&record);
        self.enter(&labels)?;
        let ts_ns = match (record.time_ns, record.observed_ns) {
            (0, 0) => self.now.0,
            (0, observed) => observed as i64,
            (time, _) => time as i64,
        };
        let end = self.arena.len() + self.bounds.line;
        let (line, line_rest) =
            Out { body: self.body, arena: self.arena, end }.text(record.body)?;
        let arena = self.arena.as_slice();
        self.sink.entry(&Entry {
            ts_ns,
            line: line.of(self.body, arena),
            line_rest,
            metadata: Pairs::new(self.body, arena, self.metadata, self.shared.shared()),
        });
        self.arena.truncate(mark);
        Ok(())
    }

    fn fields(&self, from: usize, to: usize) -> Result<Record, Fault> {
        let mut fields = Fields::new(self.body, from, to, "LogRecord");
        let mut record = Record::default();
        while let Some(field) = fields.next()? {
            match field.number {
                1 => record.time_ns = fields.fixed64_of(field, "TimeUnixNano")?,
                2 => record.severity_number = fields.varint_of(field, "SeverityNumber")? as i32,
                3 => record.severity_text = fields.bytes(field, "SeverityText")?,
                5 => {
                    let (from, to) = fields.bytes(field, "Body")?;
                    record.body = value::any(self.body, from, to)?;
                }
                7 => record.dropped = fields.varint_of(field, "DroppedAttributesCount")? as u32,
                8 => record.flags = fields.fixed32_of(field, "Flags")?,
                9 => record.trace_id = self.id::<16>(fields.bytes(field, "TraceId")?)?,
                10 => record.span_id = self.id::<8>(fields.bytes(field, "SpanId")?)?,
                11 => record.observed_ns = fields.fixed64_of(field, "ObservedTimeUnixNano")?,
                12 => record.event_name = fields.bytes(field, "EventName")?,
                _ => fields.skip(field)?,
            }
        }
        Ok(record)
    }

    /// An id of `LENGTH` bytes, or none; all zero is none.
    fn id<const LENGTH: usize>(&self, (from, to): (usize, usize)) -> Result<(usize, usize), Fault> {
        let bytes = &self.body[from..to];
        if !bytes.is_empty() && bytes.len() != LENGTH {
            let length = bytes.len();
            return Err(malformed(format!("an id has {length} bytes instead of {LENGTH}")));
        }
        Ok(if bytes.iter().all(|&byte| byte == 0) { (from, from) } else { (from, to) })
    }

    /// The attributes become metadata, or labels, which are returned.
    fn attributes(&mut self, from: usize, to: usize, record: &Record) -> Result<LabelSet, Fault> {
        let mut labels = LabelSet::default();
        let end = self.arena.len() + self.bounds.metadata;
        let has_event_name = record.event_name.0 != record.event_name.1;
        let mut fields = Fields::new(self.body, from, to, "LogRecord");
        while let Some(field) = fields.next()? {
            if field.number != 6 {
                fields.skip(field)?;
                continue;
            }
            let (from, to) = fields.bytes(field, "Attributes")?;
            let attribute = self.attribute(from, to)?;
            let name = attribute.name.of(self.body, self.arena.as_slice());
            match self.rules.log(name) {
                Action::Drop => {}
                Action::IndexLabel => {
                    self.set_labels(attribute, &mut labels)?;
                }
                Action::Metadata => {
                    if has_event_name && normalise_name(name).is_ok_and(|name| name == EVENT_NAME) {
                        continue;
                    }
                    let mut out = Out { body: self.body, arena: self.arena, end };
                    out.flatten(attribute.name, attribute.value, self.metadata)?;
                }
            }
        }
        let (from, to) = record.severity_text;
        if self.rules.severity_text_as_label && from != to {
            let text = String::from_utf8_lossy(&self.body[from..to]).into_owned();
            labels.set("severity_text".to_owned(), text)?;
        }
        Ok(labels)
    }

    fn first_class(&mut self, record: &Record) {
        let names = self.names;
        let mut put = |name: Span, value: Span| self.metadata.push([name, value]);
        if record.observed_ns != 0 && record.time_ns != 0 {
            put(names.observed_timestamp, value::decimal(record.observed_ns, self.arena));
        }
        if record.severity_number != 0 {
            put(names.severity_number, value::decimal(record.severity_number, self.arena));
        }
        let text = record.severity_text;
        if text.0 != text.1 {
            put(names.severity_text, Span::body(text.0, text.1));
        }
        if record.dropped != 0 {
            put(names.dropped, value::decimal(record.dropped, self.arena));
        }
        if record.flags != 0 {
            put(names.flags, value::decimal(record.flags, self.arena));
        }
        for (name, (from, to)) in
            [(names.trace_id, record.trace_id), (names.span_id, record.span_id)]
        {
            if from != to {
                put(name, value::hex(&self.body[from..to], self.arena));
            }
        }
        let event = record.event_name;
        if event.0 != event.1 {
            put(names.event_name, Span::body(event.0, event.1));
        }
    }
}
