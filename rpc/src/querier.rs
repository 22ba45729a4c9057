//! What a querier does for query frontends: pieces of queries.

use std::sync::Arc;

use async_trait::async_trait;
use base::{ErrorKind, Labels, TenantId, UnixNanos};
use logql::engine::Partial;
use logql::plan::{Leaf, QueryError};
use logql::syntax::Matcher;

use crate::stats::QueryStats;
use crate::tail::{TailJob, Tailed};

/// Calls to one querier. Dropping a call's future ends its work within a page or two.
#[async_trait]
pub trait QuerierApi: Send + Sync + 'static {
    /// Evaluates a leaf, or a piece of one, over ingesters and parts at one view of its own (R1).
    async fn select(&self, job: SelectJob) -> Result<Selected, QuerierError>;

    /// Lists streams, or names and values of their labels.
    async fn list(&self, job: ListJob) -> Result<Listed, QuerierError>;

    /// One step of a tail: what came since its cursor.
    async fn tail(&self, job: TailJob) -> Result<Tailed, QuerierError> {
        drop(job);
        Err(QuerierError::Unavailable("this querier serves no tails".to_owned()))
    }
}

/// A leaf to evaluate. Its range and shard say which rows.
#[derive(Clone)]
pub struct SelectJob {
    /// Whose rows.
    pub tenant: TenantId,
    /// The leaf, already cut to the piece.
    pub leaf: Arc<Leaf>,
}

/// What became of a [`SelectJob`].
#[derive(Clone, Debug)]
pub struct Selected {
    /// The merged result of all sources.
    pub partial: Partial,
    /// What it cost.
    pub stats: QueryStats,
    /// What the user should know about the answer. Sorted, each once.
    pub warnings: Vec<String>,
}

/// Which streams, and what to tell of them.
#[derive(Clone, Debug, PartialEq)]
pub struct ListJob {
    /// Whose.
    pub tenant: TenantId,
    /// What to list.
    pub listing: Listing,
    /// Any of these matcher lists must match; empty = all streams.
    pub selectors: Vec<Vec<Matcher>>,
    /// First instant.
    pub start: UnixNanos,
    /// Last instant, inclusive: a stream counts by the range of its rows.
    pub end: UnixNanos,
}

/// What to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// The streams.
    Streams,
    /// Names of their labels.
    Names,
    /// Values of this label.
    Values(String),
    /// What the lines of the streams look like: line patterns (`|>`).
    Templates,
}

/// Answer to [`ListJob`]; each once. Sorted, but for templates: the most frequent first.
#[derive(Clone, Debug, PartialEq)]
pub enum Listed {
    /// For [`Listing::Streams`].
    Streams(Vec<Labels>),
    /// For all others.
    Texts(Vec<String>),
}

/// Why a piece of a query has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QuerierError {
    /// The query's fault or limit; the text is Loki's.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Not now, or not here: an ingester or object storage does not answer; names it. May be
    /// tried again.
    #[error("{0}")]
    Unavailable(String),
    /// Past `query_timeout`.
    #[error("the query timed out")]
    Timeout,
    /// Nobody waits for it any more.
    #[error("the query was cancelled")]
    Cancelled,
    /// Stored bytes are damaged; names the object.
    #[error("{0}")]
    Corrupt(String),
    /// A bug.
    #[error("{0}")]
    Internal(String),
}

impl QuerierError {
    /// Who may retry.
    pub fn kind(&self) -> ErrorKind {
        match self {
            QuerierError::Query(QueryError::Internal(_)) | QuerierError::Internal(_) => {
                ErrorKind::Internal
            }
            QuerierError::Query(_) => ErrorKind::Invalid,
            QuerierError::Unavailable(_) => ErrorKind::Unavailable,
            QuerierError::Timeout | QuerierError::Cancelled => ErrorKind::Timeout,
            QuerierError::Corrupt(_) => ErrorKind::Corrupt,
        }
    }
}
