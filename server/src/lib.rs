//! The one binary: configuration, listeners, and the services in it.
//!
//! Owns: flags and YAML, the order in which things start and stop, the port, logs and metrics of
//! the process, operational routes. Does not own: what any service does.
//!
//! **Invariant:** a dependency is a constructor argument; there are no globals but the recorders of
//! the `metrics` and `tracing` facades.

pub mod app;
pub mod args;
pub mod config;
#[doc(hidden)]
pub mod fuzz;
pub mod grpc;
pub mod health;
pub mod limits;
pub mod listen;
pub mod membership;
pub mod modules;
pub mod operational;
pub mod overrides;
pub mod services;
pub mod telemetry;
pub mod tenant_limits;
pub mod terminal;
pub mod tls;
pub mod version;
