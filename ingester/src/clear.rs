//! Stores that are on their way out of the ring (R1b), and what lists must at least be.
//!
//! A store is cleared here when no unclaimed batch that is held names it and none ever will: the
//! refusal is durable before anything is looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use base::{Batch, StoreId};
use ring::State;
use rpc::ingester::IngesterError;
use wal::Promises;

use crate::core::Core;
use crate::flush::{Reason, blocking};
use crate::{Error, Ingester};

/// What this store refuses.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    stores: BTreeMap<StoreId, Refusal>,
    /// Lists are at least a majority of this factor.
    least_factor: u8,
}

/// Lists that name a store are refused.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    /// The version of the ring at which its departure began.
    since: u64,
    /// When this process began to refuse, monotonic nanoseconds.
    began_ns: u64,
}

impl Refusals {
    /// Takes over what was promised before.
    pub(crate) fn promised(&mut self, promises: Promises) {
        self.least_factor = self.least_factor.max(promises.requires);
        for (store, since) in promises.refuses {
            self.stores.entry(store).or_insert(Refusal { since, began_ns: 0 });
        }
    }

    /// Whether lists that name `store` are refused. A store that came back before anybody had
    /// cleared it is welcome again: a newer state says so.
    fn refuses(&self, store: StoreId, state: &State) -> bool {
        if state.retired.contains_key(&store) {
            return true;
        }
        let Some(refusal) = self.stores.get(&store) else { return false };
        let is_back = |instance: &ring::Instance| instance.departure.is_none();
        !(state.version > refusal.since && state.instance(store).is_some_and(is_back))
    }

    /// When this process began to refuse one of `members`.
    pub(crate) fn began_ns(&self, members: &[StoreId]) -> Option<u64> {
        let began = members.iter().filter_map(|store| self.stores.get(store));
        began.map(|refusal| refusal.began_ns).min()
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
        let refusals = self.lock_refusals();
        let least = usize::from(refusals.least_factor) / 2 + 1;
        if members.len() < least {
            let (id, len) = (batch.id, members.len());
            let text = format!("the list of batch {id} has {len} members, {least} are needed");
            return Err(IngesterError::Misplaced(text));
        }
        let state = self.deps.ring.state();
        match members.iter().find(|&&store| refusals.refuses(store, &state)) {
            None => Ok(()),
            Some(store) => {
                let text = format!("the list of batch {} names {store}, which is out", batch.id);
                Err(IngesterError::Misplaced(text))
            }
        }
    }

    /// Durable when it returns, and no append that was let in before is under way.
    async fn refuse(self: &Arc<Self>, store: StoreId, since: u64) -> Result<(), Error> {
        let began_ns = self.now_ns();
        {
            let mut refusals = self.lock_refusals();
            let known = refusals.stores.entry(store).or_insert(Refusal { since, began_ns });
            if known.since < since {
                *known = Refusal { since, began_ns };
            }
        }
        let core = Arc::clone(self);
        blocking("refuse", move || match core.wal() {
            Some(wal) => wal.refuse(store, since),
            None => Err(wal::Error::Closed),
        })
        .await??;
        drop(self.gate.write().await);
        Ok(())
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

    /// One step of going over to replication factor `factor`: refuses, durably, lists that are no
    /// majority of it, and flushes what was acknowledged with such. `true`: none is held any more.
    pub async fn require(&self, factor: u8) -> Result<bool, Error> {
        let core = Arc::clone(&self.core);
        {
            let mut refusals = core.lock_refusals();
            refusals.least_factor = refusals.least_factor.max(factor);
        }
        let log = Arc::clone(&core);
        blocking("require", move || match log.wal() {
            Some(wal) => wal.require(factor),
            None => Err(wal::Error::Closed),
        })
        .await??;
        drop(core.gate.write().await);
        let least = usize::from(factor) / 2 + 1;
        let has_short = |state: &crate::day::DayState| {
            let held = state.held.values().map(|held| &held.members);
            let followed = state.followed.values().map(|followed| &followed.held.members);
            held.chain(followed).any(|members| members.len() < least)
        };
        core.flush_days(has_short).await?;
        Ok(!core.days(None).iter().any(|day| has_short(&day.lock())))
    }
}
