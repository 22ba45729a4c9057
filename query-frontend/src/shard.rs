//! Cuts a piece by stream key and merges what its shards give.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use metrics::histogram;
use rpc::querier::{SelectJob, Selected};
use tower::{Service, ServiceExt};

use crate::error::Error;
use crate::gather::Gathered;
use crate::metrics::SHARD_FACTOR;
use crate::query::{Done, Job, Piece, Task};
use crate::retry::Runs;
use crate::stack::Shared;

/// Most shards of a piece. Each reads the stream table of every part.
const MOST: usize = 64;

/// The layer.
#[derive(Clone)]
pub struct Shard<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Shard<S> {
    /// Around `inner`, which runs a job.
    pub fn new(inner: S, shared: Arc<Shared>) -> Shard<S> {
        Shard { inner, shared }
    }
}

impl<S: Runs> Service<Piece> for Shard<S> {
    type Response = Selected;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Selected, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, piece: Piece) -> Self::Future {
        let of = self.factor(&piece);
        histogram!(SHARD_FACTOR).record(f64::from(of));
        piece.scope.shards.fetch_add(of.into(), Ordering::Relaxed);
        if of == 1 {
            return one(self.inner.clone(), piece).boxed();
        }
        let range = piece.leaf.range();
        let shards: FuturesUnordered<_> = (0..of)
            .map(|index| {
                let leaf = piece.leaf.piece(range, logql::plan::Shard { index, of });
                one(self.inner.clone(), Piece { leaf, scope: piece.scope.clone() })
            })
            .collect();
        Gathered::new(piece.leaf.empty()).add_all(shards).boxed()
    }
}

impl<S> Shard<S> {
    /// As many shards as there are queriers: a querier uses all its cores for one of them, and
    /// shards of one process would only read the pages twice that their streams share.
    fn factor(&self, piece: &Piece) -> u32 {
        if !piece.scope.shardable {
            return 1;
        }
        let factor = match self.shared.config.shards {
            0 => self.shared.queue.queriers(),
            factor => factor,
        };
        factor.clamp(1, piece.scope.parallelism.min(MOST)) as u32
    }
}

/// Runs one shard.
async fn one<S: Runs>(inner: S, piece: Piece) -> Result<Selected, Error> {
    let Piece { leaf, scope } = piece;
    let job = Job::Select(SelectJob { tenant: scope.tenant.clone(), leaf });
    match inner.oneshot(Task { job, scope }).await? {
        Done::Selected(selected) => Ok(selected),
        Done::Listed(_) | Done::Tailed(_) => {
            Err(Error::Internal("rows were answered with something else".to_owned()))
        }
    }
}
