//! Why a push is not answered with 204; statuses and texts are Loki's.

use base::ErrorKind;

/// A push that failed as a whole or in part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    /// HTTP status.
    pub status: u16,
    /// What the client reads.
    pub text: String,
}

impl Error {
    /// An error with Loki's own status.
    pub fn new(status: u16, text: impl Into<String>) -> Error {
        Error { status, text: text.into() }
    }

    /// Who may retry.
    pub fn kind(&self) -> ErrorKind {
        match self.status {
            429 => ErrorKind::Limited,
            503 => ErrorKind::Unavailable,
            500..=599 => ErrorKind::Internal,
            _ => ErrorKind::Invalid,
        }
    }
}
