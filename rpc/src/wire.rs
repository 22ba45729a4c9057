//! Requests and answers as messages, and back. What `base` and `logql` own is converted in
//! `proto`; here is what only services know, and every error, variant and text.
//!
//! What comes from outside may be anything: a request that is no request is an error that names
//! the message and what is wrong with it.

pub mod error;
pub mod frontend;
pub mod ingester;
pub mod loopback;
pub mod querier;
mod stats;
pub mod tail;

pub use loopback::Loopback;
