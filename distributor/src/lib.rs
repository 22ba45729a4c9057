//! Accepts pushes: decodes, validates, batches, hands over to ingesters.
//!
//! Owns: the push routes, decoding of push bodies, canonical labels, level and service detection,
//! the tenant's limits on what may come in, the placement of streams on ingesters, the cutting of
//! batches and their attempts (protocols B1-B3, B6). Does not own: the out-of-order window, active
//! streams and per-stream rates (the owning ingester, B5), and durability (the ingester's WAL).
//!
//! Life of a push:
//! 1. [`http`] reads the body under its cap and the shared byte budget, undoes its encoding.
//! 2. A decoder walks the body once and calls the pipeline with borrowed slices.
//! 3. The pipeline finds the stream in a cache by the raw bytes of its labels, validates each entry
//!    and copies its line, once, into the rows of the entry's UTC day.
//! 4. The tenant's rate is charged for all valid rows together.
//! 5. Every stream has an owner among the ingesters that its tenant is kept to, a pure function of the
//!    ring. Owners admit rows, all of them asked at once; what they reject leaves the push.
//! 6. The rest is cut into one batch per owner and day. Its list is the owner and the next in ring
//!    order, as many as the replication factor, in different zones; every member gets one call, all
//!    at once. Batches get their ids as they are first sent. 204 when the first majority of the list
//!    has made every one durable.
//! 7. Whoever fails, or is late while others are not, is passed over for five seconds; another list
//!    gets the same batches as the next attempt, a few times; then 503.
//!
//! **Invariant:** after a batch has an id its rows never change (B2), and it is acknowledged only
//! by answers to the attempt that was sent last, from the beginning of its list (B3). After the
//! answer to the client nothing more is sent. A request that fails to decode stores nothing; rows
//! that fail validation never hold back the valid rows beside them.
//!
//! **Memory:** what a body becomes is charged to the budget of bodies before it fills the memory:
//! what is decompressed, and rows with all their cells. What no tenant may store is counted, not
//! made.

mod admit;
pub mod body;
mod cells;
mod charge;
mod collector;
mod columns;
pub mod config;
mod cut;
mod decode;
mod deliver;
pub mod distributor;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
mod grpc;
pub mod http;
mod ids;
mod level;
pub mod limits;
mod metadata;
pub mod metrics;
mod part;
mod peers;
mod problems;
mod rate;
mod reduce;
mod rejections;
mod replicate;
mod send;
mod shard;
mod streams;
mod tenants;
pub mod testing;
mod validate;

pub use body::Encoding;
pub use config::Config;
pub use decode::otlp;
pub use distributor::{Distributor, Format, Payload};
pub use error::Error;
pub use grpc::grpc_router;
pub use http::router;
pub use limits::{Limits, PushLimits};
