//! The TLS of this process: what its ports show, and how it calls others.

use anyhow::Result;
use rpc::tls::{ClientTls, ServerTls};

use crate::config::Config;
use crate::config::root::RawConfig;
use crate::config::tls;

/// Opened once, at the start; each connection reads the files anew. `None` is plain text.
#[derive(Clone)]
pub struct Tls {
    /// Of the HTTP port.
    pub http: Option<ServerTls>,
    /// Of the gRPC port.
    pub grpc: Option<ServerTls>,
    /// Of calls to ingesters, the ring's among them.
    pub ingesters: Option<ClientTls>,
    /// Of a querier's calls to query frontends.
    pub frontends: Option<ClientTls>,
}

impl Tls {
    /// Reads the files; an error names the key and the file.
    pub fn open(config: &Config) -> Result<Tls> {
        let raw: &RawConfig = &config.raw;
        Ok(Tls {
            http: tls::http(raw)?.map(ServerTls::open).transpose()?,
            grpc: tls::grpc(raw)?.map(ServerTls::open).transpose()?,
            ingesters: tls::ingesters(raw)?.map(ClientTls::open).transpose()?,
            frontends: tls::frontends(raw)?.map(ClientTls::open).transpose()?,
        })
    }
}
