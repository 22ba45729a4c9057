//! One querier: what it is made of, and one job from arrival to answer.

use std::sync::Arc;

use async_trait::async_trait;
use base::Clock;
use metrics::gauge;
use rpc::Members;
use rpc::querier::{ListJob, Listed, QuerierApi, QuerierError, SelectJob, Selected};
use rpc::tail::{TailJob, Tailed};
use store::scan::Scratches;
use store::{CatalogHandle, Parts, Requests};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::metrics::INFLIGHT;
use crate::peers::Peers;
use crate::select::{Leaf, Selection};

/// What a querier reads from.
#[derive(Clone)]
pub struct Deps {
    /// Every ingester that may hold rows in no commit.
    pub members: Arc<dyn Members>,
    /// Which parts exist.
    pub catalog: CatalogHandle,
    /// Opens parts.
    pub parts: Arc<Parts>,
    /// How long things took; never correctness.
    pub clock: Arc<dyn Clock>,
}

/// Evaluates pieces of queries. Stateless but for caches: any number may run side by side.
pub struct Querier {
    pub(crate) config: Config,
    pub(crate) catalog: CatalogHandle,
    pub(crate) parts: Arc<Parts>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) peers: Peers,
    /// Whom tails ask, each for itself.
    pub(crate) members: Arc<dyn Members>,
    /// One permit per thread that may scan parts.
    pub(crate) scans: Arc<Semaphore>,
    /// Buffers of threads that scanned parts.
    pub(crate) scratches: Scratches,
}

impl Querier {
    /// A querier over `deps`.
    pub fn new(config: Config, deps: Deps) -> Querier {
        let Deps { members, catalog, parts, clock } = deps;
        let scans = Arc::new(Semaphore::new(config.scan_threads));
        let scratches = Scratches::new(config.scan_threads);
        let peers = Peers::new(members.clone(), clock.clone());
        Querier { config, catalog, parts, clock, peers, members, scans, scratches }
    }
}

#[async_trait]
impl QuerierApi for Querier {
    async fn select(&self, job: SelectJob) -> Result<Selected, QuerierError> {
        let _inflight = Inflight::new();
        // V: read after the job arrived, so that it is at or past every acknowledged flush.
        let known = self.look().await?;
        let requests = Requests::default();
        let leaf = Leaf { leaf: &job.leaf, tenant: &job.tenant, requests: &requests };
        let Selection { partial, stats, mut warnings } = self.select_leaf(leaf, known).await?;
        warnings.sort_unstable();
        warnings.dedup();
        Ok(Selected { partial, stats, warnings })
    }

    async fn tail(&self, job: TailJob) -> Result<Tailed, QuerierError> {
        Ok(self.tail_step(job).await?)
    }

    async fn list(&self, job: ListJob) -> Result<Listed, QuerierError> {
        let _inflight = Inflight::new();
        Ok(self.listed(&job).await?)
    }
}

/// Counts a running job, also one that is dropped.
struct Inflight;

impl Inflight {
    fn new() -> Inflight {
        gauge!(INFLIGHT).increment(1.0);
        Inflight
    }
}

impl Drop for Inflight {
    fn drop(&mut self) {
        gauge!(INFLIGHT).decrement(1.0);
    }
}
