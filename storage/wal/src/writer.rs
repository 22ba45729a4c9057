//! The one writer: a bounded queue of commands in front of the [`Log`], and who takes its steps.
//!
//! A worker takes the steps, beside the callers. A caller that has to know what becomes of the queue
//! takes them itself ([`Writer::settle`]), so that nobody ever waits for the worker alone and a
//! simulation needs no second thread. Whoever takes a step holds the log: commands run in order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use base::BatchId;
use base::task::{Step, Wake, Worker};

use crate::log::{Append, Log};

/// A group is not lengthened beyond this: the first of it would wait too long for its fsync.
const MAX_GROUP_BYTES: u64 = 64 << 20;

/// What the log is asked to do.
pub(crate) enum Command {
    Append(Append),
    Release(Vec<BatchId>),
}

/// The queue and the log behind it.
pub(crate) struct Writer {
    queue: Mutex<Queue>,
    has_room: Condvar,
    length: usize,
    log: Mutex<Log>,
    size_bytes: AtomicU64,
    wake: OnceLock<Wake>,
}

struct Queue {
    commands: VecDeque<Command>,
    is_closed: bool,
}

/// What one step does.
enum Work {
    Commit(Vec<Append>),
    Release(Vec<BatchId>),
}

/// Closes the queue if a step panics: nobody may wait for what never comes.
struct Poison<'a>(&'a Writer);

impl Drop for Poison<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut queue = self.0.queue();
            queue.is_closed = true;
            queue.commands.clear();
            self.0.has_room.notify_all();
        }
    }
}

impl Writer {
    /// A writer whose queue holds `length` commands. Nothing happens before [`Writer::start`].
    pub(crate) fn new(log: Log, length: usize) -> Writer {
        let commands = VecDeque::with_capacity(length);
        Writer {
            queue: Mutex::new(Queue { commands, is_closed: false }),
            has_room: Condvar::new(),
            length: length.max(1),
            size_bytes: AtomicU64::new(log.index.bytes()),
            log: Mutex::new(log),
            wake: OnceLock::new(),
        }
    }

    /// Starts the worker that takes the steps.
    pub(crate) fn start(writer: &Arc<Writer>) -> std::io::Result<Worker> {
        let stepper = Arc::clone(writer);
        let worker = base::task::worker("wal-writer", move || stepper.step())?;
        assert!(writer.wake.set(worker.wake()).is_ok(), "a writer has one worker");
        Ok(worker)
    }

    /// Queues a command; gives it back if the log is closed. Blocks while the queue is full.
    pub(crate) fn send(&self, command: Command) -> Result<(), Command> {
        let mut queue = self.queue();
        while queue.commands.len() >= self.length && !queue.is_closed {
            if self.wake.get().is_some_and(Wake::is_thread) {
                queue = self.has_room.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else {
                drop(queue);
                self.step();
                queue = self.queue();
            }
        }
        if queue.is_closed {
            return Err(command);
        }
        queue.commands.push_back(command);
        drop(queue);
        self.wake();
        Ok(())
    }

    /// Takes steps until the queue is empty, then gives the log. Blocking.
    pub(crate) fn settle(&self) -> MutexGuard<'_, Log> {
        while self.step() == Step::More {}
        self.log()
    }

    /// Refuses further commands; what is queued is still done, by whoever takes the next steps.
    pub(crate) fn close(&self) {
        self.queue().is_closed = true;
        self.has_room.notify_all();
        self.wake();
    }

    /// Bytes of all segments after the last step.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Relaxed)
    }

    fn step(&self) -> Step {
        let _poison = Poison(self);
        let mut log = self.log();
        let work = {
            let mut queue = self.queue();
            let was_full = queue.commands.len() >= self.length;
            let work = queue.take();
            if was_full {
                self.has_room.notify_all();
            }
            match work {
                Some(work) => work,
                None if queue.is_closed => return Step::End,
                None => return Step::Idle,
            }
        };
        match work {
            Work::Commit(group) => log.commit(group),
            Work::Release(ids) => log.release(&ids),
        }
        self.size_bytes.store(log.index.bytes(), Ordering::Relaxed);
        Step::More
    }

    fn wake(&self) {
        if let Some(wake) = self.wake.get() {
            wake.wake();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // After a panic in a step the queue is closed: the log is only read.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// The next command, or all appends that wait one after the other: they share a sync.
    fn take(&mut self) -> Option<Work> {
        let first = match self.commands.pop_front()? {
            Command::Release(ids) => return Some(Work::Release(ids)),
            Command::Append(append) => append,
        };
        let mut bytes = first.bytes;
        let mut group = vec![first];
        while bytes < MAX_GROUP_BYTES {
            match self.commands.pop_front() {
                Some(Command::Append(append)) => {
                    bytes += append.bytes;
                    group.push(append);
                }
                Some(other) => {
                    self.commands.push_front(other);
                    break;
                }
                None => break,
            }
        }
        Some(Work::Commit(group))
    }
}
