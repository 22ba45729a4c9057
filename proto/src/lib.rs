//! The messages between processes: generated types ([`v1`]), and what they are in the model.
//!
//! Owns: `runelog/v1/*.proto`, the types made from them (`cargo xtask codegen`), and their
//! conversion from and to types of `base` and `logql` ([`Wire`]). Types that only services know
//! are converted in `rpc`. Does not own: connections, services, what a call means.
//!
//! Columns are `bytes` of little-endian integers of fixed width ([`columns`]), so that rows cost a
//! copy in each direction and a checksum. No stored type is a message and no message is stored.
//!
//! Version N reads what N-1 wrote and the other way round: unknown fields are skipped, absent ones
//! have a meaning.
//!
//! **Invariant:** bytes from outside never panic and never take more memory than a small multiple
//! of their length: no message has repeated fields (but one that is counted first, [`decode`]),
//! and every conversion checks lengths, order and indices.

#[macro_use]
pub mod error;
pub mod columns;
pub mod convert;
#[doc(hidden)]
pub mod fuzz;

/// The generated messages of package `runelog.v1`.
#[path = "generated/v1.rs"]
#[allow(missing_docs, clippy::all)]
pub mod v1;

mod codec;

pub use codec::{MAX_FIELDS, decode, encode};
pub use convert::Wire;
pub use error::WireError;
pub use prost::Message;
