//! What is held for one (tenant, day): the head, units of whole batches that do not change any more,
//! raw or sealed, and the batches that are followed: only known here, their rows in the log.
//!
//! Rows move head -> raw unit -> sealed unit under one lock, so that whoever takes a snapshot finds
//! each row once. Sealing and flushing work outside the lock.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Batch, BatchId, Day, HashMap, Labels, StoreId, TenantId};
use bytes::Bytes;
use catalog::IdSet;
use logql::engine::overlap::StreamRange;
use store::scan::Scan;

use crate::followed::{self, Index};
use crate::head::{Appended, Arrival, Head, Snapshot};
use crate::metrics::TenantMetrics;

/// Which rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DayKey {
    pub tenant: TenantId,
    pub day: Day,
}

/// Rows of one (tenant, day).
pub(crate) struct DayRows {
    pub key: DayKey,
    pub metrics: TenantMetrics,
    state: Mutex<DayState>,
    /// Whoever turns units into parts holds it: their rows lie as they lay.
    pub seal_turn: Mutex<()>,
    /// Whoever flushes holds it: one flush of these rows at a time.
    pub flush_turn: tokio::sync::Mutex<()>,
}

/// The changing part of [`DayRows`].
#[derive(Default)]
pub(crate) struct DayState {
    /// Removed from the map: an append that still has this looks it up again.
    pub gone: bool,
    pub head: Head,
    /// Place of the head among sources by arrival.
    pub head_order: u64,
    /// When the first batch of the head came, monotonic nanoseconds.
    pub head_began_ns: u64,
    /// When the last batch came, monotonic nanoseconds.
    pub last_append_ns: u64,
    /// Oldest first, flushed ones included while they are retained.
    pub units: Vec<UnitState>,
    /// Batches whose rows are here and in no commit that is known.
    pub held: HashMap<BatchId, Held>,
    /// Batches of which another store is first, and that no commit claims that is known: their rows
    /// are in the write-ahead log (W3).
    pub followed: Index,
    /// The last flush failed: rows may stay here for long.
    pub has_failed: bool,
}

/// What is known of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// Highest attempt (B3).
    pub attempt: u32,
    /// The replication factor that its acks count on.
    pub factor: u8,
    /// Its ordered list, which names this store. Whoever is first of it outside G answers for the
    /// batch (R1).
    pub members: Arc<[StoreId]>,
    /// Highest attempt that this process appended: no ack may rest on one that was only replayed,
    /// see `wal::Wal::open`. 0: none.
    pub appended: u32,
}

impl Held {
    /// The stores before `own` in the list: while one of them is there, it answers and flushes.
    pub(crate) fn ahead(&self, own: StoreId) -> &[StoreId] {
        followed::ahead(&self.members, own)
    }

    /// The same rows came with another attempt. A lower one changes nothing but what is appended.
    pub(crate) fn learn(&mut self, other: Held) {
        self.appended = self.appended.max(other.appended);
        if other.attempt > self.attempt {
            *self = Held { appended: self.appended, ..other };
        }
    }
}

/// Rows of whole batches that do not change any more.
pub(crate) struct Unit {
    /// Place among sources by arrival.
    pub order: u64,
    pub rows: UnitRows,
    pub streams: Arc<Vec<Labels>>,
    pub ranges: Vec<StreamRange>,
    pub batches: Vec<BatchId>,
    /// When each batch came. First rows are meant for raw rows.
    pub arrivals: Vec<Arrival>,
    pub raw_bytes: u64,
    /// When its first batch came, monotonic nanoseconds.
    pub began_ns: u64,
}

/// How a unit's rows lie in memory.
pub(crate) enum UnitRows {
    /// As pages, in order of arrival.
    Raw(Snapshot),
    /// As a small part.
    Sealed { scan: Arc<Scan>, image: Bytes },
}

/// A unit and what commits say about it.
pub(crate) struct UnitState {
    pub unit: Arc<Unit>,
    pub claimed: Claimed,
    /// It is answered only if none of these is asked: they are before this store in the lists of its
    /// batches. Too few of them are never wrong: equal rows are counted once (R2).
    pub ahead: Vec<StoreId>,
}

/// Whether commits claim a unit's batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// None of them.
    No,
    /// Some, by a commit that was not made from this unit. It is built anew from the others before
    /// its rows are answered or flushed (B2).
    Partly,
    /// All, by this commit or one before it.
    By {
        /// Answered only for views below it.
        commit: u64,
        /// When that was seen, monotonic nanoseconds.
        at_ns: u64,
    },
}

/// Rows for one query, at one moment.
pub(crate) struct DaySnapshot {
    pub head: Option<(u64, Snapshot)>,
    pub units: Vec<Arc<Unit>>,
}

/// What changed for the outside when commits claimed batches.
#[derive(Default)]
pub(crate) struct Released {
    /// Batches the WAL may let go of.
    pub batches: Vec<BatchId>,
    /// Units that are flushed now.
    pub units: Vec<Arc<Unit>>,
    /// Lists of the followed batches that were among those.
    pub followed: BTreeSet<Arc<[StoreId]>>,
    /// How many they were.
    pub followed_count: usize,
}

impl Unit {
    /// The rows of `head`, in the place `order`.
    pub(crate) fn raw(mut head: Head, order: u64, began_ns: u64) -> Unit {
        let rows = head.snapshot();
        let raw_bytes = head.raw_bytes() as u64;
        let (batches, arrivals) = head.into_batches();
        Unit {
            order,
            streams: Arc::clone(&rows.streams),
            ranges: rows.ranges.clone(),
            raw_bytes,
            began_ns,
            batches,
            arrivals,
            rows: UnitRows::Raw(rows),
        }
    }

    /// The same rows as a small part.
    pub(crate) fn sealed(&self, scan: Arc<Scan>, image: Bytes) -> Unit {
        Unit {
            order: self.order,
            rows: UnitRows::Sealed { scan, image },
            streams: Arc::clone(&self.streams),
            ranges: self.ranges.clone(),
            batches: self.batches.clone(),
            arrivals: self.arrivals.clone(),
            raw_bytes: self.raw_bytes,
            began_ns: self.began_ns,
        }
    }

    /// Bytes it takes in memory.
    pub(crate) fn held_bytes(&self) -> u64 {
        match &self.rows {
            UnitRows::Raw(_) => self.raw_bytes,
            UnitRows::Sealed { image, .. } => image.len() as u64,
        }
    }

    pub(crate) fn is_raw(&self) -> bool {
        matches!(self.rows, UnitRows::Raw(_))
    }
}

impl DayRows {
    pub(crate) fn new(key: DayKey) -> DayRows {
        let metrics = TenantMetrics::new(&key.tenant);
        DayRows {
            key,
            metrics,
            state: Mutex::default(),
            seal_turn: Mutex::default(),
            flush_turn: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, DayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DayState {
    /// Adds the rows of a batch that is not held, which came at the first time and is here since the
    /// second. `order` is for a head that begins with it.
    pub(crate) fn append(
        &mut self,
        batch: Batch,
        (began_ns, now_ns): (u64, u64),
        order: u64,
    ) -> Appended {
        if self.head.is_empty() {
            self.head_order = order;
            self.head_began_ns = began_ns;
        }
        self.last_append_ns = now_ns;
        self.head.append(batch, order)
    }

    /// Makes a unit of the head, if it holds anything.
    pub(crate) fn freeze(&mut self) -> bool {
        if self.head.is_empty() {
            return false;
        }
        let head = std::mem::take(&mut self.head);
        let unit = Arc::new(Unit::raw(head, self.head_order, self.head_began_ns));
        self.units.push(UnitState { unit, claimed: Claimed::No, ahead: Vec::new() });
        true
    }

    /// Another attempt of a batch that is held: its rows are here, its list may be another one.
    pub(crate) fn learn(&mut self, batch: BatchId, other: Held, own: StoreId) -> u32 {
        let held = self.held.get_mut(&batch).expect("the caller has looked");
        held.learn(other);
        // Whoever is not before this store any more need not be gone.
        let ahead = held.ahead(own);
        for state in self.units.iter_mut().filter(|state| !state.ahead.is_empty()) {
            if state.unit.batches.contains(&batch) {
                state.ahead.retain(|store| ahead.contains(store));
            }
        }
        held.attempt
    }

    /// Rows of followed batches, built from the log, are here from now on: behind `ahead`.
    pub(crate) fn adopt(&mut self, unit: Unit, ahead: Vec<StoreId>, now_ns: u64) {
        for id in &unit.batches {
            let followed = self.followed.remove(id).expect("the caller has looked");
            self.held.insert(*id, followed.held);
        }
        // As if it had come now: it is idle only later.
        self.last_append_ns = self.last_append_ns.max(now_ns);
        let unit = Arc::new(unit);
        self.units.push(UnitState { unit, claimed: Claimed::No, ahead });
    }

    /// Puts `sealed` into the place of `raw`, if it is still there and wanted.
    pub(crate) fn finish_seal(&mut self, raw: &Arc<Unit>, sealed: Unit) -> bool {
        let mut units = self.units.iter_mut();
        let state = units.find(|state| Arc::ptr_eq(&state.unit, raw));
        match state {
            Some(state) if !matches!(state.claimed, Claimed::By { .. }) => {
                state.unit = Arc::new(sealed);
                true
            }
            _ => false,
        }
    }

    /// Whether commits claim some of the rows here and the others must be built anew.
    pub(crate) fn is_partly_claimed(&self) -> bool {
        self.units.iter().any(|state| state.claimed == Claimed::Partly)
    }

    /// Whether `unit` is here and partly claimed.
    pub(crate) fn is_partly(&self, unit: &Arc<Unit>) -> bool {
        let mut partly = self.units.iter().filter(|state| state.claimed == Claimed::Partly);
        partly.any(|state| Arc::ptr_eq(&state.unit, unit))
    }

    /// Puts `rebuilt` into the place of `unit` and forgets the batches that are `gone` with it.
    pub(crate) fn replace_unit(
        &mut self,
        unit: &Arc<Unit>,
        rebuilt: Option<Unit>,
        gone: &[BatchId],
    ) {
        let at = self.units.iter().position(|state| Arc::ptr_eq(&state.unit, unit));
        let at = at.expect("the caller has looked under the same lock");
        let UnitState { ahead, .. } = self.units.remove(at);
        if let Some(rebuilt) = rebuilt {
            let unit = Arc::new(rebuilt);
            self.units.insert(at, UnitState { unit, claimed: Claimed::No, ahead });
        }
        for id in gone {
            self.held.remove(id);
        }
    }

    /// Marks units whose batches are in commit `commit`, which claims `claims`.
    pub(crate) fn claim(
        &mut self,
        commit: u64,
        now_ns: u64,
        claims: &IdSet,
        released: &mut Released,
    ) {
        let followed = self.followed.among(claims);
        self.claim_those(commit, now_ns, &followed, |id| claims.contains(id), released);
    }

    /// Marks units whose batches `is_claimed` says are in commit `commit` or one before it.
    pub(crate) fn claim_all(
        &mut self,
        commit: u64,
        now_ns: u64,
        is_claimed: impl Fn(&BatchId) -> bool + Copy,
        released: &mut Released,
    ) {
        let followed = self.followed.iter().map(|(id, _)| *id).filter(is_claimed);
        let followed: Vec<BatchId> = followed.collect();
        self.claim_those(commit, now_ns, &followed, is_claimed, released);
    }

    fn claim_those(
        &mut self,
        commit: u64,
        now_ns: u64,
        followed: &[BatchId],
        is_claimed: impl Fn(&BatchId) -> bool + Copy,
        released: &mut Released,
    ) {
        for id in followed {
            let dropped = self.followed.remove(id).expect("it was found there");
            released.batches.push(*id);
            released.followed.insert(dropped.held.members);
            released.followed_count += 1;
        }
        // A unit says which commit claims it; a head cannot.
        if self.head.batches().iter().any(is_claimed) {
            self.freeze();
        }
        for state in &mut self.units {
            if matches!(state.claimed, Claimed::By { .. }) {
                continue;
            }
            let batches = &state.unit.batches;
            let claimed = batches.iter().filter(|id| is_claimed(id)).count();
            if claimed == batches.len() {
                state.claimed = Claimed::By { commit, at_ns: now_ns };
                for id in batches {
                    self.held.remove(id);
                }
                released.batches.extend_from_slice(batches);
                released.units.push(Arc::clone(&state.unit));
            } else if claimed > 0 {
                state.claimed = Claimed::Partly;
            }
        }
    }

    /// The rows that are in no commit at or before `view`, as far as commits are known, and that
    /// none of `asked` has to answer first.
    pub(crate) fn snapshot(&mut self, view: u64, asked: &[StoreId]) -> DaySnapshot {
        let head = match self.head.is_empty() {
            true => None,
            false => Some((self.head_order, self.head.snapshot())),
        };
        let is_held = |state: &&UnitState| match state.claimed {
            Claimed::No | Claimed::Partly => true,
            Claimed::By { commit, .. } => view < commit,
        };
        let is_owed = |state: &&UnitState| state.ahead.iter().all(|store| !asked.contains(store));
        let units = self.units.iter().filter(is_held).filter(is_owed);
        let units = units.map(|state| Arc::clone(&state.unit));
        DaySnapshot { head, units: units.collect() }
    }

    /// Units that no commit claims, oldest first.
    pub(crate) fn unflushed(&self) -> Vec<Arc<Unit>> {
        let unflushed = self.units.iter().filter(|state| state.claimed == Claimed::No);
        unflushed.map(|state| Arc::clone(&state.unit)).collect()
    }

    /// Whether one of the streams that are asked for has rows that no commit claims.
    pub(crate) fn has_unflushed(&self, mut is_selected: impl FnMut(&Labels) -> bool) -> bool {
        let units = self.units.iter().filter(|s| !matches!(s.claimed, Claimed::By { .. }));
        let of_units = units.flat_map(|state| state.unit.streams.iter());
        self.head.streams().iter().chain(of_units).any(&mut is_selected)
    }

    /// Raw bytes of everything that no commit claims.
    pub(crate) fn unflushed_raw_bytes(&self) -> u64 {
        let units = self.units.iter().filter(|s| !matches!(s.claimed, Claimed::By { .. }));
        units.map(|state| state.unit.raw_bytes).sum::<u64>() + self.head.raw_bytes() as u64
    }

    /// When the oldest batch that no commit claims came; `None` if there is none.
    pub(crate) fn oldest_unflushed_ns(&self) -> Option<u64> {
        let units = self.units.iter().filter(|s| !matches!(s.claimed, Claimed::By { .. }));
        let units = units.map(|state| state.unit.began_ns);
        let head = (!self.head.is_empty()).then_some(self.head_began_ns);
        units.chain(head).min()
    }

    /// Whether nothing is left to answer, flush or remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_empty()
            && self.units.is_empty()
            && self.held.is_empty()
            && self.followed.is_empty()
    }
}
