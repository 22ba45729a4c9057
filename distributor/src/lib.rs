//! Accepts pushes: decodes, validates, batches, hands over to ingesters.
//!
//! Owns: the push routes, decoding of push bodies, canonical labels, level and service detection,
//! the tenant's limits on what may come in, and the cutting of batches (protocols B1, B2). Does not
//! own: the out-of-order window, active streams and per-stream rates (the owning ingester, B5),
//! and durability (the ingester's WAL).
//!
//! Life of a push:
//! 1. [`http`] reads the body under its cap and the shared byte budget, undoes its encoding.
//! 2. A decoder walks the body once and calls the pipeline with borrowed slices.
//! 3. The pipeline finds the stream in a cache by the raw bytes of its labels, validates each entry
//!    and copies its line, once, into the rows of the entry's UTC day.
//! 4. The tenant's rate is charged for all valid rows together.
//! 5. The owner admits rows; what it rejects leaves the batch.
//! 6. Batches get their ids and are appended; 204 when every one is durable.
//!
//! **Invariant:** after a batch has an id its rows never change (B2). A request that fails to
//! decode stores nothing; rows that fail validation never hold back the valid rows beside them.

pub mod body;
mod collector;
mod columns;
pub mod config;
mod decode;
pub mod distributor;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod http;
mod level;
pub mod limits;
mod metadata;
pub mod metrics;
mod part;
mod placement;
mod problems;
mod rate;
mod rejections;
mod send;
mod streams;
mod tenants;
pub mod testing;
mod validate;

pub use body::Encoding;
pub use config::Config;
pub use distributor::{Distributor, Format, Payload};
pub use error::Error;
pub use http::router;
pub use limits::{Limits, PushLimits};
