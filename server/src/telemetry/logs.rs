//! Events as lines on stderr: `level=info ts=… caller=server::app msg="…" key=value`, or the same
//! as one JSON object a line.

mod json;
mod logfmt;

use std::fmt::Debug;
use std::io::Write as _;
use std::sync::Arc;

use base::time::Clock;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use super::LogLevel;
use super::metrics::{LOG_MESSAGES, LOG_MESSAGES_OLD};

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `key=value`
    Logfmt,
    /// `{"key":"value"}`
    Json,
}

/// Writes events to stderr and counts them.
pub struct Logs {
    format: Format,
    clock: Arc<dyn Clock>,
}

impl Logs {
    /// Writes every event it is given in `format`.
    pub fn new(format: Format, clock: Arc<dyn Clock>) -> Logs {
        Logs { format, clock }
    }
}

/// What of an event or a span is known: its fields, and the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, Text)>,
}

/// A value as text, and whether JSON writes it without quotes.
struct Text {
    text: String,
    is_bare: bool,
}

/// One line before it is written.
struct Line<'a> {
    level: &'static str,
    ts: String,
    caller: &'a str,
    fields: &'a Fields,
    /// From the event outwards.
    spans: &'a [(&'static str, String)],
}

/// Fields of a span, formatted once.
struct SpanText(String);

impl Fields {
    fn add(&mut self, field: &Field, text: String, is_bare: bool) {
        match field.name() {
            "message" => self.message = text,
            name => self.rest.push((name, Text { text, is_bare })),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}"), false);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned(), false);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.to_string(), true);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.to_string(), true);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.to_string(), true);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, format!("{value:?}"), value.is_finite());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.add(field, text, false);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Logs {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(SpanText(self.format.span(&fields)));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        let more = self.format.span(&fields);
        if let Some(text) = span.extensions_mut().get_mut::<SpanText>() {
            text.0.push_str(&more);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut spans = Vec::new();
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(text) = span.extensions().get::<SpanText>() {
                spans.push((span.name(), text.0.clone()));
            }
        }
        let line = Line {
            level,
            ts: timestamp(&*self.clock),
            caller: metadata.target().trim_start_matches("runelog_"),
            fields: &fields,
            spans: &spans,
        };
        let line = self.format.line(&line);
        // A closed stderr must not end the process.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
        ::metrics::counter!(LOG_MESSAGES, "level" => level).increment(1);
        ::metrics::counter!(LOG_MESSAGES_OLD, "level" => level).increment(1);
    }
}

impl Format {
    /// `logfmt` or `json`.
    pub fn parse(name: &str) -> Option<Format> {
        match name {
            "logfmt" => Some(Format::Logfmt),
            "json" => Some(Format::Json),
            _ => None,
        }
    }

    fn line(self, line: &Line<'_>) -> String {
        match self {
            Format::Logfmt => logfmt::line(line),
            Format::Json => json::line(line),
        }
    }

    /// Fields that each line below the span repeats.
    fn span(self, fields: &Fields) -> String {
        match self {
            Format::Logfmt => logfmt::fields(fields),
            Format::Json => json::fields(fields),
        }
    }
}

/// Lets events of `level` and above through, and spans too: their fields are on the lines.
pub struct AtLevel(pub LogLevel);

/// How the targets of this workspace's crates begin.
const OURS: [&str; 2] = ["runelog", "server"];

/// Whether the code at `metadata` is of this workspace.
pub fn is_ours(metadata: &Metadata<'_>) -> bool {
    OURS.iter().any(|prefix| metadata.target().starts_with(prefix))
}

impl AtLevel {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries speak only when something is wrong: their debug output is about themselves.
        let limit = self.0.level();
        let limit = if is_ours(metadata) { limit } else { limit.min(Level::WARN) };
        // A line that says what went wrong says in which request.
        let is_frame = metadata.is_span() && is_ours(metadata) && *metadata.level() <= Level::INFO;
        is_frame || *metadata.level() <= limit
    }
}

impl<S: Subscriber> Filter<S> for AtLevel {
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.0.level().max(Level::INFO)))
    }
}

fn timestamp(clock: &dyn Clock) -> String {
    let now = chrono::DateTime::from_timestamp_nanos(clock.now().0);
    now.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Fields {
        let text = |text: &str, is_bare| Text { text: text.to_owned(), is_bare };
        let rest = vec![
            ("path", text("/a/b", false)),
            ("count", text("3", true)),
            ("query", text("{a=\"b\"}\n", false)),
        ];
        Fields { message: "two words".to_owned(), rest }
    }

    fn shown(format: Format) -> String {
        let fields = sample();
        let spans = [("request", format.span(&sample()))];
        let ts = "2024-05-01T10:00:00.000Z".to_owned();
        format.line(&Line { level: "info", ts, caller: "server", fields: &fields, spans: &spans })
    }

    #[test]
    fn logfmt_quotes_only_where_it_must() {
        assert_eq!(
            shown(Format::Logfmt),
            "level=info ts=2024-05-01T10:00:00.000Z caller=server msg=\"two words\" path=/a/b \
             count=3 query=\"{a=\\\"b\\\"}\\n\" request path=/a/b count=3 \
             query=\"{a=\\\"b\\\"}\\n\"\n"
        );
    }

    #[test]
    fn json_is_one_object_a_line_with_spans_inside() {
        let line = shown(Format::Json);
        assert!(line.ends_with('\n') && !line.trim_end().contains('\n'), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["level"], "info");
        assert_eq!(value["msg"], "two words");
        assert_eq!(value["count"], 3);
        assert_eq!(value["query"], "{a=\"b\"}\n");
        assert_eq!(value["request"]["path"], "/a/b");
    }
}
