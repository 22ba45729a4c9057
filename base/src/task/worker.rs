//! A dedicated thread that works in steps, or in a simulation a task that does.

use std::io;
use std::sync::Arc;

use tokio::sync::Notify;

use super::sim;

/// What a step of a [`Worker`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There may be more: again at once.
    More,
    /// Nothing is there: again after [`Worker::wake`].
    Idle,
    /// That was the last step.
    End,
}

/// Calls its step on a thread of its own whenever it is woken.
pub struct Worker {
    wake: Wake,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Wakes a [`Worker`]. Cheap to clone.
#[derive(Clone)]
pub struct Wake(Driver);

#[derive(Clone)]
enum Driver {
    Thread(std::thread::Thread),
    Task(Arc<Notify>),
}

/// Starts a worker. Its first step comes without being woken.
#[allow(clippy::disallowed_methods)] // threads are started in this module only
pub fn worker<F>(name: &'static str, mut step: F) -> io::Result<Worker>
where
    F: FnMut() -> Step + Send + 'static,
{
    if sim::is_entered() {
        let woken = Arc::new(Notify::new());
        let wake = Arc::clone(&woken);
        super::spawn(name, async move {
            loop {
                match step() {
                    Step::More => {}
                    Step::Idle => woken.notified().await,
                    Step::End => return,
                }
            }
        });
        return Ok(Worker { wake: Wake(Driver::Task(wake)), thread: None });
    }
    let run = move || {
        loop {
            match step() {
                Step::More => {}
                // A wake between the step and here is kept: this returns at once then.
                Step::Idle => std::thread::park(),
                Step::End => return,
            }
        }
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
    let wake = Wake(Driver::Thread(thread.thread().clone()));
    Ok(Worker { wake, thread: Some(thread) })
}

impl Wake {
    /// Another step comes after this call. Cheap while the worker is busy.
    pub fn wake(&self) {
        match &self.0 {
            Driver::Thread(thread) => thread.unpark(),
            Driver::Task(woken) => woken.notify_one(),
        }
    }

    /// Whether steps run beside the caller. In a simulation they do not: whoever would wait for one
    /// has to take it.
    pub fn is_thread(&self) -> bool {
        matches!(self.0, Driver::Thread(_))
    }
}

impl Worker {
    /// What wakes it.
    pub fn wake(&self) -> Wake {
        self.wake.clone()
    }

    /// Waits for the last step; `false`: a step panicked. Blocks; in a simulation it does not wait.
    pub fn join(self) -> bool {
        self.thread.is_none_or(|thread| thread.join().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn a_worker_takes_a_step_for_every_wake_until_it_ends() {
        let (tell, told) = sync_channel(10);
        let mut steps = 0;
        let worker = worker("test", move || {
            steps += 1;
            tell.send(steps).unwrap();
            if steps == 3 { Step::End } else { Step::Idle }
        })
        .unwrap();
        for wanted in 1..=3 {
            assert_eq!(told.recv(), Ok(wanted));
            worker.wake().wake();
        }
        assert!(worker.join());
        assert!(told.recv().is_err());
    }
}
