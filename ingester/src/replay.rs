//! Replay: the WAL becomes heads again, sealed and if need be flushed on the way (W5).

use std::sync::Arc;

use base::HashSet;
use metrics::{counter, gauge};
use tokio::runtime::Handle;
use wal::{Env, Recovered, Verdict, Wal};

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
        let (core, runtime) = (Arc::clone(self), Handle::current());
        let replayed = blocking("replay", move || core.replay_blocking(&runtime)).await?;
        gauge!(WAL_REPLAY_ACTIVE).set(0.0);
        let seconds = self.now_ns().saturating_sub(began_ns) as f64 / 1e9;
        gauge!(WAL_REPLAY_SECONDS).set(seconds);
        replayed
    }

    fn replay_blocking(self: &Arc<Self>, runtime: &Handle) -> Result<(), Error> {
        let env = Env {
            disk: Arc::clone(&self.deps.disk),
            clock: Arc::clone(&self.deps.clock),
            random: Arc::clone(&self.deps.random),
        };
        let mut streams = HashSet::default();
        let (mut entries, mut failed) = (0, None);
        let on_batch = |recovered| {
            let batch = match recovered {
                Recovered::Batch(batch) | Recovered::Attempt(batch) => batch,
            };
            let rows = batch.rows.len() as u64;
            streams.extend(batch.streams.iter().map(base::Labels::key));
            let (taken, day) = self.take_in(batch, false);
            match taken {
                TakenIn::Claimed => return Verdict::Release,
                TakenIn::Known { .. } | TakenIn::PutAside => return Verdict::Keep,
                TakenIn::Head { is_full } => {
                    entries += rows;
                    let sealed = if is_full { self.seal_while_short(&day) } else { Ok(()) };
                    if let Err(error) = sealed.and_then(|()| self.make_room(runtime)) {
                        failed = Some(error);
                        return Verdict::Stop;
                    }
                }
            }
            Verdict::Keep
        };
        let opened = Wal::open(self.config.wal.clone(), env, on_batch);
        if let Some(error) = failed {
            return Err(error);
        }
        let (wal, replayed) = opened?;
        counter!(WAL_RECOVERED_CHUNKS).increment(replayed.batches);
        counter!(WAL_RECOVERED_ENTRIES).increment(entries);
        counter!(WAL_RECOVERED_STREAMS).increment(streams.len() as u64);
        let (batches, segments) = (replayed.batches, replayed.segments);
        tracing::info!(batches, segments, rows = entries, "the write-ahead log was replayed");
        self.set_wal(wal);
        self.release_queued();
        Ok(())
    }

    /// Flushes when memory is short. A bucket that does not answer fails the start: the rows are
    /// safe in the WAL.
    fn make_room(self: &Arc<Self>, runtime: &Handle) -> Result<(), Error> {
        let limit = self.config.memory_limit.0 / 100 * FLUSH_AT_PERCENT;
        if self.usage.held_bytes() <= limit {
            return Ok(());
        }
        gauge!(WAL_REPLAY_FLUSHING).set(1.0);
        let flushed = runtime.block_on(self.flush(self.days(None), Reason::Forced));
        self.expire_retained();
        gauge!(WAL_REPLAY_FLUSHING).set(0.0);
        flushed
    }
}
