//! Evaluates pieces of queries: one leaf over ingesters and parts, merged.
//!
//! Owns: the read handshake with ingesters (R1), what sources have in common (R2), the threads that
//! scan parts, the way to query frontends. Does not own: how a query is cut and answered
//! (`query-frontend`), what LogQL means (`logql`), how a part is read (`store`, `part`), what an
//! ingester holds.
//!
//! Life of a job ([`rpc::QuerierApi::select`]):
//! 1. A worker ([`workers`]) takes it from a query frontend.
//! 2. The commit log is followed to its head **after** the job arrived: that is V.
//! 3. [`select`] asks every ingester for the rows in no commit at or before V. One that dropped
//!    rows of a later commit says so, and the job starts over with a newer V. One that does not
//!    answer joins G ([`peers`]), and all others are asked again.
//! 4. Instants of a stream that two sources cover are overlaps. Ingesters are asked again, with
//!    the overlaps, until none is left that they did not send as rows; overlaps only grow.
//! 5. [`scan`] opens the parts of V in rounds and feeds their row groups to threads, in the
//!    query's order of time, until the leaf has enough. A part that is gone starts the job over.
//! 6. Partials are merged and go back.
//!
//! **Invariant:** an answer is whole or an error. No source is left out silently: an ingester that
//! does not answer, a damaged part or catalog fails the job with a text that names it.
//! **Invariant:** parts and ingesters of one job are read at one V, and all with the same G.

pub mod config;
pub mod error;
mod known;
mod list;
pub mod metrics;
pub mod peers;
pub mod querier;
mod rounds;
pub mod scan;
pub mod select;
mod tail;
mod templates;
#[cfg(test)]
mod testing;
pub mod workers;

pub use config::Config;
pub use error::Error;
pub use querier::{Deps, Querier};
