//! One call seen by the side that answers: deadline, duration, bytes, status.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::{gauge, histogram};
use base::time::Clock;
use proto::Message;
use tonic::{Request, Response, Status};

use super::status::status_of;
use crate::http::{metrics, status_of as http_status_of};
use crate::wire::error::WireErrorDetail;

/// Value of the label `status_code` of a call that was answered.
pub(super) const SUCCESS: &str = "success";
/// Of a call whose caller went away.
pub(super) const CANCEL: &str = "cancel";

/// Value of the label `status_code` of a call that failed: the HTTP code of its kind.
pub(super) fn status_code<E: WireErrorDetail>(error: &E) -> &'static str {
    match http_status_of(error.kind()).as_u16() {
        400 => "400",
        404 => "404",
        409 => "409",
        429 => "429",
        503 => "503",
        504 => "504",
        _ => "500",
    }
}

/// Counts one call from its start to its end, whichever way it ends.
pub(super) struct InFlight {
    clock: Arc<dyn Clock>,
    started_ns: u64,
    route: &'static str,
    pub status: &'static str,
}

impl InFlight {
    pub fn start(clock: &Arc<dyn Clock>, route: &'static str) -> InFlight {
        gauge!(metrics::INFLIGHT_REQUESTS, "method" => "gRPC", "route" => route).increment(1.0);
        InFlight { started_ns: clock.monotonic_ns(), clock: clock.clone(), route, status: CANCEL }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let (route, status) = (self.route, self.status);
        gauge!(metrics::INFLIGHT_REQUESTS, "method" => "gRPC", "route" => route).decrement(1.0);
        let seconds = self.clock.monotonic_ns().saturating_sub(self.started_ns) as f64 / 1e9;
        histogram!(metrics::REQUEST_DURATION, "method" => "gRPC", "route" => route,
            "status_code" => status, "ws" => "false")
        .record(seconds);
    }
}

/// Answers one call within the caller's deadline. When the caller goes away, this is dropped and
/// `answer` with it.
pub(super) async fn answer<Q, A, E, F>(
    clock: &Arc<dyn Clock>,
    route: &'static str,
    request: Request<Q>,
    answer: impl FnOnce(Q) -> F,
) -> Result<Response<A>, Status>
where
    Q: Message,
    A: Message,
    E: WireErrorDetail,
    F: Future<Output = Result<A, E>>,
{
    let mut in_flight = InFlight::start(clock, route);
    let deadline = deadline(&request);
    let message = request.into_inner();
    bytes(metrics::REQUEST_BYTES, route, message.encoded_len());
    let work = answer(message);
    let answered = match deadline {
        None => work.await,
        Some(deadline) => match tokio::time::timeout(deadline, work).await {
            Ok(answered) => answered,
            Err(_) => Err(E::timeout(format!("{route}: not done within {deadline:?}"))),
        },
    };
    match answered {
        Ok(message) => {
            in_flight.status = SUCCESS;
            bytes(metrics::RESPONSE_BYTES, route, message.encoded_len());
            Ok(Response::new(message))
        }
        Err(error) => {
            in_flight.status = status_code(&error);
            if in_flight.status == "500" {
                tracing::warn!(route, error = error.to_string(), "call failed");
            }
            Err(status_of(&error))
        }
    }
}

fn bytes(name: &'static str, route: &'static str, bytes: usize) {
    histogram!(name, "method" => "gRPC", "route" => route).record(bytes as f64);
}

/// `grpc-timeout`: up to eight digits and a unit.
fn deadline<Q>(request: &Request<Q>) -> Option<Duration> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| is_number)?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_read_as_grpc_writes_it() {
        for (text, want) in [
            ("5S", Some(Duration::from_secs(5))),
            ("100m", Some(Duration::from_millis(100))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("1n", Some(Duration::from_nanos(1))),
            ("", None),
            ("S", None),
            ("123456789S", None),
            ("-1S", None),
            ("5x", None),
        ] {
            let mut request = Request::new(());
            request.metadata_mut().insert("grpc-timeout", text.parse().unwrap());
            assert_eq!(deadline(&request), want, "{text}");
        }
        assert_eq!(deadline(&Request::new(())), None);
    }
}
