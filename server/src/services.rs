//! The services of `-target=all`, one step per service: dependencies are constructor arguments, so
//! the compiler checks the order.

mod derive;

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use base::disk::OsDisk;
use base::shutdown::Shutdown;
use base::{Clock, StoreId};
use distributor::Distributor;
use ingester::Ingester;
use querier::Querier;
use rpc::IngesterApi;
use rpc::ingester::Peer;
use store::{Bucket, CatalogHandle, Cluster, Parts};

use crate::app::{Shared, step};
use crate::limits::ConfigLimits;

/// Running services.
pub struct Services {
    ingester: Arc<Ingester>,
    distributor: Arc<Distributor>,
    querier: Arc<Querier>,
}

impl Services {
    /// Starts them; returns when acknowledged rows can be queried again.
    pub async fn start(shared: &Shared) -> Result<Services> {
        let clock = &*shared.clock;
        let limits = Arc::new(ConfigLimits::new(&shared.config));
        let disk = Arc::new(OsDisk);
        let wal = derive::wal(&shared.config, &*disk)?;
        let env = wal::Env {
            disk: disk.clone(),
            clock: shared.clock.clone(),
            random: shared.random.clone(),
        };
        let store = wal::store_id(&wal, &env).context("the id of the log's directory")?;
        let (bucket, catalog) = step(clock, "open store", open_store(shared, store)).await?;
        let deps = ingester::Deps {
            disk,
            clock: shared.clock.clone(),
            random: shared.random.clone(),
            limits: limits.clone(),
            catalog: catalog.clone(),
        };
        let config = derive::ingester(&shared.config, wal);
        let ingester =
            step(clock, "start ingester", async { Ok(Ingester::start(config, deps).await?) })
                .await?;
        let api: Arc<dyn IngesterApi> = ingester.clone();
        let distributor = Arc::new(Distributor::new(
            derive::distributor(&shared.config),
            limits.clone(),
            vec![Peer { address: "in-process".to_owned(), api: api.clone() }],
            shared.clock.clone(),
            shared.random.clone(),
        ));
        let parts = Parts::new(bucket, shared.config.raw.storage_config.footer_cache.0);
        let deps = querier::Deps {
            limits,
            ingesters: vec![api],
            catalog,
            parts: Arc::new(parts),
            clock: shared.clock.clone(),
        };
        let querier = Arc::new(Querier::new(derive::querier(&shared.config), deps));
        Ok(Services { ingester, distributor, querier })
    }

    /// Routes that need a running process.
    pub fn router(&self) -> Router {
        distributor::router(self.distributor.clone()).merge(querier::router(self.querier.clone()))
    }

    /// Routes of services that are operational: no tenant, no time limit.
    pub fn operational(&self) -> Router {
        ingester::http::router(self.ingester.clone())
    }

    /// Cancelled when a route asked the process to end.
    pub fn terminate_requested(&self) -> Shutdown {
        self.ingester.terminate_requested()
    }

    /// Stops them in reverse: only the ingester holds anything.
    pub async fn stop(self, clock: &dyn Clock) -> Result<()> {
        let Services { ingester, distributor, querier } = self;
        drop((querier, distributor));
        // `false` says that a route began the drain; it has ended by then too.
        step(clock, "stop ingester", async { Ok(ingester.drain(false).await) }).await?;
        Ok(())
    }
}

async fn open_store(shared: &Shared, committer: StoreId) -> Result<(Bucket, CatalogHandle)> {
    let bucket = Bucket::open(&derive::bucket(&shared.config)?, shared.clock.clone())?;
    let founder = Cluster { id: shared.random.ulid(&*shared.clock), first_voters: vec![committer] };
    let cluster = Cluster::join(&bucket, &founder, None).await?;
    tracing::info!(store = bucket.name(), cluster = %cluster.id, "object store");
    let deps = store::Deps {
        bucket: bucket.clone(),
        committer,
        random: shared.random.clone(),
        clock: shared.clock.clone(),
    };
    let catalog = CatalogHandle::open(deps, derive::catalog(&shared.config)).await?;
    Ok((bucket, catalog))
}
