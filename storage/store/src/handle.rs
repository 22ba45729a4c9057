//! The catalog of one process: followed from the log, shared by everybody in it.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use base::random::Random;
use base::{BatchId, Clock, StoreId};
use catalog::{Catalog, ClaimState, Commit, DayEntry, Draft, Snapshot};

use crate::bucket::Bucket;
use crate::config::CatalogConfig;
use crate::error::Error;

/// Hears of every commit, in order, whoever made it. Called while the log is being followed: be
/// quick, do not wait, do not follow from in here.
///
/// When a call comes, [`CatalogHandle::claim_state`] already knows the commit's ids, and no
/// [`CatalogHandle::snapshot`] shows it yet. So whoever checks the table and stores a batch under
/// a lock that `committed` takes too, either sees the claim or is told of it.
pub trait CommitObserver: Send + Sync {
    /// Commit `number` is in the log for good: its floor was checked.
    fn committed(&self, number: u64, commit: &Commit);

    /// The state begins at `catalog` and not at the commit after the last one told: at
    /// registration, and when the log was started over from a checkpoint. Everything that is held
    /// must be looked up in its table.
    fn restarted(&self, catalog: &Catalog);
}

/// What a handle needs from others.
#[derive(Clone)]
pub struct Deps {
    /// Where the log is.
    pub bucket: Bucket,
    /// Who commits.
    pub committer: StoreId,
    /// Draws nonces.
    pub random: Arc<dyn Random>,
    /// Ages the id table; never correctness.
    pub clock: Arc<dyn Clock>,
}

/// The followed catalog. Cheap to clone.
#[derive(Clone)]
pub struct CatalogHandle {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub deps: Deps,
    pub config: CatalogConfig,
    #[cfg(any(test, feature = "testing"))]
    pub knobs: crate::testing::Knobs,
    /// The newest state. Changed only under `tail`; told to observers after.
    pub state: RwLock<Catalog>,
    /// What readers see: `state` after every observer was told.
    pub visible: RwLock<Snapshot>,
    pub observers: Mutex<Vec<Arc<dyn CommitObserver>>>,
    /// Whoever follows the log holds it; the number of the last finished round.
    pub tail: tokio::sync::Mutex<u64>,
    /// Rounds of following that have begun.
    pub rounds: AtomicU64,
    /// One commit of this process at a time: they would only collide.
    pub committing: tokio::sync::Mutex<()>,
    pub checkpoint: tokio::sync::Mutex<LastCheckpoint>,
}

/// The checkpoint that the next one builds on.
#[derive(Default)]
pub(crate) struct LastCheckpoint {
    pub version: u64,
    /// Day objects that are known to be in the bucket and sound.
    pub days: BTreeSet<DayEntry>,
}

impl CatalogHandle {
    /// Reads the catalog from the newest valid checkpoint and the log after it, to its head.
    pub async fn open(deps: Deps, config: CatalogConfig) -> Result<CatalogHandle, Error> {
        let handle = CatalogHandle::unopened(
            deps,
            config,
            #[cfg(any(test, feature = "testing"))]
            crate::testing::Knobs::default(),
        );
        handle.start().await?;
        Ok(handle)
    }

    pub(crate) fn unopened(
        deps: Deps,
        config: CatalogConfig,
        #[cfg(any(test, feature = "testing"))] knobs: crate::testing::Knobs,
    ) -> CatalogHandle {
        let catalog = Catalog::new();
        let inner = Inner {
            deps,
            config,
            #[cfg(any(test, feature = "testing"))]
            knobs,
            visible: RwLock::new(catalog.snapshot()),
            state: RwLock::new(catalog),
            observers: Mutex::default(),
            tail: tokio::sync::Mutex::new(0),
            rounds: AtomicU64::new(0),
            committing: tokio::sync::Mutex::new(()),
            checkpoint: tokio::sync::Mutex::default(),
        };
        CatalogHandle { inner: Arc::new(inner) }
    }

    /// The bucket of the log and of the parts.
    pub fn bucket(&self) -> &Bucket {
        &self.inner.deps.bucket
    }

    /// Who commits.
    pub fn committer(&self) -> StoreId {
        self.inner.deps.committer
    }

    /// The last view that was read; may be older than the log's head. No IO.
    pub fn snapshot(&self) -> Snapshot {
        self.inner.visible.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known about a batch id. No IO.
    pub fn claim_state(&self, id: &BatchId) -> ClaimState {
        self.read(|catalog| catalog.table().state(id))
    }

    /// Looks at the newest state; keep it short.
    pub fn read<T>(&self, look: impl FnOnce(&Catalog) -> T) -> T {
        look(&self.inner.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// An empty draft. Call it **before** the first part of it is uploaded, and again for every
    /// rebuild: a rebuilt draft uploads all its parts anew.
    pub fn draft(&self) -> Draft {
        let random = &self.inner.deps.random;
        let nonce = (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64());
        let began_at = self.read(Catalog::version);
        Draft::new(nonce, began_at, self.inner.deps.clock.now())
    }

    /// Tells `observer` of the present state, then of every commit.
    pub async fn observe(&self, observer: Arc<dyn CommitObserver>) {
        let _tail = self.inner.tail.lock().await;
        let catalog = self.read(Catalog::clone);
        observer.restarted(&catalog);
        self.observers().push(observer);
    }

    pub(crate) fn observers(&self) -> MutexGuard<'_, Vec<Arc<dyn CommitObserver>>> {
        self.inner.observers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn version(&self) -> u64 {
        self.read(Catalog::version)
    }

    /// Changes the state. The caller holds `tail`.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Catalog) -> T) -> T {
        change(&mut self.inner.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets readers see the state. The caller holds `tail` and has told the observers.
    pub(crate) fn publish(&self) {
        let (snapshot, ranges) =
            self.read(|catalog| (catalog.snapshot(), catalog.table().range_count()));
        metrics::gauge!(crate::metrics::VERSION).set(snapshot.version() as f64);
        metrics::gauge!(crate::metrics::ID_RANGES).set(ranges as f64);
        *self.inner.visible.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }
}

#[cfg(test)]
mod tests;
