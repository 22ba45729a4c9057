//! The traits over gRPC: a client that implements each, and a service that puts each on a port.
//!
//! An adapter decodes, calls, encodes; what a call means it does not know. Typed errors travel
//! whole in the details of a status ([`status`]), so that a caller gets the error the other side
//! returned, variant and text; what goes wrong on the way is `Unavailable` and names the address.
//!
//! - Connections are made when they are first needed and made again when they break, with a pause
//!   that grows ([`connection`]). `dns+host:port` and `host:port` are looked up at each connect.
//! - A dropped call resets its stream, and the other side drops its handler. A call's deadline goes
//!   with it (`grpc-timeout`) and is kept on both sides.
//! - Only reads are tried again, and only while the connection's budget lasts ([`budget`]): whether
//!   an append that failed may be sent again is the distributor's to say.
//! - Queriers come to frontends: [`FrontendClient::work`] opens a stream on which jobs come down
//!   and results go up ([`worker`], [`frontend`]).
//! - The ring's calls are bytes to this crate ([`ring`]), on connections of their own.

pub mod address;
pub mod budget;
pub mod codec;
pub mod config;
pub mod connection;
mod frontend;
mod ingester;
pub mod metrics;
mod observe;
mod querier;
mod ring;
pub mod status;
mod worker;

/// The generated clients and servers of package `runelog.v1`.
#[path = "grpc/generated/v1.rs"]
#[allow(missing_docs, unreachable_pub, clippy::all)]
mod v1;

pub use address::{AddressError, MAX_FRAME_BYTES, check_address, resolve};
pub use config::{ClientConfig, MessageLimits, Serving};
pub use frontend::{FrontendService, serve_frontend};
pub use ingester::{IngesterClient, IngesterService, serve_ingester};
pub use querier::{QuerierClient, QuerierService, serve_querier};
pub use ring::{RingDialer, RingDoor, RingService, serve_ring};
pub use v1::frontend_server::FrontendServer;
pub use v1::ingester_server::IngesterServer;
pub use v1::querier_server::QuerierServer;
pub use v1::ring_server::RingServer;
pub use worker::FrontendClient;

#[cfg(test)]
mod tests;
