//! W3C trace context over process borders, in HTTP headers, gRPC metadata and messages.
//!
//! Nothing is carried unless the process installed a propagator (`opentelemetry::global`), which
//! `server` does when traces are exported: then one trace spans every process a request touches.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header, and the field of a message that is not a request of its own.
const TRACEPARENT: &str = "traceparent";

/// Writes the context of the current span into `headers`; nothing while nothing is traced.
pub fn inject(headers: &mut HeaderMap) {
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&Span::current().context(), &mut Headers(headers));
    });
}

/// Makes `span` a child of the context in `headers`. Call it before the span is entered.
pub fn follow(span: &Span, headers: &HeaderMap) {
    if headers.contains_key(TRACEPARENT) {
        let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.extract(&HeadersRef(headers))
        });
        // Refused when nothing is exported: then there is no trace to follow.
        let _ = span.set_parent(parent);
    }
}

/// Writes the trace's id into the field `traceID` of `span`, which it must have been made with, so
/// that every log line below it can be found from the trace. Nothing while nothing is traced.
pub fn record_id(span: &Span) {
    let context = span.context();
    let context = context.span().span_context().clone();
    if context.is_valid() {
        span.record("traceID", tracing::field::display(context.trace_id()));
    }
}

/// The `traceparent` of the current span, for a message on a stream; empty while nothing is traced.
pub fn traceparent() -> String {
    let mut headers = HeaderMap::new();
    inject(&mut headers);
    let value = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// Makes `span` a child of the span that [`traceparent`] named; any other text changes nothing.
pub fn follow_traceparent(span: &Span, traceparent: &str) {
    if let Ok(value) = HeaderValue::from_str(traceparent)
        && !traceparent.is_empty()
    {
        let name = HeaderName::from_static(TRACEPARENT);
        follow(span, &HeaderMap::from_iter([(name, value)]));
    }
}

struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::from_bytes(key.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value))
            && !value.is_empty()
        {
            self.0.insert(name, value);
        }
    }
}

struct HeadersRef<'a>(&'a HeaderMap);

impl Extractor for HeadersRef<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_carried_while_nothing_is_traced() {
        let mut headers = HeaderMap::new();
        inject(&mut headers);
        assert!(headers.is_empty());
        assert_eq!(traceparent(), "");
        let span = tracing::info_span!("job");
        for text in ["", "garbage", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "\n"]
        {
            follow_traceparent(&span, text);
        }
    }
}
