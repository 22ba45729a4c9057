//! Reading a request body: never more than its cap, never more than all bodies may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::metrics::{Gauge, counter, gauge};
use axum::body::Body;
use base::ErrorKind;
use bytes::{Bytes, BytesMut};
use http::header;
use http::request::Parts;
use http_body_util::BodyExt;

use super::error::HttpError;
use super::metrics;

/// Bytes that all bodies in flight, and what is decompressed from them, may hold together (P6).
/// Cheap to clone; a request extension set by [`super::Edge::wrap`].
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    limit: usize,
    held: AtomicUsize,
    gauge: Gauge,
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Budget({} of {})", self.held(), self.0.limit)
    }
}

/// A share of a [`Budget`]; given back when dropped.
#[derive(Debug)]
pub struct Hold {
    budget: Option<Budget>,
    bytes: usize,
}

/// Why a body was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Over the cap of the route, or of everything this process may hold.
    #[error("request body too large: {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes read or announced.
        bytes: usize,
        /// The cap.
        limit: usize,
    },
    /// Other requests hold the budget; try again.
    #[error(
        "request bodies in flight hold {held} of {limit} bytes (http body budget), retry later"
    )]
    Busy {
        /// Bytes in use.
        held: usize,
        /// Size of the budget.
        limit: usize,
    },
    /// The connection broke or the client sent malformed framing.
    #[error("{0}")]
    Read(String),
}

impl BodyError {
    /// The status: 413, 503 or 400.
    pub fn status(&self) -> u16 {
        match self {
            BodyError::TooLarge { .. } => 413,
            BodyError::Busy { .. } => 503,
            BodyError::Read(_) => 400,
        }
    }

    /// Who may retry.
    pub fn kind(&self) -> ErrorKind {
        match self {
            BodyError::TooLarge { .. } | BodyError::Read(_) => ErrorKind::Invalid,
            BodyError::Busy { .. } => ErrorKind::Unavailable,
        }
    }

    /// As an answer of a push route.
    pub fn into_push(self) -> HttpError {
        HttpError::push_with(self.status(), self.to_string())
    }

    /// As an answer of a query route.
    pub fn into_query(self) -> HttpError {
        HttpError::query_with(self.status(), self.to_string())
    }
}

impl Budget {
    /// A budget of `limit` bytes. Make it after the metrics recorder was installed.
    pub fn new(limit: usize) -> Budget {
        gauge!(metrics::BODY_LIMIT_BYTES).set(limit as f64);
        let gauge = gauge!(metrics::BODY_BYTES);
        Budget(Arc::new(Inner { limit, held: AtomicUsize::new(0), gauge }))
    }

    /// Bytes in use now.
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Takes `bytes`. `TooLarge` when they could never be had, `Busy` when others hold them.
    pub fn hold(&self, bytes: usize) -> Result<Hold, BodyError> {
        let mut hold = Hold { budget: Some(self.clone()), bytes: 0 };
        hold.grow(bytes)?;
        Ok(hold)
    }
}

impl Hold {
    /// A hold on nothing that any number of bytes may be added to: where no budget is set.
    pub fn unlimited() -> Hold {
        Hold { budget: None, bytes: 0 }
    }

    /// Takes `more` bytes in addition.
    pub fn grow(&mut self, more: usize) -> Result<(), BodyError> {
        let total = self.bytes.saturating_add(more);
        if let Some(budget) = &self.budget {
            let Inner { limit, held, gauge } = &*budget.0;
            let limit = *limit;
            if total > limit {
                return Err(refused(BodyError::TooLarge { bytes: total, limit }));
            }
            let taken = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(more).filter(|&after| after <= limit)
            });
            if let Err(held) = taken {
                return Err(refused(BodyError::Busy { held, limit }));
            }
            gauge.increment(more as f64);
        }
        self.bytes = total;
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.0.held.fetch_sub(self.bytes, Ordering::Relaxed);
            budget.0.gauge.decrement(self.bytes as f64);
        }
    }
}

/// Counts an error on its way out.
fn refused(error: BodyError) -> BodyError {
    let reason = match &error {
        BodyError::TooLarge { .. } => "too_large",
        BodyError::Busy { .. } => "busy",
        BodyError::Read(_) => "read",
    };
    counter!(metrics::BODIES_REFUSED, "reason" => reason).increment(1);
    error
}

/// A body that was read, with the budget it occupies. Keep `hold` as long as `bytes` (or grow it
/// before decompressing them).
#[derive(Debug)]
pub struct Collected {
    /// The whole body, contiguous.
    pub bytes: Bytes,
    /// Its share of the budget.
    pub hold: Hold,
}

/// Reads `body` to its end, at most `cap` bytes, within the [`Budget`] among the extensions of
/// `parts`. The announced length is reserved at once, so a body that cannot fit is refused before
/// it is read.
pub async fn collect(parts: &Parts, body: Body, cap: usize) -> Result<Collected, BodyError> {
    let announced = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    if announced > cap {
        return Err(refused(BodyError::TooLarge { bytes: announced, limit: cap }));
    }
    let mut hold = match parts.extensions.get::<Budget>() {
        Some(budget) => budget.hold(announced)?,
        None => Hold::unlimited(),
    };
    let mut reserved = announced;
    let mut body = body;
    let mut first: Option<Bytes> = None;
    let mut joined = BytesMut::new();
    let mut read = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Read(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        read += data.len();
        if read > cap {
            return Err(refused(BodyError::TooLarge { bytes: read, limit: cap }));
        }
        if read > reserved {
            hold.grow(read - reserved)?;
            reserved = read;
        }
        // One frame is the common case of a small push: it is taken as it came.
        if first.is_none() && joined.is_empty() {
            first = Some(data);
            continue;
        }
        if let Some(first) = first.take() {
            joined.reserve(announced.max(first.len() + data.len()));
            joined.extend_from_slice(&first);
        }
        joined.extend_from_slice(&data);
    }
    let bytes = first.unwrap_or_else(|| joined.freeze());
    Ok(Collected { bytes, hold })
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http::Request;

    use super::*;

    fn parts(budget: &Budget, length: Option<usize>) -> Parts {
        let mut request = Request::builder();
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        parts.extensions.insert(budget.clone());
        parts
    }

    fn chunks(sizes: &[usize]) -> Body {
        let frames: Vec<Result<Bytes, std::io::Error>> =
            sizes.iter().map(|&size| Ok(Bytes::from(vec![b'x'; size]))).collect();
        Body::from_stream(stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_is_read_whole_and_its_budget_is_given_back() {
        let budget = Budget::new(100);
        let body = collect(&parts(&budget, None), chunks(&[10, 20, 30]), 60).await.unwrap();
        assert_eq!((body.bytes.len(), budget.held()), (60, 60));
        let other = collect(&parts(&budget, Some(41)), chunks(&[41]), 60).await.unwrap_err();
        assert_eq!(other, BodyError::Busy { held: 60, limit: 100 });
        assert_eq!(other.status(), 503);
        drop(body);
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn a_body_over_its_cap_is_refused_and_holds_nothing() {
        let budget = Budget::new(100);
        for length in [None, Some(61)] {
            let error = collect(&parts(&budget, length), chunks(&[30, 31]), 60).await.unwrap_err();
            assert_eq!(error, BodyError::TooLarge { bytes: 61, limit: 60 });
            assert_eq!(budget.held(), 0);
        }
        // More than the budget can never be had: the client must not try again.
        let error = collect(&parts(&budget, None), chunks(&[101]), 1000).await.unwrap_err();
        assert_eq!(error.status(), 413);
        // A length that lies low gains nothing.
        let error = collect(&parts(&budget, Some(1)), chunks(&[50, 51]), 1000).await.unwrap_err();
        assert_eq!((error.status(), budget.held()), (413, 0));
    }
}
