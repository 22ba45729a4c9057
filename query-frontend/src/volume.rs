//! Volumes: how many lines and bytes streams have. A plan of one leaf, cut, queued and merged like
//! any metric query.

use std::sync::Arc;
use std::task::{Context, Poll};

use base::{Labels, TenantId, task};
use futures::FutureExt;
use futures::future::BoxFuture;
use logql::plan::{Volume, VolumesOf, VolumesPlan};
use rpc::querier::Selected;
use rpc::stats::QueryStats;
use tower::{Service, ServiceExt};

use crate::deadline::OfTenant;
use crate::error::Error;
use crate::evaluate::Selects;
use crate::query::{Piece, PieceStats, Scope};
use crate::stack::Shared;

/// Whose volumes. What is asked for passed the tenant's limits.
#[derive(Clone, Debug)]
pub struct VolumeQuery {
    /// Whose rows.
    pub tenant: TenantId,
    /// Which streams, and when.
    pub asked: VolumesOf,
}

impl OfTenant for VolumeQuery {
    fn tenants(&self) -> &[TenantId] {
        std::slice::from_ref(&self.tenant)
    }
}

/// Volumes and what they cost.
#[derive(Debug)]
pub struct Volumed {
    /// Of each stream, the volumes of windows with rows, by index. In no order.
    pub series: Vec<(Labels, Vec<(u32, Volume)>)>,
    /// One past the last instant of each window.
    pub window_ends: Vec<i64>,
    /// What it cost.
    pub stats: QueryStats,
    /// How it was cut and run.
    pub pieces: PieceStats,
    /// What the user should know. Sorted, each once.
    pub warnings: Vec<String>,
}

/// The layer that plans volumes.
#[derive(Clone)]
pub struct Volumes<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Volumes<S> {
    /// Around `inner`, which evaluates one leaf.
    pub fn new(inner: S, shared: Arc<Shared>) -> Volumes<S> {
        Volumes { inner, shared }
    }
}

impl<S: Selects> Service<VolumeQuery> for Volumes<S> {
    type Response = Volumed;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Volumed, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, query: VolumeQuery) -> Self::Future {
        self.clone().run(query).boxed()
    }
}

impl<S: Selects> Volumes<S> {
    async fn run(self, query: VolumeQuery) -> Result<Volumed, Error> {
        let VolumeQuery { tenant, mut asked } = query;
        asked.max_memory_bytes = self.shared.config.max_query_memory_bytes;
        let limits = &*self.shared.limits;
        let parallelism = match limits.max_query_parallelism(&tenant) {
            0 => return Err(Error::Disabled),
            most => most.max(limits.tsdb_max_query_parallelism(&tenant)),
        };
        let plan = VolumesPlan::new(&asked)?;
        let scope = Scope::new(tenant, parallelism, true);
        let piece = Piece { leaf: plan.leaf().clone(), scope: scope.clone() };
        let Selected { partial, mut stats, warnings } = self.inner.oneshot(piece).await?;
        let job = task::blocking("frontend.finish", move || {
            let window_ends = plan.window_ends().to_vec();
            (plan.finish(partial), window_ends)
        });
        let died = |died| Error::Internal(format!("an answer died: {died}"));
        let (series, window_ends) = job.await.map_err(died)?;
        stats.entries_returned = series.len() as u64;
        Ok(Volumed { series, window_ends, stats, pieces: scope.stats(), warnings })
    }
}
