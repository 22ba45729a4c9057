//! A machine: disk, bucket and clock that outlive the process, and the process on them.

use std::sync::Arc;
use std::time::Duration;

use base::disk::SimDisk;
use base::disk::sim::Keep;
use base::random::SeededRandom;
use base::time::ManualClock;
use base::{Batch, BatchId, ByteSize, Clock, Incarnation, StoreId, TenantId, UnixNanos};
use ingester::Ingester;
use logql::engine::Answer;
use logql::plan::{Direction, Params, Plan};
use querier::Querier;
use rpc::IngesterApi;
use rpc::ingester::Peer;
use rpc::members::{Fixed, NoRing};
use rpc::querier::{QuerierApi, SelectJob};
use store::testing::FaultyStore;
use store::{Bucket, CatalogConfig, CatalogHandle, Parts};
use ulid::Ulid;

use crate::broken::{LyingDisk, Skip};
use crate::world::Row;

/// 2024-05-01 10:00:00 UTC.
pub const START_NS: i64 = 1_714_557_600_000_000_000;
const HOUR_NS: i64 = 3_600_000_000_000;

/// What a restart finds.
pub struct Machine {
    pub disk: SimDisk,
    pub bucket: Arc<FaultyStore>,
    /// Syncs that processes on this machine only pretend.
    pub skip: Skip,
    clock: ManualClock,
    random: Arc<SeededRandom>,
    starts: u64,
}

/// A running process.
pub struct Process {
    pub ingester: Arc<Ingester>,
    querier: Querier,
    incarnation: Incarnation,
    next_sequence: u64,
}

struct NoLimits;

impl ingester::Limits for NoLimits {
    fn out_of_order_window(&self, _: &TenantId) -> Duration {
        Duration::ZERO
    }
    fn max_streams(&self, _: &TenantId) -> usize {
        0
    }
    fn per_stream_rate_bytes(&self, _: &TenantId) -> u64 {
        0
    }
    fn per_stream_rate_burst_bytes(&self, _: &TenantId) -> u64 {
        0
    }
}

pub fn tenant() -> TenantId {
    TenantId::new("sim").expect("valid")
}

impl Machine {
    pub fn new() -> Machine {
        Machine {
            disk: SimDisk::new(),
            bucket: FaultyStore::new(),
            skip: Skip::default(),
            clock: ManualClock::new(UnixNanos(START_NS + HOUR_NS)),
            random: Arc::new(SeededRandom::new(7)),
            starts: 0,
        }
    }

    /// The power is cut, or the process is killed.
    pub fn crash(&mut self, keep: Keep) {
        self.disk = self.disk.crash(keep);
    }

    /// The disk is replaced by an empty one.
    pub fn lose_disk(&mut self) {
        self.disk = SimDisk::new();
    }

    pub async fn start(&mut self) -> Result<Process, String> {
        self.starts += 1;
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let disk = LyingDisk { disk: self.disk.clone(), skip: self.skip };
        let disk: Arc<dyn base::disk::Disk> = Arc::new(disk);
        let env = wal::Env {
            disk: Arc::clone(&disk),
            clock: Arc::clone(&clock),
            random: self.random.clone(),
        };
        let mut config = ingester::Config::default();
        config.wal.segment_size = ByteSize(2_000);
        let committer = wal::store_id(&config.wal, &env).map_err(text)?;
        let bucket = Bucket::new("sim".to_owned(), self.bucket.clone(), Arc::clone(&clock));
        let catalog = CatalogHandle::open(
            store::Deps {
                bucket: bucket.clone(),
                committer,
                random: self.random.clone(),
                clock: Arc::clone(&clock),
            },
            CatalogConfig { checkpoint_every: 2 },
        );
        let catalog = catalog.await.map_err(text)?;
        let deps = ingester::Deps {
            disk,
            clock: Arc::clone(&clock),
            random: self.random.clone(),
            limits: Arc::new(NoLimits),
            catalog: catalog.clone(),
            ring: Arc::new(NoRing::default()),
        };
        let ingester = Ingester::start(config, deps).await.map_err(text)?;
        let peer = Peer { address: "in-process".to_owned(), api: ingester.clone() };
        let deps = querier::Deps {
            members: Arc::new(Fixed::new(vec![peer], 1)),
            catalog,
            parts: Arc::new(Parts::new(bucket, 1 << 20, 0)),
            clock,
        };
        let querier = Querier::new(querier::Config::default(), deps);
        let incarnation = Incarnation(Ulid::from_parts(self.starts, u128::from(self.starts)));
        Ok(Process { ingester, querier, incarnation, next_sequence: 1 })
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Process {
    fn store(&self) -> StoreId {
        self.ingester.store()
    }

    /// Pushes rows as one batch, as a distributor does. An error says nothing about whether the
    /// rows are stored.
    pub async fn push(&mut self, rows: &[Row]) -> Result<(), String> {
        let store = self.store();
        let id =
            BatchId { incarnation: self.incarnation, owner: store, sequence: self.next_sequence };
        self.next_sequence += 1;
        let batch: Batch = crate::world::batch(id, vec![store], tenant(), rows);
        self.ingester.append(vec![batch]).await.map(|_| ()).map_err(|refused| text(refused.error))
    }

    pub async fn flush(&self) -> Result<(), String> {
        self.ingester.flush_all().await.map_err(text)
    }

    /// Every row, by a log query.
    pub async fn rows(&self) -> Result<Vec<Row>, String> {
        let Answer::Streams(streams) = self.ask(r#"{app=~".+"}"#, 1_000).await? else {
            return Err("a log query answers streams".to_owned());
        };
        let mut rows = Vec::new();
        for stream in streams {
            let app = stream.labels.get("app").unwrap_or_default().to_owned();
            let trace = stream.labels.get("trace").map(str::to_owned);
            for entry in stream.entries {
                let line = String::from_utf8_lossy(&entry.line).into_owned();
                rows.push(Row { app: app.clone(), ts_ns: entry.ts_ns, line, trace: trace.clone() });
            }
        }
        rows.sort();
        Ok(rows)
    }

    /// The number of rows, by a metric query.
    pub async fn count(&self) -> Result<usize, String> {
        let query = r#"sum(count_over_time({app=~".+"}[2h]))"#;
        match self.ask(query, 0).await? {
            Answer::Vector(series) => Ok(series.first().map_or(0, |(_, s)| s.value as usize)),
            other => Err(format!("an instant query answers a vector, not {other:?}")),
        }
    }

    async fn ask(&self, query: &str, limit: usize) -> Result<Answer, String> {
        let expr = logql::syntax::parse(query).map_err(text)?;
        let end = UnixNanos(START_NS + HOUR_NS);
        let is_log = limit > 0;
        let params = Params {
            start: if is_log { UnixNanos(START_NS - HOUR_NS) } else { end },
            end,
            step_ns: 0,
            interval_ns: 0,
            limit,
            direction: Direction::Forward,
            max_series: 0,
            max_memory_bytes: 0,
            categorize: false,
            now: UnixNanos(0),
        };
        let plan = Plan::new(&expr, &params).map_err(text)?;
        let mut partials = Vec::new();
        for leaf in plan.leaves() {
            let job = SelectJob { tenant: tenant(), leaf: leaf.clone() };
            partials.push(self.querier.select(job).await.map_err(text)?.partial);
        }
        plan.finish(partials).map_err(text)
    }
}
