//! TLS: PEM files in, connections out, on both sides of every port.
//!
//! [`ServerTls`] takes connections of a listener, [`ClientTls`] makes those to other processes.
//! Names of versions, suites and client policies are Go's, as Loki's configuration has them.
//!
//! **Invariant:** each connection is made with the files as they are at that moment. Their bytes are
//! compared, not their times, and files that cannot be used change nothing: the last good ones stay,
//! and the log and a metric say so once for each state of the files ([`files`]).

mod client;
mod files;
pub mod metrics;
mod server;
mod signatures;
mod terms;

use std::path::PathBuf;

pub use client::{ClientSettings, ClientTls};
pub use files::Pem;
pub use server::{ClientPolicy, ServerSettings, ServerTls};
pub use terms::Terms;
pub use tokio_rustls::{client as client_stream, server as server_stream};

/// Why TLS cannot be had as it was asked for. Every text names the key of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{key}: opening {}: {source}", path.display())]
    File {
        /// Of the configuration.
        key: String,
        /// As configured.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{key}: {problem}")]
    Content {
        /// Of the configuration.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A setting that does not exist or does not go with the others.
    #[error("{key}: {problem}")]
    Setting {
        /// Of the configuration.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The library does not take certificate and key.
    #[error("{block}: {source}")]
    Refused {
        /// Of the configuration.
        block: String,
        /// What it says.
        source: rustls::Error,
    },
}

impl Error {
    /// Who may retry.
    pub fn kind(&self) -> base::ErrorKind {
        base::ErrorKind::Invalid
    }
}

#[cfg(test)]
mod tests;
