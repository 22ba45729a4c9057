//! Why a query is not answered.

use base::ErrorKind;
use logql::plan::QueryError;
use rpc::querier::QuerierError;

use crate::checks::Refusal;

/// Why a query is not answered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The query's fault or limit; the text is Loki's.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The tenant's queue is full (`max_outstanding_per_tenant`).
    #[error("too many outstanding requests")]
    TooManyOutstanding,
    /// The tenant's `max_query_parallelism` is 0.
    #[error("querying is disabled, please contact your Loki operator")]
    Disabled,
    /// This frontend takes no queries any more.
    #[error("the query frontend is stopping, try again")]
    Stopping,
    /// The querier went away with the job. Retried before anybody sees it.
    #[error("the querier that ran the query went away, try again")]
    WorkerLost,
    /// A querier could not do its piece.
    #[error(transparent)]
    Querier(QuerierError),
    /// Past `query_timeout`.
    #[error("the query timed out")]
    Timeout,
    /// A bug.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Who can do something about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Query(QueryError::Internal(_)) | Error::Internal(_) => ErrorKind::Internal,
            Error::Query(_) => ErrorKind::Invalid,
            Error::TooManyOutstanding | Error::Disabled => ErrorKind::Limited,
            Error::Stopping | Error::WorkerLost => ErrorKind::Unavailable,
            Error::Querier(error) => error.kind(),
            Error::Timeout => ErrorKind::Timeout,
        }
    }
}

impl From<QuerierError> for Error {
    fn from(error: QuerierError) -> Error {
        match error {
            QuerierError::Query(error) => Error::Query(error),
            QuerierError::Timeout => Error::Timeout,
            other => Error::Querier(other),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Query(QueryError::Invalid(refusal.0))
    }
}
