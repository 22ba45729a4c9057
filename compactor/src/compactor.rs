//! The compactor: merges when there is something to merge, and passes over the bucket, one at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::random::Random;
use base::shutdown::Shutdown;
use base::{Clock, HashMap, HashSet};
use catalog::{Catalog, Commit};
use metrics::{counter, gauge};
use store::{CatalogHandle, CommitObserver, PartId};
use tokio::sync::Notify;
use ulid::Ulid;

use crate::config::Config;
use crate::error::Error;
use crate::garbage::Garbage;
use crate::limits::Limits;
use crate::metrics::{FLOOR, LAST_SUCCESS, PASS_DURATION, PASSES, PENDING, RUNNING};

/// What a compactor needs from others.
pub struct Deps {
    /// The followed catalog, with its bucket. May be shared with other services of the process.
    pub catalog: CatalogHandle,
    /// Ages of objects; never correctness.
    pub clock: Arc<dyn Clock>,
    /// Ids of parts, and when the first pass begins.
    pub random: Arc<dyn Random>,
    /// How long tenants keep rows.
    pub limits: Arc<dyn Limits>,
}

/// Compacts and cleans one bucket. Any number of them may do so at the same time.
pub struct Compactor {
    pub(crate) config: Config,
    pub(crate) deps: Deps,
    /// Objects that nothing names and nobody is known to have removed: when they were first seen
    /// so, monotonic nanoseconds.
    unnamed: Mutex<HashMap<Ulid, u64>>,
    /// Parts that cannot be read: no merge has them again before the next start.
    broken: Mutex<HashSet<PartId>>,
    pub(crate) garbage: Garbage,
    /// When retention last began, monotonic nanoseconds.
    retained: Mutex<Option<u64>>,
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Parts that were removed because of their age.
    pub expired: u64,
    /// Merges that came to a commit.
    pub merges: u64,
    /// Commits at or below it are gone.
    pub floor: u64,
    /// Objects of the log deleted.
    pub commits: u64,
    /// Objects of superseded checkpoints deleted.
    pub checkpoint_objects: u64,
    /// Objects deleted whose parts commits had removed.
    pub removed_objects: u64,
    /// Objects deleted that no commit ever named.
    pub orphans: u64,
    /// Objects that nothing names and that are too young to go.
    pub waiting: u64,
}

/// Commits of this process are a hint that there is something to merge.
#[derive(Default)]
struct Hint {
    wake: Notify,
}

impl CommitObserver for Hint {
    fn committed(&self, _: u64, commit: &Commit) {
        if commit.added.iter().any(|part| part.level == 0) {
            // Until the plan says which.
            gauge!(PENDING).increment(commit.added.len() as f64);
            self.wake.notify_one();
        }
    }

    fn restarted(&self, _: &Catalog) {
        self.wake.notify_one();
    }
}

impl Compactor {
    /// A compactor that does nothing yet.
    pub fn new(config: Config, deps: Deps) -> Compactor {
        Compactor {
            config,
            deps,
            unnamed: Mutex::default(),
            broken: Mutex::default(),
            garbage: Garbage::default(),
            retained: Mutex::default(),
        }
    }

    /// Merges when commits or the clock say so, and makes a pass every [`Config::interval`] until
    /// `shutdown`, the first somewhere in the first interval. What fails is logged and counted; what
    /// is cut off anywhere leaves nothing that the next time does not finish.
    pub async fn run(&self, shutdown: Shutdown) {
        gauge!(RUNNING).set(1.0);
        gauge!(LAST_SUCCESS).set(0.0);
        let hint = Arc::new(Hint::default());
        self.deps.catalog.observe(Arc::clone(&hint) as Arc<dyn CommitObserver>).await;
        let interval_ns = u64::try_from(self.config.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let first = Duration::from_nanos(self.deps.random.next_u64() % interval_ns);
        let mut next_pass = Box::pin(tokio::time::sleep(first));
        loop {
            // Merges look at `shutdown` themselves; all else may end anywhere.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = &mut next_pass => {
                    self.pass_and_tell(&shutdown).await;
                    next_pass = Box::pin(tokio::time::sleep(self.config.interval));
                }
                () = hint.wake.notified() => self.look(&shutdown, &hint).await,
                () = tokio::time::sleep(self.config.look_every) => {
                    self.look(&shutdown, &hint).await;
                }
            }
        }
        gauge!(RUNNING).set(0.0);
    }

    /// Merges what is due, and deletes what merges left a while ago. After a merge it looks again,
    /// when a pass that is due has had its turn.
    async fn look(&self, shutdown: &Shutdown, hint: &Hint) {
        let result = match self.merge_due(shutdown).await {
            Ok(merges) => {
                if merges > 0 {
                    hint.wake.notify_one();
                }
                self.delete_garbage().await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::error!(%error, "merging failed; it begins anew later");
        }
    }

    async fn pass_and_tell(&self, shutdown: &Shutdown) {
        let began_ns = self.deps.clock.monotonic_ns();
        let result = self.pass_until(shutdown).await;
        let took_ns = self.deps.clock.monotonic_ns().saturating_sub(began_ns);
        gauge!(PASS_DURATION).set(took_ns as f64 / 1e9);
        let status = if result.is_ok() { "success" } else { "failure" };
        counter!(PASSES, "status" => status).increment(1);
        match result {
            Ok(pass) => {
                gauge!(LAST_SUCCESS).set(self.deps.clock.now().0 as f64 / 1e9);
                tracing::info!(?pass, "compacted and cleaned");
            }
            Err(error) => tracing::error!(%error, "the pass failed; the next begins anew"),
        }
    }

    /// One pass: expired parts, merges, the log and its checkpoints, then the objects of parts.
    pub async fn pass(&self) -> Result<Pass, Error> {
        self.pass_until(&Shutdown::new()).await
    }

    async fn pass_until(&self, shutdown: &Shutdown) -> Result<Pass, Error> {
        let mut pass = Pass { expired: self.retain().await?, ..Pass::default() };
        pass.merges = self.merge_due(shutdown).await?;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(pass),
            cleaned = self.clean(&mut pass) => cleaned?,
        }
        Ok(pass)
    }

    async fn clean(&self, pass: &mut Pass) -> Result<(), Error> {
        self.clean_log(pass).await?;
        gauge!(FLOOR).set(pass.floor as f64);
        self.clean_objects(pass).await
    }

    pub(crate) fn lock_broken(&self) -> MutexGuard<'_, HashSet<PartId>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock_retained(&self) -> MutexGuard<'_, Option<u64>> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock_unnamed(&self) -> MutexGuard<'_, HashMap<Ulid, u64>> {
        self.unnamed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A duration in nanoseconds of wall time.
pub(crate) fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
