//! Why the log cannot do what it was asked.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use base::{ByteSize, ErrorKind, StoreId};

/// Errors of the write-ahead log. Cheap to clone: one failed fsync answers many appends.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("{operation} {path}: {source}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The disk is full; nothing of the append was kept.
    #[error("no space left on the disk of the write-ahead log ({path})")]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// The log is as large as it may be; nothing of the append was kept.
    #[error("the write-ahead log holds {size_bytes} bytes, its limit is {limit} (wal hard limit)")]
    LimitReached {
        /// Size now.
        size_bytes: u64,
        /// The limit.
        limit: ByteSize,
    },
    /// The append does not fit in one record.
    #[error("a batch of {bytes} bytes is over the record limit of {limit_bytes} bytes")]
    BatchTooLarge {
        /// Encoded size.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// A file that must be whole is damaged.
    #[error("{path} is damaged: {what}")]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The directory holds segments of more than one store.
    #[error("{path} belongs to store {found}, this directory is store {expected}")]
    ForeignSegment {
        /// The segment.
        path: PathBuf,
        /// The store in its header.
        found: StoreId,
        /// The store of the directory.
        expected: StoreId,
    },
    /// Another process has the directory open.
    #[error("another process uses the write-ahead log in {dir}")]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// Whoever took the replayed batches asked to stop.
    #[error("replay was stopped")]
    Stopped,
    /// The log was closed.
    #[error("the write-ahead log is closed")]
    Closed,
}

impl Error {
    /// Who may retry.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Disk { .. } | Error::DiskFull { .. } | Error::LimitReached { .. } => {
                ErrorKind::Unavailable
            }
            Error::Stopped | Error::Closed | Error::Locked { .. } => ErrorKind::Unavailable,
            Error::BatchTooLarge { .. } => ErrorKind::Invalid,
            Error::Corrupt { .. } | Error::ForeignSegment { .. } => ErrorKind::Corrupt,
        }
    }

    pub(crate) fn disk(operation: &'static str, path: &std::path::Path, error: io::Error) -> Error {
        let path = path.to_owned();
        if error.kind() == io::ErrorKind::StorageFull {
            return Error::DiskFull { path };
        }
        Error::Disk { operation, path, source: Arc::new(error) }
    }
}
