//! One push over HTTP: headers decide the format, the distributor does the rest.

use std::sync::Arc;

use axum::extract::{OriginalUri, Request, State};
use http::request::Parts;
use http::{HeaderName, StatusCode, header};
use rpc::http::{HttpError, Tenant, body};

use super::mediatype;
use crate::body::Encoding;
use crate::distributor::{Distributor, Format, Payload};
use crate::error::Error;

/// 204, or Loki's error as plain text.
pub(super) async fn push(
    State(distributor): State<Arc<Distributor>>,
    Tenant(tenant): Tenant,
    request: Request,
) -> Result<StatusCode, HttpError> {
    let (parts, body) = request.into_parts();
    let (encoding, format) = kind_of(&parts).map_err(answer)?;
    let cap = usize::try_from(distributor.config().max_recv_msg_size.0).unwrap_or(usize::MAX);
    let collected = body::collect(&parts, body, cap).await.map_err(|error| error.into_push())?;
    let payload = Payload { format, encoding, body: collected.bytes, hold: collected.hold };
    distributor.push(&tenant, payload).await.map_err(answer)?;
    Ok(StatusCode::NO_CONTENT)
}

fn answer(error: Error) -> HttpError {
    HttpError::push_with(error.status, error.text)
}

fn kind_of(parts: &Parts) -> Result<(Encoding, Format), Error> {
    let header = |name: HeaderName| {
        let value = parts.headers.get(name).map(|value| value.as_bytes());
        String::from_utf8_lossy(value.unwrap_or_default())
    };
    let encoding = Encoding::of_header(&header(header::CONTENT_ENCODING))?;
    let media_type =
        mediatype::parse(&header(header::CONTENT_TYPE)).map_err(|text| Error::new(400, text))?;
    // Loki looks at the whole URI as the client wrote it.
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0);
    let version_1 = uri.to_string().to_ascii_lowercase().contains("/loki/api/v1");
    let format = match (media_type == "application/json", version_1) {
        (true, true) => Format::Json,
        (true, false) => Format::LegacyJson,
        (false, _) => Format::Protobuf,
    };
    Ok((encoding, format))
}
