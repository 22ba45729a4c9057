//! Why a query is not answered.

use base::ErrorKind;
use logql::plan::QueryError;
use rpc::ingester::IngesterError;
use store::scan::ScanError;

/// Why a query is not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The query's fault or limit; the text is Loki's.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// An ingester did not answer. Never a short answer instead.
    #[error(transparent)]
    Ingester(IngesterError),
    /// Object storage did not answer, or a stored object is damaged; names the object.
    #[error(transparent)]
    Store(Box<store::Error>),
    /// The catalog is known to miss parts that this query would read; names the object.
    #[error("{object} is damaged: {problem}")]
    Damaged {
        /// Name of the object.
        object: String,
        /// What is wrong.
        problem: String,
    },
    /// Parts disappeared or ingesters flushed faster than the catalog could be read.
    #[error("the catalog changed {attempts} times while the query read it, try again")]
    Unstable {
        /// Times the query started over.
        attempts: u32,
    },
    /// Past `query_timeout`.
    #[error("the query timed out")]
    Timeout,
    /// The client is gone.
    #[error("the query was cancelled")]
    Cancelled,
    /// A bug: a scanning thread died.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Who can do something about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Query(QueryError::Internal(_)) | Error::Internal(_) => ErrorKind::Internal,
            Error::Query(_) => ErrorKind::Invalid,
            Error::Ingester(error) => error.kind(),
            Error::Store(error) => error.kind(),
            Error::Damaged { .. } => ErrorKind::Corrupt,
            Error::Unstable { .. } => ErrorKind::Unavailable,
            Error::Timeout | Error::Cancelled => ErrorKind::Timeout,
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        Error::Store(Box::new(error))
    }
}

impl From<ScanError> for Error {
    fn from(error: ScanError) -> Error {
        match error {
            ScanError::Query(error) => Error::Query(error),
            ScanError::Store(error) => error.into(),
            ScanError::Cancelled => Error::Cancelled,
        }
    }
}

impl From<IngesterError> for Error {
    fn from(error: IngesterError) -> Error {
        match error {
            IngesterError::Query(error) => Error::Query(error),
            IngesterError::Cancelled => Error::Cancelled,
            other => Error::Ingester(other),
        }
    }
}
