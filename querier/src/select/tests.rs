//! R1 and R2 through the whole querier: rows in a head, in parts and in both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use logql::engine::Answer;
use logql::plan::{Direction, Params, Plan, Shard, TimeRange};
use logql::syntax::parse;
use part::{Codec, Options};
use proptest::prelude::*;
use rpc::querier::{QuerierApi, QuerierError, SelectJob};

use crate::error::Error;
use crate::testing::{NOW, Row, World, row};

use super::*;

const S: i64 = 1_000_000_000;
/// Rows lie in the minute that ends now.
const BASE: i64 = NOW.0 - 60 * S;

fn small_groups() -> Options {
    Options { codec: Codec::Lz4, page_bytes: 64, own_page_bytes: 64, group_rows: 8, group_pages: 4 }
}

fn params(step_ns: i64, limit: usize, direction: Direction) -> Params {
    Params {
        start: UnixNanos(BASE),
        end: UnixNanos(NOW.0),
        step_ns,
        interval_ns: 0,
        limit,
        direction,
        max_series: 500,
        max_memory_bytes: 1 << 30,
        categorize: false,
        now: UnixNanos(0),
    }
}

/// An answer and what it cost.
#[derive(Debug)]
struct Evaluated {
    answer: Answer,
    stats: QueryStats,
}

async fn run(world: &World, query: &str, params: &Params) -> Result<Evaluated, Error> {
    let plan = Plan::new(&parse(query).unwrap(), params).unwrap();
    let mut stats = QueryStats::default();
    let mut partials = Vec::new();
    for leaf in plan.leaves() {
        let leaf = Leaf { leaf, tenant: &world.tenant, requests: &Requests::default() };
        let known = world.querier.look().await?;
        let selection = world.querier.select_leaf(leaf, known).await?;
        stats.take_in(&selection.stats);
        partials.push(selection.partial);
    }
    Ok(Evaluated { answer: plan.finish(partials)?, stats })
}

fn entries(evaluated: &Evaluated) -> usize {
    let Answer::Streams(streams) = &evaluated.answer else { panic!("not streams") };
    streams.iter().map(|stream| stream.entries.len()).sum()
}

/// Series text -> (ms -> value).
type Matrix = BTreeMap<String, BTreeMap<i64, f64>>;

async fn matrix(world: &World, query: &str, step_ns: i64) -> Matrix {
    let evaluated = run(world, query, &params(step_ns, 100, Direction::Backward)).await.unwrap();
    let Answer::Matrix(series) = evaluated.answer else { panic!("not a matrix") };
    let points = |samples: Vec<logql::engine::Sample>| {
        samples.into_iter().map(|sample| (sample.ts_ms, sample.value)).collect()
    };
    series.into_iter().map(|(labels, samples)| (labels.to_string(), points(samples))).collect()
}

fn all_labels(row: &Row) -> String {
    base::Labels::from_pairs(row.labels.iter().chain(&row.metadata).map(|(n, v)| (n, v)))
        .to_string()
}

/// What `op({app=~".+"}[range])` is, by its definition.
fn expected(
    rows: &BTreeSet<Row>,
    step_ns: i64,
    range_ns: i64,
    series: impl Fn(&Row) -> String,
    weight: impl Fn(&Row) -> f64,
) -> Matrix {
    let mut matrix = Matrix::new();
    let mut at = BASE;
    while at <= NOW.0 {
        for row in rows.iter().filter(|row| row.ts_ns > at - range_ns && row.ts_ns <= at) {
            *matrix.entry(series(row)).or_default().entry(at / 1_000_000).or_default() +=
                weight(row);
        }
        at += step_ns;
    }
    matrix
}

fn close(a: &Matrix, b: &Matrix) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((name_a, points_a), (name_b, points_b))| {
            name_a == name_b
                && points_a.len() == points_b.len()
                && points_a
                    .iter()
                    .zip(points_b)
                    .all(|((at_a, va), (at_b, vb))| at_a == at_b && (va - vb).abs() < 1e-9)
        })
}

fn any_row() -> impl Strategy<Value = Row> {
    let metadata = prop_oneof![Just(None), Just(Some("t1")), Just(Some("t2"))];
    // Few values, so that equal rows, equal instants and overlaps are common.
    (0..3u8, 0..60i64, 0..3i64, 0..3u8, metadata).prop_map(|(app, second, nano, line, trace)| Row {
        labels: vec![("app".to_owned(), format!("a{app}")), ("job".to_owned(), "j".to_owned())],
        ts_ns: BASE + second * S + nano,
        line: format!("line {line}"),
        metadata: trace.map(|trace| ("trace".to_owned(), trace.to_owned())).into_iter().collect(),
    })
}

/// Which of two parts and two ingesters hold a row: at least one.
fn placed_rows() -> impl Strategy<Value = Vec<(Row, u8)>> {
    proptest::collection::vec((any_row(), 1..16u8), 0..60)
}

async fn place(rows: &[(Row, u8)]) -> (World, BTreeSet<Row>) {
    let world = World::with(&["", ""], 1).await;
    let holds = |bit: u8| -> Vec<Row> {
        // Each source drops equals within itself.
        let set: BTreeSet<Row> = rows
            .iter()
            .filter(|(_, places)| places & bit != 0)
            .map(|(row, _)| row.clone())
            .collect();
        let mut list: Vec<Row> = set.into_iter().collect();
        list.sort_by_key(|row| row.ts_ns);
        list
    };
    for bit in [1, 2] {
        let part = holds(bit);
        if !part.is_empty() {
            world.flush(&part, &small_groups()).await;
        }
    }
    world.heads[0].hold(&holds(4));
    world.heads[1].hold(&holds(8));
    (world, rows.iter().map(|(row, _)| row.clone()).collect())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn rows_in_several_sources_count_once(rows in placed_rows()) {
        runtime().block_on(async {
            let (world, distinct) = place(&rows).await;
            let (step, range) = (10 * S, 15 * S);
            let got = matrix(&world, "count_over_time({app=~\".+\"}[15s])", step).await;
            let want = expected(&distinct, step, range, all_labels, |_| 1.0);
            prop_assert!(close(&got, &want), "count: {got:?} {want:?}");

            let got = matrix(&world, "sum by (app) (rate({job=\"j\"}[15s]))", step).await;
            let by_app = |row: &Row| format!("{{app=\"{}\"}}", row.labels[0].1);
            let want = expected(&distinct, step, range, by_app, |_| 1.0 / 15.0);
            prop_assert!(close(&got, &want), "rate: {got:?} {want:?}");

            let got = matrix(&world, "sum(bytes_over_time({app!=\"a1\", job=\"j\"}[15s]))", step).await;
            let others: BTreeSet<Row> =
                distinct.iter().filter(|row| row.labels[0].1 != "a1").cloned().collect();
            let length = |row: &Row| row.line.len() as f64;
            let want = expected(&others, step, range, |_| "{}".to_owned(), length);
            prop_assert!(close(&got, &want), "bytes: {got:?} {want:?}");
            Ok(())
        })?;
    }

    #[test]
    fn pieces_by_time_and_stream_merge_to_the_whole(
        rows in placed_rows(),
        cut in 0..60i64,
        of in 1..4u32,
    ) {
        runtime().block_on(async {
            let (world, distinct) = place(&rows).await;
            let text = "count_over_time({app=~\".+\"}[15s])";
            let plan = Plan::new(&parse(text).unwrap(), &params(10 * S, 1, Direction::Forward));
            let plan = plan.unwrap();
            let (leaf, cut_ns) = (&plan.leaves()[0], BASE + cut * S);
            let TimeRange { from_ns, to_ns } = leaf.range();
            let mut merged = leaf.empty();
            for (from_ns, to_ns) in [(from_ns, cut_ns), (cut_ns, to_ns)] {
                for index in 0..of {
                    let leaf = leaf.piece(TimeRange { from_ns, to_ns }, Shard { index, of });
                    let job = SelectJob { tenant: world.tenant.clone(), leaf };
                    merged.merge(world.querier.select(job).await.unwrap().partial).unwrap();
                }
            }
            let Answer::Matrix(series) = plan.finish(vec![merged]).unwrap() else {
                panic!("not a matrix")
            };
            let total: f64 =
                series.iter().flat_map(|(_, samples)| samples).map(|sample| sample.value).sum();
            let want = expected(&distinct, 10 * S, 15 * S, all_labels, |_| 1.0);
            let wanted: f64 = want.values().flat_map(BTreeMap::values).sum();
            prop_assert_eq!((series.len(), total), (want.len(), wanted));
            Ok(())
        })?;
    }

    #[test]
    fn a_log_query_returns_each_row_once_from_its_end_of_time(
        rows in placed_rows(),
        limit in 1..80usize,
        forward in any::<bool>(),
    ) {
        let direction = if forward { Direction::Forward } else { Direction::Backward };
        runtime().block_on(async {
            let (world, distinct) = place(&rows).await;
            let params = params(0, limit, direction);
            let evaluated = run(&world, "{app=~\".+\"} |= \"line\"", &Params { step_ns: S, ..params }).await.unwrap();
            let Answer::Streams(streams) = evaluated.answer else { panic!("not streams") };
            let mut got: Vec<(i64, String, String)> = Vec::new();
            for stream in &streams {
                let times: Vec<i64> = stream.entries.iter().map(|entry| entry.ts_ns).collect();
                let ordered = times.is_sorted_by(|a, b| if forward { a <= b } else { a >= b });
                prop_assert!(ordered, "{times:?}");
                for entry in &stream.entries {
                    let line = String::from_utf8(entry.line.clone()).unwrap();
                    got.push((entry.ts_ns, stream.labels.to_string(), line));
                }
            }
            let mut want: Vec<(i64, String, String)> = distinct
                .iter()
                .map(|row| (row.ts_ns, all_labels(row), row.line.clone()))
                .collect();
            want.sort_unstable();
            if !forward {
                want.reverse();
            }
            // Which of several rows at the instant of the limit are returned is not specified.
            let times = |rows: &[(i64, String, String)]| {
                let mut times: Vec<i64> = rows.iter().map(|row| row.0).collect();
                times.sort_unstable();
                times
            };
            let kept = limit.min(want.len());
            prop_assert_eq!(times(&got), times(&want[..kept]));
            let all: BTreeSet<_> = want.iter().cloned().collect();
            let unique: BTreeSet<_> = got.iter().cloned().collect();
            prop_assert_eq!(unique.len(), got.len(), "no row twice");
            prop_assert!(unique.is_subset(&all), "no foreign row");
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn an_ingester_is_asked_again_only_where_sources_overlap() {
    let world = World::new().await;
    let count = "sum(count_over_time({app=~\".+\"}[1m]))";
    let total = |matrix: &Matrix| matrix["{}"][&(NOW.0 / 1_000_000)];
    world.flush(&[row("a", BASE + S, "x"), row("a", BASE + 5 * S, "x")], &small_groups()).await;
    world.head.hold(&[row("a", BASE + 6 * S, "x"), row("b", BASE + S, "x")]);
    assert_eq!(total(&matrix(&world, count, 60 * S).await), 4.0);
    assert_eq!(world.head.selects.swap(0, Ordering::SeqCst), 1);

    world.head.hold(&[row("a", BASE + 5 * S, "x"), row("a", BASE + 6 * S, "x")]);
    assert_eq!(total(&matrix(&world, count, 60 * S).await), 3.0);
    assert_eq!(world.head.selects.swap(0, Ordering::SeqCst), 2);

    let all = params(S, 100, Direction::Backward);
    let evaluated = run(&world, "{app=\"a\"}", &all).await.unwrap();
    assert_eq!(entries(&evaluated), 3);
    assert_eq!(world.head.selects.load(Ordering::SeqCst), 1, "log rows carry their hashes");
}

#[tokio::test]
async fn an_ingester_ahead_of_the_view_makes_the_query_start_over() {
    let world = World::new().await;
    // The flush of another process: our handle does not know it yet, the ingester dropped the rows.
    let record = world.flush(&[row("a", BASE + S, "x")], &small_groups()).await;
    world.head.floor.store(2, Ordering::SeqCst);
    let error = run(&world, "{app=\"a\"}", &params(S, 10, Direction::Backward)).await.unwrap_err();
    assert!(matches!(error, Error::Unstable { attempts: MAX_ATTEMPTS }), "{error}");
    assert_eq!(world.head.selects.load(Ordering::SeqCst), u64::from(MAX_ATTEMPTS));
    world.remove(&record).await;
    world.flush(&[row("a", BASE + S, "x")], &small_groups()).await;
    let evaluated = run(&world, "{app=\"a\"}", &params(S, 10, Direction::Backward)).await.unwrap();
    assert_eq!(entries(&evaluated), 1);
}

#[tokio::test]
async fn a_damaged_part_fails_the_queries_that_read_it_and_names_it() {
    let world = World::new().await;
    let record = world.flush(&[row("a", BASE + S, "x")], &small_groups()).await;
    let bucket = world.catalog.bucket();
    let path = record.path();
    let mut bytes = bucket.get(&path, 1 << 20).await.unwrap().to_vec();
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    bucket.put(&path, vec![bytes.into()]).await.unwrap();
    let all = params(S, 10, Direction::Backward);
    let error = run(&world, "{app=\"a\"}", &all).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&path), "{error}");
    let earlier = Params { end: UnixNanos(BASE), start: UnixNanos(BASE - 60 * S), ..all };
    let evaluated = run(&world, "{app=\"a\"}", &earlier).await.unwrap();
    assert_eq!(entries(&evaluated), 0, "other ranges are served");
}

#[tokio::test]
async fn a_part_that_is_gone_for_good_is_an_error_and_not_a_short_answer() {
    let world = World::new().await;
    let record = world.flush(&[row("a", BASE + S, "x")], &small_groups()).await;
    world.catalog.bucket().delete(&record.path()).await.unwrap();
    let all = params(S, 10, Direction::Backward);
    let error = run(&world, "{app=\"a\"}", &all).await.unwrap_err();
    assert!(error.to_string().contains(&record.path()), "{error}");
    assert!(matches!(QuerierError::from(error), QuerierError::Corrupt(_)), "nobody finds it");
}

#[tokio::test]
async fn a_part_that_a_newer_commit_removed_starts_the_query_over() {
    let world = World::new().await;
    let rows = [row("a", BASE + S, "x"), row("a", BASE + 2 * S, "y")];
    let old = world.flush(&rows, &small_groups()).await;
    let known = world.querier.look().await.unwrap();
    world.flush(&[row("a", BASE + S, "x")], &small_groups()).await;
    world.remove(&old).await;
    world.catalog.bucket().delete(&old.path()).await.unwrap();
    let params = params(S, 10, Direction::Backward);
    let plan = Plan::new(&parse("{app=\"a\"}").unwrap(), &params).unwrap();
    let requests = Requests::default();
    let leaf = Leaf { leaf: &plan.leaves()[0], tenant: &world.tenant, requests: &requests };
    let selection = world.querier.select_leaf(leaf, known).await.unwrap();
    let Answer::Streams(streams) = plan.finish(vec![selection.partial]).unwrap() else {
        panic!("not streams")
    };
    assert_eq!(streams[0].entries.len(), 1, "the whole leaf at the newer view");
    assert_eq!(selection.stats.ingester.calls, 2, "ingesters were asked at both");
}

#[tokio::test]
async fn a_log_query_that_has_enough_does_not_open_older_parts() {
    let world = World::new().await;
    let old = world.flush(&[row("a", BASE + S, "x")], &small_groups()).await;
    let rows: Vec<Row> = (0..20).map(|n| row("a", BASE + 30 * S + n, "x")).collect();
    world.head.hold(&rows);
    world.catalog.bucket().delete(&old.path()).await.unwrap();
    let evaluated = run(&world, "{app=\"a\"}", &params(S, 20, Direction::Backward)).await.unwrap();
    assert_eq!(entries(&evaluated), 20);
    assert_eq!(evaluated.stats.parts.read.pages, 0);
    let more = run(&world, "{app=\"a\"}", &params(S, 21, Direction::Backward)).await;
    assert!(more.is_err(), "one more row needs the part");
}

#[tokio::test]
async fn rows_of_one_instant_keep_the_order_in_which_they_arrived() {
    let world = World::new().await;
    // Lines against the alphabet, so that no order of theirs is the right one by chance.
    for line in ["z first", "y second"] {
        world.flush(&[row("a", BASE + S, line)], &small_groups()).await;
    }
    world.head.hold(&[row("a", BASE + S, "x third"), row("a", BASE + S, "w fourth")]);
    let evaluated = run(&world, "{app=\"a\"}", &params(S, 10, Direction::Forward)).await.unwrap();
    let Answer::Streams(streams) = evaluated.answer else { panic!("not streams") };
    let lines: Vec<&[u8]> = streams[0].entries.iter().map(|entry| &entry.line[..]).collect();
    let want: [&[u8]; 4] = [b"z first", b"y second", b"x third", b"w fourth"];
    assert_eq!(lines, want);
}

#[tokio::test]
async fn many_parts_are_read_in_rounds() {
    let world = World::new().await;
    for n in 0..40 {
        world.flush(&[row("a", BASE + n * S, "x")], &small_groups()).await;
    }
    let all = run(&world, "{app=\"a\"}", &params(S, 100, Direction::Forward)).await.unwrap();
    assert_eq!(entries(&all), 40);
    let few = run(&world, "{app=\"a\"}", &params(S, 6, Direction::Forward)).await.unwrap();
    assert_eq!(entries(&few), 6);
    assert!(few.stats.parts.read.pages <= 12, "{:?}", few.stats.parts);
    let count = matrix(&world, "sum(count_over_time({app=\"a\"}[1m]))", 60 * S).await;
    assert_eq!(
        count["{}"][&(NOW.0 / 1_000_000)],
        39.0,
        "the window begins after its first instant"
    );
}

#[tokio::test]
async fn a_dropped_query_stops_before_the_next_page() {
    let world = World::new().await;
    let rows: Vec<Row> = (0..64).map(|n| row("a", BASE + n, "x")).collect();
    world.flush(&rows, &small_groups()).await;
    let plan =
        Plan::new(&parse("{app=\"a\"}").unwrap(), &params(S, 1000, Direction::Backward)).unwrap();
    let view = world.catalog.follow().await.unwrap();
    let requests = Requests::default();
    let leaf = Leaf { leaf: &plan.leaves()[0], tenant: &world.tenant, requests: &requests };
    let cancel = Shutdown::new();
    let records = parts_in_range(leaf, &view).unwrap();
    let rounds = Rounds::new(records, Some(Direction::Backward));
    let round = rounds.iter().next().unwrap();
    let opened = world.querier.open_parts(leaf, round, &cancel).await.unwrap();
    assert_eq!(opened.units.len(), 8);
    cancel.cancel();
    let overlaps = Arc::new(Overlaps::none());
    let scanned = world.querier.scan_parts(leaf, opened, &overlaps, None, &cancel).await;
    assert!(matches!(scanned, Err(Error::Cancelled)));
}

#[tokio::test]
async fn a_client_that_goes_away_stops_the_work_for_it() {
    let world = World::new().await;
    world.head.hangs.store(true, Ordering::SeqCst);
    let (querier, tenant) = (world.querier.clone(), world.tenant.clone());
    let request = base::task::spawn("test.request", async move {
        let params = params(S, 10, Direction::Backward);
        let plan = Plan::new(&parse("{app=\"a\"}").unwrap(), &params).unwrap();
        querier.select(SelectJob { tenant, leaf: plan.leaves()[0].clone() }).await
    });
    world.head.called.notified().await;
    request.abort();
    world.head.stopped.notified().await;
    assert!(request.await.unwrap_err().is_cancelled());
}
