//! The way of a query, from the top down. Each layer says why it stands where it does.

use std::sync::Arc;

use base::Clock;
use base::random::Random;
use rpc::querier::{ListJob, Listed};
use rpc::tail::{TailJob, Tailed};
use tower::layer::layer_fn;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceBuilder};

use crate::config::Config;
use crate::deadline::Deadline;
use crate::enqueue::Enqueue;
use crate::error::Error;
use crate::evaluate::Evaluate;
use crate::limits::Limits;
use crate::list::List;
use crate::query::{Evaluated, Query};
use crate::queue::Queue;
use crate::retry::Retry;
use crate::shard::Shard;
use crate::size::Size;
use crate::split::Split;
use crate::tail::Step;
use crate::validate::Validate;
use crate::volume::{self, VolumeQuery, Volumed};

/// What answers queries.
pub type Queries = BoxCloneSyncService<Query, Evaluated, Error>;
/// What lists streams, names and values.
pub type Lists = BoxCloneSyncService<ListJob, Listed, Error>;

/// What does steps of tails.
pub type Tails = BoxCloneSyncService<TailJob, Tailed, Error>;

/// What answers how much streams have.
pub type Volumes = BoxCloneSyncService<VolumeQuery, Volumed, Error>;

/// What the layers of one frontend share.
pub struct Shared {
    /// Settings.
    pub config: Config,
    /// Limits of tenants.
    pub limits: Arc<dyn Limits>,
    /// Default times and durations.
    pub clock: Arc<dyn Clock>,
    /// Spreads repetitions.
    pub random: Arc<dyn Random>,
    /// Where jobs wait.
    pub queue: Arc<Queue>,
}

/// Queries.
pub fn queries(shared: &Arc<Shared>) -> Queries {
    let service = ServiceBuilder::new()
        // Outermost: whatever a query waits for below counts against its time.
        .layer(layer(shared, Deadline::new))
        // Refusals cost nothing: before anything is queued or read.
        .layer(layer(shared, Validate::new))
        // Asks what is below for a sum of bytes, so that what costs too much is not begun.
        .layer(layer(shared, Size::new))
        // One plan becomes its leaves: below here rows are partitioned, and partials merge.
        .layer(layer(shared, Evaluate::new))
        // By time before by stream: only the order of time lets a log query stop early.
        .layer(layer(shared, Split::new))
        // By stream inside a piece of time: its shards run side by side.
        .layer(layer(shared, Shard::new))
        // Below the cuts: what fails is one job, and only it is repeated.
        .layer(layer(shared, Retry::new))
        // Last: a job that is repeated waits for its turn again.
        .service(Enqueue::new(shared.clone()));
    BoxCloneSyncService::new(service)
}

/// Lists: one job each, because only stream tables are read.
pub fn lists(shared: &Arc<Shared>) -> Lists {
    let service = ServiceBuilder::new()
        // As above.
        .layer(layer(shared, Deadline::new))
        // Makes the one job.
        .layer(layer(shared, List::new))
        // As above.
        .layer(layer(shared, Retry::new))
        .service(Enqueue::new(shared.clone()));
    BoxCloneSyncService::new(service)
}

/// Volumes: cut and run as the leaf of a query is.
pub fn volumes(shared: &Arc<Shared>) -> Volumes {
    let service = ServiceBuilder::new()
        // As above.
        .layer(layer(shared, Deadline::new))
        // Plans the one leaf.
        .layer(layer(shared, volume::Volumes::new))
        // As above.
        .layer(layer(shared, Split::new))
        .layer(layer(shared, Shard::new))
        .layer(layer(shared, Retry::new))
        .service(Enqueue::new(shared.clone()));
    BoxCloneSyncService::new(service)
}

/// Steps of tails: one job each.
pub fn tails(shared: &Arc<Shared>) -> Tails {
    let service = ServiceBuilder::new()
        // As above.
        .layer(layer(shared, Deadline::new))
        // Makes the one job.
        .layer(layer(shared, Step::new))
        // As above. The cursor is in the job: any querier can do it, and again.
        .layer(layer(shared, Retry::new))
        .service(Enqueue::new(shared.clone()));
    BoxCloneSyncService::new(service)
}

fn layer<S, L>(
    shared: &Arc<Shared>,
    new: fn(S, Arc<Shared>) -> L,
) -> impl Layer<S, Service = L> + use<S, L> {
    let shared = shared.clone();
    layer_fn(move |inner| new(inner, shared.clone()))
}
