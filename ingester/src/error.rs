//! What can go wrong when an ingester starts, flushes or ends.

use base::ErrorKind;

/// Errors of this crate. Calls by other services fail with `rpc::ingester::IngesterError`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The write-ahead log.
    #[error("write-ahead log: {0}")]
    Wal(#[from] wal::Error),
}

impl Error {
    /// Who may retry.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Wal(error) => error.kind(),
        }
    }
}
