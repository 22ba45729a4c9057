//! The whole stack over queriers that hold rows in memory: cuts, workers and what goes wrong with
//! them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::task::{self, JoinHandle};
use base::{ErrorKind, TenantId, UnixNanos};
use logql::engine::Answer;
use logql::plan::{Direction, Params, Plan};
use logql::syntax::parse;
use proptest::prelude::*;
use rpc::http::Tenants;
use rpc::querier::{QuerierError, SelectJob, Selected};
use tokio::sync::Notify;

use super::*;
use crate::StaticLimits;
use crate::http::params::{InstantQuery, RangeQuery};
use crate::query::Asked;
use crate::testing::{FakeQuerier, NOW, Row, World, config, row};

const S: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * S;

/// How a query is asked.
#[derive(Clone, Debug)]
struct Ask {
    text: &'static str,
    hours: i64,
    step_ns: i64,
    interval_ns: i64,
    limit: usize,
    direction: Direction,
    instant: bool,
}

impl Ask {
    fn of(text: &'static str, hours: i64) -> Ask {
        let direction = Direction::Backward;
        Ask { text, hours, step_ns: HOUR, interval_ns: 0, limit: 100, direction, instant: false }
    }

    fn query(&self, tenant: &TenantId) -> Query {
        let query = self.text.to_owned();
        let Ask { step_ns, interval_ns, limit, direction, .. } = *self;
        let (start, end) = (UnixNanos(NOW.0 - self.hours * HOUR), NOW);
        let asked = match self.instant {
            true => Asked::Instant(InstantQuery { query, time: end, limit, direction }),
            false => Asked::Range(RangeQuery {
                query,
                start,
                end,
                step_ns,
                interval_ns,
                limit,
                direction,
            }),
        };
        let expr = parse(self.text).unwrap();
        let tenants = Tenants::one(tenant.clone());
        Query { tenants, expr, asked, tags: String::new(), categorize: false }
    }

    /// The answer of the uncut query.
    async fn expected(&self, rows: &[Row]) -> Answer {
        let params = Params {
            start: if self.instant { NOW } else { UnixNanos(NOW.0 - self.hours * HOUR) },
            end: NOW,
            step_ns: if self.instant { 0 } else { self.step_ns },
            interval_ns: if self.instant { 0 } else { self.interval_ns },
            limit: self.limit,
            direction: self.direction,
            max_series: 500,
            max_memory_bytes: 0,
            categorize: false,
            now: UnixNanos(0),
        };
        let plan = Plan::new(&parse(self.text).unwrap(), &params).unwrap();
        let querier = FakeQuerier::default();
        querier.hold(rows);
        let mut partials = Vec::new();
        for leaf in plan.leaves() {
            let job = SelectJob { tenant: TenantId::new("a").unwrap(), leaf: leaf.clone() };
            partials.push(querier.select(job).await.unwrap().partial);
        }
        plan.finish(partials).unwrap()
    }
}

fn text(answer: &Answer) -> String {
    format!("{answer:?}")
}

fn any_ask() -> impl Strategy<Value = Ask> {
    let text = prop_oneof![
        Just("{app=~\".+\"}"),
        Just("{app=~\".+\"} |= \"1\""),
        Just("{app!=\"a1\", app=~\".+\"} |~ \"line [02]\""),
        Just("count_over_time({app=~\".+\"}[3h])"),
        Just("sum by (app) (rate({app=~\".+\"} |= \"line\" [30h]))"),
        Just("sum(bytes_over_time({app=~\".+\"}[1h] offset 20h))"),
        Just("topk(2, sum by (app) (count_over_time({app=~\".+\"}[1d])))"),
        Just("sum(rate({app=~\".+\"}[5h])) * 100 > 0.02"),
        Just("sum(rate({app=\"a1\"}[2h])) / sum(rate({app=~\".+\"}[5h]))"),
        Just("absent_over_time({app=\"a1\"}[2h])"),
        Just("first_over_time({app=~\".+\"} | logfmt | unwrap n [5h]) by (app)"),
        Just("quantile_over_time(0.7, {app=~\".+\"} | logfmt | unwrap n [9h])"),
        Just("stddev_over_time({app=\"a2\"} | logfmt | unwrap n [30h]) by (app)"),
        Just("max by (app) (rate_counter({app=~\".+\"} | logfmt | unwrap n [4h]))"),
    ];
    let direction = prop_oneof![Just(Direction::Forward), Just(Direction::Backward)];
    // Metric queries are moved to multiples of the step: noon is one of these.
    let step = prop_oneof![Just(1), Just(2), Just(3), Just(6)];
    (text, 0..80i64, step, 0..3i64, 1..60usize, direction, any::<bool>()).prop_map(
        |(text, hours, step, interval, limit, direction, instant)| Ask {
            text,
            hours: hours / step * step,
            step_ns: step * HOUR,
            interval_ns: interval * 37 * 60 * S,
            limit,
            direction,
            instant: instant && !text.starts_with('{'),
        },
    )
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    let one = (0..6u8, 0..80 * 60i64, 0..3i64, 0..4u8);
    let one = one.prop_map(|(app, minute, nano, line)| {
        row(
            &format!("a{app}"),
            NOW.0 - minute * 60 * S + nano,
            &format!("line {line} n={line}{nano}"),
        )
    });
    proptest::collection::vec(one, 0..120)
}

/// Fails or leaves a few times for each piece before it does it.
struct Moody {
    inner: Arc<FakeQuerier>,
    /// Refusals per piece.
    refusals: u64,
    refused: Mutex<BTreeMap<String, u64>>,
    draw: AtomicU64,
    /// The worker that runs this call is to go.
    gone: Notify,
}

impl Moody {
    fn new(inner: Arc<FakeQuerier>, refusals: u64, seed: u64) -> Arc<Moody> {
        let (refused, draw, gone) = (Mutex::default(), AtomicU64::new(seed), Notify::new());
        Arc::new(Moody { inner, refusals, refused, draw, gone })
    }
}

#[async_trait]
impl QuerierApi for Moody {
    async fn select(&self, job: SelectJob) -> Result<Selected, QuerierError> {
        let piece = format!("{:?}", job.leaf.origin());
        let refuses = {
            let mut refused = self.refused.lock().unwrap();
            let count = refused.entry(piece).or_default();
            *count += 1;
            *count <= self.refusals
        };
        if !refuses {
            return self.inner.select(job).await;
        }
        if self.draw.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            return Err(QuerierError::Unavailable("an ingester is away".to_owned()));
        }
        self.gone.notify_one();
        std::future::pending().await
    }

    async fn list(&self, job: ListJob) -> Result<Listed, QuerierError> {
        self.inner.list(job).await
    }
}

/// A worker that leaves in the middle of a job when it is told to, and comes again.
fn moody_worker(frontend: &Arc<Frontend>, name: &str, querier: Arc<Moody>) -> JoinHandle<()> {
    let (frontend, worker) = (frontend.clone(), Worker { querier: name.to_owned() });
    task::spawn("test.worker", async move {
        loop {
            tokio::select! {
                _ = frontend.work(worker.clone(), querier.clone()) => return,
                () = querier.gone.notified() => {}
            }
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_query_answers_what_the_uncut_one_answers(
        rows in any_rows(),
        ask in any_ask(),
        split_minutes in prop_oneof![Just(0u64), 1..90u64, 60..4000u64],
        shards in 0..4usize,
        queriers in 1..4usize,
        parallelism in 1..6usize,
        refusals in 0..3u64,
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let limits = StaticLimits {
                split_queries_by_interval: Duration::from_secs(split_minutes * 60),
                max_query_parallelism: parallelism,
                tsdb_max_query_parallelism: 0,
                ..StaticLimits::default()
            };
            let world = World::without_workers(Config { shards, ..config() }, limits);
            world.querier.hold(&rows);
            // One worker each: it is the one that runs when it is told to go.
            let workers: Vec<JoinHandle<()>> = (0..queriers)
                .map(|n| {
                    let querier = Moody::new(world.querier.clone(), refusals, seed ^ n as u64);
                    moody_worker(&world.frontend, &format!("q{n}"), querier)
                })
                .collect();
            let evaluated = world.frontend.evaluate(ask.query(&world.tenant)).await;
            let want = ask.expected(&rows).await;
            workers.iter().for_each(JoinHandle::abort);
            // Each querier refuses a piece for itself: with several, a piece may fail for good.
            match evaluated {
                Ok(evaluated) => prop_assert_eq!(text(&evaluated.answer), text(&want)),
                Err(error) => {
                    prop_assert!(refusals * queriers as u64 >= 5, "{}", error);
                    prop_assert_eq!(error.kind(), ErrorKind::Unavailable);
                }
            }
            Ok(())
        })?;
    }
}

async fn three_days() -> World {
    let world = World::new(StaticLimits::default());
    let rows: Vec<Row> = (0..72).map(|n| row("a", NOW.0 - n * HOUR - 1, "line")).collect();
    world.querier.hold(&rows);
    world
}

#[tokio::test]
async fn a_log_query_that_has_enough_reads_no_further() {
    let world = three_days().await;
    let ask = |limit| Ask { limit, ..Ask::of("{app=\"a\"}", 72) };
    let one = world.frontend.evaluate(ask(1).query(&world.tenant)).await.unwrap();
    assert_eq!((one.pieces.splits, one.pieces.subqueries), (1, 1));
    assert_eq!(one.stats.entries_returned, 1);
    let all = world.frontend.evaluate(ask(72).query(&world.tenant)).await.unwrap();
    assert_eq!(all.stats.entries_returned, 72);
    assert_eq!(all.pieces.splits, 5, "an hour, the rest of today, two days, half a day");
    assert_eq!(world.frontend.shared.queue.waiting(), 0);
}

#[tokio::test]
async fn samples_are_gathered_by_day_and_by_querier() {
    let mut world = three_days().await;
    let ask = Ask { step_ns: 24 * HOUR, ..Ask::of("sum(count_over_time({app=\"a\"}[1d]))", 48) };
    let one = world.frontend.evaluate(ask.query(&world.tenant)).await.unwrap();
    // Noon to noon, three times: four days.
    assert_eq!((one.pieces.splits, one.pieces.shards, one.pieces.subqueries), (4, 4, 4));
    world.attend("another", world.querier.clone());
    tokio::task::yield_now().await;
    let two = world.frontend.evaluate(ask.query(&world.tenant)).await.unwrap();
    assert_eq!((two.pieces.splits, two.pieces.shards, two.pieces.subqueries), (4, 8, 8));
    assert_eq!(text(&one.answer), text(&two.answer));
    let limited = world.frontend.evaluate(Ask::of("{app=\"a\"}", 1).query(&world.tenant)).await;
    let limited = limited.unwrap().pieces;
    assert_eq!((limited.splits, limited.shards), (1, 1), "lines without a filter are not sharded");
}

#[tokio::test]
async fn no_more_jobs_of_a_query_wait_or_run_than_its_parallelism() {
    let limits = StaticLimits {
        max_query_parallelism: 2,
        tsdb_max_query_parallelism: 3,
        ..StaticLimits::default()
    };
    let world = World::without_workers(config(), limits);
    let ask = Ask { step_ns: 24 * HOUR, ..Ask::of("sum(count_over_time({app=\"a\"}[1d]))", 240) };
    let mut query = Box::pin(world.frontend.evaluate(ask.query(&world.tenant)));
    assert!((&mut query).now_or_never().is_none());
    assert_eq!(world.frontend.shared.queue.waiting(), 3);
    drop(query);
    assert_eq!(world.frontend.shared.queue.waiting(), 0, "jobs leave with the client");
}

#[tokio::test]
async fn a_tenant_without_parallelism_may_not_query() {
    let limits = StaticLimits { max_query_parallelism: 0, ..StaticLimits::default() };
    let world = World::new(limits);
    let (status, body) = world.get("/loki/api/v1/query_range?query=%7Bapp%3D%22a%22%7D").await;
    assert_eq!(status, 429);
    assert_eq!(body, "querying is disabled, please contact your Loki operator");
}

#[tokio::test]
async fn a_full_queue_is_429() {
    let config = Config { max_outstanding_per_tenant: 1, ..config() };
    let world = World::without_workers(config, StaticLimits::default());
    let waits = world.frontend.evaluate(Ask::of("{app=\"a\"}", 1).query(&world.tenant));
    let mut waits = Box::pin(waits);
    assert!((&mut waits).now_or_never().is_none());
    let (status, body) = world.get("/loki/api/v1/query_range?query=%7Bapp%3D%22a%22%7D").await;
    assert_eq!((status, body.as_str()), (429, "too many outstanding requests"));
    let (status, _) = world.get("/loki/api/v1/labels").await;
    assert_eq!(status, 429);
}

/// Never answers; tells when it is called and when it is dropped.
#[derive(Default)]
struct Hanging {
    called: Notify,
    dropped: Arc<Notify>,
}

struct TellsDrop(Arc<Notify>);

impl Drop for TellsDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[async_trait]
impl QuerierApi for Hanging {
    async fn select(&self, _: SelectJob) -> Result<Selected, QuerierError> {
        let _tells = TellsDrop(self.dropped.clone());
        self.called.notify_one();
        std::future::pending().await
    }

    async fn list(&self, _: ListJob) -> Result<Listed, QuerierError> {
        panic!("a querier with a bug")
    }
}

#[tokio::test]
async fn a_client_that_goes_away_stops_the_job_that_runs_for_it() {
    let mut world = World::without_workers(config(), StaticLimits::default());
    let querier = Arc::new(Hanging::default());
    world.attend("q", querier.clone());
    let (frontend, query) = (world.frontend.clone(), Ask::of("{app=\"a\"}", 1));
    let query = query.query(&world.tenant);
    let client = task::spawn("test.client", async move { frontend.evaluate(query).await });
    querier.called.notified().await;
    client.abort();
    querier.dropped.notified().await;
}

#[tokio::test]
async fn a_query_past_its_timeout_is_504_and_its_job_is_stopped() {
    let limits = StaticLimits { query_timeout: Duration::from_nanos(1), ..StaticLimits::default() };
    let mut world = World::without_workers(config(), limits);
    let querier = Arc::new(Hanging::default());
    world.attend("q", querier.clone());
    let (status, body) = world.get("/loki/api/v1/query_range?query=%7Bapp%3D%22a%22%7D").await;
    assert_eq!(status, 504, "{body}");
    assert!(body.starts_with("request timed out, decrease the duration"), "{body}");
    assert_eq!(world.frontend.shared.queue.waiting(), 0);
}

#[tokio::test]
async fn a_querier_that_panics_costs_its_query_and_not_the_worker() {
    let mut world = World::without_workers(config(), StaticLimits::default());
    world.attend("q", Arc::new(Hanging::default()));
    for _ in 0..2 {
        let (status, body) = world.get("/loki/api/v1/labels").await;
        assert_eq!((status, body.contains("panicked")), (500, true), "{body}");
    }
}

/// Always fails in the same way, after so long.
struct Failing(QuerierError, AtomicU64, Duration);

#[async_trait]
impl QuerierApi for Failing {
    async fn select(&self, _: SelectJob) -> Result<Selected, QuerierError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.2).await;
        Err(self.0.clone())
    }

    async fn list(&self, _: ListJob) -> Result<Listed, QuerierError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Err(self.0.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_may_pass_is_tried_again() {
    use logql::plan::QueryError;
    let silent = "at least 1 live replicas required, could only find 0 - unhealthy instances: x:1";
    let table = [
        (QuerierError::Unavailable(silent.to_owned()), 0, 503, silent, 5),
        // It was waited for in vain, twice.
        (QuerierError::Unavailable(silent.to_owned()), 7, 503, silent, 2),
        // So were two, one after the other.
        (QuerierError::Unavailable(silent.to_owned()), 14, 503, silent, 1),
        (QuerierError::Corrupt("part x is damaged".to_owned()), 0, 500, "part x is damaged", 1),
        (QuerierError::Query(QueryError::Limited("too much".to_owned())), 0, 400, "too much", 1),
        (QuerierError::Internal("a bug".to_owned()), 0, 500, "a bug", 1),
    ];
    for (error, seconds, status, text, calls) in table {
        let mut world = World::without_workers(config(), StaticLimits::default());
        let querier = Arc::new(Failing(error, AtomicU64::new(0), Duration::from_secs(seconds)));
        world.attend("q", querier.clone());
        let uri = "/loki/api/v1/query_range?query=%7Bapp%3D%22a%22%7D";
        assert_eq!(world.get(uri).await, (status, text.to_owned()));
        assert_eq!(querier.1.load(Ordering::SeqCst), calls, "{text}");
    }
}

#[tokio::test]
async fn a_stopping_frontend_finishes_what_it_has_begun() {
    let world = three_days().await;
    // Its workers come.
    tokio::task::yield_now().await;
    assert_eq!(world.frontend.workers(), 2);
    let ask = Ask { step_ns: 24 * HOUR, ..Ask::of("sum(count_over_time({app=\"a\"}[1d]))", 24) };
    let mut query = Box::pin(world.frontend.evaluate(ask.query(&world.tenant)));
    assert!((&mut query).now_or_never().is_none(), "its jobs wait");
    let (answer, ()) = futures::join!(query, world.frontend.drain());
    assert!(answer.is_ok(), "{answer:?}");
    let late = world.frontend.evaluate(ask.query(&world.tenant)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unavailable);
}

/// What a querier behind a broken connection looks like: every call fails at once.
struct Broken(Arc<Notify>, AtomicU64);

#[async_trait]
impl QuerierApi for Broken {
    async fn select(&self, _: SelectJob) -> Result<Selected, QuerierError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.notify_one();
        Err(QuerierError::Unavailable("querier q went away".to_owned()))
    }

    async fn list(&self, _: ListJob) -> Result<Listed, QuerierError> {
        panic!("not asked")
    }
}

#[tokio::test]
async fn a_broken_connection_costs_one_job_a_try_and_not_all_of_them() {
    let mut world = World::without_workers(config(), StaticLimits::default());
    let gone = Arc::new(Notify::new());
    let broken = Arc::new(Broken(gone.clone(), AtomicU64::new(0)));
    let ask = Ask { step_ns: 24 * HOUR, ..Ask::of("sum(count_over_time({app=\"a\"}[1d]))", 240) };
    let frontend = world.frontend.clone();
    let mut query = Box::pin(frontend.evaluate(ask.query(&world.tenant)));
    assert!((&mut query).now_or_never().is_none());
    let jobs = world.frontend.shared.queue.waiting();
    assert!(jobs > 5, "{jobs}");
    let stay = frontend.work(Worker { querier: "q".to_owned() }, broken.clone());
    tokio::select! {
        biased;
        () = gone.notified() => {}
        ended = stay => panic!("{ended:?}"),
    }
    assert_eq!(broken.1.load(Ordering::SeqCst), 1);
    assert_eq!(world.frontend.shared.queue.waiting(), jobs - 1);
    world.attend("another", world.querier.clone());
    assert!(query.await.is_ok());
}
