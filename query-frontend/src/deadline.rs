//! Ends what takes longer than the tenant's `query_timeout`. Dropping what is below drops its jobs.

use std::slice::from_ref;
use std::sync::Arc;
use std::task::{Context, Poll};

use base::TenantId;
use futures::FutureExt;
use futures::future::BoxFuture;
use rpc::querier::ListJob;
use rpc::tail::TailJob;
use tower::Service;

use crate::error::Error;
use crate::limits::OfAll;
use crate::query::Query;
use crate::stack::Shared;

/// The layer.
#[derive(Clone)]
pub struct Deadline<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Deadline<S> {
    /// Around `inner`.
    pub fn new(inner: S, shared: Arc<Shared>) -> Deadline<S> {
        Deadline { inner, shared }
    }
}

/// A request that says whose it is.
pub trait OfTenant {
    /// Whose.
    fn tenants(&self) -> &[TenantId];
}

impl OfTenant for Query {
    fn tenants(&self) -> &[TenantId] {
        &self.tenants.ids
    }
}

impl OfTenant for ListJob {
    fn tenants(&self) -> &[TenantId] {
        from_ref(&self.tenant)
    }
}

impl OfTenant for TailJob {
    fn tenants(&self) -> &[TenantId] {
        from_ref(&self.tenant)
    }
}

impl<S, R> Service<R> for Deadline<S>
where
    S: Service<R, Error = Error, Future: Send + 'static, Response: 'static>,
    R: OfTenant,
{
    type Response = S::Response;
    type Error = Error;
    type Future = BoxFuture<'static, Result<S::Response, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let limits = &*self.shared.limits;
        let timeout = OfAll { limits, tenants: request.tenants() }.query_timeout();
        let work = self.inner.call(request);
        if timeout.is_zero() {
            return work.boxed();
        }
        let timed = tokio::time::timeout(timeout, work);
        timed.map(|done| done.unwrap_or(Err(Error::Timeout))).boxed()
    }
}
