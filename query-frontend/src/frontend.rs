//! The service: queries go into the stack, queriers take jobs out of the queue.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use base::Clock;
use base::ErrorKind::Unavailable;
use base::random::Random;
use futures::FutureExt;
use metrics::gauge;
use rpc::frontend::{FrontendApi, FrontendError, Worker};
use rpc::querier::{ListJob, Listed, QuerierApi};
use rpc::tail::{TailJob, Tailed};
use tower::ServiceExt;
use tracing::Instrument;

use crate::config::Config;
use crate::error::Error;
use crate::limits::Limits;
use crate::metrics::IN_PROGRESS;
use crate::query::{Done, Evaluated, Job, Query};
use crate::queue::{Queue, Reply, Taken};
use crate::stack::{self, Lists, Queries, Shared, Tails, Volumes};
use crate::tail::OpenTails;
use crate::volume::{VolumeQuery, Volumed};

/// What a frontend obeys and reads.
#[derive(Clone)]
pub struct Deps {
    /// Limits of tenants.
    pub limits: Arc<dyn Limits>,
    /// Default times and durations; never correctness.
    pub clock: Arc<dyn Clock>,
    /// Spreads repetitions.
    pub random: Arc<dyn Random>,
}

/// Answers queries with the help of queriers.
pub struct Frontend {
    shared: Arc<Shared>,
    queries: Queries,
    lists: Lists,
    volumes: Volumes,
    tails: Tails,
    open: OpenTails,
}

impl Frontend {
    /// A frontend that waits for queriers.
    pub fn new(config: Config, deps: Deps) -> Frontend {
        let Deps { limits, clock, random } = deps;
        let queue = Queue::new(clock.clone());
        let shared = Arc::new(Shared { config, limits, clock, random, queue });
        let queries = stack::queries(&shared);
        let lists = stack::lists(&shared);
        let volumes = stack::volumes(&shared);
        let tails = stack::tails(&shared);
        Frontend { shared, queries, lists, volumes, tails, open: OpenTails::default() }
    }

    /// Evaluates one query within the tenant's `query_timeout`. Dropping the future takes its jobs
    /// out of the queue and stops those that run within a page or two.
    pub async fn evaluate(&self, query: Query) -> Result<Evaluated, Error> {
        let _running = Running::new();
        self.queries.clone().oneshot(query).await
    }

    /// Lists streams, names or values, as [`Frontend::evaluate`].
    pub async fn list(&self, job: ListJob) -> Result<Listed, Error> {
        let _running = Running::new();
        self.lists.clone().oneshot(job).await
    }

    /// Lines and bytes of streams, as [`Frontend::evaluate`].
    pub async fn volumes(&self, query: VolumeQuery) -> Result<Volumed, Error> {
        let _running = Running::new();
        self.volumes.clone().oneshot(query).await
    }

    /// One step of a tail, as [`Frontend::evaluate`].
    pub async fn tail(&self, job: TailJob) -> Result<Tailed, Error> {
        self.tails.clone().oneshot(job).await
    }

    /// The tails that are open here.
    pub(crate) fn open_tails(&self) -> &OpenTails {
        &self.open
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The limits it obeys.
    pub fn limits(&self) -> &dyn Limits {
        &*self.shared.limits
    }

    /// The clock it reads.
    pub fn clock(&self) -> &dyn Clock {
        &*self.shared.clock
    }

    /// Workers that are connected; without any, queries wait.
    pub fn workers(&self) -> usize {
        self.shared.queue.workers()
    }

    /// Takes no new jobs and sends workers away once nothing waits. Returns when what waited, and
    /// what runs, is done; without a worker, what waits is given up.
    pub async fn drain(&self) {
        self.open.end();
        self.shared.queue.close();
        self.shared.queue.drained().await;
    }
}

#[async_trait]
impl FrontendApi for Frontend {
    async fn work(
        &self,
        worker: Worker,
        querier: Arc<dyn QuerierApi>,
    ) -> Result<(), FrontendError> {
        let name = worker.querier.clone();
        let _here = self.shared.queue.join(worker);
        while let Some(taken) = self.shared.queue.next(&name).await {
            let Taken { job, mut reply, waited_ns, running, span } = taken;
            tokio::select! {
                biased;
                // Nobody waits any more: dropping the call ends its work.
                () = reply.closed() => {}
                result = run(&*querier, job).instrument(span) => {
                    let away = matches!(&result, Err(error) if error.kind() == Unavailable);
                    // Who left in this instant needs no answer.
                    let _ = reply.send(Reply { result, waited_ns });
                    if away {
                        // Perhaps the way to the querier broke: whoever drops this stay for it
                        // comes first, or jobs would fail here one after the other.
                        tokio::task::yield_now().await;
                    }
                }
            }
            drop(running);
        }
        Ok(())
    }
}

/// A panic of a querier in this process costs its query, not the worker.
async fn run(querier: &dyn QuerierApi, job: Job) -> Result<Done, Error> {
    let work = async {
        Ok(match job {
            Job::Select(job) => Done::Selected(querier.select(job).await?),
            Job::List(job) => Done::Listed(querier.list(job).await?),
            Job::Tail(job) => Done::Tailed(querier.tail(job).await?),
        })
    };
    let died = |_| Err(Error::Internal("the querier panicked; its log says where".to_owned()));
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(died)
}

/// Counts a running query, also one that is dropped.
struct Running;

impl Running {
    fn new() -> Running {
        gauge!(IN_PROGRESS).increment(1.0);
        Running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        gauge!(IN_PROGRESS).decrement(1.0);
    }
}

#[cfg(test)]
mod tests;
