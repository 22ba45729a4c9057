//! From a plan to an answer: runs the leaves side by side and finishes what they give.

use std::sync::Arc;
use std::task::{Context, Poll};

use base::{TenantId, task};
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use futures::stream::{self, StreamExt};
use logql::engine::Answer;
use logql::plan::Leaf;
use rpc::querier::Selected;
use rpc::stats::QueryStats;
use tower::{Service, ServiceExt};

use crate::error::Error;
use crate::gather::Gathered;
use crate::query::{Evaluated, Piece, PieceStats, Planned, Scope};
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
    let Planned { tenants, owners, plan, parallelism, shardable } = planned;
    let scope = |id: &TenantId| Scope::new(id.clone(), parallelism, shardable);
    let scopes: Vec<Arc<Scope>> = tenants.ids.iter().map(scope).collect();
    let runs = plan.leaves().iter().zip(&owners).map(|(leaf, owners)| {
        let is_owner = |scope: &&Arc<Scope>| owners.contains(&scope.tenant);
        let pieces = scopes.iter().filter(is_owner);
        let pieces = pieces.map(|scope| Piece { leaf: leaf.clone(), scope: scope.clone() });
        let pieces: Vec<Piece> = pieces.collect();
        let (inner, leaf, multi) = (inner.clone(), leaf.clone(), tenants.multi);
        async move {
            match <[Piece; 1]>::try_from(pieces) {
                Ok([whole]) if !multi => inner.oneshot(whole).await,
                Ok(one) => of_tenants(inner, leaf, one.to_vec()).await,
                Err(pieces) => of_tenants(inner, leaf, pieces).await,
            }
        }
    });
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
    let mut pieces = PieceStats::default();
    scopes.iter().for_each(|scope| pieces.take_in(&scope.stats()));
    Ok(Evaluated { answer, stats, pieces, warnings })
}

/// Most tenants of one leaf that are read at a time: the jobs of each have limits of their own.
const TENANTS_AT_A_TIME: usize = 16;

/// One leaf over the rows of several tenants. Each tenant's partial is whole before it is merged
/// with those of others: rows of two tenants are never the same row.
async fn of_tenants<S: Selects>(
    inner: S,
    leaf: Arc<Leaf>,
    pieces: Vec<Piece>,
) -> Result<Selected, Error> {
    let empty = leaf.empty();
    let runs = pieces.into_iter().map(|piece| {
        let (inner, leaf, tenant) = (inner.clone(), leaf.clone(), piece.scope.tenant.clone());
        async move {
            let mut selected = inner.oneshot(piece).await?;
            let partial = std::mem::take(&mut selected.partial);
            let job = move || partial.of_tenant(&leaf, tenant.as_str());
            let job = task::blocking("frontend.tenant", job);
            let died = |died| Error::Internal(format!("a merge died: {died}"));
            selected.partial = job.await.map_err(died)??;
            Ok(selected)
        }
    });
    let runs = stream::iter(runs).buffer_unordered(TENANTS_AT_A_TIME);
    Gathered::new(empty).add_all(runs).await
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
