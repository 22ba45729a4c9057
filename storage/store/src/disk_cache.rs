//! Pieces of parts on a disk of this machine, below the memory that [`crate::pages`] takes: what an
//! object store was asked for once is read from there after a restart, and when there is far more
//! of it than memory.
//!
//! Parts never change, so nothing here is ever stale, and all of it can be lost: nothing is synced,
//! every record is checked when it is read, and a disk that fails turns the cache off for a while.
//! No query waits for a write and none fails because of the cache.
//!
//! Segments are appended to by one thread ([`keeper`]) and dropped whole, the oldest first; what was
//! used of it is written again. One process has the directory; another one that wants it does
//! without until the first has ended.

mod index;
mod keeper;
mod record;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use base::Clock;
use base::disk::Disk;
use base::task::Worker;
use bytes::Bytes;

use crate::metrics::{
    CACHE_ENTRIES, CACHE_REQUESTS, DISK_CACHE_BYTES, DISK_CACHE_FAILURES, DISK_CACHE_SKIPPED,
};
use index::Index;
use keeper::Keeper;

pub(crate) use record::Key;
pub(crate) use record::fuzz;

/// Pieces that wait to be written take at most this; more are not kept. A scanning thread hands
/// over a few hundred KiB at once.
const QUEUE_BYTES: usize = 16 << 20;
/// Below this segments would be too short for most pieces.
const MIN_LIMIT_BYTES: u64 = 1 << 20;
/// Pause after the disk failed.
const PAUSE_NS: u64 = 60_000_000_000;

/// Where pieces are kept, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskCacheConfig {
    /// Directory of the segments; it is made if it is missing.
    pub dir: PathBuf,
    /// Bytes of all files together, never exceeded. Memory for the index is at most a 256th of it.
    pub limit_bytes: u64,
}

/// The cache. Dropping it ends its thread; what waits to be written is forgotten.
pub struct DiskCache {
    shared: Arc<Shared>,
    keeper: Option<Worker>,
}

struct Shared {
    index: Mutex<Index>,
    queue: Mutex<Queue>,
    /// The queue is empty and nothing is being written.
    settled: Condvar,
    is_ended: AtomicBool,
    no_reads: Pause,
    no_writes: Pause,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Queue {
    pieces: VecDeque<(Key, Bytes)>,
    bytes: usize,
    is_settled: bool,
}

/// Time that the cache does without a disk that failed.
#[derive(Default)]
struct Pause(AtomicU64);

impl Pause {
    fn begin(&self, clock: &dyn Clock) {
        self.0.store(clock.monotonic_ns().saturating_add(PAUSE_NS), Ordering::Relaxed);
    }

    fn is_on(&self, clock: &dyn Clock) -> bool {
        let until = self.0.load(Ordering::Relaxed);
        until != 0 && clock.monotonic_ns() < until
    }
}

impl DiskCache {
    /// A cache in `config.dir`. It begins empty, and finds what is there already on its own thread.
    ///
    /// # Errors
    /// The limit is too low, or there is no thread. What is wrong with the directory is logged, and tried again later.
    pub fn open(
        config: DiskCacheConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<DiskCache> {
        if config.limit_bytes < MIN_LIMIT_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a disk cache of {} bytes: at least {MIN_LIMIT_BYTES}", config.limit_bytes),
            ));
        }
        let shared = Arc::new(Shared {
            index: Mutex::default(),
            queue: Mutex::default(),
            settled: Condvar::new(),
            is_ended: AtomicBool::new(false),
            no_reads: Pause::default(),
            no_writes: Pause::default(),
            clock,
        });
        let mut keeper = Keeper::new(config, disk, Arc::clone(&shared));
        let keeper = base::task::worker("store.disk-cache", move || keeper.step())?;
        Ok(DiskCache { shared, keeper: Some(keeper) })
    }

    /// The bytes of a piece, if they are kept and whole. Blocking.
    pub(crate) fn read(&self, key: &Key) -> Option<Bytes> {
        let (bytes, result) = self.shared.read(key);
        metrics::counter!(CACHE_REQUESTS, "cache" => "disk", "result" => result).increment(1);
        bytes
    }

    /// Keeps these pieces, if the disk comes after. Does not block.
    pub(crate) fn offer(&self, pieces: Vec<(Key, Bytes)>) {
        if self.shared.no_writes.is_on(&*self.shared.clock) {
            return skipped("failed", pieces.len());
        }
        let mut too_many = 0;
        {
            let mut queue = self.shared.queue();
            for (key, bytes) in pieces {
                if queue.bytes + bytes.len() > QUEUE_BYTES {
                    too_many += 1;
                    continue;
                }
                queue.bytes += bytes.len();
                queue.pieces.push_back((key, bytes));
            }
            queue.is_settled = false;
        }
        skipped("busy", too_many);
        self.keeper.iter().for_each(|keeper| keeper.wake().wake());
    }

    /// Waits until all that was offered is written, or cannot be.
    #[cfg(test)]
    pub(crate) fn settle(&self) {
        let queue = self.shared.queue();
        let settled = self.shared.settled.wait_while(queue, |queue| !queue.is_settled);
        drop(settled.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for DiskCache {
    fn drop(&mut self) {
        self.shared.is_ended.store(true, Ordering::Relaxed);
        if let Some(keeper) = self.keeper.take() {
            keeper.wake().wake();
            // The piece that is being written is: a few hundred KiB.
            keeper.join();
        }
    }
}

impl Shared {
    fn read(&self, key: &Key) -> (Option<Bytes>, &'static str) {
        if self.no_reads.is_on(&*self.clock) {
            return (None, "miss");
        }
        let Some((file, place)) = self.index().find(key) else { return (None, "miss") };
        match record::read(&*file, u64::from(place.offset), key) {
            Ok(Some(bytes)) => (Some(bytes), "hit"),
            Ok(None) => {
                self.index().remove(key, place);
                (None, "damaged")
            }
            Err(error) => {
                self.no_reads.begin(&*self.clock);
                metrics::counter!(DISK_CACHE_FAILURES, "operation" => "read").increment(1);
                tracing::warn!(%error, "the disk cache cannot be read: not read for a minute");
                (None, "miss")
            }
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Relaxed)
    }

    /// The next piece to write; `None`: nothing is to be done.
    fn take(&self) -> Option<(Key, Bytes)> {
        let mut queue = self.queue();
        let piece = queue.pieces.pop_front();
        match &piece {
            Some((_, bytes)) => queue.bytes -= bytes.len(),
            None => {
                queue.is_settled = true;
                self.settled.notify_all();
            }
        }
        piece
    }

    /// Forgets what waits to be written.
    fn give_up(&self) {
        let waiting = {
            let mut queue = self.queue();
            queue.bytes = 0;
            queue.pieces.drain(..).len()
        };
        skipped("failed", waiting);
    }

    fn tell_size(&self) {
        let (bytes, entries) = {
            let index = self.index();
            (index.bytes(), index.entries())
        };
        metrics::gauge!(DISK_CACHE_BYTES).set(bytes as f64);
        metrics::gauge!(CACHE_ENTRIES, "cache" => "disk").set(entries as f64);
    }
}

fn skipped(reason: &'static str, count: usize) {
    if count > 0 {
        metrics::counter!(DISK_CACHE_SKIPPED, "reason" => reason).increment(count as u64);
    }
}

#[cfg(test)]
mod tests;
