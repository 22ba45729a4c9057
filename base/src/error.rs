//! What the person who must act has to know about an error.

/// Says who may retry and what must change first. One table in `rpc` maps it to HTTP and gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Fix the request; it will never succeed as it is.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// Slow down; a limit of the tenant or of this process was hit.
    Limited,
    /// Somebody else changed what was read; read again.
    Conflict,
    /// This place cannot answer now; retry elsewhere or later.
    Unavailable,
    /// The deadline passed.
    Timeout,
    /// Stored or sent bytes are damaged; do not retry, alarm.
    Corrupt,
    /// A bug.
    Internal,
}

impl ErrorKind {
    /// The lower-case name, as in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Limited => "limited",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Internal => "internal",
        }
    }
}
