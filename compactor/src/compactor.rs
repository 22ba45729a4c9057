//! The compactor: passes over the bucket, one at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::random::Random;
use base::shutdown::Shutdown;
use base::{Clock, HashMap};
use metrics::{counter, gauge};
use store::CatalogHandle;
use ulid::Ulid;

use crate::config::Config;
use crate::error::Error;
use crate::metrics::{FLOOR, LAST_SUCCESS, PASS_DURATION, PASSES, RUNNING};

/// What a compactor needs from others.
pub struct Deps {
    /// The followed catalog, with its bucket. May be shared with other services of the process.
    pub catalog: CatalogHandle,
    /// Ages of objects; never correctness.
    pub clock: Arc<dyn Clock>,
    /// When the first pass begins.
    pub random: Arc<dyn Random>,
}

/// Cleans one bucket. Any number of them may do so at the same time.
pub struct Compactor {
    pub(crate) config: Config,
    pub(crate) deps: Deps,
    /// Objects that nothing names and nobody is known to have removed: when they were first seen
    /// so, monotonic nanoseconds.
    unnamed: Mutex<HashMap<Ulid, u64>>,
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
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

impl Compactor {
    /// A compactor that does nothing yet.
    pub fn new(config: Config, deps: Deps) -> Compactor {
        Compactor { config, deps, unnamed: Mutex::default() }
    }

    /// Makes a pass every [`Config::interval`] until `shutdown`, the first somewhere in the first
    /// interval. A pass that fails is logged and counted; one that is cut off anywhere leaves
    /// nothing that the next does not finish.
    pub async fn run(&self, shutdown: Shutdown) {
        gauge!(RUNNING).set(1.0);
        gauge!(LAST_SUCCESS).set(0.0);
        let interval_ns = u64::try_from(self.config.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let mut pause = Duration::from_nanos(self.deps.random.next_u64() % interval_ns);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = self.pass_and_tell() => {}
            }
            pause = self.config.interval;
        }
        gauge!(RUNNING).set(0.0);
    }

    async fn pass_and_tell(&self) {
        let began_ns = self.deps.clock.monotonic_ns();
        let result = self.pass().await;
        let took_ns = self.deps.clock.monotonic_ns().saturating_sub(began_ns);
        gauge!(PASS_DURATION).set(took_ns as f64 / 1e9);
        let status = if result.is_ok() { "success" } else { "failure" };
        counter!(PASSES, "status" => status).increment(1);
        match result {
            Ok(pass) => {
                gauge!(LAST_SUCCESS).set(self.deps.clock.now().0 as f64 / 1e9);
                tracing::info!(?pass, "cleaned");
            }
            Err(error) => tracing::error!(%error, "cleaning failed; the next pass begins anew"),
        }
    }

    /// One pass: the log and its checkpoints, then the objects of parts.
    pub async fn pass(&self) -> Result<Pass, Error> {
        let mut pass = Pass::default();
        self.clean_log(&mut pass).await?;
        gauge!(FLOOR).set(pass.floor as f64);
        self.clean_objects(&mut pass).await?;
        Ok(pass)
    }

    pub(crate) fn lock_unnamed(&self) -> MutexGuard<'_, HashMap<Ulid, u64>> {
        self.unnamed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A duration in nanoseconds of wall time.
pub(crate) fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
