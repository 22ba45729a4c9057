//! Whose data it is. There is no default tenant below the HTTP layer (P7).

use std::fmt;
use std::sync::Arc;

/// The longest accepted tenant id, in bytes (as Loki).
pub const MAX_TENANT_ID_BYTES: usize = 150;

/// A validated `X-Scope-OrgID`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

/// Why a tenant id is refused; the texts are Loki's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenantIdError {
    /// Empty after the metadata suffix was cut.
    #[error("no org id")]
    Empty,
    /// Over [`MAX_TENANT_ID_BYTES`].
    #[error("tenant ID is too long: max 150 characters")]
    TooLong,
    /// `.` and `..` would be path steps in object storage.
    #[error("tenant ID is '.' or '..'")]
    Dots,
    /// A character outside the allowed set.
    #[error("tenant ID '{id}' contains unsupported character '{found}'")]
    Unsupported {
        /// The whole id as given.
        id: String,
        /// The first character that is not allowed.
        found: char,
    },
}

impl TenantId {
    /// Validates one id (no `|`): ASCII letters, digits and `!-_.*'()`, at most 150 bytes.
    pub fn new(id: &str) -> Result<TenantId, TenantIdError> {
        if id.is_empty() {
            return Err(TenantIdError::Empty);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        if let Some(found) = id.chars().find(|&c| !allowed(c)) {
            return Err(TenantIdError::Unsupported { id: id.to_owned(), found });
        }
        if id.len() > MAX_TENANT_ID_BYTES {
            return Err(TenantIdError::TooLong);
        }
        if id == "." || id == ".." {
            return Err(TenantIdError::Dots);
        }
        Ok(TenantId(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}
