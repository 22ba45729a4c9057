//! Flushing: units of a (tenant, day) become one part, in object storage and the catalog.
//!
//! A flush makes a part of the units (sorted and compressed in one go while all of them are raw,
//! merged otherwise), uploads the part and commits it together with the ids of their
//! batches. The commit tells the observer, which marks the units; a flush that fails anywhere
//! leaves everything as it was and is tried again. Whether an unanswered commit counted is known
//! when the log is followed.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use base::UnixNanos;
use catalog::{IdSet, PartId, PartRecord, Place};
use metrics::{counter, gauge, histogram};
use part::{Footer, Image, Input, Options, merge};
use store::{Draft, Outcome, Upload, put_parts};

use crate::Error;
use crate::core::Core;
use crate::day::{DayKey, DayRows, Unit, UnitRows};
use crate::metrics::{
    BLOCKS_PER_CHUNK, CHUNK_BOUNDS, CHUNK_ENCODE_TIME, CHUNK_ENTRIES, CHUNK_RATIO, CHUNK_SIZE,
    CHUNK_UTILIZATION, CHUNKS_FLUSHED, FLUSH_FAILURES, FLUSH_QUEUE_LENGTH, FLUSH_REQUESTS,
    SAMPLES_PER_CHUNK,
};
use crate::open::MAX_OPEN_DAYS;
use crate::seal::{FULL_BYTES, part_of};

/// Times a flush is rebuilt because other commits claimed some of its batches. Each needs one such
/// commit between looking and committing, by another ingester that holds the same batches because a
/// call to one of them had failed.
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
    groups: u64,
    units: Vec<Arc<Unit>>,
    day: Arc<DayRows>,
    /// Until the commit has taken the rows out of memory, or will not.
    _reading: Reading,
}

/// Raw bytes that a flush has read. Appends may run ahead of it by so much more.
struct Reading {
    core: Arc<Core>,
    bytes: u64,
}

impl Reading {
    fn add(&mut self, bytes: u64) {
        self.core.usage.move_read(0, bytes);
        self.bytes += bytes;
        self.core.flush_moved.notify_waiters();
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.core.usage.move_read(self.bytes, 0);
    }
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
            let is_large = bytes > 0 && bytes + stored > COMMIT_BYTES;
            if is_large || group.len() >= MAX_OPEN_DAYS {
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
        for day in &days {
            day.lock().has_failed = flushed.is_err();
        }
        self.flush_moved.notify_waiters();
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
            match self.commit(&draft, days).await? {
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
    async fn commit(&self, draft: &Draft, days: &[Arc<DayRows>]) -> Result<Outcome, Error> {
        let mut pause = Duration::from_millis(100);
        for _ in 1..COMMIT_ATTEMPTS {
            match self.deps.catalog.commit(draft).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) => tracing::warn!(%error, "the same commit is tried again"),
            }
            // Appends do not wait for what may take long.
            days.iter().for_each(|day| day.lock().has_failed = true);
            self.flush_moved.notify_waiters();
            tokio::time::sleep(pause).await;
            pause *= 4;
        }
        Ok(self.deps.catalog.commit(draft).await?)
    }

    /// Makes one part of all units that no commit claims, the head among them unless there is
    /// enough without it. What others claimed parts of is built anew before. Blocking.
    fn build(self: &Arc<Self>, day: &Arc<DayRows>, reason: Reason) -> Result<Option<Built>, Error> {
        let _turn = day.seal_turn.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut state = day.lock();
            let whole: u64 = state.unflushed().iter().map(|unit| unit.raw_bytes).sum();
            if reason != Reason::Full || whole < self.config.flush_bytes.0 / 2 {
                state.freeze();
            }
        }
        self.rebuild_partly_claimed(day)?;
        let mut units = day.lock().unflushed();
        if units.is_empty() {
            return Ok(None);
        }
        let began_ns = self.now_ns();
        let mut raw = Vec::with_capacity(units.len());
        for unit in &units {
            if let UnitRows::Raw(rows) = &unit.rows {
                raw.push(rows);
            }
        }
        let mut reading = Reading { core: Arc::clone(self), bytes: 0 };
        let image = if raw.len() == units.len() {
            part_of(&day.key, &raw, &Options::flushed(), &mut |bytes| reading.add(bytes))?
        } else {
            while self.seal_oldest(day)? {}
            units = day.lock().unflushed();
            merge_sealed(&day.key, &units)?
        };
        let record = self.record(day, &units, &image);
        let groups = self.count_built(day, &units, &image, began_ns)?;
        let upload = Upload { record, bytes: image.bytes };
        Ok(Some(Built { upload, groups, units, day: Arc::clone(day), _reading: reading }))
    }

    fn record(&self, day: &DayRows, units: &[Arc<Unit>], image: &Image) -> PartRecord {
        let labels = units.iter().flat_map(|unit| unit.streams.iter());
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
            counter!(CHUNKS_FLUSHED, "reason" => reason.as_str()).increment(built.groups);
            built.day.metrics.chunks_stored.increment(built.groups);
            built.day.metrics.stored_bytes.increment(built.upload.bytes.len() as u64);
        }
    }

    /// Records what a part is like; returns its row groups.
    fn count_built(
        &self,
        day: &DayRows,
        units: &[Arc<Unit>],
        image: &Image,
        began_ns: u64,
    ) -> Result<u64, Error> {
        let seconds = self.now_ns().saturating_sub(began_ns) as f64 / 1e9;
        histogram!(CHUNK_ENCODE_TIME).record(seconds);
        let raw: u64 = units.iter().map(|unit| unit.raw_bytes).sum();
        let stored = image.bytes.len() as f64;
        histogram!(CHUNK_RATIO).record(raw as f64 / stored);
        let footer = Footer::open(&image.bytes, image.bytes.len() as u64)?;
        let groups = footer.groups();
        for (at, group) in groups.iter().enumerate() {
            histogram!(BLOCKS_PER_CHUNK).record(footer.pages(at).len() as f64);
            histogram!(CHUNK_ENTRIES).record(f64::from(group.rows));
            histogram!(SAMPLES_PER_CHUNK).record(f64::from(group.rows));
            histogram!(CHUNK_SIZE).record(stored / groups.len() as f64);
            histogram!(CHUNK_UTILIZATION).record(group.line_bytes as f64 / FULL_BYTES as f64);
            let nanoseconds = group.max_ns.saturating_sub(group.min_ns);
            histogram!(CHUNK_BOUNDS).record(nanoseconds as f64 / 3.6e12);
        }
        day.metrics.encoded.increment(groups.len() as u64);
        Ok(groups.len() as u64)
    }
}

/// One part of sealed units.
fn merge_sealed(key: &DayKey, units: &[Arc<Unit>]) -> Result<Image, Error> {
    let mut inputs: Vec<Input<part::Error>> = Vec::with_capacity(units.len());
    for unit in units {
        let UnitRows::Sealed { scan, image } = &unit.rows else {
            return Err(Error::Resealed);
        };
        inputs.push(Input { footer: Arc::clone(scan.footer()), reader: Arc::new(image.clone()) });
    }
    let image = merge(&key.tenant, key.day, &inputs, &Options::flushed())?;
    image.ok_or(Error::EmptyHead)
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
