//! Addresses of peers.

use std::io;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use crate::tls::{ClientTls, client_stream::TlsStream};

use super::config::ClientConfig;

/// Marks an address whose name stands for several peers, one per IP address.
const DNS: &str = "dns+";

/// Why an address is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It cannot be read.
    #[error("{address:?} is not an address like host:port or dns+host:port")]
    Malformed {
        /// As given.
        address: String,
    },
    /// Its name is not known.
    #[error("cannot resolve {address}: {reason}")]
    Unresolved {
        /// As given.
        address: String,
        /// What the resolver says.
        reason: String,
    },
}

impl AddressError {
    /// Who may retry.
    pub fn kind(&self) -> base::ErrorKind {
        match self {
            AddressError::Malformed { .. } => base::ErrorKind::Invalid,
            AddressError::Unresolved { .. } => base::ErrorKind::Unavailable,
        }
    }
}

/// `host:port` of an address, without `dns+`.
fn host_port(address: &str) -> Result<&str, AddressError> {
    let plain = address.strip_prefix(DNS).unwrap_or(address);
    let malformed = || AddressError::Malformed { address: address.to_owned() };
    let (host, port) = plain.rsplit_once(':').ok_or_else(malformed)?;
    let brackets = host.starts_with('[') && host.ends_with(']');
    let is_host = !host.is_empty() && (brackets || !host.contains([':', '/', '@', '?', '#']));
    if !is_host || port.parse::<u16>().is_err() {
        return Err(malformed());
    }
    Ok(plain)
}

/// Whether `address` is one, with or without `dns+`.
pub fn check_address(address: &str) -> Result<(), AddressError> {
    host_port(address).map(|_| ())
}

/// The peers that `addresses` name now: one that begins with `dns+` becomes one per IP address,
/// sorted; any other stays and is looked up at each connect.
pub async fn resolve(addresses: &[String]) -> Result<Vec<String>, AddressError> {
    let mut peers = Vec::with_capacity(addresses.len());
    for address in addresses {
        let plain = host_port(address)?;
        if !address.starts_with(DNS) {
            peers.push(plain.to_owned());
            continue;
        }
        let unresolved =
            |reason: String| AddressError::Unresolved { address: address.clone(), reason };
        let found = tokio::net::lookup_host(plain).await;
        let found = found.map_err(|error| unresolved(error.to_string()))?;
        let mut found: Vec<String> = found.map(|address| address.to_string()).collect();
        if found.is_empty() {
            return Err(unresolved("no address".to_owned()));
        }
        found.sort();
        peers.append(&mut found);
    }
    let mut seen = std::collections::BTreeSet::new();
    peers.retain(|peer| seen.insert(peer.clone()));
    Ok(peers)
}

/// How to get to `address`; nothing is connected yet.
pub(super) fn endpoint(address: &str, config: &ClientConfig) -> Result<Endpoint, AddressError> {
    let malformed = || AddressError::Malformed { address: address.to_owned() };
    let plain = host_port(address)?;
    let mut endpoint = Endpoint::from_shared(format!("http://{plain}")).map_err(|_| malformed())?;
    if config.tls.is_some() {
        // What requests say of themselves; the connection is [`dial`]'s.
        let origin = Uri::try_from(format!("https://{plain}")).map_err(|_| malformed())?;
        endpoint = endpoint.origin(origin);
    }
    Ok(endpoint
        .connect_timeout(config.connect_timeout)
        .http2_keep_alive_interval(config.keepalive_time)
        .keep_alive_timeout(config.keepalive_timeout)
        .keep_alive_while_idle(true)
        .concurrency_limit(config.concurrency)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .http2_max_header_list_size(super::status::MAX_HEADER_BYTES))
}

/// The channel of `endpoint`. It connects when it is first used, over TLS with the files as they are
/// then, and again after each break.
pub(super) fn channel(endpoint: &Endpoint, tls: Option<&ClientTls>) -> Channel {
    let Some(tls) = tls.cloned() else { return endpoint.connect_lazy() };
    endpoint.connect_with_connector_lazy(tower::service_fn(move |uri: Uri| {
        let tls = tls.clone();
        async move { dial(&tls, &uri).await.map(TokioIo::new) }
    }))
}

/// How long it may take is the endpoint's `connect_timeout`.
async fn dial(tls: &ClientTls, uri: &Uri) -> io::Result<TlsStream<TcpStream>> {
    let host = uri.host().unwrap_or_default();
    let name = tls.server_name(host).ok_or_else(|| {
        let text = format!("{host} is no name that a certificate could have");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, uri.port_u16().unwrap_or_default())).await?;
    stream.set_nodelay(true)?;
    tls.connect(name, stream).await
}

/// Of one HTTP/2 frame, as both sides offer it to the other: an append of a megabyte costs half the
/// CPU time it does with the default of 16 KiB.
pub const MAX_FRAME_BYTES: u32 = 1 << 20;
/// What one call may have under way unread; a large answer in few round trips.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// What all calls of a connection may have under way unread.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["a:1", "127.0.0.1:9095", "[::1]:9095", "dns+ingester.svc:9095"] {
            assert!(endpoint(good, &ClientConfig::default()).is_ok(), "{good}");
        }
        for bad in
            ["", "a", "a:", ":1", "a:b", "a:70000", "::1:9095", "http://a:1", "dns+", "a b:1"]
        {
            let error = endpoint(bad, &ClientConfig::default()).unwrap_err();
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[tokio::test]
    async fn a_name_with_dns_becomes_its_addresses_and_another_stays() {
        let given = ["host.example:1".to_owned(), "dns+127.0.0.1:9095".to_owned()];
        let peers = resolve(&given).await.unwrap();
        assert_eq!(peers, ["host.example:1", "127.0.0.1:9095"]);
        let error = resolve(&["nonsense".to_owned()]).await.unwrap_err();
        assert_eq!(error.kind(), base::ErrorKind::Invalid);
    }
}
