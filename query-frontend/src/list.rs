//! Makes the one job of a list request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use rpc::querier::{ListJob, Listed};
use tower::{Service, ServiceExt};

use crate::error::Error;
use crate::query::{Done, Job, Scope, Task};
use crate::retry::Runs;
use crate::stack::Shared;

/// The layer.
#[derive(Clone)]
pub struct List<S> {
    inner: S,
}

impl<S> List<S> {
    /// Around `inner`, which runs a job.
    pub fn new(inner: S, _: Arc<Shared>) -> List<S> {
        List { inner }
    }
}

impl<S: Runs> Service<ListJob> for List<S> {
    type Response = Listed;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Listed, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, job: ListJob) -> Self::Future {
        let scope = Scope::new(job.tenant.clone(), 1, false);
        scope.splits.fetch_add(1, Ordering::Relaxed);
        let run = self.inner.clone().oneshot(Task { job: Job::List(job), scope });
        let listed = |done| match done {
            Ok(Done::Listed(listed)) => Ok(listed),
            Ok(Done::Selected(_) | Done::Tailed(_)) => {
                Err(Error::Internal("a list was answered with rows".to_owned()))
            }
            Err(error) => Err(error),
        };
        run.map(listed).boxed()
    }
}
