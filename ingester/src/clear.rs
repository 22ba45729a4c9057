//! Stores that are on their way out of the ring (R1b), and what lists must at least be.
//!
//! A store is cleared here when no unclaimed batch that is held names it and none ever will: the
//! refusal is durable before anything is looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use base::{Batch, StoreId};
use ring::State;
use rpc::ingester::IngesterError;
use ulid::Ulid;
use wal::{Promises, Required};

use crate::core::Core;
use crate::flush::{Reason, blocking};
use crate::{Error, Ingester};

/// What this store refuses, as it has promised.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    promises: Promises,
    /// When this process began to refuse a store, monotonic nanoseconds.
    began_ns: BTreeMap<(Ulid, StoreId), u64>,
}

impl Refusals {
    /// Takes over what was promised before.
    pub(crate) fn promised(&mut self, promises: Promises) {
        self.promises = promises;
    }

    /// Whether lists that name `store` are refused. A store that came back before anybody had
    /// cleared it is welcome again: a newer state says so.
    fn refuses(&self, store: StoreId, state: &State) -> bool {
        if state.retired.contains_key(&store) {
            return true;
        }
        let Some(&since) = self.promises.refuses.get(&(state.cluster, store)) else { return false };
        let is_back = |instance: &ring::Instance| instance.departure.is_none();
        !(state.version > since && state.instance(store).is_some_and(is_back))
    }

    /// Batches of a lower factor are refused: what the ring asked for last, until a newer state has
    /// a lower factor.
    fn least_factor(&self, state: &State) -> u8 {
        match self.promises.requires.get(&state.cluster) {
            None => 1,
            Some(required) if state.version > required.since => {
                required.factor.min(state.write_factor())
            }
            Some(required) => required.factor,
        }
    }

    /// When this process began to refuse one of `members` that is refused still.
    pub(crate) fn began_ns(&self, members: &[StoreId], state: &State) -> Option<u64> {
        let refused = members.iter().filter(|store| self.refuses(**store, state));
        refused.filter_map(|store| self.began_ns.get(&(state.cluster, *store)).copied()).min()
    }
}

impl Core {
    pub(crate) fn lock_refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a batch whose list must not be what it is (B6, R1b).
    pub(crate) fn check_list(&self, batch: &Batch) -> Result<(), IngesterError> {
        let members = &batch.members;
        if !members.contains(&self.store()) {
            let text = format!("batch {} belongs to other stores: {members:?}", batch.id);
            return Err(IngesterError::Misplaced(text));
        }
        let (id, len, factor) = (batch.id, members.len(), batch.factor);
        let needed = usize::from(factor) / 2 + 1;
        if len < needed {
            let text = format!("the list of batch {id} has {len} members, {needed} are needed");
            return Err(IngesterError::Misplaced(text));
        }
        let refusals = self.lock_refusals();
        let state = self.deps.ring.state();
        let least = refusals.least_factor(&state);
        if factor < least {
            let text = format!("batch {id} has replication factor {factor}, here it is {least}");
            return Err(IngesterError::Misplaced(text));
        }
        match members.iter().find(|&&store| refusals.refuses(store, &state)) {
            None => Ok(()),
            Some(store) => {
                let text = format!("the list of batch {id} names {store}, which is out");
                Err(IngesterError::Misplaced(text))
            }
        }
    }

    /// Durable when it returns, and no append that was let in before is under way.
    async fn refuse(self: &Arc<Self>, store: StoreId, since: u64) -> Result<(), Error> {
        let key = (self.deps.ring.state().cluster, store);
        let core = Arc::clone(self);
        blocking("refuse", move || core.open_wal()?.refuse(key.0, store, since)).await??;
        {
            let now_ns = self.now_ns();
            let mut refusals = self.lock_refusals();
            let before = refusals.promises.refuses.get(&key).copied().unwrap_or(0);
            refusals.promises.refuses.insert(key, since.max(before));
            if before < since {
                // Another departure.
                refusals.began_ns.remove(&key);
            }
            refusals.began_ns.entry(key).or_insert(now_ns);
        }
        // Also for a promise of before: another call may have been here a moment ago.
        drop(self.gate.write().await);
        Ok(())
    }

    /// Durable when it returns, and no append that was let in before is under way.
    async fn require(self: &Arc<Self>, required: Required) -> Result<(), Error> {
        let state = self.deps.ring.state();
        let is_promised = self.lock_refusals().least_factor(&state) >= required.factor;
        if !is_promised {
            let (core, ring) = (Arc::clone(self), state.cluster);
            blocking("require", move || core.open_wal()?.require(ring, required)).await??;
            self.lock_refusals().promises.requires.insert(ring, required);
        }
        drop(self.gate.write().await);
        Ok(())
    }

    fn open_wal(&self) -> Result<&wal::Wal, wal::Error> {
        self.wal().ok_or(wal::Error::Closed)
    }

    /// Flushes what this store is first to flush of the days that `is_meant`.
    async fn flush_days(
        self: &Arc<Self>,
        is_meant: impl Fn(&crate::day::DayState) -> bool,
    ) -> Result<(), Error> {
        let mut days = self.days(None);
        days.retain(|day| is_meant(&day.lock()));
        self.flush(days, Reason::Forced).await?;
        self.deps.catalog.follow().await?;
        Ok(())
    }
}

impl Ingester {
    /// One step of clearing `store`, whose departure began at version `since` of the ring (R1b). It
    /// refuses, durably, whatever names the store, flushes what it holds of that, and looks whether
    /// others have flushed the rest. `true`: no unclaimed batch that is held here names it and none
    /// will. `false`: ask again later; what nobody flushes is flushed here some minutes after the
    /// first step. Of itself: its own log is empty.
    pub async fn clear(&self, store: StoreId, since: u64) -> Result<bool, Error> {
        self.core.refuse(store, since).await?;
        let names = |state: &crate::day::DayState| {
            state.held.values().any(|held| held.members.contains(&store))
        };
        self.core.flush_days(names).await?;
        self.core.wake.notify_one();
        Ok(!self.core.days(None).iter().any(|day| day.lock().names(store)))
    }

    /// One step of going over to replication factor `factor`, as the ring has it at version `since`:
    /// refuses, durably, what was sent under a lower one, and flushes what it holds of that. `true`:
    /// it holds none any more.
    pub async fn require(&self, factor: u8, since: u64) -> Result<bool, Error> {
        let core = &self.core;
        core.require(Required { since, factor }).await?;
        let has_lower = |state: &crate::day::DayState| {
            let held = state.held.values();
            let followed = state.followed.iter().map(|(_, followed)| &followed.held);
            held.chain(followed).any(|held| held.factor < factor)
        };
        core.flush_days(has_lower).await?;
        Ok(!core.days(None).iter().any(|day| has_lower(&day.lock())))
    }
}
