//! The parts a process is made of: started in order, stopped in reverse, each step timed and logged.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use base::time::Clock;

/// Ends a module; returns when nothing of it runs any more.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A module that has nothing to end: whoever drops its last handle ends it.
pub fn nothing_to_stop() -> Stop {
    Box::pin(std::future::ready(()))
}

/// Where a module stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not usable yet.
    Starting,
    /// Does its work.
    Running,
    /// Ends what it has begun.
    Stopping,
    /// Ended.
    Terminated,
}

/// Every module of this process with its state, in the order of the start: what `/services` shows.
/// Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Vec<(&'static str, State)>>>);

impl Board {
    /// The list as it is now.
    pub fn list(&self) -> Vec<(&'static str, State)> {
        self.lock().clone()
    }

    fn set(&self, name: &'static str, state: State) {
        let mut list = self.lock();
        match list.iter_mut().find(|entry| entry.0 == name) {
            Some(entry) => entry.1 = state,
            None => list.push((name, state)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(&'static str, State)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Modules that have started, and how each of them stops.
pub struct Modules {
    clock: Arc<dyn Clock>,
    board: Board,
    started: Vec<(&'static str, Stop)>,
}

impl Modules {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>, board: Board) -> Modules {
        Modules { clock, board, started: Vec::new() }
    }

    /// Starts a module, unless it is not `wanted` in this process: then it is `None`. What stops
    /// it runs before that of every module that was started earlier.
    pub async fn start<T>(
        &mut self,
        name: &'static str,
        wanted: bool,
        work: impl Future<Output = Result<(T, Stop)>>,
    ) -> Result<Option<T>> {
        if !wanted {
            return Ok(None);
        }
        self.board.set(name, State::Starting);
        let (module, stop) = timed(&*self.clock, "start", name, work).await?;
        self.board.set(name, State::Running);
        self.started.push((name, stop));
        Ok(Some(module))
    }

    /// Stops every module, the last started first.
    pub async fn stop(mut self) -> Result<()> {
        while let Some((name, stop)) = self.started.pop() {
            self.board.set(name, State::Stopping);
            timed(&*self.clock, "stop", name, async {
                stop.await;
                Ok(())
            })
            .await?;
            self.board.set(name, State::Terminated);
        }
        Ok(())
    }
}

async fn timed<T>(
    clock: &dyn Clock,
    step: &'static str,
    module: &'static str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let started_ns = clock.monotonic_ns();
    let result = work.await.with_context(|| format!("{step} {module}"));
    let took = Duration::from_nanos(clock.monotonic_ns().saturating_sub(started_ns));
    match &result {
        Ok(_) => tracing::info!(step, module, ?took, "done"),
        Err(error) => tracing::error!(step, module, ?took, "failed: {error:#}"),
    }
    result
}

#[cfg(test)]
mod tests {
    use base::time::ManualClock;

    use super::*;

    fn module(
        name: &'static str,
        log: &Arc<Mutex<Vec<String>>>,
    ) -> impl Future<Output = Result<(&'static str, Stop)>> + use<> {
        let log = log.clone();
        async move {
            log.lock().unwrap().push(format!("start {name}"));
            let stop: Stop = Box::pin(async move {
                log.lock().unwrap().push(format!("stop {name}"));
            });
            Ok((name, stop))
        }
    }

    #[tokio::test]
    async fn modules_stop_in_reverse_and_those_not_wanted_never_start() {
        let (log, board) = (Arc::default(), Board::default());
        let mut modules = Modules::new(Arc::new(ManualClock::default()), board.clone());
        assert_eq!(
            modules.start("store", true, module("store", &log)).await.unwrap(),
            Some("store")
        );
        assert_eq!(modules.start("querier", false, module("querier", &log)).await.unwrap(), None);
        modules.start("ingester", true, module("ingester", &log)).await.unwrap();
        let running = [("store", State::Running), ("ingester", State::Running)];
        assert_eq!(board.list(), running);
        modules.stop().await.unwrap();
        let expected = ["start store", "start ingester", "stop ingester", "stop store"];
        assert_eq!(*log.lock().unwrap(), expected);
        assert!(board.list().iter().all(|(_, state)| *state == State::Terminated));
    }

    #[tokio::test]
    async fn a_module_that_fails_to_start_is_named() {
        let mut modules = Modules::new(Arc::new(ManualClock::default()), Board::default());
        let fails = async { anyhow::bail!("no disk") };
        let error = modules.start::<()>("ingester", true, fails).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "start ingester: no disk");
    }
}
