//! Raft's log and vote on a [`Disk`]: in memory to read, in one file to keep.
//!
//! A file begins with everything (vote, entries, what was purged), then holds what changed since.
//! A new one is begun at every start and when much was purged; the old one goes when the new one is
//! durable. So the newest file whose beginning is whole is the log.
//!
//! No call of openraft waits for the disk on its core task but the ones that must (a vote, a
//! truncation): entries are readable at once, and a worker writes all that waits, syncs once, and
//! then says so to everybody who waited. After a failed write or sync the log is dead.

mod file;
mod worker;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::disk::Disk;
use base::task::Wake;
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader, StorageIOError};
use tokio::sync::{oneshot, watch};

use crate::error::Error;
use crate::frame;
use crate::types::{Entry, LogId, NodeId, StorageError, Types, Vote};

pub use file::dir_of;
#[cfg(test)]
pub(crate) use file::vote_record;
pub(crate) use file::{Image, Owner, load as load_image, name as log_name, sequences};

/// Bytes written since the beginning after which a purge begins a new file.
const FILE_BYTES: u64 = 256 << 10;
/// Most bytes of entries that one message carries; a single larger entry goes alone.
const READ_BYTES: usize = 1 << 20;

/// The log of one node. Clones are the same log.
#[derive(Clone)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    wake: Wake,
    /// The worker ends when the last of these is dropped.
    _open: Arc<Open>,
}

struct Open {
    shared: Arc<Shared>,
    wake: Wake,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.wake.wake();
    }
}

/// Makes a log durable while it is open.
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    wake: Wake,
}

impl Syncer {
    /// Makes durable what was written so far: the committed index, too.
    pub(crate) async fn sync(&self) -> io::Result<()> {
        let (tell, told) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            if state.is_closed {
                return Err(io::Error::other("the log is closed"));
            }
            let record = Record::Next(file::mark_record());
            state.queue.push(Write { record, then: Then::Tell(tell) });
        }
        self.wake.wake();
        told.await.unwrap_or_else(|_| Err(io::Error::other("the log is closed")))
    }
}

/// What readers, writers and the worker share.
pub(crate) struct Shared {
    state: Mutex<State>,
}

struct State {
    image: Image,
    /// What the worker has not taken yet, in the order in which the image changed.
    queue: Vec<Write>,
    /// Bytes of records since the beginning of the file.
    since_bytes: u64,
    is_closed: bool,
}

/// Something to be written.
struct Write {
    record: Record,
    then: Then,
}

enum Record {
    /// Another record of the file.
    Next(Vec<u8>),
    /// A new file that begins with this.
    Begin(Vec<u8>),
}

enum Then {
    /// Nobody waits, and it need not be durable.
    Nothing,
    Flushed(LogFlushed<Types>),
    Tell(oneshot::Sender<io::Result<()>>),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of the worker: its lock on the directory is released then.
pub(crate) type Ended = watch::Receiver<bool>;

impl Log {
    /// Opens the log of `dir`, which is locked until the worker has ended.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        owner: Owner,
    ) -> Result<(Log, Ended), Error> {
        disk.create_dir_all(&dir).map_err(|error| Error::io(&dir, error))?;
        let path = dir.join("lock");
        let lock = disk.lock(&path).map_err(|error| Error::io(&path, error))?;
        let (image, files) = file::load(&*disk, &dir, &owner)?;
        let begin = image.encode();
        let shared = Arc::new(Shared {
            state: Mutex::new(State { image, queue: Vec::new(), since_bytes: 0, is_closed: false }),
        });
        let (end, ended) = watch::channel(false);
        let mut worker =
            worker::Writer::start(Arc::clone(&shared), disk, dir.clone(), files, &begin)
                .map_err(|error| Error::io(&dir, error))?;
        let mut lock = Some(lock);
        let step = move || {
            let step = worker.step();
            if step == base::task::Step::End {
                lock.take();
                // Nobody may be interested any more.
                let _ = end.send(true);
            }
            step
        };
        let worker =
            base::task::worker("raft-log", step).map_err(|error| Error::io(&dir, error))?;
        let wake = worker.wake();
        let open = Arc::new(Open { shared: Arc::clone(&shared), wake: wake.clone() });
        Ok((Log { shared, wake, _open: open }, ended))
    }

    /// Whether nothing was ever promised here.
    pub(crate) fn is_fresh(&self) -> bool {
        let state = self.shared.lock();
        state.image.is_fresh()
    }

    /// What was purged.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.shared.lock().image.purged
    }

    /// What makes it durable, and does not keep it open.
    pub(crate) fn syncer(&self) -> Syncer {
        Syncer { shared: Arc::clone(&self.shared), wake: self.wake.clone() }
    }

    /// Queues a record. The caller holds the lock under which it changed the image.
    fn queue(&self, mut state: MutexGuard<'_, State>, payload: Vec<u8>, then: Then) {
        state.since_bytes += (frame::FRAME_BYTES + payload.len()) as u64;
        state.queue.push(Write { record: Record::Next(payload), then });
        drop(state);
        self.wake.wake();
    }

    async fn queue_and_wait(
        &self,
        change: impl FnOnce(&mut Image) -> Vec<u8> + Send,
    ) -> io::Result<()> {
        let (tell, told) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            let payload = change(&mut state.image);
            self.queue(state, payload, Then::Tell(tell));
        }
        told.await.unwrap_or_else(|_| Err(io::Error::other("the log is closed")))
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        let state = self.shared.lock();
        Ok(state.image.entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        let state = self.shared.lock();
        let mut bytes = 0;
        let mut entries = Vec::new();
        for (_, entry) in state.image.entries.range(start..end) {
            bytes += file::weight(entry);
            if !entries.is_empty() && bytes > READ_BYTES {
                break;
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let state = self.shared.lock();
        let purged = state.image.purged;
        let last = state.image.entries.last_key_value().map(|(_, entry)| entry.log_id);
        Ok(LogState { last_purged_log_id: purged, last_log_id: last.or(purged) })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let saved = self.queue_and_wait(|image| {
            image.vote = Some(*vote);
            file::vote_record(vote)
        });
        saved.await.map_err(|error| StorageIOError::<NodeId>::write_vote(&error).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.shared.lock().image.vote)
    }

    /// Not durable at once: what is lost of it is learnt again from the leader.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let mut state = self.shared.lock();
        state.image.committed = committed;
        self.queue(state, file::committed_record(committed.as_ref()), Then::Nothing);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.shared.lock().image.committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let payload = file::entries_record(&entries);
        let mut state = self.shared.lock();
        for entry in entries {
            state.image.append(entry);
        }
        self.queue(state, payload, Then::Flushed(callback));
        Ok(())
    }

    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        let truncated = self.queue_and_wait(|image| {
            image.truncate(since.index);
            file::truncate_record(since.index)
        });
        truncated.await.map_err(|error| StorageIOError::<NodeId>::write_logs(&error).into())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        let mut state = self.shared.lock();
        state.image.purge(upto);
        if state.since_bytes < FILE_BYTES {
            self.queue(state, file::purge_record(&upto), Then::Nothing);
            return Ok(());
        }
        let begin = state.image.encode();
        state.since_bytes = 0;
        state.queue.push(Write { record: Record::Begin(begin), then: Then::Nothing });
        drop(state);
        self.wake.wake();
        Ok(())
    }
}

/// Entries by index, without gaps.
pub(crate) type Entries = BTreeMap<u64, Entry>;

#[cfg(test)]
mod tests;
