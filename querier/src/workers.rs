//! A querier's places at a query frontend: as many workers as it runs jobs at a time.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base::shutdown::Shutdown;
use futures::future::join_all;
use metrics::gauge;
use rpc::frontend::{FrontendApi, Worker};
use rpc::querier::{ListJob, Listed, QuerierApi, QuerierError, SelectJob, Selected};
use rpc::tail::{TailJob, Tailed};
use tokio::sync::Notify;

use crate::metrics::CONCURRENCY;

/// How long a worker stays away from a frontend that stopped or broke the connection: short beside
/// the patience of a query, long enough that a frontend that is down is not hammered.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a worker that leaves stays after its last job, for its result to get on its way. A
/// result that does not is a job that another querier repeats.
const FAREWELL: Duration = Duration::from_millis(100);

/// Keeps `places` workers at `frontend`, until `shutdown` and the jobs that run then have ended. A
/// frontend that stops, or is not there yet, is tried again. `name` is the querier's process.
pub async fn attend(
    frontend: Arc<dyn FrontendApi>,
    querier: Arc<dyn QuerierApi>,
    name: String,
    places: usize,
    shutdown: Shutdown,
) {
    gauge!(CONCURRENCY).increment(places as f64);
    let worker = Worker { querier: name };
    let places_at = (0..places).map(|_| place(&*frontend, &querier, &worker, &shutdown));
    join_all(places_at).await;
    gauge!(CONCURRENCY).decrement(places as f64);
}

/// One worker. An idle one leaves at once, so that it takes no jobs that it would only refuse.
async fn place(
    frontend: &dyn FrontendApi,
    querier: &Arc<dyn QuerierApi>,
    worker: &Worker,
    shutdown: &Shutdown,
) {
    let (querier, shutdown) = (querier.clone(), shutdown.clone());
    let (running, ended) = (AtomicUsize::new(0), Notify::new());
    let desk = Arc::new(Desk { querier, shutdown, running, ended });
    tokio::select! {
        biased;
        () = desk.left() => {}
        () = stay(frontend, desk.clone(), worker) => {}
    }
}

async fn stay(frontend: &dyn FrontendApi, querier: Arc<dyn QuerierApi>, worker: &Worker) {
    loop {
        match frontend.work(worker.clone(), querier.clone()).await {
            Ok(()) => tracing::debug!(querier = worker.querier, "sent away by the query frontend"),
            Err(error) => tracing::warn!(querier = worker.querier, %error, "no query frontend"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The querier as one worker sees it: takes no more jobs once it is leaving.
struct Desk {
    querier: Arc<dyn QuerierApi>,
    shutdown: Shutdown,
    running: AtomicUsize,
    /// No job runs any more.
    ended: Notify,
}

/// A job that runs, also one that is dropped.
struct Running<'a>(&'a Desk);

impl Desk {
    fn begin(&self) -> Result<Running<'_>, QuerierError> {
        self.running.fetch_add(1, Ordering::SeqCst);
        let guard = Running(self);
        if self.shutdown.is_cancelled() {
            return Err(QuerierError::Unavailable("the querier is stopping".to_owned()));
        }
        Ok(guard)
    }

    /// Waits until it was told to leave and what ran then has ended.
    async fn left(&self) {
        self.shutdown.cancelled().await;
        let mut said = false;
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.running.load(Ordering::SeqCst) == 0 {
                break;
            }
            said = true;
            ended.await;
        }
        if said {
            tokio::time::sleep(FAREWELL).await;
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

#[async_trait]
impl QuerierApi for Desk {
    async fn select(&self, job: SelectJob) -> Result<Selected, QuerierError> {
        let _running = self.begin()?;
        self.querier.select(job).await
    }

    async fn list(&self, job: ListJob) -> Result<Listed, QuerierError> {
        let _running = self.begin()?;
        self.querier.list(job).await
    }

    async fn tail(&self, job: TailJob) -> Result<Tailed, QuerierError> {
        let _running = self.begin()?;
        self.querier.tail(job).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use base::{TenantId, UnixNanos, task};
    use rpc::frontend::FrontendError;
    use rpc::querier::Listing;
    use tokio::sync::oneshot;

    use super::*;

    /// Gives its workers two jobs after each other and keeps what came of them.
    #[derive(Default)]
    struct TwoJobs {
        results: Mutex<Vec<Result<Listed, QuerierError>>>,
    }

    #[async_trait]
    impl FrontendApi for TwoJobs {
        async fn work(&self, _: Worker, querier: Arc<dyn QuerierApi>) -> Result<(), FrontendError> {
            for _ in 0..2 {
                let result = querier.list(job()).await;
                self.results.lock().unwrap().push(result);
            }
            std::future::pending().await
        }
    }

    fn job() -> ListJob {
        ListJob {
            tenant: TenantId::new("acme").unwrap(),
            listing: Listing::Names,
            selectors: Vec::new(),
            start: UnixNanos(0),
            end: UnixNanos(1),
        }
    }

    /// Answers when it is told to.
    struct Slow {
        began: Notify,
        go: Mutex<Option<oneshot::Receiver<()>>>,
    }

    #[async_trait]
    impl QuerierApi for Slow {
        async fn select(&self, _: SelectJob) -> Result<Selected, QuerierError> {
            panic!("not asked")
        }

        async fn list(&self, _: ListJob) -> Result<Listed, QuerierError> {
            let go = self.go.lock().unwrap().take().expect("asked once");
            self.began.notify_one();
            go.await.unwrap();
            Ok(Listed::Texts(Vec::new()))
        }
    }

    #[tokio::test]
    async fn a_querier_that_leaves_finishes_its_job_and_takes_no_other() {
        let (go, gone) = oneshot::channel();
        let querier = Arc::new(Slow { began: Notify::new(), go: Mutex::new(Some(gone)) });
        let frontend = Arc::new(TwoJobs::default());
        let shutdown = Shutdown::new();
        let (at, of) = (frontend.clone(), querier.clone());
        let attended = attend(at, of, "q".to_owned(), 1, shutdown.clone());
        let attended = task::spawn("test.workers", attended);
        querier.began.notified().await;
        shutdown.cancel();
        tokio::task::yield_now().await;
        assert!(!attended.is_finished(), "a job runs");
        go.send(()).unwrap();
        attended.await.unwrap();
        let results = frontend.results.lock().unwrap();
        assert!(results[0].is_ok(), "{results:?}");
        let refused = results[1].as_ref().unwrap_err();
        assert_eq!(refused.kind(), base::ErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn idle_workers_leave_at_once() {
        let (_go, gone) = oneshot::channel();
        let querier = Arc::new(Slow { began: Notify::new(), go: Mutex::new(Some(gone)) });
        let shutdown = Shutdown::new();
        shutdown.cancel();
        attend(Arc::new(TwoJobs::default()), querier, "q".to_owned(), 3, shutdown).await;
    }
}
