//! Answers queries: one plan over ingesters and parts, merged, as Loki's JSON.
//!
//! Owns: the query routes, their parameters and limits, the read handshake with ingesters (R1),
//! what sources have in common (R2), the threads that scan parts, the encoding of answers. Does not
//! own: what LogQL means (`logql`), how a part is read (`store`, `part`), what an ingester holds.
//!
//! Life of a query:
//! 1. [`http`] reads the parameters, `logql` parses the text, [`checks`] applies the tenant's
//!    limits, the plan is made. Nothing was read yet.
//! 2. The commit log is followed to its head **after** the query arrived: that is V.
//! 3. [`select`] asks every ingester for the rows in no commit at or before V. One that dropped
//!    rows of a later commit says so, and the query starts over with a newer V.
//! 4. Instants of a stream that two sources cover are overlaps. Ingesters are asked again, with
//!    the overlaps, until none is left that they did not send as rows; overlaps only grow.
//! 5. [`scan`] opens the parts of V in rounds and feeds their row groups to workers, in the
//!    query's order of time, until the plan has enough. A part that is gone starts the query over.
//! 6. Partials are merged, the plan makes the answer, [`http::encode`] writes it.
//!
//! **Invariant:** an answer is whole or an error. No source is left out silently: an ingester that
//! does not answer, a damaged part or catalog fails the query with a text that names it.
//! **Invariant:** parts and ingesters of one leaf are read at one V.

pub mod checks;
pub mod config;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod querier;
mod rounds;
pub mod scan;
pub mod select;
pub mod streams;
#[cfg(test)]
mod testing;

pub use config::Config;
pub use error::Error;
pub use http::router;
pub use limits::{Limits, StaticLimits};
pub use querier::{Deps, Querier};
pub use rpc::stats;
