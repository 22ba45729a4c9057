//! The way of a query: Loki's HTTP routes in front, queriers that come for work behind.
//!
//! Owns: the query routes, their parameters and limits, how a query is cut, the queue, retries, the
//! merge, the encoding of answers. Does not own: what LogQL means (`logql`), where rows are and how
//! a piece is evaluated (`querier`), how queriers connect (`rpc`).
//!
//! Life of a query ([`stack`] is the list of layers):
//! 1. [`http`] reads the parameters and `logql` parses the text.
//! 2. `validate` applies the tenant's limits and plans. Nothing was queued or read yet.
//! 3. `split` cuts each leaf of the plan by time, `shard` each piece by stream key. Rows are
//!    partitioned, so the partials of all pieces merge to the leaf's.
//! 4. `enqueue` puts the job into the [`queue`]: first come first served within a tenant, in turn
//!    between tenants, so many and no more of each.
//! 5. A worker of a querier ([`rpc::FrontendApi::work`]) takes it and runs it; what fails for a
//!    reason that may pass is run again (`retry`).
//! 6. Partials are merged as they come; a log query cancels what it does not need any more. The plan
//!    makes the answer, [`http::encode`] writes it.
//!
//! **Invariant:** an answer is that of the uncut query, or an error: a piece is never left out.
//! **Invariant:** a client that goes away takes all its jobs with it, waiting or running.

mod blocked;
pub mod checks;
pub mod config;
mod deadline;
mod enqueue;
pub mod error;
mod evaluate;
mod frontend;
#[doc(hidden)]
pub mod fuzz;
mod gather;
pub mod http;
pub mod limits;
mod list;
pub mod metrics;
pub mod query;
pub mod queue;
mod retry;
mod shard;
mod size;
mod split;
pub mod stack;
mod tail;
mod tenants;
#[cfg(test)]
mod testing;
mod validate;
pub mod volume;

pub use blocked::BlockedQuery;
pub use config::Config;
pub use error::Error;
pub use frontend::{Deps, Frontend};
pub use http::router;
pub use limits::{Limits, StaticLimits};
pub use query::{Asked, Evaluated, Query};
