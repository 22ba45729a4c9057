//! The handle: open and replay, append, release.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base::disk::{Disk, DiskLock};
use base::random::Random;
use base::task::Worker;
use base::{Batch, BatchId, Clock, StoreId, UnixNanos};
use ulid::Ulid;

use crate::log::{Append, Log, append_bytes};
use crate::promises::{Promises, Required};
use crate::reader::SegmentReader;
use crate::record::{self, Decoder, MAX_PAYLOAD_BYTES};
use crate::replay::{self, Opened, Progress, Replay};
use crate::segment;
use crate::writer::{Command, Writer};
use crate::{Config, Error};

/// What the log needs from the process.
#[derive(Clone)]
pub struct Env {
    /// Where the files are.
    pub disk: Arc<dyn Disk>,
    /// For the time in a fresh store id, and how old a segment is.
    pub clock: Arc<dyn Clock>,
    /// For a fresh store id.
    pub random: Arc<dyn Random>,
}

/// Called once, from whoever writes, when an append is durable or has failed.
pub type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// What replay found.
#[derive(Debug)]
pub enum Recovered {
    /// A batch, each id once, and when its segment was begun: it is no older. 0: unknown.
    Batch(Batch, UnixNanos),
    /// A later record of an id that was already given: its attempt and member list count now (B3).
    Attempt(Batch),
}

/// What the owner does with a recovered batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays in the log until it is released.
    Keep,
    /// As [`Verdict::Keep`], and the replay pauses: the owner has something to do first.
    KeepAndPause,
    /// A commit claims it already (W2): the log lets go of it.
    Release,
    /// Replay ends with [`Error::Stopped`].
    Stop,
}

/// A record or segment that could not be read. It was counted, logged and passed over (P8).
#[derive(Clone, Debug)]
pub struct Corruption {
    /// The segment.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// Sum of a replay.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Batches given to the owner.
    pub batches: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Segments read.
    pub segments: u64,
    /// What could not be read; the first 100.
    pub corruptions: Vec<Corruption>,
}

/// An open log. Dropping it closes it without waiting; [`Wal::close`] waits.
pub struct Wal {
    store: StoreId,
    writer: Arc<Writer>,
    soft_limit: u64,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    worker: Mutex<Option<Worker>>,
    promises: Mutex<Promises>,
    _lock: Box<dyn DiskLock>,
}

/// A log that is being opened: replay in as many runs as its owner wants. Blocking.
pub struct Recovery {
    config: Config,
    env: Env,
    replay: Replay,
    lock: Box<dyn DiskLock>,
}

impl Recovery {
    /// Takes the directory and looks at its segments.
    pub fn begin(config: Config, env: Env) -> Result<Recovery, Error> {
        let lock = lock(&config, &env)?;
        let dir = &config.dir;
        let replay = Replay::begin(dir, &env, false)?;
        Ok(Recovery { config, env, replay, lock })
    }

    /// Gives recovered batches to `on_batch`, as [`Wal::open`], until everything is read or it asks
    /// for a pause.
    pub fn run(
        &mut self,
        mut on_batch: impl FnMut(Recovered) -> Verdict,
    ) -> Result<Progress, Error> {
        self.replay.run(&mut on_batch)
    }

    /// Starts the writer, after everything was read.
    pub fn finish(self) -> Result<(Wal, Replayed), Error> {
        let Recovery { config, env, replay, lock } = self;
        let Opened { store, index, next_sequence, replayed } = replay.finish();
        let queue_length = config.queue_length;
        let soft_limit = soft_limit(&config, &*env.disk);
        let (disk, dir) = (Arc::clone(&env.disk), config.dir.clone());
        let promises = Mutex::new(Promises::read(&*disk, &dir)?);
        let mut log = Log::new(config, env.disk, env.clock, store, (index, next_sequence));
        log.delete_free();
        let writer = Arc::new(Writer::new(log, queue_length));
        let worker = Writer::start(&writer)
            .map_err(|error| Error::disk("start the writer of", Path::new("wal"), error))?;
        let worker = Mutex::new(Some(worker));
        let wal = Wal { store, writer, soft_limit, disk, dir, worker, promises, _lock: lock };
        Ok((wal, replayed))
    }
}

/// Keeps other processes out of the directory until it is dropped. [`Recovery::begin`] and
/// [`Wal::open`] take it themselves; it is for whoever reads or makes files in the directory before.
/// Held by somebody: [`Error::Locked`].
pub fn lock(config: &Config, env: &Env) -> Result<Box<dyn DiskLock>, Error> {
    let dir = &config.dir;
    env.disk.create_dir_all(dir).map_err(|error| Error::disk("create", dir, error))?;
    env.disk.lock(&dir.join("lock")).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::Locked { dir: dir.clone() },
        _ => Error::disk("lock", dir, error),
    })
}

/// The store that the directory of `config` is: made if it is new, without opening the log. What
/// names the committer of the catalog, which replay asks about claims.
pub fn store_id(config: &Config, env: &Env) -> Result<StoreId, Error> {
    let dir = &config.dir;
    env.disk.create_dir_all(dir).map_err(|error| Error::disk("create", dir, error))?;
    replay::store_id(dir, env)
}

impl Wal {
    /// Opens the directory, gives every recovered batch to `on_batch` (segment by segment, one
    /// record in memory at a time), then starts the writer.
    ///
    /// A recovered batch may be one that was never acked and that a power cut would still lose: a
    /// sender that offers it again is acked only after it was appended again.
    pub fn open(
        config: Config,
        env: Env,
        mut on_batch: impl FnMut(Recovered) -> Verdict,
    ) -> Result<(Wal, Replayed), Error> {
        let mut recovery = Recovery::begin(config, env)?;
        while recovery.run(&mut on_batch)? == Progress::Paused {}
        recovery.finish()
    }

    /// The store that this directory is.
    pub fn store(&self) -> StoreId {
        self.store
    }

    /// Queues `batches` as one append: all of them or none are acked. Blocks while the queue of
    /// [`Config::queue_length`] appends is full: an async caller takes a permit first.
    ///
    /// Panics if a batch is inconsistent (columns, day, members).
    pub fn append(&self, batches: Arc<Vec<Batch>>, done: Done) {
        for batch in batches.iter() {
            record::assert_encodable(batch);
            let bytes = record::encoded_bytes(batch);
            if bytes > MAX_PAYLOAD_BYTES {
                drop(batches);
                return done(Err(Error::BatchTooLarge { bytes, limit_bytes: MAX_PAYLOAD_BYTES }));
            }
        }
        let bytes = append_bytes(&batches);
        let command = Command::Append(Append { batches, bytes, done });
        if let Err(Command::Append(append)) = self.writer.send(command) {
            (append.done)(Err(Error::Closed));
        }
    }

    /// Lets go of batches that a commit claims (W2); segments without any other batch are deleted.
    /// Blocks as [`Wal::append`].
    pub fn release(&self, ids: Vec<BatchId>) {
        // A closed log finds the claims in the catalog at its next replay.
        let _closed = self.writer.send(Command::Release(ids)).is_err();
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.writer.size_bytes()
    }

    /// Whether the log is past its soft limit: the batches of [`Wal::oldest_batches`] should be
    /// flushed (W4).
    pub fn over_soft_limit(&self) -> bool {
        self.size_bytes() > self.soft_limit
    }

    /// Unreleased batches that `may_go`, of the oldest segment that has any of them, after what is
    /// queued. Blocks. Who frees the log must not ask for batches that it will never release: they
    /// would hide the segments behind theirs.
    pub fn oldest_batches(&self, may_go: impl Fn(&BatchId) -> bool) -> Vec<BatchId> {
        self.writer.settle().index.oldest_batches(may_go)
    }

    /// Reads unreleased batches back, each once, in order of the log, one record in memory at a
    /// time, and of the segments nothing else. Blocks. The caller must not release them meanwhile.
    /// Damaged records are passed over: who needs every batch compares what came.
    pub fn read(&self, ids: &[BatchId], mut on_batch: impl FnMut(Batch)) -> Result<(), Error> {
        let segments = self.writer.settle().index.locate(ids);
        let mut wanted: base::HashSet<BatchId> = ids.iter().copied().collect();
        let mut decoder = Decoder::default();
        for (sequence, offsets) in segments {
            let path = self.dir.join(segment::name(sequence));
            let file = self.disk.open(&path).map_err(|error| Error::disk("open", &path, error))?;
            let mut reader = SegmentReader::new(file, &path, sequence, None)?;
            for offset in offsets {
                if reader.record_at(offset)?
                    && let Ok(batch) = decoder.decode(reader.payload())
                    && wanted.remove(&batch.id)
                {
                    on_batch(batch);
                }
            }
        }
        Ok(())
    }

    /// What this store has promised.
    pub fn promises(&self) -> Promises {
        self.promises.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Promises `ring` to take no batch whose list names `store` (R1b), for its departure at version
    /// `since` of that ring. Durable when it returns; refusing is the owner's work. Blocking.
    pub fn refuse(&self, ring: Ulid, store: StoreId, since: u64) -> Result<(), Error> {
        let mut promises = self.promises.lock().unwrap_or_else(PoisonError::into_inner);
        promises.refuse(&*self.disk, &self.dir, (ring, store), since)
    }

    /// Promises `ring` to take no batch that was sent under a lower factor. As [`Wal::refuse`].
    pub fn require(&self, ring: Ulid, required: Required) -> Result<(), Error> {
        let mut promises = self.promises.lock().unwrap_or_else(PoisonError::into_inner);
        promises.require(&*self.disk, &self.dir, ring, required)
    }

    /// Writes out what is queued and ends the writer. Blocks. Later appends fail with
    /// [`Error::Closed`].
    pub fn close(&self) {
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            self.writer.close();
            drop(self.writer.settle());
            if !worker.join() {
                tracing::error!("the writer of the write-ahead log had panicked");
            }
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.writer.close();
    }
}

/// The configured limit, or a fifth of the disk if that is less (W4).
fn soft_limit(config: &Config, disk: &dyn Disk) -> u64 {
    match disk.space(&config.dir) {
        Ok(space) => config.soft_limit.0.min(space.total_bytes / 5),
        Err(_) => config.soft_limit.0,
    }
}

#[cfg(test)]
mod tests;
