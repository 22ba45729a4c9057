//! The way of a query in this process: frontend, querier, and the workers between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use base::shutdown::Shutdown;
use base::task::{self, JoinHandle};
use futures::future::join_all;
use querier::Querier;
use query_frontend::Frontend;
use ring::Roles;
use rpc::grpc::FrontendClient;
use rpc::{FrontendApi, Members};

use super::{Store, derive, local};
use crate::app::Shared;
use crate::membership::Membership;
use crate::modules::{Stop, nothing_to_stop};

/// Evaluates pieces of queries. It is ready when the catalog was read: whether ingesters answer is
/// told by each query.
pub async fn querier(
    shared: &Shared,
    store: &Option<Store>,
    members: &Option<Arc<dyn Members>>,
) -> Result<(Arc<Querier>, Stop)> {
    let store = store.as_ref().context("a querier needs the store")?;
    let members = members.clone().context("a querier needs ingesters")?;
    let deps = querier::Deps {
        members,
        catalog: store.catalog.clone(),
        parts: store.parts.clone(),
        clock: shared.clock.clone(),
    };
    Ok((Arc::new(Querier::new(derive::querier(&shared.config), deps)), nothing_to_stop()))
}

/// Answers queries, with the querier of this process where there is one; it is ready before a
/// querier comes, and queries wait for one. Its end waits for what its queue holds.
pub async fn frontend(
    shared: &Shared,
    querier: &Option<Arc<Querier>>,
) -> Result<(Arc<Frontend>, Stop)> {
    let deps = query_frontend::Deps {
        limits: shared.limits.clone(),
        clock: shared.clock.clone(),
        random: shared.random.clone(),
    };
    let frontend = Arc::new(Frontend::new(derive::query_frontend(&shared.config), deps));
    let leave = Shutdown::new();
    let workers = querier.clone().map(|querier| {
        let api = local::frontend(frontend.clone());
        workers(shared, api, querier, "in-process".to_owned(), &leave)
    });
    let ends = frontend.clone();
    let stop: Stop = Box::pin(async move {
        ends.drain().await;
        leave.cancel();
        ended(workers).await;
    });
    Ok((frontend, stop))
}

/// Works for the frontends of `frontend_worker.frontend_address`. Its end finishes the jobs that run,
/// then leaves.
pub async fn remote_frontends(
    shared: &Shared,
    querier: &Option<Arc<Querier>>,
) -> Result<((), Stop)> {
    let querier = querier.as_ref().context("workers need a querier")?;
    let config = derive::frontend_client(shared);
    let name = shared.random.ulid(&*shared.clock).to_string();
    let leave = Shutdown::new();
    let mut tasks = Vec::new();
    for address in super::peers::resolve(shared, &shared.config.frontend_addresses).await? {
        let client = FrontendClient::new(&address, &config, shared.clock.clone())
            .with_context(|| format!("frontend_worker.frontend_address: {address}"))?;
        tasks.push(workers(shared, Arc::new(client), querier.clone(), name.clone(), &leave));
    }
    let stop: Stop = Box::pin(async move {
        leave.cancel();
        ended(tasks).await;
    });
    Ok(((), stop))
}

/// Works for the frontends of the ring, as they come and go. Its end is that of
/// [`remote_frontends`].
pub async fn ring_frontends(
    shared: &Shared,
    querier: &Option<Arc<Querier>>,
    ring: &Option<Membership>,
) -> Result<((), Stop)> {
    let querier = querier.clone().context("workers need a querier")?;
    let ring = ring.clone().context("frontends are found in the ring")?;
    let (shared, shutdown) = (shared.clone(), Shutdown::new());
    let stopping = shutdown.clone();
    let task = task::spawn("querier.frontends", async move {
        let name = ring.own().store.to_string();
        let mut states = ring.watch();
        let mut attended: BTreeMap<String, (Shutdown, JoinHandle<()>)> = BTreeMap::new();
        loop {
            let state = states.newest();
            let there = state.instances.values().filter(|i| i.roles.has(Roles::QUERY_FRONTEND));
            let there: BTreeSet<&str> = there.map(|i| i.grpc_address.as_str()).collect();
            // Whoever works for one that is not there any more finds its stream broken.
            attended.retain(|address, (leave, _)| {
                let stays = there.contains(address.as_str());
                if !stays {
                    leave.cancel();
                }
                stays
            });
            for address in there {
                if attended.contains_key(address) {
                    continue;
                }
                let config = derive::frontend_client(&shared);
                match FrontendClient::new(address, &config, shared.clock.clone()) {
                    Ok(client) => {
                        let (client, leave) = (Arc::new(client), Shutdown::new());
                        let task = workers(&shared, client, querier.clone(), name.clone(), &leave);
                        attended.insert(address.to_owned(), (leave, task));
                    }
                    Err(error) => tracing::error!(%error, "a query frontend has no address"),
                }
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = states.changed() => {}
            }
        }
        attended.values().for_each(|(leave, _)| leave.cancel());
        ended(attended.into_values().map(|(_, task)| task)).await;
    });
    let stop: Stop = Box::pin(async move {
        stopping.cancel();
        if task.await.is_err() {
            tracing::error!("what looks for query frontends had panicked");
        }
    });
    Ok(((), stop))
}

fn workers(
    shared: &Shared,
    frontend: Arc<dyn FrontendApi>,
    querier: Arc<Querier>,
    name: String,
    leave: &Shutdown,
) -> JoinHandle<()> {
    let places = derive::querier(&shared.config).max_concurrent;
    let attend = querier::workers::attend(frontend, querier, name, places, leave.clone());
    task::spawn("querier.workers", attend)
}

async fn ended(workers: impl IntoIterator<Item = JoinHandle<()>>) {
    if join_all(workers).await.iter().any(Result::is_err) {
        tracing::error!("workers of the querier had panicked");
    }
}
