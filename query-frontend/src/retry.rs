//! Runs a job again when somebody else, or the same a little later, may be able to do it.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::ErrorKind;
use futures::FutureExt;
use futures::future::BoxFuture;
use metrics::histogram;
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use crate::error::Error;
use crate::metrics::RETRIES;
use crate::query::{Done, Task};
use crate::stack::Shared;

/// A job that fails after so long has waited for somebody who does not answer. It is tried once
/// more: others may know by then that he is gone.
const HUNG: Duration = Duration::from_secs(5);
/// One that took so long has waited for several of them, one after the other. Clients give up after
/// half a minute: the reason must reach them before.
const HUNG_LONG: Duration = Duration::from_secs(10);

/// The layer.
#[derive(Clone)]
pub struct Retry<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Retry<S> {
    /// Around `inner`, which runs a job once.
    pub fn new(inner: S, shared: Arc<Shared>) -> Retry<S> {
        Retry { inner, shared }
    }
}

/// What runs jobs.
pub trait Runs:
    Service<Task, Response = Done, Error = Error, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Runs for S where
    S: Service<Task, Response = Done, Error = Error, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

impl<S: Runs> Service<Task> for Retry<S> {
    type Response = Done;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Done, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, task: Task) -> Self::Future {
        self.clone().run(task).boxed()
    }
}

impl<S: Runs> Retry<S> {
    async fn run(self, task: Task) -> Result<Done, Error> {
        let mut tries = 1;
        let result = loop {
            let started = Instant::now();
            let error = match self.inner.clone().oneshot(task.clone()).await {
                Ok(done) => break Ok(done),
                Err(error) => error,
            };
            if tries >= self.shared.config.max_retries || !may_be_repeated(&error) {
                break Err(error);
            }
            // What was waited for hangs, and would be waited for again, until the client is told
            // of a timeout instead of the reason.
            let took = started.elapsed();
            let is_enough = took >= HUNG_LONG || (took >= HUNG && tries > 1);
            if is_enough && !matches!(error, Error::WorkerLost) {
                break Err(error);
            }
            // Another worker can have the job at once.
            if !matches!(error, Error::WorkerLost) {
                tokio::time::sleep(self.pause(tries)).await;
            }
            tries += 1;
        };
        histogram!(RETRIES).record(f64::from(tries - 1));
        result
    }

    /// Doubles from try to try; half of it is drawn.
    fn pause(&self, tries: u32) -> Duration {
        let doubled = self.shared.config.min_backoff.saturating_mul(1 << (tries - 1).min(16));
        let most = doubled.min(self.shared.config.max_backoff);
        let half = most / 2;
        let drawn = self.shared.random.next_u64() as u32;
        half + half.mul_f64(f64::from(drawn) / f64::from(u32::MAX))
    }
}

/// A stopping frontend and a full queue are no better a moment later.
fn may_be_repeated(error: &Error) -> bool {
    match error {
        Error::WorkerLost => true,
        Error::Querier(error) => error.kind() == ErrorKind::Unavailable,
        _ => false,
    }
}
