//! Stores that are on their way out of the ring (R1b), and what lists must at least be.
//!
//! A store is cleared here when no unclaimed batch that is held names it and none ever will: the
//! refusal is durable before anything is looked at.
//!
//! Somebody waits for what is asked for here, so nobody waits for ages (W3): what this store is first
//! of it flushes at once, and of what it follows that which those before it do not seem to have, see
//! [`Core::flush_asked`].

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use base::{Batch, BatchId, StoreId};
use ring::State;
use rpc::ingester::IngesterError;
use wal::{Promises, Required};

use crate::background::is_gone;
use crate::core::Core;
use crate::day::{DayState, Held};
use crate::flush::{Reason, blocking};
use crate::followed::Followed;
use crate::{Error, Ingester};

/// For each store before this one in the list of a followed batch that is asked for, so long nothing
/// of what is asked for may leave before it is flushed here, nanoseconds: who is there commits
/// within that, unless the batch never reached him. Too short costs an upload, and nothing else.
pub(crate) const TURN_NS: u64 = 3_000_000_000;

/// What this store refuses, as it has promised.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    promises: Promises,
    /// What this process waits for others to flush.
    awaited: BTreeMap<Asked, Awaited>,
}

/// What is asked to be flushed: batches that name a store, or that were sent under a lower factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Naming(StoreId),
    Below(u8),
}

/// Followed batches that are asked for.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    /// How many they were at the last look.
    left: usize,
    /// Since when they are so many, monotonic nanoseconds.
    since_ns: u64,
}

impl Asked {
    fn means(self, held: &Held) -> bool {
        match self {
            Asked::Naming(store) => held.members.contains(&store),
            Asked::Below(factor) => held.factor < factor,
        }
    }

    /// The followed batches of a day that are meant.
    fn followed(self, state: &DayState) -> impl Iterator<Item = (BatchId, &Followed)> {
        // Lists are few.
        let is_none = matches!(self, Asked::Naming(store) if !state.followed.names(store));
        let followed = state.followed.iter().take_while(move |_| !is_none);
        let followed = followed.map(|(&id, followed)| (id, followed));
        followed.filter(move |(_, followed)| self.means(&followed.held))
    }

    /// Whether rows or log of a day have some that are meant.
    fn is_in(self, state: &DayState) -> bool {
        self.is_held(state) || self.followed(state).next().is_some()
    }

    fn is_held(self, state: &DayState) -> bool {
        state.held.values().any(|held| self.means(held))
    }

    /// Whether `store` has said that it holds nothing of this, or cannot flush it any more.
    fn is_done_by(self, store: StoreId, state: &State) -> bool {
        let has_said = match self {
            Asked::Naming(of) => {
                let departure = state.instance(of).and_then(|of| of.departure.as_ref());
                departure.is_some_and(|departure| departure.cleared.contains(&store))
            }
            Asked::Below(factor) => {
                state.instance(store).is_some_and(|instance| instance.factor >= factor)
            }
        };
        has_said || is_gone(state, store)
    }
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

    /// How long others have flushed nothing of what is asked for and followed, if so much is left.
    fn waited_ns(&mut self, asked: Asked, left: usize, now_ns: u64) -> u64 {
        if left == 0 {
            self.awaited.remove(&asked);
            return 0;
        }
        let new = Awaited { left, since_ns: now_ns };
        let awaited = self.awaited.entry(asked).or_insert(new);
        if left != awaited.left {
            *awaited = new;
        }
        now_ns.saturating_sub(awaited.since_ns)
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
            let mut refusals = self.lock_refusals();
            let before = refusals.promises.refuses.get(&key).copied().unwrap_or(0);
            refusals.promises.refuses.insert(key, since.max(before));
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

    /// One step of getting rid of what is asked for, which is not taken in any more: flushes what this
    /// store has rows of, and of what it follows that which no store before it in the list is left to
    /// flush, or which has had its turn ([`TURN_NS`]): an append that never reached its owner, above
    /// all. Returns whether nothing of it is left. The log decides who flushed what, as always.
    async fn flush_asked(self: &Arc<Self>, asked: Asked) -> Result<bool, Error> {
        self.flush_held(asked).await?;
        let ring = self.deps.ring.state();
        let days = self.days(None);
        let left = days.iter().map(|day| asked.followed(&day.lock()).count()).sum();
        let waited_ns = self.lock_refusals().waited_ns(asked, left, self.now_ns());
        let mut has_taken_over = false;
        for day in &days {
            let due = self.due_of(asked, &day.lock(), &ring, waited_ns);
            has_taken_over |= !due.is_empty();
            // What is damaged stays followed; the rest is flushed all the same.
            let _damaged = self.adopt(day, due).await?;
        }
        if has_taken_over {
            self.flush_held(asked).await?;
        }
        self.wake.notify_one();
        Ok(!self.days(None).iter().any(|day| asked.is_in(&day.lock())))
    }

    /// Followed batches of a day that are asked for and nobody else seems to flush.
    fn due_of(&self, asked: Asked, state: &DayState, ring: &State, waited_ns: u64) -> Vec<BatchId> {
        let own = self.store();
        let is_due = |followed: &Followed| {
            let ahead = followed.held.ahead(own).iter();
            let turns = ahead.filter(|&&store| !asked.is_done_by(store, ring)).count() as u64;
            !followed.is_damaged && waited_ns >= TURN_NS * turns
        };
        let due = asked.followed(state).filter(|(_, followed)| is_due(followed));
        due.map(|(id, _)| id).collect()
    }

    /// Flushes the days of which rows that are asked for are here.
    async fn flush_held(self: &Arc<Self>, asked: Asked) -> Result<(), Error> {
        let mut days = self.days(None);
        days.retain(|day| asked.is_held(&day.lock()));
        self.flush(days, Reason::Forced).await?;
        self.deps.catalog.follow().await?;
        Ok(())
    }
}

impl Ingester {
    /// One step of clearing `store`, whose departure began at version `since` of the ring (R1b). It
    /// refuses, durably, whatever names the store, flushes what it holds of that, and looks whether
    /// others have flushed the rest. `true`: no unclaimed batch that is held here names it and none
    /// will. `false`: ask again soon; what nobody else flushes is flushed here. Of itself: its own log
    /// is empty.
    pub async fn clear(&self, store: StoreId, since: u64) -> Result<bool, Error> {
        self.core.refuse(store, since).await?;
        self.core.flush_asked(Asked::Naming(store)).await
    }

    /// One step of going over to replication factor `factor`, as the ring has it at version `since`:
    /// refuses, durably, what was sent under a lower one, and flushes what it holds of that. `true`:
    /// it holds none any more. `false`: ask again soon; what nobody else flushes is flushed here.
    pub async fn require(&self, factor: u8, since: u64) -> Result<bool, Error> {
        self.core.require(Required { since, factor }).await?;
        self.core.flush_asked(Asked::Below(factor)).await
    }
}
