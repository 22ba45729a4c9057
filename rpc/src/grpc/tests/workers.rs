//! Queriers at frontends.

use base::{ByteSize, Labels, UnixNanos};
use logql::plan::QueryError;

use super::*;
use crate::frontend::{FrontendApi, FrontendError, Worker};
use crate::grpc::{FrontendClient, serve_frontend};
use crate::querier::{ListJob, Listed, Listing, QuerierApi, QuerierError};
use crate::testing::{Fake, FakeFrontend, Reply, job_text, select_job, selected, set, tenant};

struct Place {
    frontend: Arc<FakeFrontend>,
    client: FrontendClient,
    querier: Arc<Fake>,
    relay: Arc<Relay>,
    _stop: DropGuard,
}

impl Place {
    async fn with(limits: MessageLimits) -> Place {
        let frontend = Arc::new(FakeFrontend::default());
        let serving = serving(MessageLimits::default());
        let routes = Routes::new(serve_frontend(frontend.clone(), &serving));
        let (address, stop) = serve(routes).await;
        let (address, relay) = Relay::start(address).await;
        let config = ClientConfig { limits, ..patient() };
        let client = FrontendClient::new(&address, &config, Arc::new(SystemClock)).unwrap();
        Place { frontend, client, querier: Fake::new(), relay, _stop: stop }
    }

    async fn new() -> Place {
        Place::with(MessageLimits::default()).await
    }

    /// A worker at the frontend, and the frontend's way to it.
    async fn worker(&self) -> (task::JoinHandle<Result<(), FrontendError>>, Arc<dyn QuerierApi>) {
        let (client, querier) = (self.client.clone(), self.querier.clone());
        let stay = task::spawn("worker", async move {
            client.work(Worker { querier: "q-1".to_owned() }, querier).await
        });
        let (worker, querier) = self.frontend.worker().await;
        assert_eq!(worker.querier, "q-1");
        (stay, querier)
    }

    async fn left(&self, count: u64) {
        while self.frontend.left.load(Ordering::SeqCst) < count {
            self.frontend.changed.notified().await;
        }
    }
}

fn list_job() -> ListJob {
    ListJob {
        tenant: tenant(),
        listing: Listing::Names,
        selectors: Vec::new(),
        start: UnixNanos(0),
        end: UnixNanos(1),
    }
}

#[tokio::test]
async fn jobs_go_down_a_workers_stream_and_results_come_up() {
    let place = Place::new().await;
    let (stay, querier) = place.worker().await;
    let job = select_job();
    set(&place.querier.selected, Reply::Answer(selected(&job.leaf)));
    let got = querier.select(job.clone()).await.unwrap();
    assert_eq!(got.partial.to_portable(), selected(&job.leaf).partial.to_portable());
    assert_eq!(got.warnings, ["be careful"]);
    assert_eq!(place.querier.asked(), job_text(&job));

    let listed = Listed::Texts(vec!["app".to_owned()]);
    set(&place.querier.listed, Reply::Answer(listed.clone()));
    assert_eq!(querier.list(list_job()).await.unwrap(), listed);

    for error in [
        QuerierError::Query(QueryError::Limited("too many\nseries".to_owned())),
        QuerierError::Unavailable("ingester-1: no answer".to_owned()),
        QuerierError::Timeout,
    ] {
        set(&place.querier.selected, Reply::Fail(error.clone()));
        let got = querier.select(job.clone()).await.unwrap_err();
        assert_eq!(format!("{got:?}"), format!("{error:?}"));
    }

    // The frontend stops: the stay ends well.
    place.frontend.stopping.cancel();
    stay.await.unwrap().unwrap();
    let error = querier.select(job).await.unwrap_err();
    assert_eq!(format!("{error:?}"), "Unavailable(\"querier q-1 went away\")");
}

#[tokio::test]
async fn a_cancelled_job_is_dropped_by_the_querier_and_others_go_on() {
    let place = Place::new().await;
    let (_stay, querier) = place.worker().await;
    set(&place.querier.selected, Reply::Hang);
    set(&place.querier.listed, Reply::Answer(Listed::Texts(Vec::new())));
    let running = task::spawn("job", {
        let querier = querier.clone();
        async move { querier.select(select_job()).await.map(drop) }
    });
    place.querier.until(|fake| fake.calls() == 1).await;
    querier.list(list_job()).await.unwrap();
    assert_eq!(place.querier.dropped(), 0);
    running.abort();
    place.querier.until(|fake| fake.dropped() == 1).await;
    querier.list(list_job()).await.unwrap();
}

#[tokio::test]
async fn a_broken_stream_fails_its_job_and_the_worker_comes_again() {
    let place = Place::new().await;
    let (stay, querier) = place.worker().await;
    set(&place.querier.selected, Reply::Hang);
    let running = task::spawn("job", async move { querier.select(select_job()).await.map(drop) });
    place.querier.until(|fake| fake.calls() == 1).await;
    place.relay.cut();
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, QuerierError::Unavailable(_)), "{error:?}");
    assert!(matches!(stay.await.unwrap(), Err(FrontendError::Unavailable(_))));
    // Both sides have let go: the job's future and the frontend's stay.
    place.querier.until(|fake| fake.dropped() == 1).await;
    place.left(1).await;

    let (_stay, querier) = place.worker().await;
    set(&place.querier.listed, Reply::Answer(Listed::Texts(Vec::new())));
    querier.list(list_job()).await.unwrap();
    assert_eq!(place.relay.connections(), 2);
}

#[tokio::test]
async fn a_worker_that_leaves_ends_its_stay_and_its_job() {
    let place = Place::new().await;
    let (stay, querier) = place.worker().await;
    set(&place.querier.selected, Reply::Hang);
    let running = task::spawn("job", async move { querier.select(select_job()).await.map(drop) });
    place.querier.until(|fake| fake.calls() == 1).await;
    stay.abort();
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, QuerierError::Unavailable(_)), "{error:?}");
    place.left(1).await;
}

#[tokio::test]
async fn a_frontend_that_is_not_there_or_says_no_is_unavailable() {
    let place = Place::new().await;
    let stay = |name: &str| {
        let worker = Worker { querier: name.to_owned() };
        place.client.work(worker, place.querier.clone())
    };
    let error = stay("unwelcome").await.unwrap_err();
    assert_eq!(format!("{error:?}"), "Unavailable(\"not you\")");
    let error = stay(&"x".repeat(1000)).await.unwrap_err();
    assert!(error.to_string().contains("querier has 1000 bytes"), "{error}");
    place.relay.refuse.store(1, Ordering::SeqCst);
    place.relay.cut();
    let error = stay("q-1").await.unwrap_err();
    assert!(matches!(error, FrontendError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_result_over_the_limit_fails_its_job_and_not_the_stream() {
    let small = MessageLimits { max_send: ByteSize(10_000), ..MessageLimits::default() };
    let place = Place::with(small).await;
    let (_stay, querier) = place.worker().await;
    let large = vec![Labels::from_pairs([("app", "x".repeat(20_000))])];
    set(&place.querier.listed, Reply::Answer(Listed::Streams(large)));
    let error = querier.list(list_job()).await.unwrap_err();
    assert!(matches!(error, QuerierError::Query(QueryError::Limited(_))), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("10000") && text.contains("max_send_msg_size"), "{text}");
    set(&place.querier.listed, Reply::Answer(Listed::Texts(Vec::new())));
    querier.list(list_job()).await.unwrap();
}

#[tokio::test]
async fn a_job_that_panics_fails_and_the_stream_lives() {
    let place = Place::new().await;
    let (_stay, querier) = place.worker().await;
    // No reply is set: the fake panics.
    let error = querier.select(select_job()).await.unwrap_err();
    assert_eq!(format!("{error:?}"), "Internal(\"internal error\")");
    set(&place.querier.listed, Reply::Answer(Listed::Texts(Vec::new())));
    querier.list(list_job()).await.unwrap();
}

/// Gives a worker one job after the other, whatever became of the last.
#[derive(Default)]
struct Eager {
    taken: AtomicU64,
    left: Shutdown,
}

#[async_trait::async_trait]
impl FrontendApi for Eager {
    async fn work(&self, _: Worker, querier: Arc<dyn QuerierApi>) -> Result<(), FrontendError> {
        let _left = self.left.clone().drop_guard();
        loop {
            self.taken.fetch_add(1, Ordering::SeqCst);
            let _ = querier.select(select_job()).await;
        }
    }
}

#[tokio::test]
async fn a_broken_stream_takes_no_further_job() {
    let eager = Arc::new(Eager::default());
    let serving = serving(MessageLimits::default());
    let (address, _stop) = serve(Routes::new(serve_frontend(eager.clone(), &serving))).await;
    let (address, relay) = Relay::start(address).await;
    let client = FrontendClient::new(&address, &patient(), Arc::new(SystemClock)).unwrap();
    let querier = Fake::new();
    set(&querier.selected, Reply::Hang);
    let stay = client.work(Worker { querier: "q-1".to_owned() }, querier.clone());
    let broken = async {
        querier.until(|fake| fake.calls() == 1).await;
        relay.cut();
        eager.left.cancelled().await;
    };
    assert!(tokio::join!(stay, broken).0.is_err());
    assert_eq!(eager.taken.load(Ordering::SeqCst), 1);
}
