//! Rows of whole batches that lie together, some of them claimed by a commit that was not made here.
//!
//! Two ingesters hold a batch when a call to one of them had failed (B3). Whoever flushes first
//! claims it, and the other must neither answer nor flush its copy any more (B2): the unit is built
//! anew from its other batches, read back from the write-ahead log.

use std::sync::{Arc, PoisonError};

use base::{BatchId, HashSet};
use catalog::{Catalog, ClaimState};
use metrics::counter;

use crate::Error;
use crate::core::Core;
use crate::day::{Claimed, DayRows, Unit};
use crate::flush::blocking;
use crate::head::Head;
use crate::metrics::REBUILT_UNITS;

impl Core {
    /// Leaves nothing in `days` that a known commit claims in part. What cannot be mended stays as
    /// it is: its copies are equal rows, which readers count once (R2).
    pub(crate) async fn mend(self: &Arc<Self>, days: &[Arc<DayRows>]) {
        for day in days {
            if !day.lock().is_partly_claimed() {
                continue;
            }
            let (core, torn) = (Arc::clone(self), Arc::clone(day));
            let mended = blocking("mend", move || {
                let _turn = torn.seal_turn.lock().unwrap_or_else(PoisonError::into_inner);
                core.rebuild_partly_claimed(&torn)
            });
            if let Err(error) = mended.await.flatten() {
                tracing::error!(%error, tenant = %day.key.tenant, day = %day.key.day,
                    "rows that a commit claims are still answered");
            }
        }
    }

    /// Units with batches that the id table does not reach are built anew without them.
    pub(crate) fn mark_forgotten(&self, day: &DayRows) {
        let catalog = &self.deps.catalog;
        for state in &mut day.lock().units {
            let forgotten = |id: &BatchId| catalog.claim_state(id) == ClaimState::Forgotten;
            if state.claimed == Claimed::No && state.unit.batches.iter().any(forgotten) {
                state.claimed = Claimed::Partly;
            }
        }
    }

    /// Builds units anew from those of their batches that are free, read back from the WAL. The
    /// caller holds the day's seal turn. Blocking.
    pub(crate) fn rebuild_partly_claimed(&self, day: &DayRows) -> Result<(), Error> {
        loop {
            let partly = {
                let state = day.lock();
                let mut partly = state.units.iter().filter(|s| s.claimed == Claimed::Partly);
                partly.next().map(|state| Arc::clone(&state.unit))
            };
            let Some(unit) = partly else {
                return Ok(());
            };
            let catalog = &self.deps.catalog;
            let is_free = |id: &&BatchId| catalog.claim_state(id) == ClaimState::Free;
            let free: Vec<BatchId> = unit.batches.iter().filter(is_free).copied().collect();
            let head = self.read_back(&free, &unit)?;
            self.replace_unit(day, &unit, head);
            counter!(REBUILT_UNITS).increment(1);
            // A commit that was told meanwhile was told to the unit that is gone.
            self.look_up_claims(day);
        }
    }

    /// The batches `ids` of `unit`.
    fn read_back(&self, ids: &[BatchId], unit: &Unit) -> Result<Head, Error> {
        let mut head = Head::default();
        if ids.is_empty() {
            return Ok(head);
        }
        let wal = self.wal().ok_or(wal::Error::Closed)?;
        wal.read(ids, |batch| {
            let at = unit.batches.iter().position(|id| *id == batch.id);
            head.append(batch, at.map_or(unit.order, |at| unit.arrivals[at].order));
        })?;
        let read: HashSet<BatchId> = head.batches().iter().copied().collect();
        match ids.iter().find(|id| !read.contains(*id)) {
            Some(&lost) => Err(Error::LostBatch(lost)),
            None => Ok(head),
        }
    }

    /// Puts `head` in the place of `unit`. A batch that is in neither any more is let go of.
    fn replace_unit(&self, day: &DayRows, unit: &Arc<Unit>, head: Head) {
        let kept: HashSet<BatchId> = head.batches().iter().copied().collect();
        let gone = unit.batches.iter().filter(|id| !kept.contains(*id));
        let gone: Vec<BatchId> = gone.copied().collect();
        let mut state = day.lock();
        if !state.is_partly(unit) {
            return; // commits claim the rest of it by now
        }
        // Claimed rows go from here: views before the claiming commit are refused from now on.
        self.raise_floor(self.deps.catalog.read(Catalog::version));
        self.swap_streams(day, head.streams(), &unit.streams);
        self.tail_past(unit, |id| kept.contains(id));
        let rebuilt = (!head.is_empty()).then(|| Unit::raw(head, unit.order, unit.began_ns));
        if let Some(rebuilt) = &rebuilt {
            self.usage.chunk_created();
            self.usage.move_raw(0, rebuilt.raw_bytes);
        }
        state.replace_unit(unit, rebuilt, &gone);
        self.usage.flushed(unit.held_bytes(), unit.is_raw());
        drop(state);
        let catalog = &self.deps.catalog;
        let is_claimed = |id: &BatchId| catalog.claim_state(id) == ClaimState::Claimed;
        let claimed: Vec<BatchId> = gone.into_iter().filter(is_claimed).collect();
        self.queue_release(&claimed);
    }
}
