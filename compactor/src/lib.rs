//! Cleans up behind the others: objects of the bucket that nothing needs any more.
//!
//! Owns: raising `log/floor` and deleting the log below it (C3), deleting parts that a commit
//! removed and uploads that no commit names (C4), deleting superseded checkpoints. Does not own:
//! which parts exist (the catalog), flushes (the ingester). Merging of parts, retention and deletes
//! of rows come later and belong here.

mod compactor;
pub mod config;
pub mod error;
pub mod metrics;

pub use compactor::{Compactor, Deps};
pub use config::Config;
pub use error::Error;
