//! A JSON body on its way out, compressed for clients that ask for it.

use std::io::Write;

use axum::body::Body;
use axum::response::Response;
use base::task;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, header};
use rpc::http::HttpError;

use super::encode::CONTENT_TYPE;
use crate::frontend::Frontend;

/// Below this compression saves no packet.
const MIN_GZIP_BYTES: usize = 1400;

/// 200 with the body that `write` makes. Writing and compressing may take long: neither is done
/// on a thread that serves connections.
pub(super) async fn ok(
    frontend: &Frontend,
    headers: &HeaderMap,
    write: impl FnOnce() -> Vec<u8> + Send + 'static,
) -> Result<Response, HttpError> {
    let compress = frontend.config().compress_responses;
    let accepted = compress && accepts_gzip(headers);
    let job = task::blocking("frontend.encode", move || {
        let body = write();
        match accepted && body.len() >= MIN_GZIP_BYTES {
            true => (gzipped(&body), true),
            false => (body, false),
        }
    });
    let died = |died| HttpError::query_with(500, format!("an answer died: {died}"));
    let (body, gzip) = job.await.map_err(died)?;
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    if compress {
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    // The fastest level: log lines shrink four times with it, and a tenth more with the default.
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 3), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("a vector takes every byte")
}

/// Whether `gzip` (or `*`) is accepted with a quality above 0 (RFC 9110, 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = None;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or("").split(',') {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            let quality = parameters
                .trim()
                .strip_prefix("q=")
                .map_or(1.0, |q| q.trim().parse::<f64>().unwrap_or(0.0));
            match coding.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => return quality > 0.0,
                "*" => any = Some(quality > 0.0),
                _ => {}
            }
        }
    }
    any.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn gzip_is_used_only_where_it_is_accepted() {
        for (value, want) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("GZIP;q=1.0", true),
            ("*", true),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("br, *;q=0", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            assert_eq!(accepts_gzip(&headers), want, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_compressed_body_reads_back() {
        let body: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&gzipped(&body)[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, body);
    }
}
