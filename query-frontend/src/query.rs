//! A query on its way through the stack: what each layer takes and gives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::TenantId;
use logql::engine::Answer;
use logql::plan::{Leaf, Plan};
use logql::syntax::Expr;
use rpc::http::Tenants;
use rpc::querier::{ListJob, Listed, SelectJob, Selected};
use rpc::stats::QueryStats;
use rpc::tail::{TailJob, Tailed};
use tokio::sync::Semaphore;

use crate::http::params::{InstantQuery, RangeQuery};

/// A parsed query.
#[derive(Clone, Debug)]
pub struct Query {
    /// Whose rows.
    pub tenants: Tenants,
    /// What was asked.
    pub expr: Expr,
    /// When and how.
    pub asked: Asked,
    /// What the client says of itself (`X-Query-Tags`).
    pub tags: String,
    /// Whether entries say where their labels come from ([`logql::plan::Params::categorize`]).
    pub categorize: bool,
}

/// When and how a query is to be evaluated, as the client said it.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Lines of a range, or values at many instants.
    Range(RangeQuery),
    /// Values at one instant.
    Instant(InstantQuery),
}

/// A query that passed the checks.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Who asks, whose limits count.
    pub tenants: Tenants,
    /// Whose rows each leaf of the plan reads: some of `tenants`.
    pub owners: Vec<Vec<TenantId>>,
    /// What to evaluate.
    pub plan: Arc<Plan>,
    /// Jobs of the query that may wait or run at the same time.
    pub parallelism: usize,
    /// Whether all matching rows are looked at, so that shards share the work. A log query without
    /// filter stops after a few pages: shards would only each read them.
    pub shardable: bool,
}

/// An answer and what it cost.
#[derive(Debug)]
pub struct Evaluated {
    /// The answer.
    pub answer: Answer,
    /// What it cost.
    pub stats: QueryStats,
    /// How it was cut and run.
    pub pieces: PieceStats,
    /// What the user should know about the answer. Sorted, each once.
    pub warnings: Vec<String>,
}

/// How a query was cut and run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PieceStats {
    /// Pieces by time.
    pub splits: u64,
    /// Pieces by time and stream key.
    pub shards: u64,
    /// Jobs that queriers ran, repetitions included.
    pub subqueries: u64,
    /// Nanoseconds jobs waited for a querier, added up.
    pub queue_ns: u64,
}

/// A leaf, or a piece of one, to be evaluated.
#[derive(Clone)]
pub struct Piece {
    /// Its range and shard say which rows.
    pub leaf: Arc<Leaf>,
    /// The query it belongs to.
    pub scope: Arc<Scope>,
}

/// What all jobs of one query share.
pub struct Scope {
    /// Whose query.
    pub tenant: TenantId,
    /// Jobs that may wait or run at the same time.
    pub parallelism: usize,
    /// See [`Planned::shardable`].
    pub shardable: bool,
    /// One permit per job that waits or runs.
    pub permits: Semaphore,
    /// See [`PieceStats::splits`].
    pub splits: AtomicU64,
    /// See [`PieceStats::shards`].
    pub shards: AtomicU64,
    /// See [`PieceStats::subqueries`].
    pub subqueries: AtomicU64,
    /// See [`PieceStats::queue_ns`].
    pub queue_ns: AtomicU64,
}

/// What a querier is to do, and for which query.
#[derive(Clone)]
pub struct Task {
    /// What to do.
    pub job: Job,
    /// The query it belongs to.
    pub scope: Arc<Scope>,
}

/// What a querier is to do.
#[derive(Clone)]
pub enum Job {
    /// [`rpc::QuerierApi::select`].
    Select(SelectJob),
    /// [`rpc::QuerierApi::list`].
    List(ListJob),
    /// [`rpc::QuerierApi::tail`].
    Tail(TailJob),
}

/// What a querier did.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // one per job, moved a few times
pub enum Done {
    /// Of [`Job::Select`].
    Selected(Selected),
    /// Of [`Job::List`].
    Listed(Listed),
    /// Of [`Job::Tail`].
    Tailed(Tailed),
}

impl Asked {
    /// The query as the client wrote it.
    pub fn text(&self) -> &str {
        match self {
            Asked::Range(asked) => &asked.query,
            Asked::Instant(asked) => &asked.query,
        }
    }
}

impl Scope {
    /// Of a query with at most `parallelism` jobs at a time.
    pub fn new(tenant: TenantId, parallelism: usize, shardable: bool) -> Arc<Scope> {
        let permits = Semaphore::new(parallelism.clamp(1, Semaphore::MAX_PERMITS));
        let zero = AtomicU64::default;
        let (splits, shards, subqueries, queue_ns) = (zero(), zero(), zero(), zero());
        let scope =
            Scope { tenant, parallelism, shardable, permits, splits, shards, subqueries, queue_ns };
        Arc::new(scope)
    }

    /// What was counted so far.
    pub fn stats(&self) -> PieceStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PieceStats {
            splits: read(&self.splits),
            shards: read(&self.shards),
            subqueries: read(&self.subqueries),
            queue_ns: read(&self.queue_ns),
        }
    }
}

impl PieceStats {
    /// Adds what was cut and run for another tenant of the same query.
    pub fn take_in(&mut self, more: &PieceStats) {
        self.splits += more.splits;
        self.shards += more.shards;
        self.subqueries += more.subqueries;
        self.queue_ns += more.queue_ns;
    }
}

impl Planned {
    /// The answer when no row is selected. Reads nothing.
    pub fn nothing(&self) -> Result<Evaluated, crate::Error> {
        let partials = self.plan.leaves().iter().map(|leaf| leaf.empty()).collect();
        let answer = self.plan.finish(partials)?;
        let (stats, pieces) = (QueryStats::default(), PieceStats::default());
        Ok(Evaluated { answer, stats, pieces, warnings: Vec::new() })
    }
}
