//! The only place that spawns: every task has a name, and a panic in it is never silent.
//!
//! A thread that [`sim::enter`]ed the simulation runs everything here as ordinary tasks of its
//! current-thread runtime, so that one seed gives one order of events.

pub mod sim;
mod worker;

use std::future::Future;

use tokio::runtime::Handle;

pub use tokio::task::JoinHandle;
pub use worker::{Step, Wake, Worker, worker};

/// Runs `future` as a task of the current runtime. `name` appears where tasks are listed.
#[allow(clippy::disallowed_methods)] // the one place that may
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let _ = name;
    match sim::current() {
        None => tokio::spawn(future),
        Some(process) => process.spawn(future),
    }
}

/// Runs `work` where it may block on files or burn CPU. It must not wait for another task.
#[allow(clippy::disallowed_methods)] // the one place that may
pub fn blocking<F, R>(name: &'static str, work: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    if sim::is_entered() {
        return spawn(name, async move { work() });
    }
    tokio::task::spawn_blocking(work)
}

/// Waits for IO from within [`blocking`]. In a simulation nobody else runs meanwhile: `future` may
/// only wait for itself.
pub fn block_on<F: Future>(runtime: &Handle, future: F) -> F::Output {
    if sim::is_entered() { sim::poll_through(future) } else { runtime.block_on(future) }
}

/// Starts a dedicated operating-system thread. Not for what a simulation runs: see [`worker`].
#[allow(clippy::disallowed_methods)] // the one place that may
pub fn thread<F>(name: &'static str, work: F) -> std::io::Result<std::thread::JoinHandle<()>>
where
    F: FnOnce() + Send + 'static,
{
    assert!(!sim::is_entered(), "{name}: a simulation has one thread");
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}
