//! Simulated mode: every process of a simulation is a set of tasks on one thread, which a test can
//! stall, wake and kill.
//!
//! Only tests enter it. What a process spawns belongs to it: [`Process`] is inherited through
//! [`super::spawn`] and [`super::blocking`]. A stalled process is not polled while time passes; a
//! killed one is never polled again, not even in the middle of a step: what its last poll
//! returned is dropped.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::task::{AbortHandle, JoinHandle};

thread_local! {
    static ENTERED: Cell<bool> = const { Cell::new(false) };
    static CURRENT: RefCell<Option<Process>> = const { RefCell::new(None) };
}

/// Polls after which [`poll_through`] says that its future waits for somebody.
const MAX_POLLS: u32 = 1_000;

/// The thread is simulated while this lives.
#[must_use]
pub struct Entered(());

/// Makes this thread a simulated one. It runs one simulation at a time.
pub fn enter() -> Entered {
    assert!(!ENTERED.replace(true), "this thread is simulated already");
    Entered(())
}

impl Drop for Entered {
    fn drop(&mut self) {
        ENTERED.set(false);
    }
}

/// Whether this thread is simulated.
#[inline]
pub fn is_entered() -> bool {
    ENTERED.get()
}

/// The process whose task is being polled.
#[inline]
pub fn current() -> Option<Process> {
    if is_entered() { CURRENT.with_borrow(Clone::clone) } else { None }
}

/// Runs `future` as a task of no process, whoever spawns it: what the world does and not a program.
#[allow(clippy::disallowed_methods)] // tasks are spawned in this module only
pub fn outside<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    assert!(is_entered(), "only a simulation has an outside");
    tokio::spawn(future)
}

/// Polls `future` to its end although nobody else can run.
pub(super) fn poll_through<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..MAX_POLLS {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("a thread waits for another task: a simulation has only one");
}

/// A simulated process: tasks that stall and die together. Clones are the same process.
#[derive(Clone)]
pub struct Process(Arc<Inner>);

struct Inner {
    name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_stalled: bool,
    is_dead: bool,
    panics: u64,
    /// Tasks that were to be polled while the process was stalled.
    waiting: Vec<Waker>,
    tasks: Vec<AbortHandle>,
    /// Tasks at which ended ones are forgotten.
    tidy_at: usize,
}

impl Process {
    /// A running process without tasks.
    pub fn new(name: impl Into<String>) -> Process {
        let state = Mutex::new(State { tidy_at: 64, ..State::default() });
        Process(Arc::new(Inner { name: name.into(), state }))
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Runs `future` as a task of this process. Its handle fails if the process is killed.
    #[allow(clippy::disallowed_methods)] // tasks are spawned in this module only
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        assert!(is_entered(), "a process lives in a simulation");
        let future: Pin<Box<dyn Future<Output = F::Output> + Send>> = Box::pin(future);
        let handle = tokio::spawn(Task { process: self.clone(), future });
        let mut state = self.state();
        if state.is_dead {
            handle.abort();
            return handle;
        }
        if state.tasks.len() >= state.tidy_at {
            state.tasks.retain(|task| !task.is_finished());
            state.tidy_at = 64 + 2 * state.tasks.len();
        }
        state.tasks.push(handle.abort_handle());
        handle
    }

    /// From now on no task of it is polled. Time goes on.
    pub fn stall(&self) {
        self.state().is_stalled = true;
    }

    /// Everything that became ready meanwhile runs.
    pub fn wake(&self) {
        let waiting = {
            let mut state = self.state();
            state.is_stalled = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ends it where it stands.
    pub fn kill(&self) {
        let (tasks, waiting) = {
            let mut state = self.state();
            state.is_dead = true;
            (std::mem::take(&mut state.tasks), std::mem::take(&mut state.waiting))
        };
        tasks.iter().for_each(AbortHandle::abort);
        drop(waiting);
    }

    /// Whether it was killed.
    pub fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// Whether it is stalled.
    pub fn is_stalled(&self) -> bool {
        self.state().is_stalled
    }

    /// Tasks of it that panicked.
    pub fn panics(&self) -> u64 {
        self.state().panics
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({})", self.0.name)
    }
}

/// A task that knows whose it is.
struct Task<T> {
    process: Process,
    future: Pin<Box<dyn Future<Output = T> + Send>>,
}

/// Sets the current process for one poll.
struct Polling(Option<Process>);

impl Polling {
    fn of(process: &Process) -> Polling {
        Polling(CURRENT.replace(Some(process.clone())))
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        let polled = CURRENT.replace(self.0.take());
        if std::thread::panicking()
            && let Some(process) = polled
        {
            process.state().panics += 1;
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        {
            let mut state = self.process.state();
            if state.is_dead {
                return Poll::Pending;
            }
            if state.is_stalled {
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
        }
        let polling = Polling::of(&self.process);
        let polled = self.future.as_mut().poll(context);
        drop(polling);
        // It may have died in this very poll: then nobody learns what it did.
        if polled.is_ready() && self.process.is_dead() {
            return Poll::Pending;
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    fn run<F: Future>(future: F) -> F::Output {
        let _entered = enter();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(future)
    }

    #[test]
    fn what_a_process_spawns_belongs_to_it_and_dies_with_it() {
        run(async {
            let process = Process::new("a");
            let child = process.spawn(async {
                crate::task::blocking("work", || current().unwrap().name().to_owned()).await
            });
            assert_eq!(child.await.unwrap().unwrap(), "a");
            let reached = Arc::new(AtomicU64::new(0));
            let told = Arc::clone(&reached);
            let outer = process.clone();
            let dying = process.spawn(async move {
                let inner = crate::task::spawn("inner", std::future::pending::<()>());
                told.store(1, Ordering::SeqCst);
                outer.kill();
                told.store(2, Ordering::SeqCst);
                drop(inner);
            });
            assert!(dying.await.unwrap_err().is_cancelled());
            assert_eq!(reached.load(Ordering::SeqCst), 2);
            assert!(process.spawn(async {}).await.unwrap_err().is_cancelled());
            assert!(current().is_none());
        });
    }

    #[test]
    fn a_stalled_process_does_nothing_until_it_wakes() {
        run(async {
            let process = Process::new("a");
            let count = Arc::new(AtomicU64::new(0));
            let counter = Arc::clone(&count);
            let task = process.spawn(async move {
                loop {
                    tokio::task::yield_now().await;
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            });
            while count.load(Ordering::SeqCst) < 3 {
                tokio::task::yield_now().await;
            }
            process.stall();
            let stalled_at = count.load(Ordering::SeqCst);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(count.load(Ordering::SeqCst), stalled_at);
            process.wake();
            while count.load(Ordering::SeqCst) < stalled_at + 3 {
                tokio::task::yield_now().await;
            }
            process.kill();
            assert!(task.await.unwrap_err().is_cancelled());
        });
    }

    #[test]
    #[should_panic(expected = "a thread waits for another task")]
    fn blocking_on_another_task_is_found() {
        run(async {
            let never = tokio::time::sleep(Duration::from_secs(1));
            crate::task::block_on(&tokio::runtime::Handle::current(), never);
        });
    }
}
