//! What a query frontend does for queriers: it gives them work. Queriers come to frontends, so that
//! a frontend needs no list of queriers and a querier takes only what it can run.

use std::sync::Arc;

use async_trait::async_trait;

use crate::querier::QuerierApi;

/// Calls to one query frontend.
#[async_trait]
pub trait FrontendApi: Send + Sync + 'static {
    /// One worker's stay: takes jobs from the queue, one at a time, and runs them on `querier`,
    /// until the frontend stops or the connection breaks. A job whose worker goes away is given
    /// to another one. Dropping the future leaves.
    async fn work(&self, worker: Worker, querier: Arc<dyn QuerierApi>)
    -> Result<(), FrontendError>;
}

/// One of a querier's places for a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Worker {
    /// The querier's process; the same for all its workers.
    pub querier: String,
}

/// Why a worker's stay ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FrontendError {
    /// The frontend does not answer or is stopping: come again later, or elsewhere.
    #[error("{0}")]
    Unavailable(String),
    /// A bug.
    #[error("{0}")]
    Internal(String),
}
