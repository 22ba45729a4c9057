//! The HTTP edge every service shares: one error table, one tenant rule, one list of layers.
//!
//! A service crate builds a plain `axum::Router` whose handlers take [`Tenant`] (one tenant) or
//! [`Tenants`] (query routes), [`Form`] (query string and urlencoded body as Go's `ParseForm`
//! merges them) or a body read by [`body::collect`], and answer `Result<_, HttpError>`. `server`
//! puts [`Edge::api`] around such a router and [`Edge::wrap`] around everything.
//!
//! **Invariant:** below a handler there is always a validated [`base::TenantId`]; no default tenant
//! exists beneath this module (P7).

pub mod body;
pub mod error;
pub mod form;
pub mod metrics;
pub mod observe;
pub mod stack;
pub mod tenant;

pub use body::{BodyError, Budget};
pub use error::{HttpError, status_of};
pub use form::Form;
pub use stack::{Edge, Readiness};
pub use tenant::{Tenant, TenantPolicy, Tenants};
