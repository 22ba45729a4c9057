//! The way to one peer: connect when needed, again after a break, pause, retry.

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ::metrics::{counter, histogram};
use base::time::Clock;
use proto::Message;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use super::address::{AddressError, channel, endpoint};
use super::budget::RetryBudget;
use super::config::ClientConfig;
use super::status::{Failure, failure_of, is_connect_failure, is_given_up};
use super::{metrics, observe};
use crate::wire::error::WireErrorDetail;

/// One address and what is known about it. Nothing is connected before the first call.
pub(super) struct Connection {
    address: String,
    endpoint: Endpoint,
    channel: OnceLock<Channel>,
    pub config: ClientConfig,
    clock: Arc<dyn Clock>,
    budget: RetryBudget,
    backoff: Mutex<Backoff>,
}

/// Connects that failed in a row.
#[derive(Default)]
struct Backoff {
    failures: u32,
    /// No connect before this, on the monotonic clock.
    until_ns: u64,
}

/// How a call is made.
#[derive(Clone, Copy)]
pub(super) struct Call {
    /// `/package.Service/Method`.
    pub operation: &'static str,
    /// Deadline, retries included.
    pub timeout: Duration,
    /// It may happen twice.
    pub idempotent: bool,
    /// Histogram of durations.
    pub histogram: Option<&'static str>,
}

impl Connection {
    pub fn new(
        address: &str,
        config: &ClientConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Connection, AddressError> {
        Ok(Connection {
            address: address.to_owned(),
            endpoint: endpoint(address, config)?,
            channel: OnceLock::new(),
            config: config.clone(),
            clock,
            budget: RetryBudget::new(config.retry_tokens),
            backoff: Mutex::default(),
        })
    }

    /// `host:port` as configured.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// One call with one answer.
    pub async fn unary<Q, A, E, F>(
        &self,
        call: Call,
        message: Q,
        send: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<A, E>
    where
        Q: Message + Clone,
        E: WireErrorDetail,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let (length, most) = (message.encoded_len(), self.config.limits.max_send.0);
        if length as u64 > most {
            return Err(E::limited(format!(
                "{}: a message of {length} bytes is over the limit of {most} \
                 (grpc_client_config.max_send_msg_size)",
                self.address
            )));
        }
        let started_ns = self.clock.monotonic_ns();
        let deadline = Instant::now() + call.timeout;
        let attempts = self.attempts(call, deadline, message, send);
        let answer = match timeout_at(deadline, attempts).await {
            Ok(answer) => answer,
            Err(_) => Err(E::timeout(format!(
                "{}: no answer to {} within {:?}",
                self.address, call.operation, call.timeout
            ))),
        };
        if let Some(name) = call.histogram {
            let took = self.clock.monotonic_ns().saturating_sub(started_ns) as f64 / 1e9;
            let status = answer.as_ref().map_or_else(observe::status_code, |_| observe::SUCCESS);
            histogram!(name, "operation" => call.operation, "status_code" => status).record(took);
        }
        answer
    }

    async fn attempts<Q, A, E, F>(
        &self,
        call: Call,
        deadline: Instant,
        message: Q,
        send: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<A, E>
    where
        Q: Message + Clone,
        E: WireErrorDetail,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut left = if call.idempotent { self.config.read_attempts.max(1) } else { 1 };
        let mut message = Some(message);
        loop {
            left -= 1;
            // The last attempt needs no copy; an append has only one.
            let sent = if left == 0 { message.take() } else { message.clone() };
            let mut request = Request::new(sent.expect("taken by the last attempt only"));
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            let status = match self.send(request, &send).await {
                Ok(answer) => {
                    self.budget.success();
                    return Ok(answer.into_inner());
                }
                Err(status) => status,
            };
            let failure = failure_of(&self.address, &status);
            if matches!(failure, Failure::Answered(_)) {
                self.budget.success();
                return Err(failure.into_error());
            }
            let may = self.budget.failure();
            // Who hung until the connection was given up would hang again.
            if is_given_up(&status) {
                return Err(failure.into_error());
            }
            if left == 0 || !may {
                if left > 0 {
                    let operation = call.operation;
                    counter!(metrics::RETRIES_REFUSED, "operation" => operation).increment(1);
                }
                return Err(failure.into_error());
            }
            counter!(metrics::RETRIES, "operation" => call.operation).increment(1);
        }
    }

    /// One attempt, on a connection that may have to be made.
    pub async fn send<Q, A, F>(
        &self,
        mut request: Request<Q>,
        send: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<A, Status>
    where
        F: Future<Output = Result<A, Status>>,
    {
        let pause = self.pause();
        if !pause.is_zero() {
            sleep(pause).await;
        }
        crate::trace::inject(request.metadata_mut().as_mut());
        let channel =
            self.channel.get_or_init(|| channel(&self.endpoint, self.config.tls.as_ref())).clone();
        let answer = send(channel, request).await;
        match &answer {
            Err(status) if is_connect_failure(status) => self.connect_failed(),
            _ => self.lock().failures = 0,
        }
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it is until the next connect may be tried.
    fn pause(&self) -> Duration {
        let backoff = self.lock();
        match backoff.failures {
            0 => Duration::ZERO,
            _ => {
                let now = self.clock.monotonic_ns();
                Duration::from_nanos(backoff.until_ns.saturating_sub(now))
                    .min(self.config.backoff_max)
            }
        }
    }

    fn connect_failed(&self) {
        counter!(metrics::CONNECT_FAILURES, "address" => self.address.clone()).increment(1);
        let mut backoff = self.lock();
        let doubled = 1_u32.checked_shl(backoff.failures).unwrap_or(u32::MAX);
        let pause = self.config.backoff_min.saturating_mul(doubled).min(self.config.backoff_max);
        let pause = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        backoff.failures = backoff.failures.saturating_add(1);
        backoff.until_ns = self.clock.monotonic_ns().saturating_add(pause);
    }
}
