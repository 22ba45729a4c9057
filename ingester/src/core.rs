//! What the parts of an ingester share, and the moves of rows between their states.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use base::disk::Disk;
use base::random::Random;
use base::shutdown::Shutdown;
use base::{Batch, BatchId, Clock, Day, Labels, StoreId, TenantId, UnixNanos};
use catalog::{Catalog, ClaimState, Commit};
use metrics::{counter, histogram};
use rpc::members::Ring;
use store::{CatalogHandle, CommitObserver};
use tokio::sync::{Notify, RwLock, Semaphore};
use ulid::Ulid;
use wal::Wal;

use crate::admit::Admitter;
use crate::clear::Refusals;
use crate::day::{Claimed, DayKey, DayRows, DayState, Held, Released};
use crate::followed::{self, Followed};
use crate::head::memory_bytes;
use crate::metrics::{CHUNK_AGE, CHUNKS_CREATED, WAL_DISCARDED_BYTES, WAL_DISCARDED_SAMPLES};
use crate::seal;
use crate::usage::Usage;
use crate::{Config, Limits};

/// [`logql::engine::StreamSource::order`] of the first batch. Queriers number parts from 0;
/// whatever is held here arrived after them.
const FIRST_ORDER: u64 = 1 << 32;

/// What an ingester needs from others.
pub struct Deps {
    /// Where the WAL lies.
    pub disk: Arc<dyn Disk>,
    /// Ages, rates; never correctness.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub random: Arc<dyn Random>,
    /// Limits of tenants.
    pub limits: Arc<dyn Limits>,
    /// The followed catalog; its committer is this store ([`wal::store_id`]).
    pub catalog: CatalogHandle,
    /// What the ring says; hints, and the version that answers carry.
    pub ring: Arc<dyn Ring>,
}

/// Processes begin this long after the zero of their clock, nanoseconds: longer than rows lie here.
const BEFORE_NS: u64 = 1 << 53;

/// Floors of followed batches that are told apart; with more, all queries share the highest.
const MAX_FOLLOWED_FLOORS: usize = 1024;

/// Heads sealed at the same time; more wait, and with them the appends that filled them.
const SEAL_SLOTS: usize = 2;

/// Shared by the service, its background tasks and the observer of commits.
pub(crate) struct Core {
    pub config: Config,
    pub deps: Deps,
    pub usage: Usage,
    pub admitter: Mutex<Admitter>,
    pub seal_slots: Arc<Semaphore>,
    /// Permits for places in the WAL's queue, so that no caller ever blocks a runtime thread there.
    pub wal_slots: Semaphore,
    /// Something may be due for a flush, an end of retention or a release.
    pub wake: Arc<Notify>,
    /// A flush has read some rows, or has ended, well or not.
    pub flush_moved: Notify,
    /// Ends the background work.
    pub stop: Shutdown,
    /// Appends hold it for reading; the drain takes it for writing.
    pub gate: RwLock<()>,
    stopping: AtomicBool,
    days: Mutex<BTreeMap<DayKey, Arc<DayRows>>>,
    wal: OnceLock<Wal>,
    pub(crate) next_order: AtomicU64,
    /// Names this process to tails; no other one gave the places it gives.
    pub(crate) process: Ulid,
    /// Batches before this place may have been dropped: a tail that comes from before it is behind.
    pub(crate) tail_floor: AtomicU64,
    /// The highest commit for which rows were dropped (R1).
    floor: AtomicU64,
    /// By the stores before this one in their lists, the highest commit for which followed batches
    /// were dropped: it matters to queries that ask none of those stores.
    followed_floors: Mutex<BTreeMap<Box<[StoreId]>, u64>>,
    /// What this store has promised to refuse (R1b).
    pub refusals: Mutex<Refusals>,
    /// Batches the WAL may let go of.
    releases: Mutex<Vec<BatchId>>,
}

/// What became of a batch that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenIn {
    /// Its rows are in the head.
    Head {
        /// The highest attempt that is held (B3).
        attempt: u32,
        /// The head was full and is a unit now.
        is_full: bool,
    },
    /// It was there already.
    Known {
        /// The highest attempt that is held (B3).
        attempt: u32,
    },
    /// Its rows stay in the log: another store is first of its list.
    Followed,
    /// A commit claims it.
    Claimed,
    /// The id table does not reach back to it, or it belongs to another store: it stays in the WAL.
    PutAside,
}

impl Core {
    pub(crate) fn new(mut config: Config, deps: Deps) -> Arc<Core> {
        // Sealing must begin before appends are refused.
        config.raw_limit.0 = config.raw_limit.0.min(config.memory_limit.0 / 2);
        let floor = deps.catalog.snapshot().version();
        let process = deps.random.ulid(&*deps.clock);
        let queue = config.wal.queue_length.saturating_sub(WAL_QUEUE_RESERVE).max(1);
        Arc::new(Core {
            config,
            deps,
            usage: Usage::new(),
            admitter: Mutex::default(),
            seal_slots: Arc::new(Semaphore::new(SEAL_SLOTS)),
            wal_slots: Semaphore::new(queue),
            wake: Arc::new(Notify::new()),
            flush_moved: Notify::new(),
            stop: Shutdown::new(),
            gate: RwLock::new(()),
            stopping: AtomicBool::new(false),
            days: Mutex::default(),
            wal: OnceLock::new(),
            next_order: AtomicU64::new(FIRST_ORDER),
            process,
            tail_floor: AtomicU64::new(FIRST_ORDER),
            floor: AtomicU64::new(floor),
            followed_floors: Mutex::default(),
            refusals: Mutex::default(),
            releases: Mutex::default(),
        })
    }

    /// The store that this ingester writes to.
    pub(crate) fn store(&self) -> StoreId {
        self.deps.catalog.committer()
    }

    /// The log; `None` while it is replayed.
    pub(crate) fn wal(&self) -> Option<&Wal> {
        self.wal.get()
    }

    pub(crate) fn set_wal(&self, wal: Wal) {
        assert_eq!(wal.store(), self.store(), "the catalog's committer is this store");
        self.lock_refusals().promised(wal.promises());
        assert!(self.wal.set(wal).is_ok(), "the log is opened once");
    }

    /// Whether appends are refused.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Refuses appends from now on. `false`: they are refused already.
    pub(crate) fn begin_stopping(&self) -> bool {
        !self.stopping.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn now_ns(&self) -> u64 {
        // What was logged before this process began is older than its clock.
        self.deps.clock.monotonic_ns().saturating_add(BEFORE_NS)
    }

    /// When something came that is logged in a segment that was begun at `begun`, at the earliest; at
    /// most as long ago as rows may lie here. A hint: clocks may be wrong.
    pub(crate) fn began_ns(&self, begun: UnixNanos) -> u64 {
        if begun.0 == 0 {
            return self.now_ns();
        }
        let aged = self.deps.clock.now().0.saturating_sub(begun.0).max(0) as u64;
        let longest = u64::try_from(self.config.max_chunk_age.as_nanos()).unwrap_or(u64::MAX);
        self.now_ns().saturating_sub(aged.min(longest))
    }

    /// Views below it cannot be answered, whoever is asked.
    pub(crate) fn floor(&self) -> u64 {
        self.floor.load(Ordering::SeqCst)
    }

    /// Views below it cannot be answered to a query that asks `asked`: batches that this store would
    /// have had to answer are in a commit, and their rows are not here.
    pub(crate) fn floor_for(&self, asked: &[StoreId]) -> u64 {
        let floors = self.lock_followed_floors();
        let owed = floors.iter().filter(|(ahead, _)| ahead.iter().all(|s| !asked.contains(s)));
        owed.map(|(_, &commit)| commit).fold(self.floor(), u64::max)
    }

    /// Followed batches with these lists were dropped for commits up to `commit`. Before anybody can
    /// look and not find them.
    fn raise_followed_floors(&self, lists: &BTreeSet<Arc<[StoreId]>>, commit: u64) {
        if lists.is_empty() {
            return;
        }
        let mut floors = self.lock_followed_floors();
        for list in lists {
            let ahead = followed::ahead(list, self.store());
            let floor = floors.entry(ahead.into()).or_insert(0);
            *floor = commit.max(*floor);
        }
        if floors.len() > MAX_FOLLOWED_FLOORS {
            let highest = floors.values().copied().fold(0, u64::max);
            self.raise_floor(highest);
            floors.clear();
        }
    }

    fn lock_followed_floors(&self) -> MutexGuard<'_, BTreeMap<Box<[StoreId]>, u64>> {
        self.followed_floors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All days, or those of one tenant.
    pub(crate) fn days(&self, tenant: Option<&TenantId>) -> Vec<Arc<DayRows>> {
        let days = self.lock_days();
        match tenant {
            None => days.values().cloned().collect(),
            Some(tenant) => {
                let first = DayKey { tenant: tenant.clone(), day: Day(i32::MIN) };
                let from = days.range(first..).map(|(_, day)| day);
                from.take_while(|day| day.key.tenant == *tenant).cloned().collect()
            }
        }
    }

    /// The day, if anything of it is or was held lately.
    pub(crate) fn known_day(&self, key: &DayKey) -> Option<Arc<DayRows>> {
        self.lock_days().get(key).cloned()
    }

    fn lock_days(&self) -> MutexGuard<'_, BTreeMap<DayKey, Arc<DayRows>>> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn day(&self, key: &DayKey) -> Arc<DayRows> {
        let mut days = self.lock_days();
        if let Some(day) = days.get(key) {
            return Arc::clone(day);
        }
        let day = Arc::new(DayRows::new(key.clone()));
        days.insert(key.clone(), Arc::clone(&day));
        day
    }

    /// Puts the rows of a batch into the head of its day, unless they are here or committed, or
    /// another store is first of its list. `replayed`: since when it may have been in the WAL; `None`:
    /// this process has just appended it.
    pub(crate) fn take_in(&self, batch: Batch, replayed: Option<u64>) -> (TakenIn, Arc<DayRows>) {
        let key = DayKey { tenant: batch.tenant.clone(), day: batch.day };
        loop {
            let day = self.day(&key);
            let state = day.lock();
            if !state.gone {
                let taken = self.take_in_day(&day, state, batch, replayed);
                return (taken, day);
            }
        }
    }

    fn take_in_day(
        &self,
        day: &DayRows,
        mut state: MutexGuard<'_, DayState>,
        mut batch: Batch,
        replayed: Option<u64>,
    ) -> TakenIn {
        if !batch.members.contains(&self.store()) {
            // An append was refused for this: only a log can hold it.
            self.put_aside(&batch, "misplaced", "the list of the batch does not name this store");
            return TakenIn::PutAside;
        }
        // Under the lock that `committed` takes: the claim is seen here or told there.
        match self.deps.catalog.claim_state(&batch.id) {
            ClaimState::Free => {}
            ClaimState::Claimed => {
                self.queue_release(std::slice::from_ref(&batch.id));
                return TakenIn::Claimed;
            }
            ClaimState::Forgotten => {
                let what = "the batch is older than the id table reaches";
                self.put_aside(&batch, "forgotten", what);
                return TakenIn::PutAside;
            }
        }
        let (id, own) = (batch.id, self.store());
        let appended = if replayed.is_none() { batch.attempt } else { 0 };
        let began_ns = replayed.unwrap_or_else(|| self.now_ns());
        let members = std::mem::take(&mut batch.members).into();
        let (attempt, factor) = (batch.attempt, batch.factor);
        let mut held = Held { attempt, factor, members, appended };
        if state.held.contains_key(&id) {
            let attempt = state.learn(id, held, own);
            return TakenIn::Known { attempt };
        }
        let count = state.followed.len();
        if let Some(mut known) = state.followed.remove(&id) {
            known.held.learn(held);
            held = known.held.clone();
            if !held.ahead(own).is_empty() {
                state.followed.insert(id, known);
                return TakenIn::Known { attempt: held.attempt };
            }
            // The newest attempt makes this store the first.
        } else if !held.ahead(own).is_empty() {
            let bytes = memory_bytes(&batch.rows) as u64;
            let followed = Followed { held, began_ns, bytes, is_damaged: false };
            state.followed.insert(id, followed);
            self.usage.move_followed(count, state.followed.len());
            return TakenIn::Followed;
        }
        self.usage.move_followed(count, state.followed.len());
        let attempt = held.attempt;
        state.held.insert(id, held);
        let order = self.next_order();
        let (before, was_empty) = (state.head.raw_bytes(), state.head.is_empty());
        let appended = state.append(batch, (began_ns, self.now_ns()), order);
        if was_empty {
            self.usage.chunk_created();
            counter!(CHUNKS_CREATED).increment(1);
        }
        self.usage.move_raw(before as u64, state.head.raw_bytes() as u64);
        if appended.duplicates > 0 {
            day.metrics.duplicate_bytes.increment(appended.duplicate_bytes);
        }
        let fresh = appended.first_new_stream..state.head.streams().len();
        if !fresh.is_empty() {
            let held = fresh.map(|at| (&state.head.streams()[at], state.head.newest_ns(at)));
            self.hold_streams(day, held);
        }
        let is_full = seal::is_full(&state.head) && state.freeze();
        TakenIn::Head { attempt, is_full }
    }

    pub(crate) fn next_order(&self) -> u64 {
        self.next_order.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn lock_admitter(&self) -> MutexGuard<'_, Admitter> {
        self.admitter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The attempt that is held of a batch, if an ack of this one may rest on it (B3).
    pub(crate) fn safe_attempt(&self, batch: &Batch) -> Option<u32> {
        let key = DayKey { tenant: batch.tenant.clone(), day: batch.day };
        let day = self.known_day(&key)?;
        let state = day.lock();
        let followed = || state.followed.get(&batch.id).map(|followed| &followed.held);
        let held = state.held.get(&batch.id).or_else(followed)?;
        (held.appended >= batch.attempt).then_some(held.attempt)
    }

    /// Forgets streams that were admitted before `monotonic_ns` and never appended.
    pub(crate) fn forget_unheld(&self, monotonic_ns: u64) {
        self.lock_admitter().forget_unheld(monotonic_ns);
    }

    pub(crate) fn hold_streams<'a>(
        &self,
        day: &DayRows,
        held: impl Iterator<Item = (&'a Labels, i64)>,
    ) {
        let mut admitter = self.lock_admitter();
        let fresh = admitter.hold(&day.key.tenant, held);
        day.metrics.streams_created.increment(fresh);
        day.metrics.memory_streams.set(admitter.stream_count(&day.key.tenant) as f64);
    }

    /// A unit was built anew: it holds `now` and not `before` any more.
    pub(crate) fn swap_streams(&self, day: &DayRows, now: &[Labels], before: &[Labels]) {
        // Held first, so that a stream that is in both stays active.
        self.hold_streams(day, now.iter().map(|labels| (labels, i64::MIN)));
        self.release_streams(day, before);
    }

    fn release_streams(&self, day: &DayRows, streams: &[Labels]) {
        let mut admitter = self.lock_admitter();
        let removed = admitter.release(&day.key.tenant, streams);
        day.metrics.streams_removed.increment(removed);
        day.metrics.memory_streams.set(admitter.stream_count(&day.key.tenant) as f64);
    }

    /// A batch that nobody can judge is neither served nor flushed nor dropped.
    fn put_aside(&self, batch: &Batch, reason: &'static str, what: &str) {
        let (id, tenant) = (batch.id, &batch.tenant);
        tracing::error!(%id, %tenant, rows = batch.rows.len(),
            "{what}; it stays in the write-ahead log");
        counter!(WAL_DISCARDED_SAMPLES, "reason" => reason).increment(batch.rows.len() as u64);
        let bytes = batch.rows.lines.bytes.len() as u64;
        counter!(WAL_DISCARDED_BYTES, "reason" => reason).increment(bytes);
    }

    /// Notes for the background that the WAL may let go of `ids`.
    pub(crate) fn queue_release(&self, ids: &[BatchId]) {
        let mut releases = self.releases.lock().unwrap_or_else(PoisonError::into_inner);
        releases.extend_from_slice(ids);
        drop(releases);
        self.wake.notify_one();
    }

    /// Hands the noted ids to the WAL. Blocking.
    pub(crate) fn release_queued(&self) {
        let Some(wal) = self.wal() else {
            return;
        };
        let mut releases = self.releases.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = std::mem::take(&mut *releases);
        drop(releases);
        // Also without batches: what the disk would not delete is tried again.
        wal.release(ids);
    }

    /// Looks up every batch of the day's units in the catalog.
    pub(crate) fn look_up_claims(&self, day: &DayRows) {
        let mut released = Released::default();
        let (now_ns, catalog) = (self.now_ns(), &self.deps.catalog);
        let mut state = day.lock();
        // Version and claims are of one moment: a commit in between would take rows out of answers
        // at views that do not have its parts yet.
        let commit = catalog.read(|catalog| {
            let is_claimed = |id: &BatchId| catalog.table().state(id) == ClaimState::Claimed;
            state.claim_all(catalog.version(), now_ns, is_claimed, &mut released);
            catalog.version()
        });
        self.raise_followed_floors(&released.followed, commit);
        if !released.units.is_empty() {
            // Which commit up to this one it was is not known: views before it are refused.
            self.raise_floor(commit);
        }
        drop(state);
        self.finish_claims(day, released);
    }

    fn finish_claims(&self, day: &DayRows, released: Released) {
        let now_ns = self.now_ns();
        for unit in &released.units {
            let bytes = unit.held_bytes();
            self.usage.flushed(bytes, unit.is_raw());
            self.usage.move_retained(0, bytes);
            histogram!(CHUNK_AGE).record(now_ns.saturating_sub(unit.began_ns) as f64 / 1e9);
            self.release_streams(day, &unit.streams);
        }
        if released.followed_count > 0 {
            self.usage.move_followed(released.followed_count, 0);
            self.forget_if_empty(day);
        }
        self.queue_release(&released.batches);
    }

    /// Drops flushed units whose time is over, then the oldest ones above the byte limit. The floor
    /// rises before anything is dropped.
    pub(crate) fn expire_retained(&self) {
        let now_ns = self.now_ns();
        let retain_ns = self.config.flushed_retain.as_nanos() as u64;
        let mut retained = Vec::new();
        for day in self.days(None) {
            for state in &day.lock().units {
                if let Claimed::By { commit, at_ns } = state.claimed {
                    let bytes = state.unit.held_bytes();
                    let is_over = now_ns.saturating_sub(at_ns) >= retain_ns;
                    retained.push((commit, bytes, is_over));
                }
            }
        }
        retained.sort_unstable();
        let mut excess =
            self.usage.retained_bytes().saturating_sub(self.config.flushed_retain_bytes.0);
        let mut drop_through = None;
        for (commit, bytes, is_over) in retained {
            if is_over || excess > 0 {
                drop_through = Some(commit);
                excess = excess.saturating_sub(bytes);
            }
        }
        if let Some(commit) = drop_through {
            self.drop_through(commit);
        }
    }

    /// Views below `commit` are refused from now on.
    pub(crate) fn raise_floor(&self, commit: u64) {
        self.floor.fetch_max(commit, Ordering::SeqCst);
    }

    /// Drops all units that are claimed by commits up to `commit`.
    fn drop_through(&self, commit: u64) {
        self.raise_floor(commit);
        for day in self.days(None) {
            let mut state = day.lock();
            let mut dropped = 0;
            state.units.retain(|state| {
                let is_below =
                    matches!(state.claimed, Claimed::By { commit: by, .. } if by <= commit);
                if is_below {
                    self.tail_past(&state.unit, |_| false);
                    dropped += state.unit.held_bytes();
                }
                !is_below
            });
            drop(state);
            self.usage.move_retained(dropped, 0);
            self.forget_if_empty(&day);
        }
    }

    fn forget_if_empty(&self, day: &DayRows) {
        let mut days = self.lock_days();
        let mut state = day.lock();
        if state.is_empty() {
            state.gone = true;
            days.remove(&day.key);
        }
    }
}

/// Places of the WAL's queue for commands that are not appends.
const WAL_QUEUE_RESERVE: usize = 16;

/// Tells the core of commits. Weak: the catalog handle, which the core owns, owns the observer.
pub(crate) struct Observer(pub Weak<Core>);

impl CommitObserver for Observer {
    fn committed(&self, number: u64, commit: &Commit) {
        let Some(core) = self.0.upgrade() else {
            return;
        };
        if commit.claims.is_empty() {
            return;
        }
        let now_ns = core.now_ns();
        for day in core.days(None) {
            let mut released = Released::default();
            let mut state = day.lock();
            state.claim(number, now_ns, &commit.claims, &mut released);
            core.raise_followed_floors(&released.followed, number);
            drop(state);
            core.finish_claims(&day, released);
        }
    }

    fn restarted(&self, catalog: &Catalog) {
        let Some(core) = self.0.upgrade() else {
            return;
        };
        // Which commit claimed a batch is not known any more: older views are refused.
        core.floor.fetch_max(catalog.version(), Ordering::SeqCst);
        for day in core.days(None) {
            core.look_up_claims(&day);
        }
    }
}
