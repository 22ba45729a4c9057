use std::sync::Mutex;

use base::{TenantId, UnixNanos, task};
use rpc::frontend::FrontendError;
use rpc::querier::Listing;
use tokio::sync::{Notify, mpsc, oneshot};

use super::*;

/// Runs the jobs it is sent, one after the other, and says how each ended.
struct OneByOne {
    jobs: tokio::sync::Mutex<mpsc::Receiver<oneshot::Sender<Result<Listed, QuerierError>>>>,
}

#[async_trait]
impl FrontendApi for OneByOne {
    async fn work(&self, _: Worker, querier: Arc<dyn QuerierApi>) -> Result<(), FrontendError> {
        let mut jobs = self.jobs.lock().await;
        while let Some(reply) = jobs.recv().await {
            let job = ListJob {
                tenant: TenantId::new("t").unwrap(),
                listing: Listing::Names,
                selectors: Vec::new(),
                start: UnixNanos(0),
                end: UnixNanos(1),
            };
            let _ = reply.send(querier.list(job).await);
        }
        Ok(())
    }
}

/// Answers when it is told to.
#[derive(Default)]
struct Slow {
    begun: Notify,
    finish: Notify,
    asked: Mutex<usize>,
}

#[async_trait]
impl QuerierApi for Slow {
    async fn select(&self, _: SelectJob) -> Result<Selected, QuerierError> {
        unreachable!("only lists are sent")
    }

    async fn list(&self, _: ListJob) -> Result<Listed, QuerierError> {
        *self.asked.lock().unwrap() += 1;
        self.begun.notify_one();
        self.finish.notified().await;
        Ok(Listed::Texts(vec!["done".to_owned()]))
    }
}

#[tokio::test]
async fn a_worker_that_leaves_finishes_its_job_and_takes_no_other() {
    let (jobs, list) = mpsc::channel(4);
    let frontend = Arc::new(OneByOne { jobs: tokio::sync::Mutex::new(list) });
    let querier = Arc::new(Slow::default());
    let shutdown = Shutdown::new();
    let attend = attend(frontend, querier.clone(), "q".to_owned(), 1, shutdown.clone());
    let attend = task::spawn("attend", attend);
    let (first, first_answer) = oneshot::channel();
    jobs.send(first).await.unwrap();
    querier.begun.notified().await;
    shutdown.cancel();
    let (second, second_answer) = oneshot::channel();
    jobs.send(second).await.unwrap();
    querier.finish.notify_one();
    let done = first_answer.await.unwrap().unwrap();
    assert_eq!(done, Listed::Texts(vec!["done".to_owned()]));
    let refused = second_answer.await.unwrap().unwrap_err();
    assert!(matches!(refused, QuerierError::Unavailable(_)), "{refused}");
    attend.await.unwrap();
    assert_eq!(*querier.asked.lock().unwrap(), 1);
}

#[tokio::test]
async fn an_idle_worker_leaves_at_once() {
    let (_jobs, list) = mpsc::channel(1);
    let frontend = Arc::new(OneByOne { jobs: tokio::sync::Mutex::new(list) });
    let shutdown = Shutdown::new();
    let querier = Arc::new(Slow::default());
    let attend = attend(frontend, querier, "q".to_owned(), 1, shutdown.clone());
    let attend = task::spawn("attend", attend);
    tokio::task::yield_now().await;
    shutdown.cancel();
    attend.await.unwrap();
}
