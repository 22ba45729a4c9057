//! Cases by hand: the contract's own vectors, error rules, limits.

use super::*;
use crate::plan::Needs;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn row(ts_ns: i64, line: &str, metadata: &[(&str, &str)]) -> TestRow {
    let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    TestRow {
        stream: 0,
        ts_ns,
        line: line.to_owned(),
        metadata: metadata.iter().map(own).collect(),
    }
}

/// The series of `count_over_time({a="b"} ... [1m])` over one line of the stream.
fn count(
    stages: &str,
    stream: &[(&str, &str)],
    metadata: &[(&str, &str)],
    line: &str,
) -> Result<Vec<String>, QueryError> {
    let mut pairs = stream.to_vec();
    pairs.push(("sel", "1"));
    let query = format!("count_over_time({{sel=\"1\"}} {stages} [1m])");
    let streams = [labels(&pairs)];
    let rows = [row(5, line, metadata)];
    evaluate(&query, &params(10, 10, 0), &streams, &rows).map(|(answer, _)| show(&answer))
}

#[test]
fn the_contracts_vectors_hold() {
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: &[(Pairs, Pairs, &str, &str, &str)] = &[
        (
            &[("a", "1")],
            &[],
            r#"k-1=2 7up=x u=1 u=2 t="a b" e="#,
            "| logfmt",
            r#"{_7up="x", a="1", k_1="2", sel="1", t="a b", u="1"} 1"#,
        ),
        (
            &[("a", "1")],
            &[],
            "u=1 e=",
            "| logfmt --keep-empty",
            r#"{a="1", e="", sel="1", u="1"} 1"#,
        ),
        (&[], &[], "ok=1 bad=\"zzz", "| logfmt", r#"{ok="1", sel="1"} 1"#),
        (
            &[],
            &[],
            r#"{"a":{"b":1,"c":[1],"d":null},"e.f":true,"g":"h\n"}"#,
            "| json",
            r#"{a_b="1", e_f="true", g="h\n", sel="1"} 1"#,
        ),
        (
            &[("lvl", "s")],
            &[("lvl", "m")],
            "lvl=p",
            "| logfmt",
            r#"{lvl="s", lvl_extracted="p", sel="1"} 1"#,
        ),
        (&[("lvl", "s")], &[("lvl", "m")], "", "", r#"{lvl="s", lvl_extracted="m", sel="1"} 1"#),
        (&[], &[("x", "m")], "x=p", "| logfmt", r#"{sel="1", x="m", x_extracted="p"} 1"#),
        (&[], &[], r#"{"x":1,"x":2}"#, "| json", r#"{sel="1", x="1"} 1"#),
        (&[], &[], r#"{"x":1}"#, r#"| json y="x.z""#, r#"{sel="1", y=""} 1"#),
        (
            &[],
            &[],
            r#"{"arr":[{"k":"v"}]}"#,
            r#"| json q="arr[0].k", o="arr[0]""#,
            r#"{o="{\"k\":\"v\"}", q="v", sel="1"} 1"#,
        ),
        (&[], &[], "w=1", r#"| logfmt | v!="x""#, r#"{sel="1", w="1"} 1"#),
        (&[], &[], r#"{"a":"","b":{"":1}}"#, "| json", r#"{a="", b="1", sel="1"} 1"#),
        (
            &[],
            &[],
            r#"{"u":"\u017e\ud83d\ude80","bad":"\ud83d","k\u0065y":1}"#,
            "| json",
            r#"{bad="", key="1", sel="1", u="ž🚀"} 1"#,
        ),
        (
            &[],
            &[],
            r#"{"a":{"b":[7,{"c":"d"}]},"n":null} {"z":5}"#,
            r#"| json p="a.b[1].c", i="a.b[0]", n, z="z""#,
            r#"{i="7", n="", p="d", sel="1", z="5"} 1"#,
        ),
        (&[], &[], "a=1 a=2", r#"| logfmt x="a""#, r#"{sel="1", x="2"} 1"#),
        (&[("a", "s")], &[], "b=1", "| logfmt a", r#"{a="s", sel="1"} 1"#),
    ];
    for (stream, metadata, line, stages, want) in cases {
        assert_eq!(count(stages, stream, metadata, line), Ok(vec![(*want).to_owned()]), "{stages}");
    }
    assert_eq!(count("| logfmt | v > 1", &[], &[], "w=1"), Ok(Vec::new()), "dropped silently");
}

#[test]
fn malformed_json_keeps_what_was_extracted_and_says_what_is_wrong() {
    for (line, want) in [
        (r#"{"a":1,"#, ("a=\"1\", ", "Value is array, but can't find closing ']' symbol")),
        ("", ("", "Value looks like object, but can't find closing '}' symbol")),
        ("plain", ("", "Value looks like object, but can't find closing '}' symbol")),
        ("{", ("", "Malformed JSON error")),
        (
            r#"{"a":1 "b":2}"#,
            ("a=\"1\", ", "Value looks like object, but can't find closing '}' symbol"),
        ),
        (r#"{"a":1,"b":tru}"#, ("a=\"1\", ", "Unknown value type")),
        (
            r#"{"a":1,"b":"x}"#,
            ("a=\"1\", ", "Value is string, but can't find closing '\\\"' symbol"),
        ),
        (
            r#"{"a":1,"b":{"c":2}"#,
            ("a=\"1\", b_c=\"2\", ", "Value is array, but can't find closing ']' symbol"),
        ),
        (
            r#"{"a":1,"b":{"c":2"#,
            ("a=\"1\", ", "Value looks like object, but can't find closing '}' symbol"),
        ),
        (r#"{"a":1,"b":[2"#, ("a=\"1\", ", "Value is array, but can't find closing ']' symbol")),
        (r#"{"a" 1}"#, ("", "Malformed JSON error")),
        (r#"{"\x":1}"#, ("", "Encountered an invalid escape sequence in a string")),
    ] {
        let streams = [labels(&[("sel", "1")])];
        let rows = [row(5, line, &[])];
        let (answer, _) =
            evaluate(r#"{sel="1"} | json"#, &params(0, 10, 0), &streams, &rows).unwrap();
        let (extracted, details) = want;
        let text = format!(
            "{{__error__=\"JSONParserErr\", __error_details__=\"{details}\", {extracted}sel=\"1\"}}"
        );
        let Answer::Streams(streams) = &answer else { panic!("lines") };
        assert_eq!(streams[0].labels.to_string(), text, "{line}");
    }
    for line in [r#"{"a":1}}} rest"#, r#"{"a":1,}"#, r#" {"a" : 1 } {"b":2"#] {
        assert_eq!(
            count("| json", &[], &[], line),
            Ok(vec![r#"{a="1", sel="1"} 1"#.to_owned()]),
            "{line}"
        );
    }
}

#[test]
fn an_error_fails_a_metric_query_unless_it_is_filtered_or_asked_for() {
    let text = |result: Result<Vec<String>, QueryError>| match result {
        Err(QueryError::Invalid(text)) => text,
        other => panic!("{other:?}"),
    };
    let failed = text(count("| logfmt --strict", &[], &[], "ok=1 bad=\"zzz"));
    assert!(failed.starts_with("pipeline error: 'LogfmtParserErr' for series: '{__error__="));
    assert!(failed.contains("(e.g | __error__!=\"LogfmtParserErr\").\nTo skip all"), "{failed}");
    let failed = text(count("| logfmt | v > 1", &[], &[], "v=oops"));
    assert!(failed.starts_with("pipeline error: 'LabelFilterErr' for series: '"), "{failed}");
    assert_eq!(count("| logfmt | v > 1 | __error__=\"\"", &[], &[], "v=oops"), Ok(Vec::new()));

    let streams = [labels(&[("sel", "1")])];
    let rows =
        [row(5, "no json", &[]), row(6, r#"{"lvl":"x"}"#, &[]), row(7, r#"{"lvl":"x""#, &[])];
    let run = |query: &str, rows: &[TestRow]| {
        evaluate(query, &params(10, 10, 0), &streams, rows).map(|(answer, _)| show(&answer))
    };
    let sum = "sum(count_over_time({sel=\"1\"} | json [1m]))";
    assert_eq!(run(sum, &rows), Ok(vec!["{} 3".to_owned()]), "no label is needed: no parser runs");
    let by = "sum by (lvl) (count_over_time({sel=\"1\"} | json [1m]))";
    assert!(text(run(by, &rows)).starts_with("pipeline error: 'JSONParserErr'"));
    assert_eq!(
        run(by, &rows[1..]),
        Ok(vec![r#"{lvl="x"} 2"#.to_owned()]),
        "the mistake lies behind the last label that is needed"
    );
    let asked = "sum by (__error__) (count_over_time({sel=\"1\"} | json [1m]))";
    assert_eq!(
        run(asked, &rows),
        Ok(vec!["{} 1".to_owned(), r#"{__error__="JSONParserErr"} 2"#.to_owned()])
    );
    // A row that no evaluation looks at fails nothing.
    let early = "count_over_time({sel=\"1\"} | json [1ms])";
    assert_eq!(run(early, &[row(-2_000_000, "no json", &[])]), Ok(Vec::new()));
}

#[test]
fn what_steps_aside_hides_a_label_of_the_stream_that_has_its_new_name() {
    let streams = [labels(&[("sel", "1"), ("x", "s"), ("x_extracted", "t")])];
    let rows = [row(5, r#"{"x":"p"}"#, &[]), row(6, r#"{"x":"q"}"#, &[]), row(7, "{}", &[])];
    let run = |query: &str| {
        let (answer, _) = evaluate(query, &params(10, 10, 0), &streams, &rows).unwrap();
        show(&answer)
    };
    assert_eq!(
        run("sum by (x, x_extracted) (count_over_time({sel=\"1\"} | json [1m]))"),
        [
            r#"{x="s", x_extracted="p"} 1"#,
            r#"{x="s", x_extracted="q"} 1"#,
            r#"{x="s", x_extracted="t"} 1"#
        ]
    );
    for (value, want) in [("p", 1), ("t", 1), ("p|q", 2), ("s", 0)] {
        let query =
            format!("sum(count_over_time({{sel=\"1\"}} | json | x_extracted=~\"{value}\" [1m]))");
        let want = if want == 0 { Vec::new() } else { vec![format!("{{}} {want}")] };
        assert_eq!(run(&query), want, "{value}");
    }
}

#[test]
fn who_counts_series_misses_no_error_that_only_a_sum_may_miss() {
    let streams = [labels(&[("sel", "1")])];
    let rows = [row(5, r#"{"lvl":"x"}"#, &[]), row(6, r#"{"lvl":"x""#, &[])];
    let run = |query: &str| {
        evaluate(query, &params(10, 10, 0), &streams, &rows).map(|(answer, _)| show(&answer))
    };
    for op in ["max", "min", "avg", "count", "stddev", "stdvar"] {
        for by in ["", "by (lvl)", "without (lvl)"] {
            for stage in ["json", "json v=\"lvl\" | lvl>0", "logfmt --strict", "unpack"] {
                let inner = format!("{op} {by} (count_over_time({{sel=\"1\"}} | {stage} [1m]))");
                let (alone, counted) = (run(&inner), run(&format!("count({inner})")));
                assert_eq!(alone.is_err(), counted.is_err(), "{inner}: {alone:?}, {counted:?}");
            }
            let text = format!("{op} {by} (count_over_time({{sel=\"1\"}} | json [1m]))");
            assert!(
                matches!(run(&format!("count({text})")), Err(QueryError::Invalid(_))),
                "{text}"
            );
        }
    }
    let sum = "count(sum by (lvl) (count_over_time({sel=\"1\"} | json [1m])))";
    assert_eq!(run(sum), Ok(vec!["{} 1".to_owned()]), "the mistake lies behind what is needed");
}

#[test]
fn the_first_error_of_a_row_stays_and_an_or_stops_at_it() {
    let details = |stages: &str, line: &str| {
        let streams = [labels(&[("sel", "1")])];
        let query = format!("{{sel=\"1\"}} {stages}");
        let (answer, _) =
            evaluate(&query, &params(0, 10, 0), &streams, &[row(5, line, &[])]).unwrap();
        let Answer::Streams(streams) = answer else { panic!("lines") };
        streams
            .first()
            .map(|stream| stream.labels.get("__error_details__").unwrap_or("no error").to_owned())
    };
    let float =
        |value: &str| Some(format!("strconv.ParseFloat: parsing \"{value}\": invalid syntax"));
    assert_eq!(details("| logfmt | a > 1 | b > 1s", "a=x b=y"), float("x"));
    assert_eq!(details("| logfmt | a > 1 or b > 1s", "a=x b=2s"), float("x"));
    assert_eq!(details("| logfmt | b > 1s or a > 1", "a=x b=2s"), Some("no error".to_owned()));
    assert_eq!(details("| logfmt | (c=\"1\" and a > 1) or b > 1s", "a=x b=2s"), float("x"));
    assert_eq!(details("| logfmt | c=\"1\" and a > 1", "a=x"), None);
    // Each field is dropped on its own.
    assert_eq!(details("| logfmt | a > 1 | drop __error__", "a=x"), float("x"));
    let none = Some("no error".to_owned());
    assert_eq!(details("| logfmt | a > 1 | drop __error_details__", "a=x"), none);
}

#[test]
fn what_is_absent_has_the_labels_that_one_equality_gives() {
    for (selector, want) in [
        (r#"a="1", b="2""#, r#"{a="1", b="2"} 1"#),
        (r#"a="1", b=~"2", c!="3", d!~"4""#, r#"{a="1"} 1"#),
        (r#"a="1", b="""#, r#"{a="1"} 1"#),
        (r#"a="1", __name__="b""#, r#"{a="1"} 1"#),
        (r#"a="1", b="2", b="3""#, r#"{a="1"} 1"#),
        (r#"a="1", b=~".", b="3""#, r#"{a="1"} 1"#),
        (r#"a="1", b="2", b="3", b="4""#, r#"{a="1"} 1"#),
    ] {
        let query = format!("absent_over_time({{{selector}}}[1m])");
        let (answer, _) = evaluate(&query, &params(10, 10, 0), &[], &[]).unwrap();
        assert_eq!(show(&answer), [want], "{query}");
    }
}

#[test]
fn a_stage_that_cannot_be_built_is_reported_when_a_stream_is_selected() {
    let streams = [labels(&[("job", "ticks")])];
    let run = |query: &str| {
        evaluate(query, &params(0, 10, 0), &streams, &[]).map(|(answer, _)| show(&answer))
    };
    for (stage, text) in [
        (
            "|~ \"(\"",
            "parse error : stage '|~ \"(\"' : error parsing regexp: missing closing ): `(`",
        ),
        (
            "| json x=\"a..b\"",
            "parse error : stage '| json x=\"a..b\"' : cannot parse expression [a..b]: syntax \
             error: unexpected DOT, expecting FIELD",
        ),
        (
            "| src=ip(\"bogus\")",
            "parse error : stage '| src=ip(\"bogus\")' : ip: invalid pattern: \"bogus\"",
        ),
        (
            "|~ ip(\"10.0.0.1\")",
            "parse error : stage '|~ ip(\"10.0.0.1\")' : ip: invalid operation",
        ),
        (
            "|> \"<_><_>\"",
            "parse error : stage '|> \"<_><_>\"' : found consecutive capture '<_><_>': invalid \
             expression",
        ),
    ] {
        let selected = run(&format!("{{job=\"ticks\"}} {stage}"));
        assert_eq!(selected, Err(QueryError::Invalid(text.to_owned())));
        assert_eq!(run(&format!("{{job=\"a\"}} {stage}")), Ok(Vec::new()));
        let metric = run(&format!("sum(count_over_time({{job=\"ticks\"}} {stage} [1m]))"));
        assert_eq!(metric, Err(QueryError::Invalid(text.to_owned())));
    }
}

#[test]
fn constants_need_no_rows() {
    let run = |query: &str, step: i64| {
        let params = params(0, if step > 0 { 2_000_000 } else { 0 }, step);
        show(&evaluate(query, &params, &[], &[]).unwrap().0)
    };
    assert_eq!(run("1+1--1", 0), ["scalar 3"]);
    assert_eq!(run("2^3^2", 0), ["scalar 512"]);
    assert_eq!(run("vector(3) * 2", 0), ["{} 6"]);
    assert_eq!(run("vector(3) > 5", 0), Vec::<String>::new());
    assert_eq!(run("5", 1_000_000), ["{} 5@0 5@1 5@2"]);
    assert_eq!(run("vector(1)", 2_000_000), ["{} 1@0 1@2"]);
    let expr = syntax::parse("sum(5)").unwrap();
    assert!(matches!(Plan::new(&expr, &params(0, 0, 0)), Err(QueryError::Internal(_))));
}

#[test]
fn too_many_series_and_too_much_memory_fail_by_name() {
    let streams: Vec<Labels> = (0..4).map(|n| labels(&[("n", &n.to_string())])).collect();
    let rows: Vec<TestRow> =
        (0..4).map(|stream| TestRow { stream, ..row(5, "a line of some length", &[]) }).collect();
    let mut limited = params(10, 10, 0);
    limited.max_series = 3;
    let query = "count_over_time({n=~\".+\"}[1m])";
    let error = evaluate(query, &limited, &streams, &rows).unwrap_err();
    let QueryError::Limited(text) = error else { panic!("{error}") };
    assert!(text.starts_with("maximum number of series (3) reached for a single query; consider"));
    assert!(evaluate(&format!("sum({query})"), &limited, &streams, &rows).is_ok());

    let mut tight = params(10, 10, 0);
    tight.max_memory_bytes = 500;
    for query in [query, "{n=~\".+\"}"] {
        let mut tight = tight.clone();
        if query.starts_with('{') {
            (tight.start, tight.max_memory_bytes) = (UnixNanos(0), 50);
        }
        let error = evaluate(query, &tight, &streams, &rows).unwrap_err();
        let QueryError::Limited(text) = error else { panic!("{error}") };
        assert!(text.contains("bytes in memory"), "{text}");
    }
}

#[test]
fn a_leaf_reads_only_the_columns_it_needs() {
    let needs = |query: &str| {
        let expr = syntax::parse(query).unwrap();
        Plan::new(&expr, &params(0, 10, 0)).unwrap().leaves()[0].needs()
    };
    let some = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
    let errors = ["__error__", "__error_details__"];
    assert_eq!(
        needs(r#"sum by (app) (count_over_time({a="b"}[1m]))"#),
        Needs {
            line_bytes: false,
            lengths: false,
            metadata: some(&[&errors[..], &["app"]].concat()),
            pairs: false
        }
    );
    assert_eq!(
        needs(r#"sum(bytes_over_time({a="b"} | json [1m]))"#),
        Needs { line_bytes: false, lengths: true, metadata: some(&errors), pairs: false }
    );
    assert_eq!(
        needs(r#"sum(count_over_time({a="b"} |= "x" | x_extracted="1" [1m]))"#),
        Needs {
            line_bytes: true,
            lengths: true,
            metadata: some(&[&errors[..], &["x", "x_extracted"]].concat()),
            pairs: false
        }
    );
    assert_eq!(
        needs(r#"count_over_time({a="b"}[1m])"#),
        Needs { line_bytes: false, lengths: false, metadata: None, pairs: false }
    );
    assert_eq!(
        needs(r#"{a="b"}"#),
        Needs { line_bytes: true, lengths: true, metadata: None, pairs: false }
    );
}

#[test]
fn stats_count_the_rows_of_selected_streams_in_the_range() {
    let streams = [labels(&[("a", "b")]), labels(&[("a", "c")])];
    let mut rows: Vec<TestRow> = (0..10)
        .map(|ts| row(ts, if ts % 2 == 0 { "even" } else { "odd" }, &[("k", "v")]))
        .collect();
    rows[3].stream = 1;
    let query = r#"{a="b"} |= "even""#;
    let (_, stats) = evaluate(query, &params(2, 8, 0), &streams, &rows).unwrap();
    assert_eq!(stats.rows, 5);
    assert_eq!(stats.line_bytes, 3 * 4 + 2 * 3);
    assert_eq!((stats.metadata_bytes, stats.selected_rows), (5 * 2, 3));
}

#[test]
fn a_threshold_lets_a_reader_stop() {
    let streams = [labels(&[("a", "b")])];
    let expr = syntax::parse(r#"{a="b"}"#).unwrap();
    let mut params = params(0, 10_000, 0);
    (params.limit, params.direction) = (2, Direction::Backward);
    let plan = Plan::new(&expr, &params).unwrap();
    let leaf = &plan.leaves()[0];
    let mut worker = leaf.worker(Arc::new(Overlaps::none()));
    worker.source(&StreamSource { streams: streams.to_vec(), order: 0 }).unwrap();
    assert_eq!(worker.threshold(), None);
    let rows: Vec<TestRow> = (0..1_000).map(|ts| row(ts, "x", &[])).collect();
    feed(leaf, &mut worker, &pages(&rows, 100), &Overlaps::none()).unwrap();
    assert!(worker.threshold().is_some_and(|threshold| threshold > 700));
    let partial = worker.finish();
    assert_eq!(partial.threshold(), Some(997), "older rows than 998 are not in the answer");
    let answer = plan.finish(vec![partial]).unwrap();
    assert_eq!(show(&answer), [r#"{a="b"} [999 x, 998 x]"#]);
}
