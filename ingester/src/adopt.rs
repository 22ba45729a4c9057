//! Followed batches become rows in memory: because whoever is before this store in their lists is
//! gone as far as a query knows, or because it is time that somebody flushes them (W3).
//!
//! They are read back from the write-ahead log into units of their own, one for all batches that
//! stand behind the same stores: so a query that does not take those for gone passes over the unit.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use base::{BatchId, HashSet, StoreId};
use metrics::counter;

use crate::Error;
use crate::core::Core;
use crate::day::{DayRows, DayState, Unit};
use crate::flush::{Reason, blocking};
use crate::head::Head;
use crate::metrics::{ADOPTED_BATCHES, CHUNKS_CREATED, WAL_DISCARDED_BYTES};

/// Rows read back at once.
const ADOPT_BYTES: u64 = 32 << 20;
/// Unflushed bytes, in percent of the memory limit, above which what was adopted is flushed before
/// more is.
const ROOM_PERCENT: u64 = 75;
/// Times batches are read again because one of them was claimed or came anew meanwhile.
const MAX_TRIES: u32 = 16;
/// A store flushes what it adopted this much later for each store before it, nanoseconds (W3).
pub(crate) const RANK_NS: u64 = 60_000_000_000;

/// Rows by the stores before this one in the lists of their batches.
type Groups = BTreeMap<Vec<StoreId>, Head>;

impl Core {
    /// Has the rows of `ids` in memory, those of them that are still followed. Where memory is short
    /// they are flushed on the way: then the floor rises. Returns those whose records are damaged.
    pub(crate) async fn adopt(
        self: &Arc<Self>,
        day: &Arc<DayRows>,
        mut ids: Vec<BatchId>,
    ) -> Result<Vec<BatchId>, Error> {
        let mut damaged = Vec::new();
        // One order for everybody, and that of the log for those of one sender.
        ids.sort_unstable();
        while !ids.is_empty() {
            let some = self.some_of(day, &mut ids);
            let (core, of) = (Arc::clone(self), Arc::clone(day));
            damaged.extend(blocking("adopt", move || core.adopt_some(&of, &some)).await??);
            if self.usage.rows_bytes() > self.config.memory_limit.0 / 100 * ROOM_PERCENT {
                self.flush(vec![Arc::clone(day)], Reason::Forced).await?;
                self.expire_retained();
            }
        }
        Ok(damaged)
    }

    /// Takes ids until they are many bytes.
    fn some_of(&self, day: &DayRows, ids: &mut Vec<BatchId>) -> Vec<BatchId> {
        let state = day.lock();
        let mut bytes = 0;
        let fit = ids.iter().take_while(|id| {
            let is_first = bytes == 0;
            bytes += state.followed.get(id).map_or(0, |followed| followed.bytes);
            is_first || bytes <= ADOPT_BYTES
        });
        let fit = fit.count();
        drop(state);
        let rest = ids.split_off(fit.max(1));
        std::mem::replace(ids, rest)
    }

    /// Blocking.
    fn adopt_some(&self, day: &DayRows, ids: &[BatchId]) -> Result<Vec<BatchId>, Error> {
        let _turn = day.seal_turn.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..MAX_TRIES {
            let by_ahead = by_ahead(&day.lock(), ids, self.store());
            if by_ahead.is_empty() {
                return Ok(Vec::new());
            }
            let read = self.read_groups(&by_ahead);
            let mut state = day.lock();
            if self::by_ahead(&state, ids, self.store()) != by_ahead {
                // Claimed, or another attempt came: a segment may be gone with it.
                continue;
            }
            let (groups, damaged) = read?;
            self.put_damaged_aside(&mut state, &damaged);
            for (ahead, head) in groups {
                let began = head
                    .batches()
                    .iter()
                    .filter_map(|id| state.followed.get(id).map(|f| f.began_ns));
                let began_ns = began.min().unwrap_or_default();
                let rank_ns = RANK_NS * ahead.len() as u64;
                let held =
                    (0..head.streams().len()).map(|n| (&head.streams()[n], head.newest_ns(n)));
                self.hold_streams(day, held);
                let order = self.next_order();
                let mut unit = Unit::raw(head, order, began_ns.saturating_add(rank_ns));
                unit.arrivals.iter_mut().for_each(|arrival| arrival.order = order);
                counter!(ADOPTED_BATCHES).increment(unit.batches.len() as u64);
                counter!(CHUNKS_CREATED).increment(1);
                self.usage.chunk_created();
                self.usage.move_raw(0, unit.raw_bytes);
                let count = state.followed.len();
                state.adopt(unit, ahead, self.now_ns());
                self.usage.move_followed(count, state.followed.len());
            }
            return Ok(damaged);
        }
        Err(Error::Contended(MAX_TRIES))
    }

    /// They stay followed, so that no query that needs them is answered without them.
    fn put_damaged_aside(&self, state: &mut DayState, damaged: &[BatchId]) {
        for id in damaged {
            let bytes = state.followed.get(id).map_or(0, |followed| followed.bytes);
            tracing::error!(%id, bytes, "the record of a followed batch is damaged");
            counter!(WAL_DISCARDED_BYTES, "reason" => "damaged").increment(bytes);
            state.followed.set_damaged(id);
        }
    }

    /// The rows of all of them from the log, and those that it does not give back.
    fn read_groups(
        &self,
        by_ahead: &BTreeMap<BatchId, Vec<StoreId>>,
    ) -> Result<(Groups, Vec<BatchId>), Error> {
        let wal = self.wal().ok_or(wal::Error::Closed)?;
        let ids: Vec<BatchId> = by_ahead.keys().copied().collect();
        let mut groups = Groups::new();
        let mut read: HashSet<BatchId> = HashSet::default();
        wal.read(&ids, |batch| {
            let id = batch.id;
            if let Some(ahead) = by_ahead.get(&id) {
                // Its place is given when the rows become visible.
                groups.entry(ahead.clone()).or_default().append(batch, 0);
                read.insert(id);
            }
        })?;
        let damaged = ids.into_iter().filter(|id| !read.contains(id)).collect();
        Ok((groups, damaged))
    }
}

/// Those of `ids` that are followed, each with the stores before `own`, sorted.
fn by_ahead(state: &DayState, ids: &[BatchId], own: StoreId) -> BTreeMap<BatchId, Vec<StoreId>> {
    let followed = ids.iter().filter_map(|id| Some((*id, state.followed.get(id)?)));
    let by_ahead = followed.map(|(id, followed)| {
        let mut ahead = followed.held.ahead(own).to_vec();
        ahead.sort_unstable();
        (id, ahead)
    });
    by_ahead.collect()
}
