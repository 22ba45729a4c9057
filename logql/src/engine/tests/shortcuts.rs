//! Short cuts change nothing: the answer with them is the answer without, over lines that try to
//! tell them apart.

use base::Labels;
use proptest::prelude::*;
use proptest::sample::select;

use super::{TestRow, pages, params, show};
use crate::engine::overlap::Overlaps;
use crate::engine::{StreamSource, Worker};
use crate::plan::{LabelNeedles, Params, Plan};
use crate::syntax;

const QUERIES: [&str; 29] = [
    r#"{job="a"} | json | x="error""#,
    r#"{job=~".+"} | json | x="two words""#,
    r#"{job=~".+"} | json | x="a/b\"c""#,
    r#"{job=~".+"} | json | x_y="12""#,
    r#"{job=~".+"} | json | x_extracted="error""#,
    r#"{job=~".+"} | json | x=~"err.*|warn""#,
    r#"{job=~".+"} | json | x=~"(?i)ERROR""#,
    r#"{job=~".+"} | json | x!="" | status>=500"#,
    r#"{job=~".+"} | json | status>=500 or x="warn""#,
    r#"{job=~".+"} | json | x="error" and status<500"#,
    r#"{job=~".+"} | json | logfmt | x="error""#,
    r#"{job=~".+"} | logfmt | x="error""#,
    r#"{job=~".+"} | logfmt --keep-empty | x="" | status>1"#,
    r#"{job=~".+"} | json v="x", w="x.y" | v="error" or w="12""#,
    r#"{job=~".+"} | json status="status" | status>1"#,
    r#"{job=~".+"} | json v="status" | v!="""#,
    r#"{job=~".+"} | json v="x.z.w" | v!="""#,
    r#"{job=~".+"} | json v="x", w="x" | v="error" | w!="""#,
    r#"{job=~".+"} | pattern "<x> <_>" | x="error""#,
    r#"{job=~".+"} | regexp "(?P<x>[a-z]+)" | x="error""#,
    r#"{job=~".+"} | json | __error__="" | x="error""#,
    r#"{job=~".+"} | json | label_format x=y | x="error""#,
    r#"{job=~".+"} | line_format "{{.job}}" | json | x="error""#,
    r#"sum by (x) (count_over_time({job=~".+"} | json | x="error" [10s]))"#,
    r#"sum(count_over_time({job=~".+"} | json | status>=500 [10s]))"#,
    r#"sum by (y) (sum_over_time({job=~".+"} | json | unwrap status | __error__="" [10s]))"#,
    r#"sum by (job) (avg_over_time({job=~".+"} | json | __error__="" | unwrap status [10s]))"#,
    r#"sum by (v, w) (count_over_time({job=~".+"} | json v="x", w="x.y" [10s]))"#,
    r#"{job=~".+"} | json | status>=500 | line_format "{{.x}} {{.x_y}}""#,
];

fn streams() -> Vec<Labels> {
    [&[("job", "a")][..], &[("job", "b"), ("x", "error")], &[("job", "c"), ("status", "700")]]
        .map(|pairs| Labels::from_pairs(pairs.iter().copied()))
        .to_vec()
}

fn text() -> impl Strategy<Value = String> {
    let known = select(vec![
        "error",
        "warn",
        "err",
        "two words",
        "12",
        "",
        r#"a/b\"c"#,
        r"a\/b\u0022c",
        r"\u0065rror",
        r"err\u006fr",
        r"two\twords",
        "two\u{fffd}words",
        r"two\ufffdwords",
        r"\ud83d",
        r"err\or",
        "ERROR",
        "Error\u{212a}",
        "zárok",
    ]);
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => "[a-e\"\\\\ ]{0,6}"]
}

fn value() -> impl Strategy<Value = String> {
    let plain = select(vec![
        "1",
        "500",
        "-3",
        "5e2",
        "true",
        "null",
        "[1,\"error\"]",
        "{}",
        "tru",
        "1 2",
        "{\"y\":12}",
        "{\"y\":{\"z\":1},\"status\":501}",
        "{\"y\":\"12\"",
        "[",
        "\"open",
        "1[\"x\"",
        "1\"status\":9",
        "1{\"x\":2",
        "-1[",
    ]);
    prop_oneof![
        3 => text().prop_map(|text| format!("\"{text}\"")),
        2 => plain.prop_map(str::to_owned),
    ]
}

fn line() -> impl Strategy<Value = String> {
    let key = select(vec!["x", "y", "status", "stat\\u0075s", " x ", "x_y", "other", "x-y", ""]);
    let member = (key, select(vec![":", ": ", ""]), value());
    let members = prop::collection::vec(member, 0..6);
    let object = (members, select(vec!["}", "} ", "", ",}", "}}", "}x"]), select(vec![",", ", "]));
    let json = object.prop_map(|(members, end, comma)| {
        let colon =
            |at: usize, colon: &str| if at == 4 { colon.to_owned() } else { ":".to_owned() };
        let member = |(at, (key, sep, value)): (usize, &(&str, &str, String))| {
            format!("\"{key}\"{}{value}", colon(at, sep))
        };
        let members: Vec<String> = members.iter().enumerate().map(member).collect();
        format!("{{{}{end}", members.join(comma))
    });
    let pair = (select(vec!["x", "status", "y", "x.y"]), text(), any::<bool>());
    let logfmt = prop::collection::vec(pair, 0..4).prop_map(|pairs| {
        let pair = |(key, text, quoted): &(&str, String, bool)| match quoted {
            true => format!("{key}=\"{text}\""),
            false => format!("{key}={text}"),
        };
        pairs.iter().map(pair).collect::<Vec<String>>().join(" ")
    });
    // Most lines of a log look alike: the same members with other values.
    let shape = (text(), 0u32..900, text(), 0u32..20).prop_map(|(x, status, y, z)| {
        let nested = format!("{{\"y\":\"{y}\",\"z\":{{\"w\":{z}}}}}");
        format!("{{\"t\":\"12:00\",\"other\":\"{x}\",\"x\":{nested},\"status\":{status}}}")
    });
    let simple = (text(), 0u32..900).prop_map(|(x, status)| {
        format!("{{\"other\":null, \"x\":\"{x}\",\"ok\":true,\"status\":{status}}}")
    });
    prop_oneof![3 => json, 1 => logfmt, 3 => shape, 3 => simple, 1 => text()]
}

fn row() -> impl Strategy<Value = TestRow> {
    let metadata = prop::option::weighted(0.1, (select(vec!["x", "status", "x_y"]), text()));
    (0usize..3, line(), metadata).prop_map(|(stream, line, metadata)| {
        let metadata = metadata.into_iter().filter(|(_, value)| !value.is_empty());
        let metadata = metadata.map(|(name, value)| (name.to_owned(), value)).collect();
        TestRow { stream, ts_ns: 0, line, metadata }
    })
}

/// All rows are in the range of a log query and in the windows of the others.
fn small(query: &str) -> Params {
    let end = 100_000_000_000;
    params(if query.starts_with('{') { 0 } else { end }, end, 0)
}

/// The answer, or the error's text.
fn answer(query: &str, rows: &[TestRow], per_page: usize, plain: bool) -> String {
    let plan = Plan::new(&syntax::parse(query).unwrap(), &small(query)).unwrap();
    let leaf = &plan.leaves()[0];
    let overlaps = std::sync::Arc::new(Overlaps::none());
    let mut worker: Worker = leaf.worker(std::sync::Arc::clone(&overlaps));
    worker.source(&StreamSource { streams: streams(), order: 0 }).unwrap();
    if plain {
        worker.without_short_cuts();
    }
    match super::feed(leaf, &mut worker, &pages(rows, per_page), &overlaps) {
        Err(error) => format!("{error:?}"),
        Ok(()) => match plan.finish(vec![worker.finish()]) {
            Ok(answer) => show(&answer).join("\n"),
            Err(error) => format!("{error:?}"),
        },
    }
}

/// How many of these lines have which `labels` after `stage`, with short cuts and without.
fn both_counts(labels: &str, stage: &str, lines: &[&str]) -> [String; 2] {
    let query = format!("sum by ({labels}) (count_over_time({{job=\"a\"}} {stage} [10s]))");
    let row = |(at, line): (usize, &&str)| TestRow {
        stream: 0,
        ts_ns: 95_000_000_000 + at as i64,
        line: (*line).to_owned(),
        metadata: Vec::new(),
    };
    let rows: Vec<TestRow> = lines.iter().enumerate().map(row).collect();
    [false, true].map(|plain| answer(&query, &rows, rows.len(), plain))
}

#[test]
fn a_path_sees_the_brackets_of_a_number_whatever_the_lines_before_looked_like() {
    let good = r#"{"a":1,"c":3}"#;
    let lines = [good; 3];
    let all = r#"{x="3"} 3"#;
    assert_eq!(both_counts("x", r#"| json x="c""#, &lines), [all, all]);
    for odd in [r#"{"a":1["x","c":3}"#, r#"{"a":1"c":9,"c":3}"#, r#"{"a":1{"b":2,"c":3}"#] {
        let [fast, plain] = both_counts("x", r#"| json x="c""#, &[good, odd, good]);
        assert_eq!(fast, plain, "{odd}");
        let inner = [r#"{"a":"#, good, "}"].concat();
        let odd = [r#"{"a":"#, odd, "}"].concat();
        let lines = [inner.as_str(), &odd, &inner];
        let [fast, plain] = both_counts("x", r#"| json x="a.c""#, &lines);
        assert_eq!(fast, plain, "{odd}");
    }
}

#[test]
fn of_equal_keys_the_first_counts_for_every_path() {
    let line = r#"{"a":1,"a":2}"#;
    let [fast, plain] = both_counts("x, y", r#"| json x="a", y="a""#, &[line, line]);
    assert_eq!((fast.as_str(), plain.as_str()), (r#"{x="1", y="1"} 2"#, fast.as_str()));
}

/// Whether a sketch would have been right to keep a page with just this row.
fn may_hold(needles: &[LabelNeedles], row: &TestRow) -> bool {
    let labels = &streams()[row.stream];
    let elsewhere = |name: &String| {
        labels.get(name).is_some() || row.metadata.iter().any(|(own, _)| own == name)
    };
    let line = row.line.as_bytes();
    let holds = |needle: &crate::plan::Needle| {
        let window = |window: &[u8]| match needle.ignore_case {
            true => window.eq_ignore_ascii_case(&needle.bytes),
            false => window == needle.bytes,
        };
        line.windows(needle.bytes.len()).any(window)
    };
    row.line.contains(r"\u")
        || row.line.contains(['\u{212a}', '\u{17f}'])
        || needles
            .iter()
            .all(|needles| needles.labels.iter().any(elsewhere) || needles.any.iter().any(holds))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn short_cuts_give_the_answers_of_the_plain_path(
        rows in prop::collection::vec(row(), 1..40),
        per_page in 1usize..40,
    ) {
        let mut rows = rows;
        // A page has one run per stream.
        for page in rows.chunks_mut(per_page) {
            page.sort_by_key(|row| row.stream);
        }
        for (at, row) in rows.iter_mut().enumerate() {
            row.ts_ns = 95_000_000_000 + at as i64;
        }
        for query in QUERIES {
            let fast = answer(query, &rows, per_page, false);
            prop_assert_eq!(fast, answer(query, &rows, per_page, true), "{}", query);
        }
    }

    #[test]
    fn a_selected_row_holds_the_text_that_sketches_are_asked_for(row in row()) {
        let row = TestRow { ts_ns: 95_000_000_000, ..row };
        for query in QUERIES.iter().filter(|query| query.starts_with('{')) {
            let plan = Plan::new(&syntax::parse(query).unwrap(), &small(query)).unwrap();
            let needles = plan.leaves()[0].label_needles();
            if !answer(query, std::slice::from_ref(&row), 1, true).is_empty() {
                prop_assert!(may_hold(needles, &row), "{} {:?}", query, needles);
            }
        }
    }
}

#[test]
fn what_filters_on_parsed_labels_require() {
    for (query, want) in [
        (r#"{a="b"} | json | x="v w""#, "x: v & x: w & x: x"),
        (r#"{a="b"} | json | x=~"err.*|warn""#, "x: err|warn & x: x"),
        (r#"{a="b"} | json | x="aa" or y="bc""#, "x,y: aa|bc"),
        (r#"{a="b"} | json | x="aa" or x="bc" or y="aa" or x="d1""#, "x,y: aa|bc|d1"),
        (r#"{a="b"} | logfmt | x>5 or x<3"#, "x: x"),
        (r#"{a="b"} | json | x="aa" or x!="bc""#, ""),
        (r#"{a="b"} | json | statusCode>=500"#, "statusCode: statusCode"),
        (r#"{a="b"} | json s="statusCode" | s>=500"#, ""),
        (r#"{a="b"} | json | x_extracted="v""#, ""),
        (r#"{a="b"} | json | x!="v""#, ""),
        (r#"{a="b"} | json | x=~"v|""#, ""),
        (r#"{a="b"} | x="v""#, ""),
        (r#"{a="b"} | x="v" | json"#, ""),
        (r#"{a="b"} | json | line_format "q" | x="v""#, ""),
        (r#"{a="b"} | json | label_format x=y | x="v""#, ""),
        (r#"{a="b"} | unpack | x="v""#, ""),
        (r#"{a="b"} | decolorize | json | x="v""#, ""),
        (r#"{a="b"} | json | __error__="JSONParserErr""#, ""),
        (r#"{a="b"} | pattern "<x> <_>" | x="v""#, "x: v"),
        (r#"{a="b"} | json | addr=ip("10.0.0.0/8")"#, ""),
        (r#"sum_over_time({a="b"} | logfmt | unwrap ms [1m])"#, "ms: ms"),
    ] {
        let plan = Plan::new(&syntax::parse(query).unwrap(), &small(query)).unwrap();
        let show = |needles: &LabelNeedles| {
            let text = |n: &crate::plan::Needle| String::from_utf8_lossy(&n.bytes).into_owned();
            let any: Vec<String> = needles.any.iter().map(text).collect();
            format!("{}: {}", needles.labels.join(","), any.join("|"))
        };
        let found: Vec<String> = plan.leaves()[0].label_needles().iter().map(show).collect();
        assert_eq!(found.join(" & "), want, "{query}");
    }
}
