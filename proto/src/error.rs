//! Why bytes are not a message, or a message is not what it should be.

use std::fmt;

use base::ErrorKind;

/// Names the message and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad {message} message: {reason}")]
pub struct WireError {
    /// The message.
    pub message: &'static str,
    /// What does not hold.
    pub reason: String,
}

impl WireError {
    /// `message` is not what it should be.
    pub fn new(message: &'static str, reason: impl fmt::Display) -> WireError {
        WireError { message, reason: reason.to_string() }
    }

    /// Sent bytes are damaged, or come from a version that is too far away.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}

/// `ensure!(condition, "Message", "reason {}", argument)`: the error unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $message:expr, $($reason:tt)+) => {
        if !$condition {
            return Err($crate::WireError::new($message, format_args!($($reason)+)));
        }
    };
}
