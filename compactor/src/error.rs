//! Why a pass of the compactor ended early.

use base::ErrorKind;

/// Errors of this crate. The next pass begins anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket or the catalog.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Who may retry.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Store(error) => error.kind(),
        }
    }
}
