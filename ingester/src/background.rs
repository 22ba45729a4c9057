//! What runs beside the calls: flushes by size, age, idleness and limits, the end of retention,
//! releases to the WAL. Only courtesy depends on its clock.

use std::sync::Arc;

use base::{BatchId, HashMap, HashSet};
use tokio::sync::mpsc;

use crate::core::Core;
use crate::day::{DayKey, DayRows};
use crate::flush::{Reason, blocking};

/// First and longest pause before a failed flush of a day is tried again, nanoseconds.
const RETRY_NS: (u64, u64) = (1_000_000_000, 10_000_000_000);
/// Unflushed bytes, in percent of the memory limit, at which everything is flushed early.
const PRESSURE_PERCENT: u64 = 75;
/// Streams that were admitted and never appended are forgotten after this, nanoseconds.
const UNHELD_NS: u64 = 600_000_000_000;

/// Days whose last flush failed.
type Failed = HashMap<DayKey, (u64, u64)>;

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
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some((key, is_flushed)) = told.recv() => {
                    running.remove(&key);
                    self.note(&mut failed, key, is_flushed);
                }
                () = self.wake.notified() => {}
                _ = tick.tick() => {}
            }
            self.tidy().await;
            for (day, reason) in self.due(&failed).await {
                if running.len() >= self.config.concurrent_flushes.max(1) {
                    break;
                }
                if running.insert(day.key.clone()) {
                    let (core, tell) = (Arc::clone(&self), tell.clone());
                    base::task::spawn("flush-day", async move {
                        let key = day.key.clone();
                        let flushed = core.flush(vec![day], reason).await;
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

    /// Days that should be flushed now, most urgent first.
    async fn due(self: &Arc<Self>, failed: &Failed) -> Vec<(Arc<DayRows>, Reason)> {
        let oldest = self.days_of_oldest_segment().await;
        let too_many = self.days_too_many();
        let limit = self.config.memory_limit.0 / 100 * PRESSURE_PERCENT;
        let is_short = self.usage.held_bytes() > limit;
        let now_ns = self.now_ns();
        let mut due = Vec::new();
        for day in self.days(None) {
            if failed.get(&day.key).is_some_and(|&(until_ns, _)| now_ns < until_ns) {
                continue;
            }
            let state = day.lock();
            let bytes = state.unflushed_raw_bytes();
            let Some(oldest_ns) = state.oldest_unflushed_ns() else {
                continue;
            };
            let (age_ns, idle_ns) =
                (now_ns.saturating_sub(oldest_ns), now_ns.saturating_sub(state.last_append_ns));
            let is_torn = state.is_partly_claimed();
            drop(state);
            let reason = if bytes >= self.config.flush_bytes.0 {
                Reason::Full
            } else if is_torn
                || is_short
                || oldest.contains(&day.key)
                || too_many.contains(&day.key)
            {
                Reason::Forced
            } else if u128::from(age_ns) >= self.config.max_chunk_age.as_nanos() {
                Reason::MaxAge
            } else if u128::from(idle_ns) >= self.config.chunk_idle_period.as_nanos() {
                Reason::Idle
            } else {
                continue;
            };
            due.push((bytes, day, reason));
        }
        due.sort_by_key(|&(bytes, ..)| std::cmp::Reverse(bytes));
        due.into_iter().map(|(_, day, reason)| (day, reason)).collect()
    }

    /// Days with batches in the oldest segment of a WAL that is too large (W4): of those segments
    /// that a flush can free. Batches put aside are of no day, and keep only their own segment.
    async fn days_of_oldest_segment(self: &Arc<Self>) -> Vec<DayKey> {
        if !self.wal().is_some_and(wal::Wal::over_soft_limit) {
            return Vec::new();
        }
        let mut day_of: HashMap<BatchId, DayKey> = HashMap::default();
        for day in self.days(None) {
            day_of.extend(day.lock().held.keys().map(|id| (*id, day.key.clone())));
        }
        let core = Arc::clone(self);
        let oldest = blocking("oldest-batches", move || {
            let wal = core.wal();
            let oldest = wal.map(|wal| wal.oldest_batches(|id| day_of.contains_key(id)));
            let oldest = oldest.unwrap_or_default().into_iter();
            let mut days: Vec<DayKey> = oldest.filter_map(|id| day_of.remove(&id)).collect();
            days.sort_unstable();
            days.dedup();
            days
        });
        oldest.await.unwrap_or_default()
    }
}
