//! Why a pass of the compactor ended early.

use base::ErrorKind;

/// Errors of this crate. The next pass begins anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket or the catalog.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A task on another thread did not come to its end.
    #[error("{0} panicked")]
    Panicked(&'static str),
    /// The catalog asks for a part to be built anew where none is.
    #[error("a commit that adds nothing was to be built anew")]
    Rebuilt,
}

impl Error {
    /// Who may retry.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Store(error) => error.kind(),
            Error::Rebuilt | Error::Panicked(_) => ErrorKind::Internal,
        }
    }
}
