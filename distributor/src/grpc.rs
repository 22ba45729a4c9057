//! OTLP over gRPC: `opentelemetry.proto.collector.logs.v1.LogsService/Export`.
//!
//! One message each way. It is framed here, so that a body counts against the budget of all bodies
//! and is decompressed within caps, and read by the decoder of OTLP over HTTP.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use rpc::http::{HttpError, Tenant, body};
use tonic::{Code, Status};

use crate::body::Encoding;
use crate::distributor::{Distributor, Format, Payload};
use crate::error::Error;

const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
/// A flag (compressed or not) and a length.
const FRAME_BYTES: usize = 5;

/// The service. Takes the tenant policy and the budget from the request's extensions, as
/// [`crate::router`] does.
pub fn grpc_router(distributor: Arc<Distributor>) -> Router {
    Router::new().route(EXPORT, post(export)).with_state(distributor)
}

async fn export(
    State(distributor): State<Arc<Distributor>>,
    tenant: Result<Tenant, HttpError>,
    request: Request,
) -> Response {
    let pushed = async {
        let Tenant(tenant) =
            tenant.map_err(|error| Error::new(error.status().as_u16(), error.text()))?;
        let (parts, body) = request.into_parts();
        let cap = usize::try_from(distributor.config().max_recv_msg_size.0).unwrap_or(usize::MAX);
        let collected = body::collect(&parts, body, cap.saturating_add(FRAME_BYTES))
            .await
            .map_err(|error| Error::new(error.status(), error.to_string()))?;
        let (encoding, body) = unframe(&parts.headers, &collected.bytes)?;
        let payload = Payload { format: Format::Otlp, encoding, body, hold: collected.hold };
        distributor.push(&tenant, payload).await
    };
    match pushed.await {
        Ok(()) => exported(),
        Err(error) => status(&error).into_http(),
    }
}

/// The one message of a body.
fn unframe(headers: &HeaderMap, body: &Bytes) -> Result<(Encoding, Bytes), Error> {
    let broken = |what: &str| Error::new(400, format!("the call has {what}"));
    let Some(&[flag, a, b, c, d]) = body.first_chunk::<FRAME_BYTES>() else {
        return Err(broken("no message"));
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if body.len() - FRAME_BYTES != length {
        return Err(broken("a message of another length than it says, or several"));
    }
    let named = headers.get("grpc-encoding").map(|value| value.to_str().unwrap_or("?"));
    let encoding = match (flag, named) {
        (0, _) => Encoding::Identity,
        (1, Some(name)) if name != "identity" => Encoding::of_otlp_header(name)?,
        _ => return Err(broken("a compressed message and does not say how")),
    };
    Ok((encoding, body.slice(FRAME_BYTES..)))
}

/// An empty `ExportLogsServiceResponse`: everything was taken.
fn exported() -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let message = Bytes::from_static(&[0; FRAME_BYTES]);
    let frames = [http_body::Frame::data(message), http_body::Frame::trailers(trailers)];
    let frames = stream::iter(frames.map(Ok::<_, Infallible>));
    let mut response = Response::new(Body::new(UnsyncBoxBody::new(StreamBody::new(frames))));
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Exporters try again what is unavailable, and drop what is invalid.
fn status(error: &Error) -> Status {
    let code = match error.status {
        401 => Code::Unauthenticated,
        429 => Code::ResourceExhausted,
        500..=599 => Code::Unavailable,
        _ => Code::InvalidArgument,
    };
    Status::new(code, error.text.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(flag: u8, length: u32, message: &[u8]) -> Bytes {
        [&[flag][..], &length.to_be_bytes(), message].concat().into()
    }

    #[test]
    fn a_body_is_one_message_plain_or_compressed() {
        let mut headers = HeaderMap::new();
        let plain = unframe(&headers, &framed(0, 2, b"ab")).unwrap();
        assert_eq!(plain, (Encoding::Identity, Bytes::from_static(b"ab")));
        let told = |headers: &HeaderMap, body: Bytes| unframe(headers, &body).unwrap_err().text;
        assert!(told(&headers, framed(1, 2, b"ab")).contains("does not say how"));
        headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
        assert_eq!(unframe(&headers, &framed(1, 2, b"ab")).unwrap().0, Encoding::Gzip);
        assert_eq!(unframe(&headers, &framed(0, 2, b"ab")).unwrap().0, Encoding::Identity);
        headers.insert("grpc-encoding", HeaderValue::from_static("br"));
        assert!(told(&headers, framed(1, 2, b"ab")).contains("unsupported content encoding br"));
        for (body, want) in [
            (Bytes::new(), "no message"),
            (framed(0, 3, b"ab"), "another length"),
            (framed(0, 1, b"ab"), "another length"),
        ] {
            assert!(told(&headers, body).contains(want));
        }
    }

    #[test]
    fn exporters_learn_what_to_try_again() {
        for (from, to) in [
            (400, Code::InvalidArgument),
            (413, Code::InvalidArgument),
            (401, Code::Unauthenticated),
            (429, Code::ResourceExhausted),
            (500, Code::Unavailable),
            (503, Code::Unavailable),
        ] {
            assert_eq!(status(&Error::new(from, "x")).code(), to);
        }
    }
}
