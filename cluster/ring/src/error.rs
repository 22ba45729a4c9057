//! What is wrong with bytes that should be a state or a command.

use base::ErrorKind;

/// Bytes that this program did not write, or a newer one did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer bytes than a field needs.
    #[error("{object} ends within its {field}")]
    Truncated {
        /// What was read.
        object: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A number over what is allowed.
    #[error("{object} has {found} in its {field}, at most {limit} are allowed")]
    Cap {
        /// What was read.
        object: &'static str,
        /// The field.
        field: &'static str,
        /// What stands there.
        found: u64,
        /// The most there may be.
        limit: u64,
    },
    /// A field that makes no sense.
    #[error("{object} has a bad {field}: {problem}")]
    Field {
        /// What was read.
        object: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// Written by a newer program.
    #[error("{object} has version {version}, which this program does not know")]
    Version {
        /// What was read.
        object: &'static str,
        /// What stands there.
        version: u64,
    },
}

impl Error {
    /// Who may retry.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}
