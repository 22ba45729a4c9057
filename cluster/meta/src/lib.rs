//! The ring's state on Raft: who decides, who follows, what is on the disk.
//!
//! [`Meta`] is a member: an ingester. It keeps the log and the state, may have a voice, and answers
//! [`MetaApi`]. [`Watcher`] is everybody else: it follows a member. Both give the process the
//! newest [`ring::State`] ([`States`]) and take commands to the leader.
//!
//! Life of a command: [`Meta::propose`] finds the leader; its log is written and synced by a worker
//! (`log.rs`), away from Raft's core task and once for all that wait; a majority has it; `machine.rs`
//! applies it on every member; `publish.rs` shows the new state; whoever waits in
//! [`MetaApi::watch`] is answered.
//!
//! The leader (`steer.rs`) makes a node of every ingester, chooses voters, says who is up, and takes
//! out who is dead: changes are commands, signs of life are not.
//!
//! Invariants:
//! - Nothing is promised that is not on the disk: a vote and entries before they are answered, a
//!   snapshot before the log that it replaces goes.
//! - A node is a store. A store whose directory is empty although others know it as a voter does
//!   not start.
//! - Messages of another cluster, or for another store, are refused.
//! - Without a leader everybody goes on with the last state (P5); versions never go back.

mod api;
mod beats;
mod codec;
mod config;
mod error;
mod follow;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod log;
mod machine;
mod member;
pub mod metrics;
mod network;
mod peers;
mod propose;
mod publish;
mod recover;
mod steer;
#[cfg(test)]
mod tests;
mod types;
mod watcher;
pub mod wire;

pub use api::{Contact, Dialer, Envelope, MAX_WAIT, MetaApi, Proposal, Update, WatchRequest};
pub use config::{Config, MemberConfig};
pub use error::Error;
pub use log::dir_of;
pub use member::{Env, Meta};
pub use publish::States;
pub use recover::{Recovered, recover};
pub use watcher::Watcher;
