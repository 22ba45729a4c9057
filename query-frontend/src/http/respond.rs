//! A JSON body on its way out, compressed for clients that ask for it.

use std::io::Write;

use axum::body::Body;
use axum::response::Response;
use base::task;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, header};
use rpc::http::HttpError;
use tokio::task::JoinError;

use super::encode::{CONTENT_TYPE, Written};
use crate::frontend::Frontend;

/// Below this compression saves no packet.
const MIN_GZIP_BYTES: usize = 1400;

/// Bytes of a body that are written at one time: what a slow client keeps in memory beside the answer
/// itself, and long enough work that handing it to another thread is cheap.
const PIECE_BYTES: usize = 256 << 10;

/// A 200 whose body may be compressed.
struct Head {
    varies: bool,
    gzip: bool,
}

impl Head {
    fn of(frontend: &Frontend, headers: &HeaderMap) -> Head {
        let varies = frontend.config().compress_responses;
        Head { varies, gzip: varies && accepts_gzip(headers) }
    }

    fn with(&self, body: Body, is_gzip: bool) -> Response {
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if self.varies {
            headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        if is_gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

fn died(died: JoinError) -> HttpError {
    HttpError::query_with(500, format!("an answer died: {died}"))
}

/// 200 with the body that `write` makes. Writing and compressing may take long: neither is done
/// on a thread that serves connections.
pub(super) async fn ok(
    frontend: &Frontend,
    headers: &HeaderMap,
    write: impl FnOnce() -> Vec<u8> + Send + 'static,
) -> Result<Response, HttpError> {
    let head = Head::of(frontend, headers);
    let gzip = head.gzip;
    let job = task::blocking("frontend.encode", move || {
        let body = write();
        match gzip && body.len() >= MIN_GZIP_BYTES {
            true => (gzipped(&body), true),
            false => (body, false),
        }
    });
    let (body, is_gzip) = job.await.map_err(died)?;
    Ok(head.with(Body::from(body), is_gzip))
}

/// 200 with `body`. A small one is written whole and says how long it is; of a large one each piece
/// is written when the connection has room for it.
pub(super) async fn send(
    frontend: &Frontend,
    headers: &HeaderMap,
    body: impl Written,
) -> Result<Response, HttpError> {
    let head = Head::of(frontend, headers);
    let gzip = head.gzip;
    let body = Box::new(body);
    let job = task::blocking("frontend.encode", move || Pieces::begin(body, gzip));
    let (first, mut pieces) = job.await.map_err(died)?;
    let is_gzip = pieces.is_gzip;
    if pieces.is_done() {
        return Ok(head.with(Body::from(first), is_gzip));
    }
    pieces.first = Some(first);
    let stream = futures::stream::try_unfold(pieces, |mut pieces: Pieces| async move {
        if let Some(first) = pieces.first.take() {
            return Ok(Some((first, pieces)));
        }
        if pieces.is_done() {
            return Ok(None);
        }
        let job = task::blocking("frontend.encode", move || (pieces.next(), pieces));
        job.await.map(Some)
    });
    Ok(head.with(Body::from_stream(stream), is_gzip))
}

/// A body on its way out.
struct Pieces {
    /// `None`: all of it is written.
    body: Option<Box<dyn Written>>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    is_gzip: bool,
    first: Option<Vec<u8>>,
}

impl Pieces {
    /// With the first piece.
    fn begin(mut body: Box<dyn Written>, gzip: bool) -> (Vec<u8>, Pieces) {
        let mut out = Vec::new();
        let is_done = body.write(&mut out, PIECE_BYTES);
        let gzip = gzip && out.len() >= MIN_GZIP_BYTES;
        let body = (!is_done).then_some(body);
        let mut pieces = Pieces { body, gzip: gzip.then(encoder), is_gzip: gzip, first: None };
        if gzip {
            out = pieces.compress(&out);
        }
        (out, pieces)
    }

    fn is_done(&self) -> bool {
        self.body.is_none()
    }

    /// The next piece; empty only if it is the last.
    fn next(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
        let mut sent = Vec::new();
        while sent.is_empty()
            && let Some(body) = &mut self.body
        {
            out.clear();
            if body.write(&mut out, PIECE_BYTES) {
                self.body = None;
            }
            sent = match self.is_gzip {
                true => self.compress(&out),
                false => std::mem::take(&mut out),
            };
        }
        sent
    }

    /// What comes out of the compression when `bytes` go in; all of it with the last of them.
    fn compress(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(encoder) = &mut self.gzip else { return Vec::new() };
        encoder.write_all(bytes).expect("a vector takes every byte");
        if self.body.is_some() {
            return std::mem::take(encoder.get_mut());
        }
        let encoder = self.gzip.take().expect("it is here");
        encoder.finish().expect("a vector takes every byte")
    }
}

fn encoder() -> GzEncoder<Vec<u8>> {
    // The fastest level: log lines shrink four times with it, and a tenth more with the default.
    GzEncoder::new(Vec::new(), Compression::fast())
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = encoder();
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("a vector takes every byte")
}

/// Refuses what a client accepts and nobody here writes. What Loki's own processes ask each other
/// for is answered with JSON, as any other wish.
pub(super) fn check_accept(headers: &HeaderMap) -> Result<(), HttpError> {
    let accept = headers.get(header::ACCEPT).map_or(&b""[..], |value| value.as_bytes());
    if accept.trim_ascii() == b"application/vnd.apache.parquet" {
        let text = "parquet encoding is not supported (frontend.support_parquet_encoding)";
        return Err(HttpError::query_with(400, text));
    }
    Ok(())
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
    use crate::http::encode::{AnswerBody, ListBody};

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

    fn lines(count: usize) -> (Box<dyn Written>, Vec<u8>) {
        let entry = |n: usize| {
            let line = format!("line {n} {}", "x".repeat(n % 300)).into_bytes();
            logql::engine::Entry { ts_ns: n as i64, line, origins: 0 }
        };
        let whole = || -> Box<dyn Written> {
            let labels = base::Labels::from_pairs([("app", "a")]);
            let entries = (0..count).map(entry).collect();
            let streams = vec![logql::engine::Stream { labels, origins: Vec::new(), entries }];
            let evaluated = crate::query::Evaluated {
                answer: logql::engine::Answer::Streams(streams),
                stats: Default::default(),
                pieces: Default::default(),
                warnings: Vec::new(),
            };
            Box::new(AnswerBody::new(evaluated, Default::default()))
        };
        twice(whole)
    }

    /// Streams of two tenants.
    fn series(count: usize) -> (Box<dyn Written>, Vec<u8>) {
        let stream = |n: usize| {
            base::Labels::from_pairs([("app", "x".repeat(n % 300)), ("n", n.to_string())])
        };
        let of = |tenant: &str, streams: usize| {
            (Some(tenant.to_owned()), (0..streams).map(stream).collect())
        };
        twice(|| Box::new(ListBody::series(vec![of("a", count / 2), of("b", count.div_ceil(2))])))
    }

    /// Label names or values.
    fn texts(count: usize) -> (Box<dyn Written>, Vec<u8>) {
        let text = |n: usize| format!("{n} {}", "x".repeat(n % 300));
        twice(|| Box::new(ListBody::texts((0..count).map(text).collect())))
    }

    /// A body, and what it is in one piece.
    fn twice(whole: impl Fn() -> Box<dyn Written>) -> (Box<dyn Written>, Vec<u8>) {
        let mut text = Vec::new();
        assert!(whole().write(&mut text, usize::MAX));
        (whole(), text)
    }

    #[test]
    fn pieces_are_bounded_and_together_they_are_the_body() {
        let kinds = [lines, series, texts];
        for (count, of) in [0, 1, 20, 50_000].iter().flat_map(|n| kinds.map(|of| (*n, of))) {
            for gzip in [false, true] {
                let (body, text) = of(count);
                let (mut sent, mut pieces) = Pieces::begin(body, gzip);
                let mut number = 1;
                while !pieces.is_done() {
                    let piece = pieces.next();
                    assert!(!piece.is_empty() && piece.len() < PIECE_BYTES + 4096, "{number}");
                    sent.extend_from_slice(&piece);
                    number += 1;
                }
                assert_eq!(pieces.is_gzip, gzip && text.len() >= MIN_GZIP_BYTES);
                assert!(number > 10 || count <= 20, "{number} pieces");
                if pieces.is_gzip {
                    let mut back = Vec::new();
                    flate2::read::GzDecoder::new(&sent[..]).read_to_end(&mut back).unwrap();
                    sent = back;
                }
                assert!(sent == text, "{count} {gzip}");
            }
        }
    }

    #[test]
    fn only_parquet_is_refused() {
        for (accept, want) in [
            ("*/*", true),
            ("application/json", true),
            ("application/vnd.google.protobuf", true),
            ("application/vnd.apache.parquet", false),
            ("", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(check_accept(&headers).is_ok(), want, "{accept}");
        }
        assert!(check_accept(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_compressed_body_reads_back() {
        let body: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&gzipped(&body)[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, body);
    }
}
