//! What can go wrong with stored objects. Every text names the store and the object.

use base::ErrorKind;

/// Why something could not be read from or put into the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part's bytes are not what they should be.
    #[error(transparent)]
    Part(#[from] part::Error),
    /// A named part's bytes are not what they should be.
    #[error("{store}: part {path}: {source}")]
    NamedPart {
        /// Which store.
        store: String,
        /// The object.
        path: String,
        /// What is wrong.
        source: part::Error,
    },
    /// An object of the catalog is not what it should be.
    #[error("{store}: object {path} is damaged: {source}")]
    Catalog {
        /// Which store.
        store: String,
        /// The object.
        path: String,
        /// What is wrong.
        source: catalog::Error,
    },
    /// An object is damaged in a way that its codec does not see.
    #[error("{store}: object {path} is damaged: {problem}")]
    Damaged {
        /// Which store.
        store: String,
        /// The object.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// There is no such object. For a part: read the catalog and repeat the whole split (C4).
    #[error("{store}: object {path} does not exist")]
    NotFound {
        /// Which store.
        store: String,
        /// The object.
        path: String,
    },
    /// The store did not do it, or its answer was lost.
    #[error("{store}: {operation} {path}: {source}")]
    Store {
        /// Which store.
        store: String,
        /// What was asked of it.
        operation: &'static str,
        /// The object.
        path: String,
        /// What it said.
        source: Box<object_store::Error>,
    },
    /// A local file could not be read, or a directory not synced.
    #[error("{store}: {path}: {source}")]
    File {
        /// Which store.
        store: String,
        /// The object.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration of the bucket cannot work.
    #[error("object storage {store}: {problem}")]
    Config {
        /// Which store.
        store: String,
        /// What is wrong.
        problem: String,
    },
    /// The bucket is another cluster's.
    #[error("{store} belongs to cluster {found}, not to {expected}")]
    ForeignCluster {
        /// Which store.
        store: String,
        /// The cluster in the bucket.
        found: String,
        /// The cluster that was configured.
        expected: String,
    },
    /// A view was asked for that the log does not have yet.
    #[error("{store}: commit {wanted} was asked for, the log ends at {head}")]
    Behind {
        /// Which store.
        store: String,
        /// The version asked for.
        wanted: u64,
        /// The version reached.
        head: u64,
    },
    /// Other committers were faster every time.
    #[error("{store}: no number for a commit after {attempts} attempts, the head is {head}")]
    Contended {
        /// Which store.
        store: String,
        /// Attempts made.
        attempts: u32,
        /// Last head seen.
        head: u64,
    },
}

impl Error {
    /// Who can do something about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Part(error) | Error::NamedPart { source: error, .. } => error.kind(),
            Error::Catalog { source, .. } => source.kind(),
            Error::Damaged { .. } => ErrorKind::Corrupt,
            Error::NotFound { .. } => ErrorKind::NotFound,
            Error::File { .. } | Error::Store { .. } => ErrorKind::Unavailable,
            Error::Config { .. } => ErrorKind::Invalid,
            Error::ForeignCluster { .. } => ErrorKind::Conflict,
            Error::Behind { .. } | Error::Contended { .. } => ErrorKind::Unavailable,
        }
    }
}
