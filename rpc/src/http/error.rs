//! Error kind -> status, and the two ways in which Loki writes an error body.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base::ErrorKind;
use http::{HeaderValue, StatusCode, header};

/// What the person who must act sees as status. Where Loki's status is its own (401, 413, 422,
/// 499, 501, odd 500s) the edge says so with [`HttpError::query_with`] or [`HttpError::push_with`].
pub fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Limited => StatusCode::TOO_MANY_REQUESTS,
        // Whoever saw the conflict has re-read already and lost again: the client tries later.
        ErrorKind::Conflict | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Loki's answer to a client that is gone; nobody reads it but the metrics do.
pub const CLIENT_CLOSED: u16 = 499;
/// Body of [`CLIENT_CLOSED`].
pub const CLIENT_CLOSED_TEXT: &str = "the request was cancelled by the client";
/// Body of 504.
pub const TIMEOUT_TEXT: &str = "request timed out, decrease the duration of the request or add \
    more label matchers (prefer exact match over regex match) to reduce the amount of data processed";

/// Seconds a client should wait after 429 and 503: long enough for a group commit or a flush to
/// free what was full, short enough that senders with small buffers lose nothing.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// An error as it leaves the process: status and plain text. Query answers end without a newline,
/// push answers (Go's `http.Error`) with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError {
    status: StatusCode,
    text: String,
    newline: bool,
}

impl HttpError {
    /// An error of the query family.
    pub fn query(kind: ErrorKind, text: impl Into<String>) -> HttpError {
        HttpError { status: status_of(kind), text: text.into(), newline: false }
    }

    /// An error of a push route, the tenant check or an operational route.
    pub fn push(kind: ErrorKind, text: impl Into<String>) -> HttpError {
        HttpError { status: status_of(kind), text: text.into(), newline: true }
    }

    /// As [`HttpError::query`] with Loki's own status. `status` must be 100..=999.
    pub fn query_with(status: u16, text: impl Into<String>) -> HttpError {
        HttpError { status: code(status), text: text.into(), newline: false }
    }

    /// As [`HttpError::push`] with Loki's own status. `status` must be 100..=999.
    pub fn push_with(status: u16, text: impl Into<String>) -> HttpError {
        HttpError { status: code(status), text: text.into(), newline: true }
    }

    /// The deadline of a query passed: 504 and Loki's advice.
    pub fn query_timeout() -> HttpError {
        HttpError::query(ErrorKind::Timeout, TIMEOUT_TEXT)
    }

    /// The client went away: 499.
    pub fn query_cancelled() -> HttpError {
        HttpError::query_with(CLIENT_CLOSED, CLIENT_CLOSED_TEXT)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The body without the newline a push answer gets.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut text = self.text;
        if self.newline {
            text.push('\n');
        }
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, plain);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let wait = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        if wait.contains(&self.status) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_status_and_only_those_that_may_be_retried_say_when() {
        let table = [
            (ErrorKind::Invalid, 400, false),
            (ErrorKind::NotFound, 404, false),
            (ErrorKind::Limited, 429, true),
            (ErrorKind::Conflict, 503, true),
            (ErrorKind::Unavailable, 503, true),
            (ErrorKind::Timeout, 504, false),
            (ErrorKind::Corrupt, 500, false),
            (ErrorKind::Internal, 500, false),
        ];
        for (kind, status, waits) in table {
            let response = HttpError::query(kind, "x").into_response();
            assert_eq!(response.status(), status, "{kind:?}");
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), waits, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn push_errors_end_with_a_newline_and_query_errors_do_not() {
        for (error, body) in
            [(HttpError::query_with(422, "no"), "no"), (HttpError::push_with(422, "no"), "no\n")]
        {
            let response = error.into_response();
            let bytes = axum::body::to_bytes(response.into_body(), 10).await.unwrap();
            assert_eq!(bytes, body);
        }
    }
}
