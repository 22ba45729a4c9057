//! The write-ahead log of an ingester: what makes a 204 true after a power cut.
//!
//! Owns: segments of batch records in one directory, group commit, replay, the store id. Does not
//! own: what the rows mean, when they are flushed, who claims them.
//!
//! Rules kept here (protocols): W1 ack = record written, checksummed, fdatasync'd, and the entry of
//! a new segment in its directory fsynced; after a failed fdatasync the segment is dead and fsync
//! is never retried. W2 a segment goes only when every batch in it was released. W4 the log knows its
//! oldest segment and has a hard size limit. W5 replay streams, one record in memory at a time. W6
//! all files go through [`base::disk::Disk`]. B2, B3: every record has id, attempt and member list.
//! R1b: what the store has promised to refuse is durable before it is said.
//!
//! Life of an append: [`Wal::append`] puts it in a bounded queue; the one writer takes everything
//! that waits, writes it, syncs once and calls every `done`.
//!
//! **Invariant:** what `done(Ok)` was called for is replayed exactly once until it is released.

mod config;
mod error;
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
mod golden;
mod index;
mod inspect;
mod log;
pub mod metrics;
mod promises;
mod reader;
mod record;
mod replay;
mod retire;
mod segment;
mod store_file;
#[cfg(test)]
mod sweep;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod wal;
mod writer;

pub use config::Config;
pub use error::Error;
pub use inspect::{Found, Segment, inspect, store_of};
pub use promises::{Promises, Required};
pub use replay::Progress;
pub use retire::retire;
pub use wal::{Corruption, Done, Env, Recovered, Recovery, Replayed, Verdict, Wal, lock, store_id};
