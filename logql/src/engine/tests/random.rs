//! Random queries over random rows, cut at random, give the answer of the plain evaluator.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::cuts::{Cut, MS, arrived, cut, evaluate_cut, streams};
use super::plain::{self, Failed, templates};
use super::*;

const LINES: &[&str] = &[
    r#"{"level":"info","n":{"x":1,"y":null},"dur":"2s"}"#,
    r#"{"n":{"x":3},"level":"warn","trace":"inner","tags":[1,2]}"#,
    r#"{"n":{"x":"many"},"other":true,"size":"2KB"}"#,
    r#"{"_entry":"level=packed n=6","k":"v","level":"outer"}"#,
    "level=info n=1 x",
    "level=warn n=3 trace=inner app=x1 dur=1m30s",
    "n=abc level= level=late size=3KiB",
    "n=2 src=10.0.0.7 to 192.168.4.1",
    "\u{1b}[31mlevel=red\u{1b}[0m n=4",
    "plain text with x and 7",
    "",
    "aLeVeL 5",
];

fn row() -> impl Strategy<Value = TestRow> {
    let level = proptest::option::of(select(vec!["info", "warn"]));
    let trace = proptest::option::of(select(vec!["t1", "t2", "t3"]));
    // Few instants, so that rows share them.
    (0usize..3, 0i64..25, select(LINES), level, trace).prop_map(
        |(stream, ts_ns, line, level, trace)| {
            let mut metadata = Vec::new();
            metadata.extend(level.map(|value| ("level".to_owned(), value.to_owned())));
            metadata.extend(trace.map(|value| ("trace".to_owned(), value.to_owned())));
            TestRow { stream, ts_ns: ts_ns * MS, line: line.to_owned(), metadata }
        },
    )
}

const SELECTORS: &[&str] = &[
    r#"{app=~".+"}"#,
    r#"{app="a"}"#,
    r#"{app!="a", app=~".+"}"#,
    r#"{app=~"b|c", level=~"|base"}"#,
    r#"{app=~".+", trace!~"own.*"}"#,
];

const FILTERS: &[&str] = &[
    r#"|= "x""#,
    r#"!= "level""#,
    r#"|= "info" or "7""#,
    r#"!= "x" or "1""#,
    r#"|~ "a.*[0-9]""#,
    r#"!~ "(?i)LEVEL""#,
    r#"|~ "^n" or "red""#,
    r#"|> "<_>level<_>""#,
    r#"!> "plain <_>""#,
    r#"|> "n=<_> <_>" or "level=<_>x""#,
    r#"|= ip("10.0.0.0/8")"#,
    r#"!= ip("192.168.0.1-192.168.9.9")"#,
    r#"| level="info""#,
    r#"| level!="info" or trace="t1""#,
    r#"| level_extracted!="", app=~"a|b""#,
    r#"| n > 1"#,
    r#"| n <= 2 or n_x >= 3"#,
    r#"| n_x == 1 and level!="warn""#,
    r#"| dur > 1s"#,
    r#"| size >= 2KB"#,
    r#"| src=ip("10.0.0.7")"#,
    r#"| src!=ip("10.0.0.0/24")"#,
    r#"| __error__="""#,
    r#"| __error__!="JSONParserErr""#,
    r#"| nosuch="" | trace=~"t[12]|""#,
];

const STAGES: &[&str] = &[
    "| json",
    r#"| json level, x="n.x", t="tags[1]""#,
    r#"| json n="n", nosuch="a.b""#,
    "| logfmt",
    "| logfmt --keep-empty",
    "| logfmt --strict",
    r#"| logfmt l="level", n"#,
    r#"| regexp "(?P<n>[0-9]+)( (?P<rest>.*))?""#,
    r#"| regexp "level=(?P<level>[a-z]*)""#,
    r#"| pattern "level=<level> n=<n> <_>""#,
    r#"| pattern "<_> <w> <rest>""#,
    "| unpack",
    "| decolorize",
    "| drop level",
    r#"| drop trace, level="info""#,
    "| drop __error__, __error_details__",
    "| drop __error__",
    "| drop n, nosuch, level_extracted",
    "| keep app, n",
    r#"| keep level="warn", trace, n"#,
    "| label_format lvl=level",
    "| label_format level=n, m=trace",
    "| label_format trace=nosuch",
];

/// A stage, be it one with a template.
fn stage() -> impl Strategy<Value = String> {
    let quoted = || select(templates::texts()).prop_map(base::quote::quote);
    prop_oneof![
        4 => select(FILTERS).prop_map(str::to_owned),
        5 => select(STAGES).prop_map(str::to_owned),
        1 => quoted().prop_map(|text| format!("| line_format {text}")),
        1 => (quoted(), quoted())
            .prop_map(|(a, b)| format!("| label_format level={a}, made={b}")),
    ]
}

fn log_query() -> impl Strategy<Value = String> {
    (select(SELECTORS), vec(stage(), 0..5)).prop_map(|(selector, stages)| {
        let mut query = selector.to_owned();
        for stage in stages {
            // `drop a` and `!= "x"` side by side would be `a != "x"`.
            let between = if stage.starts_with('!') { " |= \"\" " } else { " " };
            query.push_str(between);
            query.push_str(&stage);
        }
        query
    })
}

const GROUPINGS: &[&str] =
    &["", "by (app)", "by (level, trace)", "without (level)", "by ()", "without ()", "by (n, lvl)"];

fn range_function() -> impl Strategy<Value = String> {
    let lines =
        vec!["count_over_time", "rate", "bytes_over_time", "bytes_rate", "absent_over_time"];
    let lines = (select(lines), log_query()).prop_map(|(op, log)| (op.to_owned(), log, ""));
    let unwraps = vec![
        r#"| unwrap n | __error__="""#,
        r#"| unwrap n | __error__="" | n > 1"#,
        r#"| unwrap n_x | __error__="""#,
        r#"| unwrap bytes(size) | __error__="""#,
        r#"| unwrap duration(dur) | __error__="""#,
        "| unwrap duration_seconds(dur)",
        "| unwrap x",
    ];
    let ops = vec![
        "sum_over_time(",
        "rate(",
        "avg_over_time(",
        "min_over_time(",
        "max_over_time(",
        "stddev_over_time(",
        "stdvar_over_time(",
        "first_over_time(",
        "last_over_time(",
        "quantile_over_time(0.4,",
        "quantile_over_time(1,",
        "quantile_over_time(1.5,",
    ];
    let values = (select(ops), log_query(), select(unwraps), select(GROUPINGS)).prop_map(
        |(op, log, unwrap, grouping)| {
            let sums = op.starts_with("sum") || op.starts_with("rate");
            (
                op.trim_end_matches('(').to_owned(),
                format!("{log} {unwrap}"),
                if sums { "" } else { grouping },
            )
        },
    );
    let range = (1i64..40, prop_oneof![Just(0i64), -9i64..10]);
    (prop_oneof![3 => lines, 3 => values], range).prop_map(
        |((op, log, grouping), (range, offset))| {
            let offset = if offset == 0 { String::new() } else { format!(" offset {offset}ms") };
            let open = if op.ends_with(',') { "" } else { "(" };
            format!("{op}{open}{log} [{range}ms]{offset}) {grouping}")
        },
    )
}

fn vector_query() -> impl Strategy<Value = String> {
    let ops = vec![
        "sum",
        "avg",
        "min",
        "max",
        "count",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "sort",
        "sort_desc",
    ];
    let between = vec![
        "+",
        "-",
        "*",
        "/",
        "%",
        ">",
        "<= bool",
        "== bool",
        "!=",
        "and",
        "or",
        "unless",
        "/ on (app)",
        "+ ignoring (level)",
        "* on (app) group_left ()",
        "- on (app) group_right (level)",
        "> on (level) group_left (trace)",
        "and on (app)",
        "or ignoring (level)",
        "unless on (trace)",
    ];
    let numbers = vec!["* 2", "> 1", "<= bool 2", "% 2", "/ 0", "^ 2", "!= 3", "- 1.5"];
    range_function().prop_recursive(2, 6, 2, move |inner| {
        prop_oneof![
            (select(ops.clone()), select(GROUPINGS), 1u8..4, inner.clone()).prop_map(
                |(op, grouping, k, inner)| match op {
                    "topk" | "bottomk" => format!("{op} {grouping} ({k}, {inner})"),
                    "sort" | "sort_desc" => format!("{op}({inner})"),
                    op => format!("{op} {grouping} ({inner})"),
                }
            ),
            (inner.clone(), select(between.clone()), inner.clone())
                .prop_map(|(left, op, right)| format!("({left}) {op} ({right})")),
            (inner.clone(), select(numbers.clone()))
                .prop_map(|(left, op)| format!("({left}) {op}")),
            inner.clone().prop_map(|inner| format!("3 > bool ({inner})")),
            inner.prop_map(|inner| {
                format!("label_replace({inner}, \"made_up\", \"<$1>\", \"level\", \"(in|wa).*\")")
            }),
        ]
    })
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

type Series = std::collections::BTreeMap<Labels, Vec<(i64, f64)>>;

/// The answer of the plain evaluator, and whether it has none.
fn plain_matrix(
    query: &str,
    (start, end, step): (i64, i64, i64),
    rows: &[TestRow],
    cut: &Cut,
) -> (Series, Vec<Failed>) {
    let syntax::Expr::Metric(metric) = syntax::parse(query).unwrap() else { panic!("{query}") };
    let rows = arrived(rows, cut);
    let (mut series, mut failed) = (Series::new(), Vec::new());
    let mut at = start;
    while at <= end {
        match plain::metric(&metric, at, &streams(), &rows) {
            Err(why) => failed.push(why),
            Ok(vector) => {
                for (labels, value) in vector {
                    series.entry(labels).or_default().push((at / MS, value));
                }
            }
        }
        at += step;
    }
    (series, failed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn random_log_queries_agree_with_the_plain_evaluator(
        rows in vec(row(), 0..50),
        cut in cut(),
        query in log_query(),
        (start, length, limit, interval) in (0i64..10, 0i64..30, 0usize..20, 0i64..3),
        backward in any::<bool>(),
    ) {
        let mut params = params(start * MS, (start + length + 1) * MS, 0);
        (params.limit, params.interval_ns) = (limit, interval * MS);
        if backward {
            params.direction = Direction::Backward;
        }
        let syntax::Expr::Log(log) = syntax::parse(&query).unwrap() else { panic!("{query}") };
        let want = plain::log(&log, &params, &streams(), &arrived(&rows, &cut));
        let answer = evaluate_cut(&query, &params, &rows, &cut).unwrap();
        prop_assert_eq!(show(&answer), want, "{}", query);
    }

    #[test]
    fn random_metric_queries_agree_with_the_plain_evaluator(
        rows in vec(row(), 0..50),
        cut in cut(),
        query in vector_query(),
        (start, length, step) in (0i64..20, 0i64..20, 1i64..12),
    ) {
        let times = (start * MS, (start + length) * MS, step * MS);
        let (want, failed) = plain_matrix(&query, times, &rows, &cut);
        let answer = evaluate_cut(&query, &params(times.0, times.1, times.2), &rows, &cut);
        // Parsers that nobody needs are not run, nor run to the end of a line: fewer errors.
        let may_skip = ["sum", "by (", "absent"].iter().any(|word| query.contains(word));
        let matrix = match answer {
            Err(QueryError::Invalid(text)) => {
                prop_assert!(failed.contains(&Failed::Pipeline), "{}: {}", query, text);
                return Ok(());
            }
            Err(QueryError::Internal(text)) => {
                prop_assert!(!failed.is_empty(), "{}: {}", query, text);
                return Ok(());
            }
            Ok(Answer::Matrix(matrix)) => matrix,
            other => return Err(TestCaseError::fail(format!("{query}: {other:?}"))),
        };
        if !failed.is_empty() {
            prop_assert!(may_skip && failed.contains(&Failed::Pipeline), "{}: {:?}", query, failed);
            return Ok(());
        }
        let have: Series = matrix
            .into_iter()
            .map(|(labels, samples)| (labels, samples.iter().map(|s| (s.ts_ms, s.value)).collect()))
            .collect();
        let same = have.len() == want.len()
            && have.iter().zip(&want).all(|((labels, have), (want_labels, want))| {
                let pairs = || have.iter().zip(want);
                labels == want_labels
                    && have.len() == want.len()
                    && pairs().all(|(have, want)| have.0 == want.0 && close(have.1, want.1))
            });
        prop_assert!(same, "{}:\nhave {:?}\nwant {:?}", query, have, want);
    }
}
