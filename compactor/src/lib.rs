//! Works on what is stored: merges parts, removes expired ones, cleans up behind everybody.
//!
//! Owns: which parts are merged and merging them (R4), whole-part retention, raising `log/floor` and
//! deleting the log below it (C3), deleting objects of parts that a commit removed and of uploads
//! that no commit names (C4), deleting superseded checkpoints. Does not own: which parts exist (the
//! catalog), the format of parts and their merge (`part`), flushes (the ingester). Deletes of rows
//! belong here too and are not built yet.
//!
//! [`Compactor::run`] looks for merges whenever a commit of this process or the clock says so:
//! 1. `plan.rs` finds parts of a tenant and day whose merge pays.
//! 2. `merge.rs` makes one part of them, uploads it, and commits it in their place.
//! 3. `garbage.rs` remembers the objects that are left, and they are deleted after the delay.
//!
//! A pass, every [`Config::interval`]:
//! 1. [`Compactor::pass`] follows the log and writes a checkpoint if one is due.
//! 2. `retention.rs` removes parts that are older than their tenant keeps rows; then merges as above.
//! 3. `log.rs` raises the floor to a checkpoint that is whole and a day old, then deletes commits
//!    and checkpoints before it.
//! 4. `objects.rs` lists the objects of parts, reads the log to its head, and deletes what nothing
//!    names and a commit removed two hours ago. What nobody ever named it has a commit remove first.
//!
//! **Invariant:** the rows of a merge's inputs and of its output are live at no version together, and
//! at every version one of them is: one commit removes and adds, and it ends if an input is gone.
//! **Invariant:** when an object is deleted no commit at the head of the log names it, and none that
//! is committed later will. **Invariant:** the floor rises before anything below it is deleted.
//! Times are courtesy: with all of them zero no rule is broken, and queries under way repeat.

mod compactor;
pub mod config;
pub mod error;
mod garbage;
pub mod limits;
mod log;
mod merge;
pub mod metrics;
mod objects;
pub mod plan;
mod retention;
#[cfg(test)]
mod tests;

pub use compactor::{Compactor, Deps, Pass};
pub use config::Config;
pub use error::Error;
pub use limits::Limits;
