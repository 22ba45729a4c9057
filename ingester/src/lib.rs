//! Holds recent rows: WAL, head, sealed units, flush.
//!
//! Owns: admission (B5), the WAL of this store, the rows in no commit yet, their flush into parts.
//! Does not own: validation and limits of a push (distributor), which parts exist (catalog), what a
//! query means (logql), reading of parts for queries (querier).
//!
//! Life of a batch:
//! 1. `append`: an id in the id table is acked at once (B2); an id held here with the same or a
//!    higher attempt is acked once it is durable (B3).
//! 2. The WAL writes it and fsyncs it together with all waiting appends (W1).
//! 3. Its rows go to the head of (tenant, day); only then the call returns.
//! 4. At about 16 MiB the head is sealed at a batch boundary into a small lz4 part in memory. Pages
//!    stay visible until the sealed unit takes their place in one step.
//! 5. By size, age, idleness, `/flush` or shutdown the sealed units of a (tenant, day) are merged
//!    into one part, put into the bucket and committed together with the ids of their batches (C2).
//! 6. The WAL lets go of the ids (W2); the units stay for views older than the commit, and when
//!    they go the floor rises (R1).
//!
//! **Invariant:** a row is answered for a view V exactly if no commit at or before V claims its
//! batch; the ingester follows the log to V before it decides.
//! **Invariant:** memory is bounded: unflushed bytes have a ceiling and a push above it is refused.

mod admit;
mod append;
mod background;
pub mod config;
mod core;
mod cover;
mod day;
pub mod error;
mod flush;
mod head;
pub mod http;
mod ingester;
pub mod limits;
mod marker;
pub mod metrics;
mod replay;
mod seal;
mod select;
#[cfg(test)]
mod tests;
mod usage;

pub use self::core::Deps;
pub use config::Config;
pub use error::Error;
pub use ingester::Ingester;
pub use limits::Limits;
