//! Flushing: sealed units of a (tenant, day) become one part, in object storage and the catalog.
//!
//! A flush merges the units, uploads the part and commits it together with the ids of their
//! batches. The commit tells the observer, which marks the units; a flush that fails anywhere
//! leaves everything as it was and is tried again. Whether an unanswered commit counted is known
//! when the log is followed.

use std::sync::Arc;
use std::time::Duration;

use base::{BatchId, HashSet, UnixNanos};
use catalog::{ClaimState, IdSet, PartId, PartRecord, Place};
use metrics::{counter, gauge};
use part::{Image, Input, Options, merge};
use store::{Draft, Outcome, Upload, put_parts};

use crate::Error;
use crate::core::Core;
use crate::day::{Claimed, DayRows, SealedUnit, SealingHead};
use crate::head::Head;
use crate::metrics::{
    CHUNKS_FLUSHED, FLUSH_FAILURES, FLUSH_QUEUE_LENGTH, FLUSH_REQUESTS, REBUILT_UNITS,
};

/// Times a flush is rebuilt because other commits claimed some of its batches. Each needs one such
/// commit between looking and committing; there is no other committer in ordinary operation.
const MAX_REBUILDS: u32 = 8;
/// The same draft is committed this often before the flush is given up for now.
const COMMIT_ATTEMPTS: u32 = 3;
/// Sealed bytes merged and uploaded under one commit: bounds the memory of `/flush`.
const COMMIT_BYTES: u64 = 64 << 20;

/// Why a flush began; the label of `loki_ingester_chunks_flushed_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Enough raw bytes.
    Full,
    /// The oldest batch is old.
    MaxAge,
    /// No append for long.
    Idle,
    /// Asked for: `/flush`, shutdown, memory or WAL limit.
    Forced,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Reason::Full => "full",
            Reason::MaxAge => "max_age",
            Reason::Idle => "idle",
            Reason::Forced => "forced",
        }
    }
}

/// One merged part and what it was made of.
struct Built {
    upload: Upload,
    units: Vec<Arc<SealedUnit>>,
    day: Arc<DayRows>,
}

impl Core {
    /// Flushes everything that `days` hold now. Several small days share a commit.
    pub(crate) async fn flush(
        self: &Arc<Self>,
        mut days: Vec<Arc<DayRows>>,
        reason: Reason,
    ) -> Result<(), Error> {
        // One order for everybody: turns are taken without a deadlock.
        days.sort_by(|a, b| a.key.cmp(&b.key));
        days.dedup_by(|a, b| a.key == b.key);
        let mut group: Vec<Arc<DayRows>> = Vec::new();
        let mut bytes = 0;
        for day in days {
            let stored = day.lock().unflushed_raw_bytes();
            if bytes > 0 && bytes + stored > COMMIT_BYTES {
                self.flush_group(std::mem::take(&mut group), reason).await?;
                bytes = 0;
            }
            bytes += stored;
            group.push(day);
        }
        if group.is_empty() {
            return Ok(());
        }
        self.flush_group(group, reason).await
    }

    async fn flush_group(
        self: &Arc<Self>,
        days: Vec<Arc<DayRows>>,
        reason: Reason,
    ) -> Result<(), Error> {
        gauge!(FLUSH_QUEUE_LENGTH).increment(days.len() as f64);
        counter!(FLUSH_REQUESTS).increment(days.len() as u64);
        let mut turns = Vec::with_capacity(days.len());
        for day in &days {
            turns.push(day.flush_turn.lock().await);
        }
        let flushed = self.flush_in_turn(&days, reason).await;
        drop(turns);
        gauge!(FLUSH_QUEUE_LENGTH).decrement(days.len() as f64);
        if let Err(error) = &flushed {
            counter!(FLUSH_FAILURES).increment(1);
            tracing::error!(%error, days = days.len(), "a flush failed; its rows are kept");
        }
        self.wake.notify_one();
        if flushed.is_ok()
            && let Err(error) = self.deps.catalog.maybe_checkpoint().await
        {
            tracing::warn!(%error, "no checkpoint; a later flush tries again");
        }
        flushed
    }

    async fn flush_in_turn(
        self: &Arc<Self>,
        days: &[Arc<DayRows>],
        reason: Reason,
    ) -> Result<(), Error> {
        for _ in 0..MAX_REBUILDS {
            // Before the first upload (C4).
            let mut draft = self.deps.catalog.draft();
            let mut built = Vec::new();
            for day in days {
                let (core, day) = (Arc::clone(self), Arc::clone(day));
                built.extend(blocking("flush", move || core.build(&day, reason)).await??);
            }
            if built.is_empty() {
                return Ok(());
            }
            let uploads = built.iter().map(|built| built.upload.clone()).collect();
            let (bucket, random) = (self.deps.catalog.bucket(), &*self.deps.random);
            draft.added = put_parts(bucket, random, &*self.deps.clock, uploads).await?;
            draft.claims = claims(&built);
            match self.commit(&draft).await? {
                Outcome::Committed(number) => {
                    self.count_flushed(&built, reason);
                    tracing::info!(
                        number,
                        parts = built.len(),
                        reason = reason.as_str(),
                        "flushed"
                    );
                    return Ok(());
                }
                // The observer has marked what was claimed; `build` makes the rest anew.
                Outcome::Rebuild { .. } => {
                    for day in days {
                        self.mark_forgotten(day);
                        self.look_up_claims(day);
                    }
                }
                Outcome::Ended(reason) => return Err(Error::Ended(format!("{reason:?}"))),
            }
        }
        Err(Error::Contended(MAX_REBUILDS))
    }

    /// Until it is known whether the draft is committed, or several tries were not answered.
    async fn commit(&self, draft: &Draft) -> Result<Outcome, Error> {
        let mut pause = Duration::from_millis(100);
        for _ in 1..COMMIT_ATTEMPTS {
            match self.deps.catalog.commit(draft).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) => tracing::warn!(%error, "the same commit is tried again"),
            }
            tokio::time::sleep(pause).await;
            pause *= 4;
        }
        Ok(self.deps.catalog.commit(draft).await?)
    }

    /// Seals what is in the head (unless there is enough without it), builds anew what others
    /// claimed parts of, and merges all units that no commit claims. Blocking.
    fn build(&self, day: &Arc<DayRows>, reason: Reason) -> Result<Option<Built>, Error> {
        if reason != Reason::Full {
            day.lock().begin_seal();
        }
        self.seal_waiting(day)?;
        self.rebuild_partly_claimed(day)?;
        let has_claims_in_head = reason == Reason::Full && !day.lock().head.is_empty();
        day.lock().is_torn &= has_claims_in_head;
        let units = day.lock().unflushed();
        if units.is_empty() {
            return Ok(None);
        }
        let footers: Vec<_> = units.iter().map(|unit| Arc::clone(unit.scan.footer())).collect();
        let inputs: Vec<Input<'_, part::Error>> = units
            .iter()
            .zip(&footers)
            .map(|(unit, footer)| Input { footer, reader: &unit.image })
            .collect();
        let image = merge(&day.key.tenant, day.key.day, &inputs, &Options::flushed())?;
        let image = image.ok_or(Error::EmptyHead)?;
        let upload = Upload { record: self.record(day, &units, &image), bytes: image.bytes };
        Ok(Some(Built { upload, units, day: Arc::clone(day) }))
    }

    fn record(&self, day: &DayRows, units: &[Arc<SealedUnit>], image: &Image) -> PartRecord {
        let labels = units.iter().flat_map(|unit| unit.scan.footer().labels().iter());
        let (mut min_key, mut max_key) = (u64::MAX, 0);
        for labels in labels {
            min_key = min_key.min(labels.key().0);
            max_key = max_key.max(labels.key().0);
        }
        PartRecord {
            id: PartId(self.deps.random.ulid(&*self.deps.clock)),
            tenant: day.key.tenant.clone(),
            day: day.key.day,
            place: Place::Object,
            len_bytes: image.bytes.len() as u64,
            footer_bytes: image.footer_bytes,
            tail_bytes: image.tail_bytes,
            rows: image.rows,
            raw_bytes: image.line_bytes,
            streams: image.streams,
            min_ts: UnixNanos(image.min_ns),
            max_ts: UnixNanos(image.max_ns),
            min_key,
            max_key,
            level: 0,
            purged_through: 0,
            rest: Vec::new(),
        }
    }

    fn count_flushed(&self, built: &[Built], reason: Reason) {
        for built in built {
            let units = built.units.len() as u64;
            counter!(CHUNKS_FLUSHED, "reason" => reason.as_str()).increment(units);
            built.day.metrics.stored_bytes.increment(built.upload.bytes.len() as u64);
        }
    }

    /// Units with batches that the id table does not reach are built anew without them.
    fn mark_forgotten(&self, day: &DayRows) {
        let catalog = &self.deps.catalog;
        for state in &mut day.lock().units {
            let forgotten = |id: &BatchId| catalog.claim_state(id) == ClaimState::Forgotten;
            if state.claimed == Claimed::No && state.unit.batches.iter().any(forgotten) {
                state.claimed = Claimed::Partly;
            }
        }
    }

    /// Builds units anew from those of their batches that are free, read back from the WAL.
    fn rebuild_partly_claimed(&self, day: &DayRows) -> Result<(), Error> {
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
            let head = self.read_back(&free)?;
            self.replace_unit(day, &unit, head)?;
            counter!(REBUILT_UNITS).increment(1);
        }
    }

    fn read_back(&self, ids: &[BatchId]) -> Result<Head, Error> {
        let mut head = Head::default();
        if ids.is_empty() {
            return Ok(head);
        }
        let wal = self.wal().ok_or(wal::Error::Closed)?;
        wal.read(ids, |batch| {
            head.append(&batch);
        })?;
        let read: HashSet<BatchId> = head.batches().iter().copied().collect();
        match ids.iter().find(|id| !read.contains(*id)) {
            Some(&lost) => Err(Error::LostBatch(lost)),
            None => Ok(head),
        }
    }

    /// Puts `head` in the place of `unit`. A batch that is in neither any more is let go of.
    fn replace_unit(
        &self,
        day: &DayRows,
        unit: &Arc<SealedUnit>,
        mut head: Head,
    ) -> Result<(), Error> {
        let kept: HashSet<BatchId> = head.batches().iter().copied().collect();
        let rebuilt = match head.is_empty() {
            true => None,
            false => Some(self.seal(&day.key, &SealingHead::again(&mut head, unit))?),
        };
        let bytes = rebuilt.as_ref().map_or(0, |rebuilt| rebuilt.image.len() as u64);
        // Claimed rows go from here: views before the claiming commit are refused from now on.
        self.raise_floor(self.deps.catalog.read(catalog::Catalog::version));
        self.swap_streams(day, head.streams(), &unit.streams);
        let gone = unit.batches.iter().filter(|id| !kept.contains(*id));
        let gone: Vec<BatchId> = gone.copied().collect();
        if rebuilt.is_none() {
            self.usage.chunk_flushed();
        }
        day.lock().replace_unit(unit, rebuilt, &gone);
        self.usage.move_unflushed(unit.image.len() as u64, bytes);
        let catalog = &self.deps.catalog;
        let is_claimed = |id: &BatchId| catalog.claim_state(id) == ClaimState::Claimed;
        let claimed: Vec<BatchId> = gone.into_iter().filter(is_claimed).collect();
        self.queue_release(&claimed);
        Ok(())
    }
}

fn claims(built: &[Built]) -> IdSet {
    built.iter().flat_map(|built| &built.units).flat_map(|unit| &unit.batches).collect()
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    base::task::blocking(name, work).await.map_err(|_| Error::Panicked(name))
}
