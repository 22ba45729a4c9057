//! The handle: open and replay, append, release.

use std::path::PathBuf;
use std::sync::Arc;

use base::disk::Disk;
use base::random::Random;
use base::{Batch, BatchId, Clock, StoreId};

use crate::{Config, Error};

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
    _private: (),
}

impl Wal {
    /// Opens the directory, gives every recovered batch to `on_batch` (segment by segment, one
    /// record in memory at a time), then starts the writer thread.
    pub fn open(
        _config: Config,
        _env: Env,
        _on_batch: impl FnMut(Recovered) -> Verdict,
    ) -> Result<(Wal, Replayed), Error> {
        unimplemented!()
    }

    /// The store that this directory is.
    pub fn store(&self) -> StoreId {
        unimplemented!()
    }

    /// Queues `batches` as one append: all of them or none are acked. Waits while the queue is full.
    pub fn append(&self, _batches: Arc<Vec<Batch>>, _done: Done) {
        unimplemented!()
    }

    /// Lets go of batches that a commit claims (W2); segments without any other batch are deleted.
    pub fn release(&self, _ids: Vec<BatchId>) {
        unimplemented!()
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        unimplemented!()
    }

    /// Whether the log is past its soft limit: the batches of [`Wal::oldest_batches`] should be
    /// flushed (W4).
    pub fn over_soft_limit(&self) -> bool {
        unimplemented!()
    }

    /// Unreleased batches of the oldest segment.
    pub fn oldest_batches(&self) -> Vec<BatchId> {
        unimplemented!()
    }

    /// Writes out what is queued and ends the writer thread.
    pub fn close(&self) -> Result<(), Error> {
        unimplemented!()
    }
}
