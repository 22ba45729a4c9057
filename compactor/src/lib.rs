//! Cleans up behind the others: objects of the bucket that nothing needs any more.
//!
//! Owns: raising `log/floor` and deleting the log below it (C3), deleting objects of parts that a
//! commit removed and of uploads that no commit names (C4), deleting superseded checkpoints. Does
//! not own: which parts exist (the catalog), flushes (the ingester). Merging of parts, retention and
//! deletes of rows belong here too and are not built yet.
//!
//! A pass:
//! 1. [`Compactor::pass`] follows the log and writes a checkpoint if one is due.
//! 2. `log.rs` raises the floor to a checkpoint that is whole and a day old, then deletes commits
//!    and checkpoints before it.
//! 3. `objects.rs` lists the objects of parts, reads the log to its head, and deletes what nothing
//!    names and a commit removed two hours ago. What nobody ever named it has a commit remove first.
//!
//! **Invariant:** when an object is deleted no commit at the head of the log names it, and none that
//! is committed later will. **Invariant:** the floor rises before anything below it is deleted.
//! Times are courtesy: with all of them zero no rule is broken, and queries under way repeat.

mod compactor;
pub mod config;
pub mod error;
mod log;
pub mod metrics;
mod objects;
#[cfg(test)]
mod tests;

pub use compactor::{Compactor, Deps, Pass};
pub use config::Config;
pub use error::Error;
