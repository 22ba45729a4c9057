//! A querier's places at a query frontend: as many workers as it runs jobs at a time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::shutdown::Shutdown;
use futures::future::join_all;
use metrics::gauge;
use rpc::frontend::{FrontendApi, Worker};
use rpc::querier::{ListJob, Listed, QuerierApi, QuerierError, SelectJob, Selected};
use tokio::sync::watch;

use crate::metrics::CONCURRENCY;

/// How long a worker stays away from a frontend that stopped or broke the connection: short beside
/// the patience of a query, long enough that a frontend that is down is not hammered.
const PAUSE: Duration = Duration::from_secs(1);
/// What the last result of a worker that leaves gets to go out. A courtesy: a result that is lost
/// costs its frontend another try.
const FAREWELL: Duration = Duration::from_millis(100);

/// Keeps `places` workers at `frontend`, until `shutdown`: then each leaves after the job it is at.
/// A frontend that stops, or is not there yet, is tried again. `name` is the querier's process.
pub async fn attend(
    frontend: Arc<dyn FrontendApi>,
    querier: Arc<dyn QuerierApi>,
    name: String,
    places: usize,
    shutdown: Shutdown,
) {
    gauge!(CONCURRENCY).increment(places as f64);
    let worker = Worker { querier: name };
    let stays = (0..places).map(|_| stay(&*frontend, &querier, &worker, &shutdown));
    join_all(stays).await;
    gauge!(CONCURRENCY).decrement(places as f64);
}

async fn stay(
    frontend: &dyn FrontendApi,
    querier: &Arc<dyn QuerierApi>,
    worker: &Worker,
    shutdown: &Shutdown,
) {
    loop {
        let place = Arc::new(Place::new(querier.clone(), shutdown.clone()));
        let ended = tokio::select! {
            biased;
            ended = frontend.work(worker.clone(), place.clone()) => ended,
            () = place.may_leave() => return,
        };
        match ended {
            Ok(()) => tracing::debug!(querier = worker.querier, "sent away by the query frontend"),
            Err(error) => tracing::warn!(querier = worker.querier, %error, "no query frontend"),
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(PAUSE) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// The querier as one worker shows it: counts what runs, and takes nothing new once it leaves.
struct Place {
    querier: Arc<dyn QuerierApi>,
    leaving: Shutdown,
    running: watch::Sender<usize>,
}

impl Place {
    fn new(querier: Arc<dyn QuerierApi>, leaving: Shutdown) -> Place {
        Place { querier, leaving, running: watch::Sender::new(0) }
    }

    /// Returns when it leaves and nothing runs any more.
    async fn may_leave(&self) {
        self.leaving.cancelled().await;
        if *self.running.borrow() > 0 {
            // The sender is `self`: it is not closed while it is waited for.
            let _ = self.running.subscribe().wait_for(|&running| running == 0).await;
            tokio::time::sleep(FAREWELL).await;
        }
    }

    fn take(&self) -> Result<Running<'_>, QuerierError> {
        if self.leaving.is_cancelled() {
            return Err(QuerierError::Unavailable("the querier is leaving".to_owned()));
        }
        self.running.send_modify(|running| *running += 1);
        Ok(Running(self))
    }
}

/// Counts a job, also one that is dropped.
struct Running<'a>(&'a Place);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

#[async_trait]
impl QuerierApi for Place {
    async fn select(&self, job: SelectJob) -> Result<Selected, QuerierError> {
        let _running = self.take()?;
        self.querier.select(job).await
    }

    async fn list(&self, job: ListJob) -> Result<Listed, QuerierError> {
        let _running = self.take()?;
        self.querier.list(job).await
    }
}

#[cfg(test)]
mod tests;
