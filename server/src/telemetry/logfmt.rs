//! `level=info ts=2024-05-01T10:00:00.000Z caller=server::app msg="..." key=value`, one event per line.

use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::sync::Arc;

use base::time::Clock;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::LogLevel;
use super::metrics::{LOG_MESSAGES, LOG_MESSAGES_OLD};

/// Writes events to stderr and counts them.
pub struct Logfmt {
    level: LogLevel,
    clock: Arc<dyn Clock>,
}

/// How the targets of this workspace's crates begin.
const OURS: [&str; 2] = ["runelog", "server"];

/// Fields of a span, formatted once.
struct SpanText(String);

/// Appends ` key=value`; the message goes apart, to stand first.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Logfmt {
    /// Logs events at `level` and above.
    pub fn new(level: LogLevel, clock: Arc<dyn Clock>) -> Logfmt {
        Logfmt { level, clock }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries speak only when something is wrong: their debug output is about themselves.
        let own = OURS.iter().any(|prefix| metadata.target().starts_with(prefix));
        let limit = self.level.level();
        *metadata.level() <= if own { limit } else { limit.min(Level::WARN) }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        self.add(field, &text);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.add(field, &text);
    }
}

impl Fields {
    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            push_value(&mut self.message, value);
            return;
        }
        self.rest.push(' ');
        self.rest.push_str(field.name());
        self.rest.push('=');
        push_value(&mut self.rest, value);
    }
}

fn push_value(out: &mut String, value: &str) {
    let plain = |c: char| c > ' ' && !"\"=\\".contains(c) && !c.is_control();
    if !value.is_empty() && value.chars().all(plain) {
        out.push_str(value);
    } else {
        base::quote::quote_into(out, value);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Logfmt {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level.level()))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(SpanText(fields.rest));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(text) = span.extensions_mut().get_mut::<SpanText>() {
            text.0.push_str(&fields.rest);
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
        let mut line = String::with_capacity(160);
        let caller = metadata.target().trim_start_matches("runelog_");
        let ts = timestamp(&*self.clock);
        let message = if fields.message.is_empty() { "-" } else { &fields.message };
        let written = write!(line, "level={level} ts={ts} caller={caller} msg={message}");
        debug_assert!(written.is_ok());
        line.push_str(&fields.rest);
        for span in context.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            if let Some(text) = extensions.get::<SpanText>() {
                line.push(' ');
                line.push_str(span.name());
                line.push_str(&text.0);
            }
        }
        line.push('\n');
        // A closed stderr must not end the process.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
        ::metrics::counter!(LOG_MESSAGES, "level" => level).increment(1);
        ::metrics::counter!(LOG_MESSAGES_OLD, "level" => level).increment(1);
    }
}

fn timestamp(clock: &dyn Clock) -> String {
    let now = chrono::DateTime::from_timestamp_nanos(clock.now().0);
    now.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_only_where_they_must_be() {
        let shown = |value: &str| {
            let mut out = String::new();
            push_value(&mut out, value);
            out
        };
        assert_eq!(shown("plain/path:1"), "plain/path:1");
        assert_eq!(shown(""), "\"\"");
        assert_eq!(shown("two words"), "\"two words\"");
        assert_eq!(shown("a=\"b\"\n"), "\"a=\\\"b\\\"\\n\"");
    }
}
