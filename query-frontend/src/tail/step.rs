//! Makes the one job of a step.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use rpc::tail::{TailJob, Tailed};
use tower::{Service, ServiceExt};

use crate::error::Error;
use crate::query::{Done, Job, Scope, Task};
use crate::retry::Runs;
use crate::stack::Shared;

/// The layer.
#[derive(Clone)]
pub struct Step<S> {
    inner: S,
}

impl<S> Step<S> {
    /// Around `inner`, which runs a job.
    pub fn new(inner: S, _: Arc<Shared>) -> Step<S> {
        Step { inner }
    }
}

impl<S: Runs> Service<TailJob> for Step<S> {
    type Response = Tailed;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Tailed, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, job: TailJob) -> Self::Future {
        let scope = Scope::new(job.tenant.clone(), 1, false);
        scope.splits.fetch_add(1, Ordering::Relaxed);
        let run = self.inner.clone().oneshot(Task { job: Job::Tail(job), scope });
        let tailed = |done| match done {
            Ok(Done::Tailed(tailed)) => Ok(tailed),
            Ok(Done::Selected(_) | Done::Listed(_)) => {
                Err(Error::Internal("a tail was answered with something else".to_owned()))
            }
            Err(error) => Err(error),
        };
        run.map(tailed).boxed()
    }
}
