//! Holds recent rows: WAL, head, units, flush.
//!
//! Owns: admission (B5), the WAL of this store, the rows in no commit yet, their flush into parts.
//! Does not own: validation and limits of a push (distributor), which parts exist (catalog), what a
//! query means (logql), reading of parts for queries (querier).
//!
//! Life of a batch of which this store is first:
//! 1. `append`: an id in the id table is acked at once (B2); an id held here with the same or a
//!    higher attempt is acked once it is durable (B3).
//! 2. The WAL writes it and fsyncs it together with all waiting appends (W1).
//! 3. Its rows go to the head of (tenant, day); only then the call returns.
//! 4. At about 16 MiB the head is full and becomes a unit, still as pages. Only above a limit on
//!    raw rows are units sealed: compressed into a small part in memory, in one step for readers.
//! 5. By size, age, idleness, memory or log pressure, `/flush` or shutdown the units of a (tenant,
//!    day) become one part, which is put into the bucket and committed together with the ids of
//!    their batches (C2). Rows that are still raw are sorted and compressed once, here.
//! 6. The WAL lets go of the ids (W2); the units stay for views older than the commit, and when
//!    they go the floor rises (R1).
//!
//! Several ingesters may hold one batch, each first of the list of another attempt. Whose commit
//! claims it first is told by the log, which every ingester follows; the others drop their copies.
//!
//! Where rows have several copies, this store is first of the lists of some batches and follows the
//! others: it keeps their WAL bytes and a line of index, no head (W3). What is followed goes when a
//! commit claims it. It becomes rows here when a query takes all stores before this one for gone,
//! or when they have not flushed it in time (`adopt.rs`).
//!
//! **Invariant:** a query names whom it asks; every batch held here is answered of whose list this
//! store is the first of those (B3, R1: G is whoever is not asked). A batch answered besides is equal
//! rows, which readers count once.
//! **Invariant:** a row is answered for a view V exactly if no commit at or before V claims its
//! batch; the ingester follows the log to V before it decides.
//! **Invariant:** memory is bounded: unflushed bytes have a ceiling and a push above it is refused.

mod admit;
mod adopt;
mod append;
mod background;
mod clear;
pub mod config;
mod core;
mod cover;
mod day;
pub mod error;
mod flush;
mod follow;
mod followed;
mod head;
pub mod http;
mod ingester;
pub mod limits;
mod marker;
mod mend;
pub mod metrics;
mod open;
mod replay;
mod seal;
mod select;
mod tail;
mod templates;
#[cfg(test)]
mod tests;
mod usage;

pub use self::core::Deps;
pub use config::Config;
pub use error::Error;
pub use ingester::Ingester;
pub use limits::Limits;
