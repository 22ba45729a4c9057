//! OTLP over HTTP: `POST /otlp/v1/logs`.
//!
//! Media types count as they are written, without parameters. Errors are a `google.rpc.Status` in
//! protobuf; what the server is to blame for is 503, which exporters try again.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use rpc::http::{Tenant, body};

use crate::body::Encoding;
use crate::distributor::{Distributor, Format, Payload};
use crate::error::Error;

/// 204, or an error.
pub(super) async fn push(
    State(distributor): State<Arc<Distributor>>,
    Tenant(tenant): Tenant,
    request: Request,
) -> Response {
    let pushed = async {
        let (parts, body) = request.into_parts();
        let (encoding, format) = kind_of(&parts)?;
        let cap = usize::try_from(distributor.config().max_recv_msg_size.0).unwrap_or(usize::MAX);
        let collected = body::collect(&parts, body, cap)
            .await
            .map_err(|error| Error::new(error.status(), error.to_string()))?;
        let payload = Payload { format, encoding, body: collected.bytes, hold: collected.hold };
        distributor.push(&tenant, payload).await
    };
    match pushed.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => answer(&error),
    }
}

fn kind_of(parts: &Parts) -> Result<(Encoding, Format), Error> {
    let header = |name: HeaderName| {
        let value = parts.headers.get(name).map(|value| value.as_bytes());
        String::from_utf8_lossy(value.unwrap_or_default())
    };
    let format = match &*header(header::CONTENT_TYPE) {
        "application/x-protobuf" => Format::Otlp,
        "application/json" => Format::OtlpJson,
        other => return Err(Error::new(400, format!("content type: {other} is not supported"))),
    };
    Ok((Encoding::of_otlp_header(&header(header::CONTENT_ENCODING))?, format))
}

fn answer(error: &Error) -> Response {
    let status = match error.status {
        500 => StatusCode::SERVICE_UNAVAILABLE,
        status => StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
    };
    let kind = HeaderValue::from_static("application/octet-stream");
    (status, [(header::CONTENT_TYPE, kind)], status_message(&error.text)).into_response()
}

/// `google.rpc.Status { message }`.
fn status_message(text: &str) -> Vec<u8> {
    const MESSAGE: u8 = 2 << 3 | 2;
    let mut out = Vec::with_capacity(text.len() + 8);
    if text.is_empty() {
        return out;
    }
    out.push(MESSAGE);
    let mut length = text.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(text.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_a_status_with_a_length_before_the_text() {
        assert_eq!(status_message("no"), b"\x12\x02no");
        let long = "x".repeat(300);
        assert_eq!(status_message(&long)[..4], [0x12, 0xac, 0x02, b'x']);
        assert_eq!(answer(&Error::new(500, "x")).status(), 503);
        assert_eq!(answer(&Error::new(422, "x")).status(), 422);
    }
}
