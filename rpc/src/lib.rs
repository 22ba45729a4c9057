//! The traits services call each other by, their in-process implementation, and the HTTP table.
//!
//! A caller holds `Arc<dyn IngesterApi>` and cannot tell whether the other side is in this process.
//! Owns: the traits and their model types, error kind -> HTTP status, the HTTP layers every service
//! shares (tenant, body cap, metrics by route, panic), TLS, and what services know of the cluster they
//! are in. Does not own: what any call means.

pub mod faulty;
pub mod frontend;
#[doc(hidden)]
pub mod fuzz;
pub mod grpc;
pub mod http;
pub mod ingester;
pub mod members;
pub mod querier;
pub mod stats;
pub mod tail;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod trace;
pub mod wire;

pub use frontend::FrontendApi;
pub use ingester::IngesterApi;
pub use members::Members;
pub use querier::QuerierApi;
