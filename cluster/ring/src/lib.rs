//! The state of the cluster, and where streams live in it: tokens, replica sets, voters.
//!
//! Pure: no runtime, no IO, no clock, no randomness of its own. [`State`] changes by [`apply`]ing
//! [`Command`]s and by nothing else, the same way on every machine. `meta` decides the order of the
//! commands with Raft; this crate decides what they mean.
//!
//! 1. An instance [registers](Command::Register) its store, says [`Command::Cleared`] of every store
//!    that is on its way out, waits until the others have [seen](Command::Seen) it, and is
//!    [activated](Command::Activate).
//! 2. [`Placement`] is computed once per placement version: a (tenant, stream) has an ordered list of
//!    replicas in distinct zones, looked up without allocating.
//! 3. A store leaves or is gone, is cleared by all others (R1b), and is removed by the command that
//!    says the last word.
//!
//! Invariants:
//! - `apply` is total and deterministic; a refused command changes nothing.
//! - A store that was removed never comes back: its id stays in [`State::retired`].
//! - A store that may hold acknowledged rows counts in [`reads::check`] until R1b or an operator
//!   says otherwise.
//! - The placement version changes exactly when [`Placement`] may change.

mod apply;
pub mod codec;
mod command;
mod duties;
mod error;
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
mod golden;
mod instance;
#[cfg(test)]
mod model;
mod outcome;
mod placement;
pub mod reads;
mod share;
mod state;
#[cfg(test)]
mod testing;
pub mod tokens;
mod voters;

pub use apply::apply;
pub use command::{Command, Expect, Registration};
pub use duties::{Duty, duties, to_be_seen};
pub use error::Error;
pub use instance::{Departure, Instance, Phase, Roles};
pub use outcome::{Outcome, Refusal};
pub use placement::{MAX_REPLICAS, Member, Placement, Replicas, Spot};
pub use share::{Share, shares};
pub use state::{Lease, Override, State};
pub use voters::{choose_voters, voters_for};

/// Most instances of a ring, watchers included: about 600 bytes each with its tokens.
pub const MAX_INSTANCES: usize = 4096;
/// Most ingesters among them. With all of them departing and each cleared by all others, a state is
/// still under 64 MiB, which is what a snapshot may be.
pub const MAX_INGESTERS: usize = 1024;
/// Most bytes of an instance id, an address, a zone or a lease's name.
pub const MAX_TEXT_BYTES: usize = 256;
/// Most tokens of an instance.
pub const MAX_TOKENS: usize = 512;
/// Most bytes of one tenant's overrides.
pub const MAX_OVERRIDE_BYTES: usize = 64 << 10;
/// Most bytes of all overrides together: they are in every snapshot and in every node's memory.
pub const MAX_OVERRIDES_BYTES: usize = 16 << 20;
/// Most tenants with overrides.
pub const MAX_OVERRIDES: usize = 65_536;
/// Most leases.
pub const MAX_LEASES: usize = 4096;
/// Removed stores that are remembered; the oldest is forgotten first. A store is removed once in
/// its life, so this is years of a cluster that replaces one a day.
pub const MAX_RETIRED: usize = 4096;
