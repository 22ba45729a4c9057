//! One function per module: dependencies are arguments, so the compiler checks the order of start;
//! each says how its module ends.

mod derive;
mod store;

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use base::shutdown::Shutdown;
use base::task;
use compactor::Compactor;
use distributor::Distributor;
use ingester::Ingester;
use querier::Querier;
use query_frontend::Frontend;
use rpc::ingester::Peer;

use crate::app::Shared;
use crate::modules::{Stop, nothing_to_stop};

pub use store::{Store, store};

/// Takes rows; returns when acknowledged ones can be queried again. Its end drains it: appends
/// under way finish, the log is closed.
pub async fn ingester(shared: &Shared, store: &Option<Store>) -> Result<(Arc<Ingester>, Stop)> {
    let store = store.as_ref().context("an ingester needs the store")?;
    let (disk, wal) = store.wal.clone().context("an ingester needs a log")?;
    let deps = ingester::Deps {
        disk,
        clock: shared.clock.clone(),
        random: shared.random.clone(),
        limits: shared.limits.clone(),
        catalog: store.catalog.clone(),
    };
    let ingester = Ingester::start(derive::ingester(&shared.config, wal), deps).await?;
    let ends = ingester.clone();
    let stop: Stop = Box::pin(async move {
        // `false` says that a route began the drain; it has ended by then too.
        let _began_here = ends.drain(false).await;
    });
    Ok((ingester, stop))
}

/// The ingesters that distributors and queriers of this process call.
pub async fn peers(_shared: &Shared, local: &Option<Arc<Ingester>>) -> Result<(Vec<Peer>, Stop)> {
    let local = local
        .clone()
        .context("ingester_client.addresses must name the ingesters: none runs in this process")?;
    Ok((vec![Peer { address: "in-process".to_owned(), api: local }], nothing_to_stop()))
}

/// Takes pushes. Requests under way were finished by the listener.
pub async fn distributor(
    shared: &Shared,
    peers: &Option<Vec<Peer>>,
) -> Result<(Arc<Distributor>, Stop)> {
    let peers = peers.clone().context("a distributor needs ingesters")?;
    let distributor = Distributor::new(
        derive::distributor(&shared.config),
        shared.limits.clone(),
        peers,
        shared.clock.clone(),
        shared.random.clone(),
    );
    Ok((Arc::new(distributor), nothing_to_stop()))
}

/// Evaluates pieces of queries.
pub async fn querier(
    shared: &Shared,
    store: &Option<Store>,
    peers: &Option<Vec<Peer>>,
) -> Result<(Arc<Querier>, Stop)> {
    let store = store.as_ref().context("a querier needs the store")?;
    let peers = peers.as_ref().context("a querier needs ingesters")?;
    let deps = querier::Deps {
        ingesters: peers.clone(),
        catalog: store.catalog.clone(),
        parts: store.parts.clone(),
        clock: shared.clock.clone(),
    };
    Ok((Arc::new(Querier::new(derive::querier(&shared.config), deps)), nothing_to_stop()))
}

/// Answers queries, with the querier of this process where there is one. Its end waits for what its
/// queue holds.
pub async fn query_frontend(
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
        let (api, name) = (frontend.clone(), "in-process".to_owned());
        let places = derive::querier(&shared.config).max_concurrent;
        let attend = querier::workers::attend(api, querier, name, places, leave.clone());
        task::spawn("querier.workers", attend)
    });
    let ends = frontend.clone();
    let stop: Stop = Box::pin(async move {
        ends.drain().await;
        leave.cancel();
        if let Some(workers) = workers
            && workers.await.is_err()
        {
            tracing::error!("the workers of the querier had panicked");
        }
    });
    Ok((frontend, stop))
}

/// Cleans up. Its end waits for the request that is under way.
pub async fn compactor(shared: &Shared, store: &Option<Store>) -> Result<((), Stop)> {
    let store = store.as_ref().context("a compactor needs the store")?;
    let deps = compactor::Deps {
        catalog: store.catalog.clone(),
        clock: shared.clock.clone(),
        random: shared.random.clone(),
    };
    let compactor = Compactor::new(derive::compactor(&shared.config), deps);
    let shutdown = Shutdown::new();
    let stopping = shutdown.clone();
    let task = task::spawn("compactor", async move { compactor.run(shutdown).await });
    let stop: Stop = Box::pin(async move {
        stopping.cancel();
        if task.await.is_err() {
            tracing::error!("the compactor had panicked");
        }
    });
    Ok(((), stop))
}

/// What this process answers, by service.
pub struct Api {
    /// Flush, shutdown.
    pub ingester: Option<Arc<Ingester>>,
    /// Pushes.
    pub distributor: Option<Arc<Distributor>>,
    /// Queries.
    pub frontend: Option<Arc<Frontend>>,
}

impl Api {
    /// HTTP routes that need a running process.
    pub fn http(&self) -> Router {
        let routers = [
            self.distributor.clone().map(distributor::router),
            self.frontend.clone().map(query_frontend::router),
        ];
        routers.into_iter().flatten().fold(Router::new(), Router::merge)
    }

    /// HTTP routes of services that are operational: no tenant, no time limit.
    pub fn operational(&self) -> Router {
        self.ingester.clone().map(ingester::http::router).unwrap_or_default()
    }

    /// gRPC services.
    pub fn grpc(&self, _shared: &Shared) -> tonic::service::RoutesBuilder {
        tonic::service::Routes::builder()
    }
}
