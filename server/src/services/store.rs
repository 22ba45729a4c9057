//! The bucket and the followed catalog, shared by ingester, querier and compactor of a process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base::StoreId;
use base::disk::{Disk, OsDisk};
use rpc::http::stack::Phase;
use store::{Bucket, CatalogHandle, Cluster, DiskCache, Parts};

use super::derive;
use crate::app::Shared;
use crate::config::targets::Target;
use crate::modules::{Stop, nothing_to_stop};

/// How often a process without an ingester looks whether one has founded the cluster.
const FOUNDED_CHECK_PERIOD: Duration = Duration::from_millis(250);

/// An opened bucket.
#[derive(Clone)]
pub struct Store {
    /// Whose bucket it is.
    pub cluster: Cluster,
    /// The store of this process's ingester; without one an id made for this start.
    pub own: StoreId,
    /// Which parts exist.
    pub catalog: CatalogHandle,
    /// Opens parts; their footers are cached once per process.
    pub parts: Arc<Parts>,
    /// The log of this process's ingester, and the disk it is on.
    pub wal: Option<(Arc<dyn Disk>, wal::Config)>,
}

/// Opens the bucket and reads the catalog to its head. Only an ingester founds a cluster in an empty
/// bucket, because its store is the first voter; without one the start waits until it is founded.
pub async fn store(shared: &Shared) -> Result<(Store, Stop)> {
    let config = &shared.config;
    let bucket = Bucket::open(&derive::bucket(config)?, shared.clock.clone())?;
    let (own, wal, cluster) = if config.targets.contains(Target::Ingester) {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let wal = derive::wal(config, &*disk)?;
        let env = wal::Env {
            disk: disk.clone(),
            clock: shared.clock.clone(),
            random: shared.random.clone(),
        };
        // Nothing in the directory is read, or made, while another process has it. The log takes the
        // lock itself when it is opened.
        let _lock = wal::lock(&wal, &env)?;
        let own = wal::store_id(&wal, &env).context("the id of the log's directory")?;
        let id = shared.random.ulid(&*shared.clock);
        let founder = Cluster { id, first_voters: vec![own] };
        let cluster = Cluster::join(&bucket, &founder, None).await?;
        (own, Some((disk, wal)), cluster)
    } else {
        // It names this process in what it commits; rows are claimed by none of its commits.
        let own = StoreId(shared.random.ulid(&*shared.clock));
        (own, None, founded(shared, &bucket).await?)
    };
    tracing::info!(store = bucket.name(), cluster = %cluster.id, "object store");
    let deps = store::Deps {
        bucket: bucket.clone(),
        committer: own,
        random: shared.random.clone(),
        clock: shared.clock.clone(),
    };
    let catalog = CatalogHandle::open(deps, derive::catalog(config)).await?;
    let raw = &config.raw.storage_config;
    let mut parts = Parts::new(bucket, raw.footer_cache.0, raw.page_cache.0);
    if let Some(disk_cache) = derive::disk_cache(config) {
        let opened = DiskCache::open(disk_cache, Arc::new(OsDisk), shared.clock.clone());
        parts = parts.with_disk_cache(opened.context("storage_config.disk_cache")?);
    }
    let parts = Arc::new(parts);
    Ok((Store { cluster, own, catalog, parts, wal }, nothing_to_stop()))
}

/// The cluster of a process that does not open the bucket otherwise, as soon as it is founded.
pub async fn cluster(shared: &Shared) -> Result<Cluster> {
    let bucket = Bucket::open(&derive::bucket(&shared.config)?, shared.clock.clone())?;
    founded(shared, &bucket).await
}

async fn founded(shared: &Shared, bucket: &Bucket) -> Result<Cluster> {
    let mut ticks = tokio::time::interval(FOUNDED_CHECK_PERIOD);
    loop {
        ticks.tick().await;
        if let Some(cluster) = Cluster::find(bucket).await? {
            return Ok(cluster);
        }
        let what = format!("no ingester has founded a cluster in {} yet", bucket.name());
        shared.edge.readiness.set(Phase::Starting(what));
    }
}
