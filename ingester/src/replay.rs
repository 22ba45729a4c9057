//! Replay: the WAL becomes heads again, sealed and if need be flushed on the way (W5). Of followed
//! batches only what is known of them.

use std::sync::Arc;

use base::{HashSet, StreamKey, UnixNanos};
use metrics::{counter, gauge};
use wal::{Env, Progress, Recovered, Recovery, Verdict};

use crate::Error;
use crate::core::{Core, TakenIn};
use crate::flush::{Reason, blocking};
use crate::metrics::{
    WAL_RECOVERED_CHUNKS, WAL_RECOVERED_ENTRIES, WAL_RECOVERED_STREAMS, WAL_REPLAY_ACTIVE,
    WAL_REPLAY_FLUSHING, WAL_REPLAY_SECONDS,
};

/// Replay flushes when unflushed rows take this part of the memory limit: pushes need the rest.
const FLUSH_AT_PERCENT: u64 = 50;

impl Core {
    /// Opens the WAL and takes in every batch that no commit claims.
    pub(crate) async fn replay(self: &Arc<Self>) -> Result<(), Error> {
        let began_ns = self.now_ns();
        gauge!(WAL_REPLAY_ACTIVE).set(1.0);
        let replayed = self.replay_in_runs().await;
        gauge!(WAL_REPLAY_ACTIVE).set(0.0);
        let seconds = self.now_ns().saturating_sub(began_ns) as f64 / 1e9;
        gauge!(WAL_REPLAY_SECONDS).set(seconds);
        replayed
    }

    /// Reads where it may block; flushes in between, when memory is short.
    async fn replay_in_runs(self: &Arc<Self>) -> Result<(), Error> {
        let env = Env {
            disk: Arc::clone(&self.deps.disk),
            clock: Arc::clone(&self.deps.clock),
            random: Arc::clone(&self.deps.random),
        };
        let config = self.config.wal.clone();
        let begin = move || Recovery::begin(config, env);
        let recovery = blocking("replay", begin).await??;
        let mut replay = Replay { recovery, streams: HashSet::default(), entries: 0 };
        loop {
            let core = Arc::clone(self);
            let run = move || {
                let progress = replay.run(&core)?;
                Ok::<_, Error>((replay, progress))
            };
            let progress;
            (replay, progress) = blocking("replay", run).await??;
            if progress == Progress::Done {
                break;
            }
            self.make_room().await?;
        }
        let core = Arc::clone(self);
        blocking("replay", move || core.finish_replay(replay)).await?
    }

    fn finish_replay(&self, replay: Replay) -> Result<(), Error> {
        let Replay { recovery, streams, entries } = replay;
        let (wal, replayed) = recovery.finish()?;
        counter!(WAL_RECOVERED_CHUNKS).increment(replayed.batches);
        counter!(WAL_RECOVERED_ENTRIES).increment(entries);
        counter!(WAL_RECOVERED_STREAMS).increment(streams.len() as u64);
        let (batches, segments) = (replayed.batches, replayed.segments);
        tracing::info!(batches, segments, rows = entries, "the write-ahead log was replayed");
        self.set_wal(wal);
        self.release_queued();
        Ok(())
    }

    fn is_short_in_replay(&self) -> bool {
        self.usage.rows_bytes() > self.config.memory_limit.0 / 100 * FLUSH_AT_PERCENT
    }

    /// Flushes everything. A bucket that does not answer fails the start: the rows are safe in the
    /// WAL.
    async fn make_room(self: &Arc<Self>) -> Result<(), Error> {
        gauge!(WAL_REPLAY_FLUSHING).set(1.0);
        let flushed = self.flush(self.days(None), Reason::Forced).await;
        self.expire_retained();
        gauge!(WAL_REPLAY_FLUSHING).set(0.0);
        flushed
    }
}

/// A replay under way and what it has found.
struct Replay {
    recovery: Recovery,
    streams: HashSet<StreamKey>,
    entries: u64,
}

impl Replay {
    /// Until everything is read, or memory is short.
    fn run(&mut self, core: &Core) -> Result<Progress, Error> {
        let Replay { recovery, streams, entries } = self;
        let mut failed = None;
        let on_batch = |recovered| {
            let (batch, begun) = match recovered {
                Recovered::Batch(batch, begun) => (batch, begun),
                // Its rows are known.
                Recovered::Attempt(batch) => (batch, UnixNanos(0)),
            };
            let rows = batch.rows.len() as u64;
            streams.extend(batch.streams.iter().map(base::Labels::key));
            let (taken, day) = core.take_in(batch, Some(core.began_ns(begun)));
            match taken {
                TakenIn::Claimed => return Verdict::Release,
                TakenIn::Known { .. } | TakenIn::Followed | TakenIn::PutAside => {
                    return Verdict::Keep;
                }
                TakenIn::Head { is_full, .. } => {
                    *entries += rows;
                    if is_full && let Err(error) = core.seal_while_short(&day) {
                        failed = Some(error);
                        return Verdict::Stop;
                    }
                }
            }
            if core.is_short_in_replay() { Verdict::KeepAndPause } else { Verdict::Keep }
        };
        let run = recovery.run(on_batch);
        match failed {
            Some(error) => Err(error),
            None => Ok(run?),
        }
    }
}
