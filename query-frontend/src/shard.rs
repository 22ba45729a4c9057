//! Cuts a piece by stream key and merges what its shards give.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use rpc::querier::{SelectJob, Selected};
use tower::{Service, ServiceExt};

use crate::error::Error;
use crate::query::{Done, Job, Piece, Task};
use crate::retry::Runs;
use crate::stack::Shared;

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
        let _ = &self.shared;
        piece.scope.shards.fetch_add(1, Ordering::Relaxed);
        one(self.inner.clone(), piece).boxed()
    }
}

/// Runs one shard.
async fn one<S: Runs>(inner: S, piece: Piece) -> Result<Selected, Error> {
    let Piece { leaf, scope } = piece;
    let job = Job::Select(SelectJob { tenant: scope.tenant.clone(), leaf });
    match inner.oneshot(Task { job, scope }).await? {
        Done::Selected(selected) => Ok(selected),
        Done::Listed(_) => Err(Error::Internal("rows were answered with a list".to_owned())),
    }
}
