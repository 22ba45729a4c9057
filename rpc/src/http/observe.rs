//! One request seen from outside: id, span, duration, bytes, and a panic that becomes a 500.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::metrics::{counter, gauge, histogram};
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base::time::Clock;
use base::{ErrorKind, random::Random};
use futures::FutureExt;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use tracing::Instrument;

use super::error::{CLIENT_CLOSED, HttpError};
use super::metrics;

/// Carries the id of a request in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer id from a client is replaced: it is written to every log line of the request.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// What a request is called in logs and answers. A request extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

/// Gives the request an id (the client's, if it is printable and short) and a span, and echoes
/// the id in the answer.
pub async fn trace(
    State(random): State<Arc<dyn Random>>,
    mut request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let acceptable = |id: &&str| {
        let length = 1..=MAX_REQUEST_ID_BYTES;
        length.contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
    };
    let id: Arc<str> = match given.filter(acceptable) {
        Some(id) => id.into(),
        None => format!("{:016x}", random.next_u64()).into(),
    };
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!("request", id = %id, method = %request.method(),
        path = request.uri().path(), traceID = tracing::field::Empty);
    crate::trace::follow(&span, request.headers());
    crate::trace::record_id(&span);
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// A panic of a handler is answered, counted and logged; the process lives.
pub async fn catch_panic(request: Request, next: Next) -> Response {
    // Unwind safety: the request is gone with the panic; what handlers share with other requests
    // is guarded by locks that poison or by atomics.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            counter!(metrics::PANICS).increment(1);
            let what = panic_text(&*panic);
            tracing::error!(panic = what, "handler panicked");
            HttpError::query(ErrorKind::Internal, "internal error").into_response()
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown")
}

/// The metric label of a route template: `/loki/api/v1/label/{name}/values` ->
/// `loki_api_v1_label_name_values`; `/` is `root`.
pub fn route_label(template: &str) -> String {
    let mut label = String::with_capacity(template.len());
    for c in template.chars() {
        if c.is_ascii_alphanumeric() {
            label.push(c.to_ascii_lowercase());
        } else if !label.is_empty() && !label.ends_with('_') {
            label.push('_');
        }
    }
    label.truncate(label.trim_end_matches('_').len());
    if label.is_empty() { "root".to_owned() } else { label }
}

/// Only methods with a name of their own: the label must not be the client's to choose.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "other",
    }
}

/// Counts one request; records it when the last byte of the answer went out, or when the
/// connection was dropped before.
struct InFlight {
    clock: Arc<dyn Clock>,
    started_ns: u64,
    method: &'static str,
    route: String,
    ws: &'static str,
    status: u16,
    request_bytes: Arc<AtomicU64>,
    response_bytes: u64,
}

impl InFlight {
    fn start(clock: Arc<dyn Clock>, request: &Request) -> InFlight {
        let route = match request.extensions().get::<MatchedPath>() {
            Some(path) => route_label(path.as_str()),
            None => "other".to_owned(),
        };
        let upgrade = request.headers().get(http::header::UPGRADE);
        let ws = upgrade.is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let in_flight = InFlight {
            started_ns: clock.monotonic_ns(),
            clock,
            method: method_label(request.method()),
            route,
            ws: if ws { "true" } else { "false" },
            // What it stays when nobody waits for the answer.
            status: CLIENT_CLOSED,
            request_bytes: Arc::default(),
            response_bytes: 0,
        };
        in_flight.gauge().increment(1.0);
        in_flight
    }

    fn sent(&mut self, bytes: usize) {
        self.response_bytes += bytes as u64;
    }

    fn gauge(&self) -> ::metrics::Gauge {
        let route = self.route.clone();
        gauge!(metrics::INFLIGHT_REQUESTS, "method" => self.method, "route" => route)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gauge().decrement(1.0);
        let (method, route) = (self.method, self.route.clone());
        let seconds = self.clock.monotonic_ns().saturating_sub(self.started_ns) as f64 / 1e9;
        histogram!(metrics::REQUEST_DURATION, "method" => method, "route" => route.clone(),
            "status_code" => self.status.to_string(), "ws" => self.ws)
        .record(seconds);
        histogram!(metrics::REQUEST_BYTES, "method" => method, "route" => route.clone())
            .record(self.request_bytes.load(Ordering::Relaxed) as f64);
        histogram!(metrics::RESPONSE_BYTES, "method" => method, "route" => route)
            .record(self.response_bytes as f64);
        if self.status >= 500 {
            tracing::warn!(method, route = self.route, status = self.status, seconds, "request");
        } else {
            tracing::debug!(method, route = self.route, status = self.status, seconds, "request");
        }
    }
}

/// Duration, bytes and number in flight, by route template.
pub async fn measure(
    State(clock): State<Arc<dyn Clock>>,
    request: Request,
    next: Next,
) -> Response {
    let mut in_flight = InFlight::start(clock, &request);
    let request = count_request(request, &in_flight.request_bytes);
    let response = next.run(request).await;
    in_flight.status = response.status().as_u16();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response; // the upgraded connection is not this request any more
    }
    if let Some(exact) = response.body().size_hint().exact() {
        in_flight.response_bytes = exact;
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            // A method, not the field: the closure must own all of it until the body ends.
            in_flight.sent(frame.data_ref().map_or(0, |data| data.len()));
            frame
        }))
    })
}

fn count_request(request: Request, bytes: &Arc<AtomicU64>) -> Request {
    if let Some(exact) = request.body().size_hint().exact() {
        bytes.store(exact, Ordering::Relaxed);
        return request;
    }
    let bytes = bytes.clone();
    request.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let length = frame.data_ref().map_or(0, |data| data.len());
            bytes.fetch_add(length as u64, Ordering::Relaxed);
            frame
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_named_as_in_lokis_dashboards() {
        let table = [
            ("/loki/api/v1/push", "loki_api_v1_push"),
            ("/loki/api/v1/label/{name}/values", "loki_api_v1_label_name_values"),
            ("/api/prom/push", "api_prom_push"),
            ("/api/prom/rules/{namespace}/{groupName}", "api_prom_rules_namespace_groupname"),
            ("/ready", "ready"),
            ("/", "root"),
        ];
        for (template, label) in table {
            assert_eq!(route_label(template), label);
        }
    }
}
