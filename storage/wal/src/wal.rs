//! The handle: open and replay, append, release.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use base::disk::{Disk, DiskLock};
use base::random::Random;
use base::{Batch, BatchId, Clock, StoreId};

use crate::log::{Append, Log, append_bytes};
use crate::reader::{Item, SegmentReader};
use crate::record::{self, Decoder, MAX_PAYLOAD_BYTES};
use crate::replay::{self, Opened, replay};
use crate::segment;
use crate::{Config, Error};

/// A group is not lengthened beyond this: the first of it would wait too long for its fsync.
const MAX_GROUP_BYTES: u64 = 64 << 20;

/// What the log needs from the process.
#[derive(Clone)]
pub struct Env {
    /// Where the files are.
    pub disk: Arc<dyn Disk>,
    /// For the time in a fresh store id.
    pub clock: Arc<dyn Clock>,
    /// For a fresh store id.
    pub random: Arc<dyn Random>,
}

/// Called once, from the writer thread, when an append is durable or has failed.
pub type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// What replay found.
#[derive(Debug)]
pub enum Recovered {
    /// A batch, each id once.
    Batch(Batch),
    /// A later record of an id that was already given: its attempt and member list count now (B3).
    Attempt(Batch),
}

/// What the owner does with a recovered batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays in the log until it is released.
    Keep,
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
    commands: SyncSender<Command>,
    shared: Arc<Shared>,
    soft_limit: u64,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    _lock: Box<dyn DiskLock>,
}

#[derive(Default)]
struct Shared {
    size_bytes: AtomicU64,
}

enum Command {
    Append(Append),
    Release(Vec<BatchId>),
    Oldest(SyncSender<Vec<BatchId>>),
    Locate(Vec<BatchId>, SyncSender<Vec<(u64, u64)>>),
    Close,
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
    /// record in memory at a time), then starts the writer thread.
    ///
    /// A recovered batch may be one that was never acked and that a power cut would still lose: a
    /// sender that offers it again is acked only after it was appended again.
    pub fn open(
        config: Config,
        env: Env,
        mut on_batch: impl FnMut(Recovered) -> Verdict,
    ) -> Result<(Wal, Replayed), Error> {
        let dir = &config.dir;
        env.disk.create_dir_all(dir).map_err(|error| Error::disk("create", dir, error))?;
        let lock = env.disk.lock(&dir.join("lock")).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => Error::Locked { dir: dir.clone() },
            _ => Error::disk("lock", dir, error),
        })?;
        let opened = replay(dir, &env, false, &mut on_batch)?;
        let Opened { store, index, next_sequence, replayed } = opened;
        let (commands, queue) = sync_channel(config.queue_length);
        let soft_limit = soft_limit(&config, &*env.disk);
        let (disk, dir) = (Arc::clone(&env.disk), config.dir.clone());
        let shared = Arc::new(Shared::default());
        let mut log = Log::new(config, env.disk, store, index, next_sequence);
        log.delete_free();
        let writer = Writer { log, queue, shared: Arc::clone(&shared) };
        writer.report();
        let thread = base::task::thread("wal-writer", move || writer.run())
            .map_err(|error| Error::disk("start the writer of", Path::new("wal"), error))?;
        let thread = Mutex::new(Some(thread));
        let wal = Wal { store, commands, shared, soft_limit, disk, dir, thread, _lock: lock };
        Ok((wal, replayed))
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
        if let Err(SendError(Command::Append(append))) = self.commands.send(command) {
            (append.done)(Err(Error::Closed));
        }
    }

    /// Lets go of batches that a commit claims (W2); segments without any other batch are deleted.
    /// Blocks as [`Wal::append`].
    pub fn release(&self, ids: Vec<BatchId>) {
        // A closed log finds the claims in the catalog at its next replay.
        let _closed = self.commands.send(Command::Release(ids)).is_err();
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.shared.size_bytes.load(Ordering::Relaxed)
    }

    /// Whether the log is past its soft limit: the batches of [`Wal::oldest_batches`] should be
    /// flushed (W4).
    pub fn over_soft_limit(&self) -> bool {
        self.size_bytes() > self.soft_limit
    }

    /// Unreleased batches of the oldest segment. Blocks until the writer answers.
    pub fn oldest_batches(&self) -> Vec<BatchId> {
        let (reply, answer) = sync_channel(1);
        match self.commands.send(Command::Oldest(reply)) {
            Ok(()) => answer.recv().unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Reads unreleased batches back, each once, in order of the log, one record in memory at a
    /// time. Blocks. The caller must not release them meanwhile. Damaged records are passed over:
    /// who needs every batch compares what came.
    pub fn read(&self, ids: &[BatchId], mut on_batch: impl FnMut(Batch)) -> Result<(), Error> {
        let (reply, answer) = sync_channel(1);
        let located = self.commands.send(Command::Locate(ids.to_vec(), reply));
        let segments = match located {
            Ok(()) => answer.recv().map_err(|_| Error::Closed)?,
            Err(_) => return Err(Error::Closed),
        };
        let mut wanted: base::HashSet<BatchId> = ids.iter().copied().collect();
        let mut decoder = Decoder::default();
        for (sequence, acked_end) in segments {
            let path = self.dir.join(segment::name(sequence));
            let file = self.disk.open(&path).map_err(|error| Error::disk("open", &path, error))?;
            let mut reader = SegmentReader::new(file, &path, sequence, Some(acked_end))?;
            loop {
                match reader.next()? {
                    Item::Record { .. } => match decoder.decode(reader.payload()) {
                        Ok(batch) if wanted.remove(&batch.id) => on_batch(batch),
                        _ => {}
                    },
                    Item::Damage { .. } => {}
                    Item::End { .. } => break,
                }
            }
        }
        Ok(())
    }

    /// Writes out what is queued and ends the writer thread. Blocks. Later appends fail with
    /// [`Error::Closed`].
    pub fn close(&self) {
        let thread = self.thread.lock().expect("no holder of the lock panics").take();
        if let Some(thread) = thread {
            let _ended = self.commands.send(Command::Close).is_err();
            if thread.join().is_err() {
                tracing::error!("the writer of the write-ahead log had panicked");
            }
        }
    }
}

/// The configured limit, or a fifth of the disk if that is less (W4).
fn soft_limit(config: &Config, disk: &dyn Disk) -> u64 {
    match disk.space(&config.dir) {
        Ok(space) => config.soft_limit.0.min(space.total_bytes / 5),
        Err(_) => config.soft_limit.0,
    }
}

/// The one thread that writes.
struct Writer {
    log: Log,
    queue: Receiver<Command>,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(mut self) {
        let mut next = self.queue.recv().ok();
        while let Some(command) = next.take() {
            match command {
                Command::Append(append) => next = self.commit_all_waiting(append),
                Command::Release(ids) => self.log.release(&ids),
                Command::Oldest(reply) => {
                    let _gone = reply.send(self.log.index.oldest_batches()).is_err();
                }
                Command::Locate(ids, reply) => {
                    let _gone = reply.send(self.log.index.locate(&ids)).is_err();
                }
                Command::Close => return,
            }
            self.report();
            if next.is_none() {
                next = self.queue.recv().ok();
            }
        }
    }

    /// Group commit. Returns the command that ended the group.
    fn commit_all_waiting(&mut self, first: Append) -> Option<Command> {
        let mut bytes = first.bytes;
        let mut group = vec![first];
        let mut next = None;
        while bytes < MAX_GROUP_BYTES {
            match self.queue.try_recv() {
                Ok(Command::Append(append)) => {
                    bytes += append.bytes;
                    group.push(append);
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.log.commit(group);
        next
    }

    fn report(&self) {
        self.shared.size_bytes.store(self.log.index.bytes(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
