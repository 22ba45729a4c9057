//! What can go wrong when an ingester starts, seals, flushes or ends.

use base::ErrorKind;
use logql::plan::QueryError;
use rpc::ingester::IngesterError;

/// Errors of this crate. Calls by other services fail with [`IngesterError`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The write-ahead log.
    #[error("write-ahead log: {0}")]
    Wal(#[from] wal::Error),
    /// A part could not be written.
    #[error("seal: {0}")]
    Part(#[from] part::Error),
    /// The bucket or the catalog.
    #[error("flush: {0}")]
    Store(#[from] store::Error),
    /// A head with batches had no rows.
    #[error("a head without rows cannot be sealed")]
    EmptyHead,
    /// A unit that was to be sealed is sealed.
    #[error("a sealed unit cannot be sealed again")]
    Resealed,
    /// The catalog refuses a flush for a reason that a flush cannot have.
    #[error("flush: the commit was ended: {0}")]
    Ended(String),
    /// A flush was rebuilt too often.
    #[error("flush: other commits claimed its batches {0} times in a row")]
    Contended(u32),
    /// The log lost a batch that must be flushed.
    #[error("batch {0} is unclaimed and cannot be read back from the write-ahead log")]
    LostBatch(base::BatchId),
    /// A worker thread panicked.
    #[error("{0} panicked")]
    Panicked(&'static str),
    /// The marker of `/ingester/prepare_shutdown`.
    #[error("shutdown marker {path}: {source}")]
    Marker {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// Who may retry.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Wal(error) => error.kind(),
            Error::Part(error) => error.kind(),
            Error::Store(error) => error.kind(),
            Error::EmptyHead | Error::Resealed | Error::Ended(_) | Error::Panicked(_) => {
                ErrorKind::Internal
            }
            Error::Contended(_) | Error::Marker { .. } => ErrorKind::Unavailable,
            Error::LostBatch(_) => ErrorKind::Corrupt,
        }
    }
}

/// What a caller of [`rpc::IngesterApi`] is told.
pub(crate) fn refusal(error: &wal::Error) -> IngesterError {
    match error.kind() {
        ErrorKind::Unavailable => IngesterError::Unavailable(error.to_string()),
        ErrorKind::Corrupt => IngesterError::Corrupt(error.to_string()),
        // The batch can be stored nowhere: whoever sent it must not try again.
        ErrorKind::Invalid => QueryError::Invalid(error.to_string()).into(),
        _ => IngesterError::Internal(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_over_the_record_limit_is_the_sender_s_fault() {
        let error = wal::Error::BatchTooLarge { bytes: 2, limit_bytes: 1 };
        assert_eq!(refusal(&error).kind(), ErrorKind::Invalid);
        assert_eq!(refusal(&wal::Error::Closed).kind(), ErrorKind::Unavailable);
    }
}
