//! One querier: what it is made of, and one query from plan to answer.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, TenantId, UnixNanos, task};
use futures::future::try_join_all;
use logql::engine::Answer;
use logql::plan::{Direction, Plan, QueryError};
use metrics::gauge;
use rpc::IngesterApi;
use store::{CatalogHandle, Parts};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::error::Error;
use crate::limits::Limits;
use crate::metrics::{CONCURRENCY, INFLIGHT};
use crate::select::{Leaf, Selection};
use crate::stats::QueryStats;

/// What a querier reads from and obeys.
#[derive(Clone)]
pub struct Deps {
    /// Limits of tenants.
    pub limits: Arc<dyn Limits>,
    /// Every ingester that may hold rows in no commit.
    pub ingesters: Vec<Arc<dyn IngesterApi>>,
    /// Which parts exist.
    pub catalog: CatalogHandle,
    /// Opens parts.
    pub parts: Arc<Parts>,
    /// Default times and durations; never correctness.
    pub clock: Arc<dyn Clock>,
}

/// Answers queries. Stateless but for caches: any number may run side by side.
pub struct Querier {
    pub(crate) config: Config,
    pub(crate) deps: Deps,
    /// One permit per thread that may scan parts.
    pub(crate) scans: Arc<Semaphore>,
}

/// A planned query of one tenant.
pub struct Planned {
    /// Whose rows.
    pub tenant: TenantId,
    /// What to evaluate.
    pub plan: Arc<Plan>,
    /// The end of time a log query starts from.
    pub direction: Direction,
}

/// An answer and what it cost.
#[derive(Debug)]
pub struct Evaluated {
    /// The answer.
    pub answer: Answer,
    /// What it cost.
    pub stats: QueryStats,
    /// What the user should know about the answer. Sorted, each once.
    pub warnings: Vec<String>,
}

impl Planned {
    /// The answer when no row is selected. Reads nothing.
    pub fn nothing(&self) -> Result<Evaluated, Error> {
        let partials = self.plan.leaves().iter().map(|leaf| leaf.empty()).collect();
        let answer = self.plan.finish(partials)?;
        Ok(Evaluated { answer, stats: QueryStats::default(), warnings: Vec::new() })
    }
}

impl Querier {
    /// A querier over `deps`.
    pub fn new(config: Config, deps: Deps) -> Querier {
        gauge!(CONCURRENCY).set(config.scan_threads as f64);
        let scans = Arc::new(Semaphore::new(config.scan_threads));
        Querier { config, deps, scans }
    }

    /// The limits it obeys.
    pub fn limits(&self) -> &dyn Limits {
        &*self.deps.limits
    }

    /// The clock it reads.
    pub fn clock(&self) -> &dyn Clock {
        &*self.deps.clock
    }

    /// Evaluates one query within the tenant's `query_timeout`. Dropping the future stops all work
    /// for it within a page or two.
    pub async fn evaluate(&self, planned: Planned) -> Result<Evaluated, Error> {
        let timeout = self.deps.limits.query_timeout(&planned.tenant);
        let _inflight = Inflight::new();
        within(timeout, self.run(&planned)).await
    }

    async fn run(&self, planned: &Planned) -> Result<Evaluated, Error> {
        let leaves = planned.plan.leaves();
        if leaves.is_empty() {
            return planned.nothing();
        }
        let mut stats = QueryStats::default();
        let mut warnings = Vec::new();
        let view = self.deps.catalog.follow().await?;
        let runs = leaves.iter().map(|leaf| {
            let leaf = Leaf { leaf, tenant: &planned.tenant, direction: planned.direction };
            self.select(leaf, view.clone())
        });
        let mut partials = Vec::with_capacity(leaves.len());
        for selection in try_join_all(runs).await? {
            let Selection { partial, stats: more, warnings: of_leaf } = selection;
            stats.take_in(&more);
            warnings.extend(of_leaf);
            partials.push(partial);
        }
        let plan = planned.plan.clone();
        let job = task::blocking("querier.finish", move || plan.finish(partials));
        let died = |died| Error::Internal(format!("an answer died: {died}"));
        let answer = job.await.map_err(died)??;
        stats.entries_returned = entries(&answer);
        warnings.sort_unstable();
        warnings.dedup();
        Ok(Evaluated { answer, stats, warnings })
    }
}

/// An instant that arithmetic on times can work with: ranges, offsets and steps of years can be
/// added to it, and two of them subtracted, without leaving 64 bits. From 1827 to 2112.
pub(crate) fn workable(time: UnixNanos) -> UnixNanos {
    const LIMIT_NS: i64 = 4_500_000_000_000_000_000;
    UnixNanos(time.0.clamp(-LIMIT_NS, LIMIT_NS))
}

/// Runs `work`, at most `timeout` long; zero = as long as it takes.
pub(crate) async fn within<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    if timeout.is_zero() {
        return work.await;
    }
    tokio::time::timeout(timeout, work).await.unwrap_or(Err(Error::Timeout))
}

/// Entries or series of an answer.
fn entries(answer: &Answer) -> u64 {
    let count = match answer {
        Answer::Streams(streams) => streams.iter().map(|stream| stream.entries.len()).sum(),
        Answer::Vector(series) => series.len(),
        Answer::Matrix(series) => series.len(),
        Answer::Scalar(_) => 1,
    };
    count as u64
}

/// Counts a running query, also one that is dropped.
struct Inflight;

impl Inflight {
    fn new() -> Inflight {
        gauge!(INFLIGHT).increment(1.0);
        Inflight
    }
}

impl Drop for Inflight {
    fn drop(&mut self) {
        gauge!(INFLIGHT).decrement(1.0);
    }
}

impl From<crate::checks::Refusal> for Error {
    fn from(refusal: crate::checks::Refusal) -> Error {
        Error::Query(QueryError::Invalid(refusal.0))
    }
}
