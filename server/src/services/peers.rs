//! The ingesters that distributors and queriers of this process call.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use ingester::Ingester;
use rpc::grpc::IngesterClient;
use rpc::http::stack::Phase;
use rpc::ingester::Peer;
use rpc::members::{Fixed, Members};

use super::{derive, local};
use crate::app::Shared;
use crate::membership::Membership;
use crate::membership::members::RingMembers;
use crate::modules::{Stop, nothing_to_stop};

/// How often a name that does not resolve, or ingesters that do not answer, are asked again.
const RETRY_PERIOD: Duration = Duration::from_millis(250);

/// Those of the ring; where no ring is joined and there are `ingester_client.addresses`, those. A name
/// that stands for several (`dns+host:port`) is looked up here, once.
pub async fn members(
    shared: &Shared,
    own: &Option<Arc<Ingester>>,
    ring: &Option<Membership>,
) -> Result<(Arc<dyn Members>, Stop)> {
    let addresses = &shared.config.ingester_addresses;
    let config = derive::ingester_client(shared);
    if addresses.is_empty() || !shared.config.ring_join.is_empty() {
        let ring = ring.clone().context(
            "ring.join must name members of the ring, or ingester_client.addresses the ingesters: \
             none runs in this process",
        )?;
        let own = own.clone().map(local::ingester);
        let members = RingMembers::new(ring, own, config, shared.clock.clone());
        return Ok((Arc::new(members), nothing_to_stop()));
    }
    let mut list = Vec::new();
    for address in resolve(shared, addresses).await? {
        let client = IngesterClient::new(&address, &config, shared.clock.clone())
            .with_context(|| format!("ingester_client.addresses: {address}"))?;
        list.push(Peer { address, api: Arc::new(client) });
    }
    let factor = usize::from(shared.config.replication_factor.unwrap_or(1));
    Ok((Arc::new(Fixed::new(list, factor)), nothing_to_stop()))
}

/// The addresses that `addresses` stand for, as soon as they can be found.
pub async fn resolve(shared: &Shared, addresses: &[String]) -> Result<Vec<String>> {
    let mut ticks = tokio::time::interval(RETRY_PERIOD);
    loop {
        ticks.tick().await;
        match rpc::grpc::resolve(addresses).await {
            Ok(found) => return Ok(found),
            Err(error) if error.kind() == base::ErrorKind::Invalid => {
                return Err(error).context("an address of another process");
            }
            // The name may not be announced yet.
            Err(error) => shared.edge.readiness.set(Phase::Starting(error.to_string())),
        }
    }
}

/// Waits until an ingester has said who it is: before, no push could be taken.
pub async fn one_answers(shared: &Shared, members: &dyn Members) {
    let mut ticks = tokio::time::interval(RETRY_PERIOD);
    loop {
        ticks.tick().await;
        let view = members.look(None).await;
        if view.peers().len() > 0 {
            return;
        }
        let why = view.nameless().first().map_or("nobody is in the ring", |silent| &silent.why);
        let what = format!("no ingester answers: {why}");
        shared.edge.readiness.set(Phase::Starting(what));
    }
}
