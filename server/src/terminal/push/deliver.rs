//! Sends one body until the server took it, refused it, or patience ends.

use std::time::Duration;

use base::random::Random;
use base::time::{Clock, UnixNanos};
use chrono::DateTime;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::StatusCode;

use crate::terminal::connection::{Connection, error_text, show};
use crate::terminal::push::body::Body;

/// The first wait; each one after it is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait of our own.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Status with which Loki says that it takes nothing of this tenant: a success that is none.
const BLOCKED: u16 = 260;

/// What became of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has all of it.
    Accepted,
    /// The server refused some or all of its lines; other bodies may fare better.
    Rejected(String),
    /// The next body would fare no better.
    Failed(String),
}

/// How a sender behaves.
#[derive(Clone)]
pub struct Sender<'a> {
    /// Where to.
    pub connection: &'a Connection,
    /// Most repetitions of one body.
    pub retries: u32,
    /// For `Retry-After` that names an instant.
    pub clock: &'a dyn Clock,
    /// Spreads the waits of several connections.
    pub random: &'a dyn Random,
}

impl Sender<'_> {
    /// Sends `body`. `waiting` is told of each wait and why. A body that is sent again is no
    /// duplicate: an equal line of a stream at the same instant is the same line.
    pub async fn deliver(&self, body: &Body, waiting: impl Fn(&str, Duration)) -> Outcome {
        let mut repeated = 0;
        loop {
            let (problem, asked) = match self.attempt(body).await {
                Ok(outcome) => return outcome,
                Err(again) => again,
            };
            if repeated == self.retries {
                return Outcome::Failed(format!("{problem} (gave up after {repeated} retries)"));
            }
            let wait = asked.unwrap_or_else(|| self.wait(repeated));
            repeated += 1;
            waiting(&problem, wait);
            tokio::time::sleep(wait).await;
        }
    }

    /// One request. An error is worth repeating, after the time that the server asked for.
    async fn attempt(&self, body: &Body) -> Result<Outcome, (String, Option<Duration>)> {
        let request = match self.connection.post("loki/api/v1/push") {
            Ok(request) => request,
            Err(error) => return Ok(Outcome::Failed(format!("{error:#}"))),
        };
        let request = request.header(CONTENT_TYPE, "application/x-protobuf");
        let sent = request.timeout(TIMEOUT).body(body.bytes.clone()).send().await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => return Err((chain(&error), None)),
        };
        let status = response.status();
        if status.is_success() && status.as_u16() != BLOCKED {
            return Ok(Outcome::Accepted);
        }
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let asked = asked.and_then(|text| retry_after(text, self.clock.now()));
        let text = format!("{}: {}", show(status), error_text(response).await);
        match status {
            StatusCode::TOO_MANY_REQUESTS => Err((text, asked)),
            _ if status.is_server_error() => Err((text, asked)),
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Ok(Outcome::Rejected(text)),
            _ if status.as_u16() == BLOCKED => Ok(Outcome::Rejected(text)),
            _ => Ok(Outcome::Failed(text)),
        }
    }

    /// Between half and all of the doubled wait.
    fn wait(&self, repeated: u32) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << repeated.min(16)).min(LONGEST_WAIT);
        let half_ns = u64::try_from(wait.as_nanos() / 2).unwrap_or(u64::MAX);
        Duration::from_nanos(half_ns + self.random.next_u64() % half_ns.max(1))
    }
}

/// Seconds, or an HTTP date.
fn retry_after(text: &str, now: UnixNanos) -> Option<Duration> {
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = DateTime::parse_from_rfc2822(text.trim()).ok()?.timestamp_nanos_opt()?;
            Duration::from_nanos(u64::try_from(at.saturating_sub(now.0)).unwrap_or(0))
        }
    };
    Some(wait.min(LONGEST_ASKED))
}

/// What failed and why, without the address twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_ask_for_seconds_or_an_instant() {
        let now = UnixNanos(784_111_777 * 1_000_000_000);
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        let date = "Sun, 06 Nov 1994 08:49:47 GMT";
        assert_eq!(retry_after(date, now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Sat, 05 Nov 1994 08:49:47 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("99999999", now), Some(LONGEST_ASKED));
        assert_eq!(retry_after("soon", now), None);
    }
}
