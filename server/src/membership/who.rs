//! Who this process is to others: its name, its addresses, what it does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use base::StoreId;
use ring::{Registration, Roles};

use crate::config::Config;
use crate::config::targets::Target;

/// Where the ports of this process are bound.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// HTTP.
    pub http: SocketAddr,
    /// gRPC.
    pub grpc: SocketAddr,
}

/// How this process presents itself. `tokens` are those of its store, if it has one.
pub fn registration(
    config: &Config,
    ports: Ports,
    store: StoreId,
    tokens: Vec<u32>,
) -> Registration {
    let own = &config.raw.ring;
    let grpc_address = match own.instance_addr.as_str() {
        "" => reachable(ports.grpc).to_string(),
        own => own.to_owned(),
    };
    let id = match own.instance_id.as_str() {
        "" => cut(format!("{}:{}", host_name(), ports.grpc.port())),
        own => own.to_owned(),
    };
    Registration {
        store,
        id,
        http_address: http_address(&grpc_address, ports.http),
        grpc_address,
        zone: own.instance_zone.clone(),
        roles: roles(config),
        tokens,
    }
}

/// What `-target=` says, as the ring calls it.
fn roles(config: &Config) -> Roles {
    let role = |target| match target {
        Target::Distributor => Roles::DISTRIBUTOR,
        Target::Ingester => Roles::INGESTER,
        Target::Querier => Roles::QUERIER,
        Target::QueryFrontend => Roles::QUERY_FRONTEND,
        Target::Compactor => Roles::COMPACTOR,
    };
    config.targets.iter().map(role).fold(Roles::default(), Roles::and)
}

/// Where others reach a listener that is bound to `bound`.
fn reachable(bound: SocketAddr) -> SocketAddr {
    match bound.ip().is_unspecified() {
        true => SocketAddr::new(own_address(), bound.port()),
        false => bound,
    }
}

/// The HTTP listener on the host of the gRPC address, unless it is bound to one of its own.
fn http_address(grpc_address: &str, bound: SocketAddr) -> String {
    match grpc_address.rsplit_once(':') {
        Some((host, _)) if bound.ip().is_unspecified() => format!("{host}:{}", bound.port()),
        _ => bound.to_string(),
    }
}

/// The address from which this host sends to others. Connecting a datagram socket sends nothing: it
/// only asks for the route, here to an address that documentation is written with.
fn own_address() -> IpAddr {
    let route = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    route().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(ring::MAX_TEXT_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;
    use crate::config::load;

    fn of(text: &str, grpc: &str) -> Registration {
        let config = Config::derive(load::from_text(text).unwrap()).unwrap();
        let ports = Ports { http: "0.0.0.0:3100".parse().unwrap(), grpc: grpc.parse().unwrap() };
        registration(&config, ports, StoreId(Ulid(1)), vec![1])
    }

    #[test]
    fn what_is_configured_counts_and_the_rest_is_found_out() {
        let text = "ring: {instance_id: a, instance_addr: 'h.example:7', instance_zone: z}";
        let own = of(text, "0.0.0.0:9095");
        assert_eq!((own.id.as_str(), own.zone.as_str()), ("a", "z"));
        assert_eq!(own.grpc_address, "h.example:7");
        assert_eq!(own.http_address, "h.example:3100");
        assert!(own.roles.has(Roles::INGESTER.and(Roles::QUERIER)));
        let own = of("target: ingester", "127.0.0.1:9");
        assert_eq!((own.grpc_address.as_str(), own.roles), ("127.0.0.1:9", Roles::INGESTER));
        assert!(own.id.ends_with(":9") && own.id.len() > 2, "{}", own.id);
        let own = of("", "0.0.0.0:9095");
        let address: SocketAddr = own.grpc_address.parse().unwrap();
        assert!(!address.ip().is_unspecified());
    }
}
