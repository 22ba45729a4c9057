//! What runs beside the calls: flushes by size, age, idleness and limits, the end of retention,
//! releases to the WAL. Only courtesy depends on its clock.

use std::sync::Arc;

use base::{BatchId, HashMap, HashSet, StoreId};
use ring::{Phase, State};
use tokio::sync::mpsc;

use crate::Error;
use crate::adopt::RANK_NS;
use crate::core::Core;
use crate::day::{DayKey, DayRows, DayState};
use crate::flush::{Reason, blocking};
use crate::followed::Followed;

/// First and longest pause before a failed flush of a day is tried again, nanoseconds.
const RETRY_NS: (u64, u64) = (1_000_000_000, 10_000_000_000);
/// Unflushed bytes, in percent of the memory limit, at which everything is flushed early.
const PRESSURE_PERCENT: u64 = 75;
/// What is known of followed batches, in percent of the memory limit, at which the oldest of them are
/// flushed here.
const FOLLOWED_PERCENT: u64 = 10;
/// Streams that were admitted and never appended are forgotten after this, nanoseconds.
const UNHELD_NS: u64 = 600_000_000_000;

/// Days whose last flush failed.
type Failed = HashMap<DayKey, (u64, u64)>;

/// A day that should be flushed now.
struct Due {
    day: Arc<DayRows>,
    reason: Reason,
    /// Followed batches that nobody else seems to flush.
    adopt: Vec<BatchId>,
    bytes: u64,
}

impl Core {
    /// Runs until [`Core::stop`]; then waits for the flushes under way.
    pub(crate) async fn background(self: Arc<Self>) {
        let (tell, mut told) = mpsc::channel(self.config.concurrent_flushes.max(1));
        let mut running: HashSet<DayKey> = HashSet::default();
        let mut failed = Failed::default();
        let follower = base::task::spawn("follow-log", Arc::clone(&self).follow_log());
        let mut tick = tokio::time::interval(self.config.flush_check_period);
        // After a stall once is enough.
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.stop.is_cancelled() {
            let mut is_tick = false;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some((key, is_flushed)) = told.recv() => {
                    running.remove(&key);
                    self.note(&mut failed, key, is_flushed);
                }
                () = self.wake.notified() => {}
                _ = tick.tick() => is_tick = true,
            }
            self.tidy().await;
            for due in self.due(&failed, is_tick).await {
                if running.len() >= self.config.concurrent_flushes.max(1) {
                    break;
                }
                if running.insert(due.day.key.clone()) {
                    let (core, tell) = (Arc::clone(&self), tell.clone());
                    base::task::spawn("flush-day", async move {
                        let key = due.day.key.clone();
                        let flushed = core.flush_due(due).await;
                        let _ended = tell.send((key, flushed.is_ok())).await.is_err();
                    });
                }
            }
        }
        drop(tell);
        while told.recv().await.is_some() {}
        if follower.await.is_err() {
            tracing::error!("following the log of commits had panicked");
        }
    }

    async fn tidy(self: &Arc<Self>) {
        self.expire_retained();
        let before = self.now_ns().saturating_sub(UNHELD_NS);
        self.forget_unheld(before);
        let core = Arc::clone(self);
        if let Err(error) = blocking("release", move || core.release_queued()).await {
            tracing::error!(%error, "claimed batches stay in the write-ahead log");
        }
    }

    fn note(&self, failed: &mut Failed, key: DayKey, is_flushed: bool) {
        if is_flushed {
            failed.remove(&key);
            return;
        }
        let now_ns = self.now_ns();
        let entry = failed.entry(key).or_insert((0, RETRY_NS.0 / 2));
        entry.1 = (entry.1 * 2).min(RETRY_NS.1);
        entry.0 = now_ns.saturating_add(entry.1);
        self.wake_after(entry.1);
    }

    fn wake_after(&self, pause_ns: u64) {
        let stop = self.stop.clone();
        let wake = Arc::clone(&self.wake);
        base::task::spawn("flush-retry", async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = tokio::time::sleep(std::time::Duration::from_nanos(pause_ns)) => {
                    wake.notify_one();
                }
            }
        });
    }

    async fn flush_due(self: &Arc<Self>, due: Due) -> Result<(), Error> {
        // What is damaged stays in the log; the rest is flushed all the same.
        let adopted = self.adopt(&due.day, due.adopt).await;
        if let Err(error) = &adopted {
            tracing::error!(%error, "followed batches could not be read; they stay in the log");
        }
        self.flush(vec![due.day], due.reason).await?;
        adopted.map(|_damaged| ())
    }

    /// Days that should be flushed now, most urgent first. Followed batches are looked at only now
    /// and then (`is_tick`): there may be many.
    async fn due(self: &Arc<Self>, failed: &Failed, is_tick: bool) -> Vec<Due> {
        let oldest = self.oldest_batches().await;
        let ring = self.deps.ring.state();
        let too_many = self.days_too_many();
        let limit = self.config.memory_limit.0 / 100 * PRESSURE_PERCENT;
        let is_short = self.usage.rows_bytes() > limit;
        let now_ns = self.now_ns();
        let mut due = Vec::new();
        for day in self.days(None) {
            if failed.get(&day.key).is_some_and(|&(until_ns, _)| now_ns < until_ns) {
                continue;
            }
            let state = day.lock();
            let mut adopt = match is_tick {
                true => self.overdue(&state, &ring, now_ns),
                false => Vec::new(),
            };
            let is_forced = oldest.iter().any(|id| state.held.contains_key(id));
            let followed = oldest.iter().filter(|id| state.followed.contains(id));
            let is_forced = is_forced || followed.clone().next().is_some();
            adopt.extend(followed);
            let bytes = state.unflushed_raw_bytes();
            let oldest_ns = match state.oldest_unflushed_ns() {
                Some(oldest_ns) => oldest_ns,
                None if adopt.is_empty() => continue,
                None => now_ns,
            };
            let (age_ns, idle_ns) =
                (now_ns.saturating_sub(oldest_ns), now_ns.saturating_sub(state.last_append_ns));
            let is_torn = state.is_partly_claimed();
            drop(state);
            let reason = if bytes >= self.config.flush_bytes.0 {
                Reason::Full
            } else if is_torn || is_short || is_forced || too_many.contains(&day.key) {
                Reason::Forced
            } else if !adopt.is_empty()
                || u128::from(age_ns) >= self.config.max_chunk_age.as_nanos()
            {
                Reason::MaxAge
            } else if u128::from(idle_ns) >= self.config.chunk_idle_period.as_nanos() {
                Reason::Idle
            } else {
                continue;
            };
            due.push(Due { day, reason, adopt, bytes });
        }
        due.sort_by_key(|due| std::cmp::Reverse(due.bytes));
        due
    }

    /// Followed batches that this store flushes now: the k-th of a list k minutes after the age at
    /// which the first should have, at once when all before it are gone (W3).
    pub(crate) fn overdue(&self, state: &DayState, ring: &State, now_ns: u64) -> Vec<BatchId> {
        let own = self.store();
        let age_ns = u64::try_from(self.config.max_chunk_age.as_nanos()).unwrap_or(u64::MAX);
        let is_overdue = |followed: &Followed| {
            if followed.is_damaged {
                return false;
            }
            let ahead = followed.held.ahead(own);
            if ahead.iter().all(|&store| is_gone(ring, store)) {
                return true;
            }
            let aged_ns = followed.began_ns.saturating_add(age_ns);
            now_ns >= aged_ns.saturating_add(RANK_NS * ahead.len() as u64)
        };
        let overdue = state.followed.iter().filter(|(_, followed)| is_overdue(followed));
        overdue.map(|(&id, _)| id).collect()
    }

    /// Flushes everything that is held here, and of what is followed that which no store before this
    /// one lives to flush, as far as the ring knows. One that it does not know lives for nobody.
    pub(crate) async fn flush_for_the_last_time(self: &Arc<Self>) -> Result<(), Error> {
        let (own, ring) = (self.store(), self.deps.ring.state());
        let lives = |store: &StoreId| ring.instance(*store).is_some_and(|instance| instance.is_up);
        let is_left = |(id, followed): (&BatchId, &Followed)| {
            let is_left = !followed.is_damaged && !followed.held.ahead(own).iter().any(lives);
            is_left.then_some(*id)
        };
        let mut adopted = Ok(Vec::new());
        for day in self.days(None) {
            let left = day.lock().followed.iter().filter_map(is_left).collect();
            // What cannot be read keeps nothing else from being flushed.
            adopted = adopted.and(self.adopt(&day, left).await);
        }
        self.flush(self.days(None), Reason::Forced).await?;
        adopted.map(|_damaged| ())
    }

    /// Batches in the oldest segment of a WAL that is too large (W4), or that holds so many followed
    /// batches that what is known of them takes too much memory: of those segments that a flush
    /// can free. Batches put aside are of no day, and keep only their own segment.
    pub(crate) async fn oldest_batches(self: &Arc<Self>) -> Vec<BatchId> {
        let is_large = self.wal().is_some_and(wal::Wal::over_soft_limit);
        let limit = self.config.memory_limit.0 / 100 * FOLLOWED_PERCENT;
        if !is_large && self.usage.followed_bytes() <= limit {
            return Vec::new();
        }
        let mut of_days: HashSet<BatchId> = HashSet::default();
        for day in self.days(None) {
            let state = day.lock();
            of_days.extend(state.held.keys().copied());
            let readable = state.followed.iter().filter(|(_, followed)| !followed.is_damaged);
            of_days.extend(readable.map(|(id, _)| *id));
        }
        let core = Arc::clone(self);
        let oldest = blocking("oldest-batches", move || {
            let oldest = core.wal().map(|wal| wal.oldest_batches(|id| of_days.contains(id)));
            oldest.unwrap_or_default()
        });
        oldest.await.unwrap_or_default()
    }
}

/// Whether the ring has given up a store.
pub(crate) fn is_gone(ring: &State, store: StoreId) -> bool {
    ring.retired.contains_key(&store)
        || ring.instance(store).is_some_and(|instance| instance.phase == Phase::Gone)
}
