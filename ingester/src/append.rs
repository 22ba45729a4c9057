//! Appends: WAL, then head, then ack (W1, P3).

use std::sync::Arc;

use base::Batch;
use catalog::ClaimState;
use metrics::counter;
use rpc::ingester::{AppendError, Appended, IngesterError};
use tokio::sync::oneshot;

use crate::core::{Core, TakenIn};
use crate::day::DayRows;
use crate::error::refusal;
use crate::head::memory_bytes;
use crate::metrics::REFUSED;

/// What a push is told while the process ends; as Loki's.
pub(crate) const STOPPING: &str = "Ingester is shutting down";

/// What answers an append whose batch a commit claims, whatever its attempt.
const CLAIMED: u32 = u32::MAX;

/// Counts and words a refusal that passes.
pub(crate) fn refuse(reason: &'static str, text: String) -> IngesterError {
    counter!(REFUSED, "reason" => reason).increment(1);
    IngesterError::Unavailable(text)
}

impl Core {
    /// Makes the batches durable and visible; all of them are acked, or all given back.
    pub(crate) async fn append(
        self: &Arc<Self>,
        batches: Vec<Batch>,
    ) -> Result<Appended, AppendError> {
        let _gate = self.gate.read().await;
        if self.is_stopping() {
            return Err(AppendError { error: refuse("stopping", STOPPING.to_owned()), batches });
        }
        let mut attempts = Vec::with_capacity(batches.len());
        for batch in &batches {
            match self.standing(batch) {
                Ok(standing) => attempts.push(standing),
                Err(error) => return Err(AppendError { error, batches }),
            }
        }
        let mut standing = attempts.iter();
        let (fresh, known): (Vec<Batch>, Vec<Batch>) =
            batches.into_iter().partition(|_| matches!(standing.next(), Some(None)));
        match self.append_fresh(fresh).await {
            Ok(held) => {
                let mut held = held.into_iter();
                let missing = attempts.iter_mut().filter(|attempt| attempt.is_none());
                missing.for_each(|attempt| *attempt = held.next());
                Ok(Appended { attempts: attempts.into_iter().flatten().collect() })
            }
            Err((error, mut batches)) => {
                batches.extend(known);
                Err(AppendError { error, batches })
            }
        }
    }

    /// The highest attempt held of each batch, once all of them are durable.
    async fn append_fresh(
        self: &Arc<Self>,
        fresh: Vec<Batch>,
    ) -> Result<Vec<u32>, (IngesterError, Vec<Batch>)> {
        if fresh.is_empty() {
            return Ok(Vec::new());
        }
        if let Err(error) = self.bound_open_days(&fresh).await {
            return Err((error, fresh));
        }
        // Followed batches take memory only on their way to the log.
        let bytes = fresh.iter().map(|batch| memory_bytes(&batch.rows) as u64).sum();
        let limit = self.config.memory_limit;
        let Some(_in_flight) = self.usage.begin_append(bytes, limit.0) else {
            self.wake.notify_one();
            let held = base::ByteSize(self.usage.held_bytes());
            let text = format!(
                "the ingester holds {held} of unflushed rows, its limit is {limit} \
                 (ingester memory limit); rows are being flushed, try again"
            );
            return Err((refuse("memory", text), fresh));
        };
        let fresh = Arc::new(fresh);
        let logged = self.log(&fresh).await;
        // The writer has let go of them before it said that they are durable.
        let fresh = Arc::unwrap_or_clone(fresh);
        if let Err(error) = logged {
            return Err((error, fresh));
        }
        let mut held = Vec::with_capacity(fresh.len());
        for batch in fresh {
            let (id, attempt) = (batch.id, batch.attempt);
            let (taken, day) = self.take_in(batch, None);
            held.push(match taken {
                TakenIn::Followed => attempt,
                TakenIn::Head { attempt, .. } => attempt,
                // Another call may have brought a higher one meanwhile: that one counts (B3).
                TakenIn::Known { attempt } => attempt,
                TakenIn::Claimed => CLAIMED,
                TakenIn::PutAside => {
                    let text = format!("batch {id} was put aside: it cannot be acknowledged");
                    return Err((IngesterError::Internal(text), Vec::new()));
                }
            });
            if let TakenIn::Head { is_full, .. } = taken
                && (is_full || self.is_short_of_raw())
            {
                self.settle(day, is_full).await;
            }
        }
        Ok(held)
    }

    /// The attempt that is held of a batch and safe, if that is enough (B2, B3); `None`: it must go
    /// to the WAL.
    fn standing(&self, batch: &Batch) -> Result<Option<u32>, IngesterError> {
        self.check_list(batch)?;
        match self.deps.catalog.claim_state(&batch.id) {
            ClaimState::Claimed => return Ok(Some(CLAIMED)),
            ClaimState::Forgotten => {
                let text = format!("batch {} is older than the id table reaches", batch.id);
                return Err(IngesterError::Forgotten(text));
            }
            ClaimState::Free => {}
        }
        if batch.rows.is_empty() {
            return Ok(Some(batch.attempt));
        }
        Ok(self.safe_attempt(batch))
    }

    /// Returns when the WAL has fsynced the batches.
    async fn log(&self, batches: &Arc<Vec<Batch>>) -> Result<(), IngesterError> {
        let closed = || IngesterError::Unavailable(STOPPING.to_owned());
        let permit = self.wal_slots.acquire().await.map_err(|_| closed())?;
        let (tell, told) = oneshot::channel();
        let wal = self.wal().ok_or_else(closed)?;
        let done = Box::new(move |result| {
            let _nobody_waits = tell.send(result).is_err();
        });
        wal.append(Arc::clone(batches), done);
        let result = told.await.map_err(|_| closed())?;
        drop(permit);
        result.map_err(|error| {
            counter!(REFUSED, "reason" => "wal").increment(1);
            refusal(&error)
        })
    }

    /// Keeps appends at the pace of what follows them. While they are too far ahead of the flush of
    /// their day they wait for it to read on; if none is due, full heads are sealed in the
    /// background, in a few places. After a head became full sizes are looked at.
    async fn settle(self: &Arc<Self>, day: Arc<DayRows>, is_full: bool) {
        if is_full {
            self.wake.notify_one();
        }
        loop {
            // Asked for before looking: a move in between is not missed.
            let moved = self.flush_moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if !self.is_short_of_raw() {
                return;
            }
            let is_due = {
                let state = day.lock();
                state.unflushed_raw_bytes() >= self.config.flush_bytes.0 && !state.has_failed
            };
            match is_due {
                true => {
                    // The day may have become due within a head: nobody else begins its flush.
                    self.wake.notify_one();
                    moved.await;
                }
                false if is_full => return self.seal_soon(day).await,
                false => return,
            }
        }
    }

    async fn seal_soon(self: &Arc<Self>, day: Arc<DayRows>) {
        let slots = Arc::clone(&self.seal_slots);
        let Ok(slot) = slots.acquire_owned().await else {
            return;
        };
        let core = Arc::clone(self);
        base::task::blocking("seal", move || {
            if let Err(error) = core.seal_while_short(&day) {
                tracing::error!(%error, tenant = %day.key.tenant, day = %day.key.day,
                    "a full head could not be sealed; it stays as it is");
            }
            drop(slot);
        });
    }
}
