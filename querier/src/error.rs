//! Why a query is not answered.

use base::ErrorKind;
use logql::plan::QueryError;
use rpc::ingester::IngesterError;
use rpc::querier::QuerierError;
use store::scan::ScanError;

/// Why a query is not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The query's fault or limit; the text is Loki's.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// An ingester could not evaluate its rows.
    #[error(transparent)]
    Ingester(IngesterError),
    /// Rows may be held by nobody who answers. Never a short answer instead; the first half of the
    /// text is Loki's.
    #[error(
        "at least {required} live replicas required, could only find {found} - unhealthy \
         instances: {unhealthy} ({reasons})"
    )]
    TooFewReplicas {
        /// Copies of a row that must be in reach.
        required: usize,
        /// Copies that are.
        found: usize,
        /// Addresses of those that did not answer.
        unhealthy: String,
        /// What each of them said.
        reasons: String,
    },
    /// Ingesters follow a newer ring than can be read here: somebody may not have been asked.
    #[error("ingesters follow version {newest} of the ring, only {known} is known here")]
    OldRing {
        /// The newest version here.
        known: u64,
        /// The newest version of an answer, or that the log names.
        newest: u64,
    },
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
    /// A tail asked too late: rows that it was not given are not there any more.
    #[error(
        "the tail is too far behind: {of} has dropped rows that were not sent; narrow the query \
         or begin again"
    )]
    TailBehind {
        /// Who dropped them.
        of: String,
    },
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
            Error::Unstable { .. } | Error::TooFewReplicas { .. } | Error::OldRing { .. } => {
                ErrorKind::Unavailable
            }
            Error::TailBehind { .. } => ErrorKind::Limited,
            Error::Cancelled => ErrorKind::Timeout,
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
            other => Error::Ingester(other),
        }
    }
}

impl From<Error> for QuerierError {
    fn from(error: Error) -> QuerierError {
        let error = match error {
            Error::Query(error) => return QuerierError::Query(error),
            behind @ Error::TailBehind { .. } => {
                return QuerierError::Query(QueryError::Limited(behind.to_string()));
            }
            other => other,
        };
        let text = error.to_string();
        match error.kind() {
            ErrorKind::Timeout => QuerierError::Cancelled,
            // A part that stays gone is lost: nobody finds it by trying again.
            ErrorKind::Corrupt | ErrorKind::NotFound => QuerierError::Corrupt(text),
            ErrorKind::Unavailable | ErrorKind::Limited | ErrorKind::Conflict => {
                QuerierError::Unavailable(text)
            }
            ErrorKind::Invalid | ErrorKind::Internal => QuerierError::Internal(text),
        }
    }
}
