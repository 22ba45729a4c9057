//! The way of a query in this process: frontend, querier, and the workers between them.

use std::sync::Arc;

use anyhow::{Context, Result};
use base::shutdown::Shutdown;
use base::task::{self, JoinHandle};
use futures::future::join_all;
use querier::Querier;
use query_frontend::Frontend;
use rpc::grpc::FrontendClient;
use rpc::{FrontendApi, Members};

use super::{Store, derive, local};
use crate::app::Shared;
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
    let config = derive::client(&shared.config);
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
