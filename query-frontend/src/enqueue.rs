//! The bottom of the stack: a job waits for its query's turn, then in the queue, then for its
//! answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use tower::Service;

use crate::error::Error;
use crate::query::{Done, Task};
use crate::queue::Share;
use crate::stack::Shared;

/// The service.
#[derive(Clone)]
pub struct Enqueue {
    shared: Arc<Shared>,
}

impl Service<Task> for Enqueue {
    type Response = Done;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Done, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task) -> Self::Future {
        self.clone().run(task).boxed()
    }
}

impl Enqueue {
    /// Of one frontend.
    pub fn new(shared: Arc<Shared>) -> Enqueue {
        Enqueue { shared }
    }

    async fn run(self, task: Task) -> Result<Done, Error> {
        let Task { job, scope } = task;
        let permit = scope.permits.acquire().await;
        let _permit = permit.map_err(|closed| Error::Internal(closed.to_string()))?;
        let Shared { config, limits, queue, .. } = &*self.shared;
        let queriers = limits.max_queriers_per_tenant(&scope.tenant);
        let share = Share { outstanding: config.max_outstanding_per_tenant, queriers };
        let ticket = queue.push(&scope.tenant, share, job)?;
        let reply = ticket.answer().await.ok_or(Error::WorkerLost)?;
        scope.subqueries.fetch_add(1, Ordering::Relaxed);
        scope.queue_ns.fetch_add(reply.waited_ns, Ordering::Relaxed);
        reply.result
    }
}
