//! What can go wrong with stored objects.

use base::ErrorKind;

/// Why something could not be read from or put into the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part's bytes are not what they should be.
    #[error(transparent)]
    Part(#[from] part::Error),
}

impl Error {
    /// Who can do something about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Part(error) => error.kind(),
        }
    }
}
