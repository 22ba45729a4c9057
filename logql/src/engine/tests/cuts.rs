//! Random rows, cut at random into sources, pages, workers and partials, give the answer of the
//! plain evaluator.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::plan::{QueryError, Shard, TimeRange, Volume, VolumesOf, VolumesPlan};

const LOG_QUERIES: &[&str] = &[
    r#"{app=~".+"}"#,
    r#"{app="a"} |= "x""#,
    r#"{app!="a", app=~".+"} != "x" or "1" |~ "a.*[0-9]""#,
    r#"{app=~".+"} |~ "(?i)LEVEL" | level="info""#,
    r#"{app=~".+"} | json"#,
    r#"{app=~".+"} | json | level="warn""#,
    r#"{app=~".+"} | logfmt | n > 1"#,
    r#"{app=~".+"} | json | logfmt | level_extracted!="" or trace="t1""#,
    r#"{app=~".+"} | trace="t1" | app=~"a|b" |= "n""#,
    r#"{app=~".+"} | json | n_x >= 2 and level!="info" or dur > 1s"#,
    r#"{app="nothing"}"#,
];

const METRIC_QUERIES: &[&str] = &[
    r#"count_over_time({app=~".+"}[7ms])"#,
    r#"rate({app="a"} |= "x" [10ms] offset 2ms)"#,
    r#"sum(bytes_over_time({app=~".+"} |~ "[0-9]" [5ms]))"#,
    r#"sum by (app) (count_over_time({app=~".+"}[9ms]))"#,
    r#"sum by (trace, nosuch) (bytes_rate({app=~".+"}[4ms]))"#,
    r#"sum without (app) (count_over_time({app=~".+"}[20ms]))"#,
    r#"sum by (level) (count_over_time({app=~".+"} | logfmt [6ms]))"#,
    r#"sum by (level, level_extracted) (count_over_time({app=~".+"} | logfmt [6ms]))"#,
    r#"count_over_time({app=~".+"} | logfmt | n <= 2 [15ms])"#,
    r#"sum by (n_x) (count_over_time({app=~".+"} |= "{" | json [15ms]))"#,
    r#"sum(count_over_time({app=~".+"} | json [15ms]))"#,
    r#"topk(2, sum by (level, trace) (count_over_time({app=~".+"} | logfmt [30ms])))"#,
    r#"max by (app) (count_over_time({app=~".+"} | trace="t1" [30ms]))"#,
    r#"avg without (trace) (rate({app=~".+"}[30ms])) * 2"#,
    r#"count(count_over_time({app=~".+"}[3ms])) > 1"#,
    r#"min(bytes_over_time({app=~".+"}[8ms]))"#,
    r#"count(count by (app, level) (count_over_time({app=~".+"}[5ms])))"#,
    r#"count by (app) (max without (trace) (bytes_rate({app=~".+"} |= "x" [5ms])))"#,
    r#"sum by (level) (count_over_time({app=~".+"}[25ms]))"#,
    r#"sum by (app) (bytes_over_time({app=~".+"}[25ms] offset 3ms))"#,
    r#"sum by (trace) (bytes_over_time({app=~".+"}[6ms]))"#,
    r#"sum(count_over_time({app=~".+"}[60ms]))"#,
    r#"sum by (level_extracted) (rate({app=~".+"}[12ms]))"#,
    r#"absent_over_time({app=~"b|c"}[4ms])"#,
    r#"count_over_time({app=~".+"} | json [50ms])"#,
    r#"sum by (level) (count_over_time({app=~".+"} | json | level=~"info|warn" [50ms]))"#,
    r#"sum_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [9ms])"#,
    r#"sum by (app) (rate({app=~".+"} | logfmt | unwrap n | __error__="" [20ms]))"#,
    r#"avg_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [15ms]) by (app)"#,
    r#"min_over_time({app=~".+"} | json | unwrap n_x | __error__="" [9ms]) without (level)"#,
    r#"max_over_time({app=~".+"} | logfmt | unwrap n | n < 3 | __error__="" [9ms])"#,
    r#"stddev_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [30ms]) by (level)"#,
    r#"stdvar_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [12ms]) by (trace)"#,
    r#"quantile_over_time(0.4,{app=~".+"} | logfmt | unwrap n | __error__="" [30ms]) by (app)"#,
    r#"first_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [12ms]) by (app)"#,
    r#"last_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [12ms]) by ()"#,
    r#"sum_over_time({app=~".+"} | json | unwrap duration(dur) [9ms])"#,
    r#"sum_over_time({app=~".+"} | logfmt | unwrap bytes(n) [9ms])"#,
    r#"absent_over_time({app="a", nosuch=""} |= "info" [3ms])"#,
    r#"absent_over_time({app="b"} | logfmt | unwrap n | __error__="" [6ms])"#,
    r#"stddev(count_over_time({app=~".+"}[9ms]))"#,
    r#"count_over_time({app="a"}[9ms]) or count_over_time({app=~".+"} |= "x" [4ms])"#,
    r#"count_over_time({app=~".+"}[9ms]) and count_over_time({app=~".+"} |= "x" [4ms])"#,
    r#"count_over_time({app=~".+"}[9ms]) unless count_over_time({app=~".+"} |= "x" [4ms])"#,
    r#"count_over_time({app=~".+"} |= "x" [9ms]) / bytes_over_time({app=~".+"}[9ms])"#,
];

pub(super) fn streams() -> Vec<Labels> {
    vec![
        Labels::from_pairs([("app", "a")]),
        Labels::from_pairs([("app", "b"), ("level", "base")]),
        Labels::from_pairs([("app", "c"), ("trace", "owned"), ("level_extracted", "odd")]),
    ]
}

fn row() -> impl Strategy<Value = TestRow> {
    let line = select(vec![
        r#"{"level":"info","n":{"x":1,"y":null},"dur":"2s"}"#,
        r#"{"n":{"x":3},"level":"warn","trace":"inner","tags":[1,2]}"#,
        r#"{"n":{"x":"many"},"other":true}"#,
        "level=info n=1 x",
        "level=warn n=3 trace=inner app=x1",
        "n=abc level= level=late",
        "plain text with x and 7",
        "",
        "aLeVeL 5",
    ]);
    let level = proptest::option::of(select(vec!["info", "warn"]));
    let trace = proptest::option::of(select(vec!["t1", "t2", "t3"]));
    (0usize..3, 0i64..40, line, level, trace).prop_map(|(stream, ts_ns, line, level, trace)| {
        let mut metadata = Vec::new();
        metadata.extend(level.map(|value| ("level".to_owned(), value.to_owned())));
        metadata.extend(trace.map(|value| ("trace".to_owned(), value.to_owned())));
        TestRow { stream, ts_ns: ts_ns * MS, line: line.to_owned(), metadata }
    })
}

/// How rows are cut.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    /// Which source each row goes to; a row may go to two.
    sources: Vec<(usize, Option<usize>)>,
    per_page: usize,
    /// Whether a source is sorted by stream and time, as a part is.
    sorted: Vec<bool>,
    /// Which worker takes which source, and the order in which partials merge.
    workers: Vec<usize>,
    reverse: bool,
    /// How a leaf is cut into pieces that are evaluated elsewhere: instants, shards.
    instants: Vec<i64>,
    shards: u32,
}

pub(super) const SOURCES: usize = 4;

/// Instants of tests are whole milliseconds, the shortest range a query can name.
pub(super) const MS: i64 = 1_000_000;

pub(super) fn cut() -> impl Strategy<Value = Cut> {
    (
        prop::collection::vec((0..SOURCES, proptest::option::weighted(0.3, 0..SOURCES)), 60),
        1usize..20,
        prop::collection::vec(any::<bool>(), SOURCES),
        prop::collection::vec(0usize..3, SOURCES),
        any::<bool>(),
        (prop::collection::vec(-5i64..50, 0..3), 1u32..4),
    )
        .prop_map(|(sources, per_page, sorted, workers, reverse, (instants, shards))| Cut {
            sources,
            per_page,
            sorted,
            workers,
            reverse,
            instants,
            shards,
        })
}

/// The rows of each source, equals dropped within it.
fn sources(rows: &[TestRow], cut: &Cut) -> Vec<Vec<TestRow>> {
    let mut sources = vec![Vec::new(); SOURCES];
    for (row, &(first, second)) in rows.iter().zip(&cut.sources) {
        for source in [Some(first), second].into_iter().flatten() {
            let rows: &mut Vec<TestRow> = &mut sources[source];
            if !rows.contains(row) {
                rows.push(row.clone());
            }
        }
    }
    for (source, sorted) in sources.iter_mut().zip(&cut.sorted) {
        if *sorted {
            source.sort_by_key(|row: &TestRow| (row.stream, row.ts_ns));
        }
    }
    sources
}

pub(super) fn evaluate_cut(
    query: &str,
    params: &Params,
    rows: &[TestRow],
    cut: &Cut,
) -> Result<Answer, QueryError> {
    let expr = syntax::parse(query).unwrap();
    let plan = Plan::new(&expr, params)?;
    let partials = partials_cut(plan.leaves(), rows, cut)?;
    plan.finish(partials)
}

/// The partial of each leaf.
fn partials_cut(
    leaves: &[Arc<Leaf>],
    rows: &[TestRow],
    cut: &Cut,
) -> Result<Vec<Partial>, QueryError> {
    let streams = streams();
    let sources = sources(rows, cut);
    let ranges: Vec<Vec<StreamRange>> = sources.iter().map(|rows| ranges(&streams, rows)).collect();
    let slices: Vec<&[StreamRange]> = ranges.iter().map(Vec::as_slice).collect();
    let overlaps = Arc::new(Overlaps::between(&slices));
    let mut partials = Vec::new();
    for leaf in leaves {
        let mut finished = Vec::new();
        for piece in pieces(leaf, cut) {
            let mut workers: Vec<Worker> =
                (0..3).map(|_| piece.worker(Arc::clone(&overlaps))).collect();
            for (order, rows) in sources.iter().enumerate() {
                let worker = &mut workers[cut.workers[order]];
                worker.source(&StreamSource { streams: streams.clone(), order: order as u64 })?;
                match cut.sorted[order] && !piece.is_log() {
                    true => feed_part(&piece, worker, rows, cut.per_page, &overlaps)?,
                    false => feed(&piece, worker, &pages(rows, cut.per_page), &overlaps)?,
                }
            }
            let travelled = workers.into_iter().map(|worker| travel(&piece, worker.finish()));
            finished.extend(travelled);
        }
        if cut.reverse {
            finished.reverse();
        }
        let mut merged = leaf.empty();
        for partial in finished {
            merged.merge(partial)?;
        }
        partials.push(merged);
    }
    Ok(partials)
}

/// The pieces of a leaf, each as another process has it.
fn pieces(leaf: &Arc<Leaf>, cut: &Cut) -> Vec<Arc<Leaf>> {
    let mut bounds: Vec<i64> = cut.instants.iter().map(|&instant| instant * MS).collect();
    bounds.extend([i64::MIN, i64::MAX]);
    bounds.sort_unstable();
    let mut pieces = Vec::new();
    for pair in bounds.windows(2) {
        let range = TimeRange { from_ns: pair[0], to_ns: pair[1] };
        for index in 0..cut.shards {
            let piece = leaf.piece(range, Shard { index, of: cut.shards });
            let origin = piece.origin();
            let there = origin.leaf().unwrap();
            assert_eq!((there.origin(), there.range()), (origin, piece.range()));
            pieces.push(there);
        }
    }
    pieces
}

/// The partial after a journey, which shows in nothing.
fn travel(leaf: &Leaf, partial: Partial) -> Partial {
    let portable = partial.to_portable();
    let back = Partial::from_portable(leaf, portable.clone()).unwrap();
    assert_eq!(back.to_portable(), portable);
    assert_eq!(back.threshold(), partial.threshold());
    back
}

/// Rows with their order of arrival.
pub(super) fn arrived(rows: &[TestRow], cut: &Cut) -> Vec<(u64, TestRow)> {
    let mut out = Vec::new();
    for (order, rows) in sources(rows, cut).into_iter().enumerate() {
        let number = |(at, row)| ((order as u64) << 32 | at as u64, row);
        out.extend(rows.into_iter().enumerate().map(number));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn log_queries_do_not_depend_on_the_cut(
        rows in prop::collection::vec(row(), 0..60),
        cut in cut(),
        query in select(LOG_QUERIES),
        (start, length, limit, interval) in (0i64..20, 0i64..30, 0usize..12, 0i64..4),
        backward in any::<bool>(),
    ) {
        let mut params = params(start * MS, (start + length + 1) * MS, 0);
        (params.limit, params.interval_ns) = (limit, interval * MS);
        if backward {
            params.direction = Direction::Backward;
        }
        let syntax::Expr::Log(log) = syntax::parse(query).unwrap() else { panic!("a log query") };
        let want = plain::log(&log, &params, &streams(), &arrived(&rows, &cut));
        let answer = evaluate_cut(query, &params, &rows, &cut).unwrap();
        prop_assert_eq!(show(&answer), want, "{}", query);
    }

    #[test]
    fn metric_queries_do_not_depend_on_the_cut(
        rows in prop::collection::vec(row(), 0..60),
        cut in cut(),
        query in select(METRIC_QUERIES),
        (start, length, step) in (0i64..30, 0i64..30, 1i64..12),
    ) {
        let (start, end, step) = (start * MS, (start + length) * MS, step * MS);
        let params = params(start, end, step);
        let syntax::Expr::Metric(metric) = syntax::parse(query).unwrap() else {
            panic!("a metric query")
        };
        let rows_arrived = arrived(&rows, &cut);
        let answer = evaluate_cut(query, &params, &rows, &cut);
        let mut want: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
        let mut failed = false;
        let mut at = start;
        while at <= end {
            match plain::metric(&metric, at, &streams(), &rows_arrived) {
                Err(_) => failed = true,
                Ok(vector) => {
                    for (labels, value) in vector {
                        want.entry(labels).or_default().push(value);
                    }
                }
            }
            at += step;
        }
        // Parsers that nobody needs are not run, nor run to the end of a line: fewer errors.
        let may_skip = query.starts_with("sum");
        let matrix = match answer {
            Err(QueryError::Invalid(text)) => {
                prop_assert!(failed && text.starts_with("pipeline error: '"), "{}: {}", query, text);
                return Ok(());
            }
            Ok(Answer::Matrix(matrix)) => matrix,
            other => return Err(TestCaseError::fail(format!("{query}: {other:?}"))),
        };
        prop_assert!(!failed || may_skip, "{} must fail", query);
        if failed {
            return Ok(());
        }
        let have: Vec<(Labels, Vec<f64>)> = matrix
            .into_iter()
            .map(|(labels, samples)| (labels, samples.iter().map(|s| s.value).collect()))
            .collect();
        prop_assert_eq!(have.len(), want.len(), "{}: {:?} {:?}", query, have, want);
        for ((labels, have), (want_labels, want)) in have.iter().zip(&want) {
            prop_assert_eq!(labels, want_labels);
            prop_assert_eq!(have.len(), want.len());
            for (have, want) in have.iter().zip(want) {
                prop_assert!((have - want).abs() <= 1e-9 * want.abs(), "{}: {} {}", query, have, want);
            }
        }
    }

    #[test]
    fn volumes_do_not_depend_on_the_cut(
        rows in prop::collection::vec(row(), 0..60),
        cut in cut(),
        (start, length, step) in (0i64..30, 0i64..30, 0i64..12),
    ) {
        let range = TimeRange { from_ns: start * MS, to_ns: (start + length) * MS };
        let plan = VolumesPlan::new(&VolumesOf {
            matchers: syntax::parse_matchers(r#"{app=~"a|b"}"#).unwrap(),
            patterns: Arc::default(),
            range,
            step_ns: step * MS,
            max_memory_bytes: 0,
        }).unwrap();
        let mut distinct: Vec<&TestRow> = Vec::new();
        let rows_arrived = arrived(&rows, &cut);
        for (_, row) in &rows_arrived {
            let inside = range.from_ns <= row.ts_ns && row.ts_ns < range.to_ns;
            if inside && row.stream < 2 && !distinct.contains(&row) {
                distinct.push(row);
            }
        }
        let mut want: BTreeMap<Labels, BTreeMap<u32, Volume>> = BTreeMap::new();
        for row in distinct {
            let window = plan.window_ends().iter().position(|&end| row.ts_ns < end).unwrap();
            let volumes = want.entry(streams()[row.stream].clone()).or_default();
            let volume = volumes.entry(window as u32).or_default();
            volume.lines += 1;
            volume.bytes += (row.line.len() + 8 * row.metadata.len()) as u64;
            volume.oldest_ns = volume.oldest_ns.min(row.ts_ns);
            volume.newest_ns = volume.newest_ns.max(row.ts_ns);
        }
        let partial = partials_cut(std::slice::from_ref(plan.leaf()), &rows, &cut).unwrap();
        let have = plan.finish(partial.into_iter().next().unwrap());
        let have: BTreeMap<Labels, BTreeMap<u32, Volume>> =
            have.into_iter().map(|(labels, of)| (labels, of.into_iter().collect())).collect();
        prop_assert_eq!(have, want);
    }
}
