//! From a plan to an answer: runs the leaves side by side and finishes what they give.

use std::sync::Arc;
use std::task::{Context, Poll};

use base::task;
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use logql::engine::Answer;
use rpc::querier::Selected;
use rpc::stats::QueryStats;
use tower::{Service, ServiceExt};

use crate::error::Error;
use crate::query::{Evaluated, Piece, Planned, Scope};
use crate::stack::Shared;

/// The layer.
#[derive(Clone)]
pub struct Evaluate<S> {
    inner: S,
}

impl<S> Evaluate<S> {
    /// Around `inner`, which evaluates one leaf.
    pub fn new(inner: S, _: Arc<Shared>) -> Evaluate<S> {
        Evaluate { inner }
    }
}

/// What evaluates leaves and pieces of them.
pub trait Selects:
    Service<Piece, Response = Selected, Error = Error, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Selects for S where
    S: Service<Piece, Response = Selected, Error = Error, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

impl<S: Selects> Service<Planned> for Evaluate<S> {
    type Response = Evaluated;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Evaluated, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, planned: Planned) -> Self::Future {
        evaluate(self.inner.clone(), planned).boxed()
    }
}

async fn evaluate<S: Selects>(inner: S, planned: Planned) -> Result<Evaluated, Error> {
    let Planned { tenant, plan, parallelism, shardable } = planned;
    let scope = Scope::new(tenant, parallelism, shardable);
    let runs = plan
        .leaves()
        .iter()
        .map(|leaf| inner.clone().oneshot(Piece { leaf: leaf.clone(), scope: scope.clone() }));
    let mut stats = QueryStats::default();
    let mut warnings = Vec::new();
    let mut partials = Vec::with_capacity(plan.leaves().len());
    for selected in try_join_all(runs).await? {
        let Selected { partial, stats: more, warnings: of_leaf } = selected;
        stats.take_in(&more);
        warnings.extend(of_leaf);
        partials.push(partial);
    }
    let job = task::blocking("frontend.finish", move || plan.finish(partials));
    let died = |died| Error::Internal(format!("an answer died: {died}"));
    let answer = job.await.map_err(died)??;
    stats.entries_returned = entries(&answer);
    warnings.sort_unstable();
    warnings.dedup();
    Ok(Evaluated { answer, stats, pieces: scope.stats(), warnings })
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
