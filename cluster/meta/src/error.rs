//! What can go wrong with the ring's state.

use std::io;
use std::path::PathBuf;

use base::{ErrorKind, StoreId};
use ulid::Ulid;

/// Why the control plane does not do what it was asked. The data plane goes on without it (P5).
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A message of another cluster (C6).
    #[error("this is cluster {own}, the message is of cluster {theirs}")]
    ForeignCluster {
        /// Ours.
        own: Ulid,
        /// That of the message.
        theirs: Ulid,
    },
    /// A message for a store that is not here: the address belongs to another one now.
    #[error("this is store {own}, the message is for store {wanted}")]
    OtherStore {
        /// Ours.
        own: StoreId,
        /// To whom it was sent.
        wanted: StoreId,
    },
    /// Nobody leads, or nobody knows who does. Nothing was changed by this call.
    #[error("the ring has no leader")]
    NoLeader,
    /// Another one leads. Nothing was changed by this call.
    #[error("store {leader} leads the ring")]
    NotLeader {
        /// Who.
        leader: StoreId,
        /// Where it is dialled, if known.
        address: String,
    },
    /// The call did not come back: the change may have been made.
    #[error("the ring did not answer: {0}")]
    Unanswered(String),
    /// As many changes as are allowed are under way.
    #[error("too many changes of the ring at a time (at most {limit})")]
    Busy {
        /// The most at a time.
        limit: usize,
    },
    /// A peer cannot be reached.
    #[error("{address} cannot be reached: {problem}")]
    Unreachable {
        /// Who.
        address: String,
        /// Why.
        problem: String,
    },
    /// Bytes of a message that are not one.
    #[error("bad message: {0}")]
    Message(#[from] ring::Error),
    /// A file of the Raft directory is damaged.
    #[error("{}: {problem}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::sync::Arc<io::Error>,
    },
    /// The Raft directory belongs to another store or cluster.
    #[error("{}: {problem}", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        problem: String,
    },
    /// This store's Raft directory is empty, but others know it as a member: what it promised is
    /// lost. The store must be replaced by a new one.
    #[error("store {0} is a member of the ring, but its Raft directory is empty")]
    Amnesia(StoreId),
    /// What another member answered, if nobody acts upon what exactly it is.
    #[error("{text}")]
    Remote {
        /// Of the error.
        kind: ErrorKind,
        /// Its text.
        text: String,
    },
    /// Raft has stopped, by order or after a failed write.
    #[error("the ring's log has stopped: {0}")]
    Stopped(String),
}

impl Error {
    /// Who may retry.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::ForeignCluster { .. } | Error::OtherStore { .. } => ErrorKind::Invalid,
            Error::NotLeader { .. } => ErrorKind::Conflict,
            Error::NoLeader | Error::Unreachable { .. } | Error::Stopped(_) => {
                ErrorKind::Unavailable
            }
            Error::Unanswered(_) => ErrorKind::Timeout,
            Error::Remote { kind, .. } => *kind,
            Error::Busy { .. } => ErrorKind::Limited,
            Error::Message(_) | Error::Corrupt { .. } => ErrorKind::Corrupt,
            Error::Io { .. } => ErrorKind::Unavailable,
            Error::Foreign { .. } | Error::Amnesia(_) => ErrorKind::Invalid,
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Error {
        Error::Io { path: path.into(), source: std::sync::Arc::new(source) }
    }
}
