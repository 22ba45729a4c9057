//! Which parts exist and which batches they hold: the commit log as pure state.
//!
//! The bucket holds one log of numbered [`Commit`]s. Every process that follows it holds a
//! [`Catalog`]: the state after applying commits `1..=V` in order. Queries take a [`Snapshot`] of
//! it, ingesters ask its [`IdTable`] whether a batch is claimed, and whoever wants to change it
//! writes a [`Draft`] that [`step`] compares with everything committed so far.
//!
//! This crate does no IO and reads no clock: `store` reads and writes the objects.
//!
//! Rules kept here:
//! 1. **Flushed once.** An id in the table is never put in another commit: [`step`] names the ids
//!    of a draft that are claimed already, and `store::CatalogHandle::commit` runs it against every
//!    commit before its number.
//! 2. **Merged once.** A removed input, or a cancelled predicate that the merge applied, ends it.
//! 3. **Uploaded and still there.** A part of a draft that a cleaner's commit removed since the
//!    draft was begun must be uploaded anew, under a new id.
//! 4. **Exact claims.** A range never spans an id that was not put in it.
//! 5. State built from checkpoints and the log after them is the state built from the whole log.
//! 6. Predicates never retire by themselves; a part's `purged_through` says which were applied.
//! 7. The version of a ring that the log names never goes back.

mod checkpoint;
mod codec;
mod commit;
mod error;
mod floor;
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
mod golden;
mod ids;
mod inspect;
mod part_record;
pub mod paths;
mod predicate;
mod ring_version;
mod snapshot;
mod state;
mod step;
mod table;

pub use checkpoint::{DayCheckpoint, DayEntry, Manifest};
pub use commit::{Commit, NewPredicate};
pub use error::Error;
pub use floor::Floor;
pub use ids::{IdSet, Ranges};
pub use inspect::{Inspection, Object, inspect};
pub use part_record::{PartId, PartRecord, PartRef, Place};
pub use predicate::{Predicate, PredicateId};
pub use ring_version::RingVersion;
pub use snapshot::{Damage, Snapshot};
pub use state::{Applied, Catalog, Removal};
pub use step::{Draft, EndReason, Step, step};
pub use table::{ClaimState, IdTable};
