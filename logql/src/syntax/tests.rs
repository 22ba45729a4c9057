//! Every recorded query parses or fails as recorded.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value as Json;

use crate::fuzz::fuzz_parse;

use super::*;

/// A recorded request: its name, query, status and body.
struct Case {
    name: String,
    path: String,
    query: String,
    status: u64,
    body: String,
}

fn recorded() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance/cases");
    let mut cases = Vec::new();
    let files = std::fs::read_dir(&folder).expect("the conformance cases are in the tree");
    for file in files {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let json: Json = serde_json::from_str(&text).unwrap();
        for case in json["cases"].as_array().unwrap() {
            let sent =
                |key: &str| ["params", "form"].iter().find_map(|from| case[from][key].as_str());
            let Some(query) = sent("query").or_else(|| sent("match[]")) else { continue };
            let body = match &case["body_json"] {
                Json::Null => case["body_text"].as_str().unwrap_or_default().to_owned(),
                json => json.to_string(),
            };
            cases.push(Case {
                name: case["name"].as_str().unwrap().to_owned(),
                path: case["path"].as_str().unwrap().to_owned(),
                query: query.to_owned(),
                status: case["status"].as_u64().unwrap(),
                body,
            });
        }
    }
    assert!(cases.len() > 1_000, "{} recorded queries", cases.len());
    cases
}

#[test]
fn every_recorded_query_parses_or_fails_as_recorded() {
    let mut wrong = Vec::new();
    let (mut good, mut bad) = (0, 0);
    for case in recorded() {
        if !case.path.ends_with("/query_range") && !case.path.ends_with("/query") {
            continue;
        }
        let ours = parse(&case.query).err().map(|error| error.text);
        // Stage errors are found later, when a stream matches.
        let refused = case.status == 400
            && case.body.starts_with("parse error")
            && !case.body.starts_with("parse error : stage '");
        let same = if refused {
            bad += 1;
            ours.as_deref() == Some(case.body.trim_end())
        } else {
            good += 1;
            ours.is_none()
        };
        if !same {
            let body: String = case.body.chars().take(300).collect();
            wrong.push(format!("{}: {}\n  {body}\n  {ours:?}", case.name, case.query));
        }
    }
    assert!(good > 1_000 && bad > 200, "{good} {bad}");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_recorded_query_is_formatted_as_recorded() {
    let mut formatted = 0;
    for case in recorded().iter().filter(|case| case.path.ends_with("/format_query")) {
        let body: Json = serde_json::from_str(&case.body).unwrap();
        match (parse(&case.query), case.status) {
            (Ok(expr), 200) => assert_eq!(pretty(&expr), body["data"], "{}", case.name),
            (Err(error), 400) => assert_eq!(error.text, body["error"], "{}", case.name),
            (other, status) => panic!("{}: {status}, not {other:?}", case.name),
        }
        formatted += 1;
    }
    assert!(formatted > 35);
}

#[test]
fn every_recorded_selector_is_read_or_refused_as_recorded() {
    let endpoints = ["/series", "/labels", "/values", "/stats", "/volume", "/volume_range"];
    let mut read = 0;
    for case in recorded() {
        let path = case.path.as_str();
        if !endpoints.iter().any(|end| path.ends_with(end)) || path.contains("detected_field") {
            continue;
        }
        let checked = parse_matchers(&case.query).and_then(|matchers| {
            if path.contains("volume") { Ok(()) } else { require_matcher(&matchers) }
        });
        let matchers_wrong =
            case.body.starts_with("parse error") || case.body.starts_with("only label matchers");
        match checked {
            Ok(()) => assert!(!matchers_wrong, "{}: {}", case.name, case.body),
            Err(error) => assert_eq!(error.text, case.body.trim_end(), "{}", case.name),
        }
        read += 1;
    }
    assert!(read > 60, "{read}");
}

/// What is wrong with a stage, as the engine finds it when a stream matches.
fn stage_error(stage: &Stage) -> Option<String> {
    match stage {
        Stage::Json(paths) => paths.iter().find_map(|e| json_path::parse(&e.expression).err()),
        Stage::Logfmt { extractions, .. } => {
            extractions.iter().find_map(|e| logfmt_key::parse(&e.expression).err())
        }
        Stage::LineFilter(filter) => filter.operands.iter().find_map(|operand| {
            let LineOperand::Text(text) = operand else { return None };
            match filter.op {
                LineOp::Regex | LineOp::NotRegex => {
                    goregex::translate(std::str::from_utf8(text).ok()?).err()
                }
                LineOp::Pattern | LineOp::NotPattern => pattern::parse_filter(text).err(),
                LineOp::Contains | LineOp::NotContains => None,
            }
        }),
        _ => None,
    }
}

#[test]
fn every_recorded_stage_error_names_the_stage_as_we_print_it() {
    let (mut named, mut explained) = (0, 0);
    for case in recorded() {
        let Some(text) = case.body.trim_end().strip_prefix("parse error : stage '") else {
            continue;
        };
        let stages = match parse(&case.query).unwrap() {
            Expr::Log(log) => log.stages,
            Expr::Metric(MetricExpr::Range(range)) => range.log.stages,
            other => panic!("{}: {other}", case.name),
        };
        let whole: Vec<String> = stages.iter().map(Stage::to_string).collect();
        let ours = whole.iter().position(|stage| text.starts_with(&format!("{stage}' : ")));
        let index = ours.unwrap_or_else(|| panic!("{}: {text} not in {whole:?}", case.name));
        named += 1;
        if let Some(error) = stage_error(&stages[index]) {
            assert_eq!(text, format!("{}' : {error}", whole[index]), "{}", case.name);
            explained += 1;
        }
    }
    assert!(named > 20 && explained > 10, "{named} {explained}");
}

mod trees;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 400 } else { 4_000 }))]

    #[test]
    fn a_log_query_reads_back_from_its_canonical_text(log in trees::log()) {
        let expr = Expr::Log(log);
        prop_assert_eq!(parse(&expr.to_string()), Ok(expr));
    }

    #[test]
    fn a_metric_query_reads_back_from_its_canonical_text(metric in trees::metric()) {
        let expr = Expr::Metric(metric);
        prop_assert_eq!(parse(&expr.to_string()), Ok(expr));
    }

    #[test]
    fn a_pretty_text_means_the_same(metric in trees::metric()) {
        let expr = Expr::Metric(metric);
        prop_assert_eq!(parse(&pretty(&expr)), Ok(expr));
    }

    #[test]
    fn a_query_reads_back_from_its_exact_text(
        metric in trees::metric(),
        value in any::<f64>().prop_filter("an infinite number has no text", |v| v.is_finite()),
        bytes in 0u64..1 << 53,
    ) {
        let name = "x".to_owned();
        let size = LabelFilter::Bytes { name: name.clone(), op: CompareOp::Less, value: bytes };
        let number = LabelFilter::Number { name, op: CompareOp::Equal, value };
        let filter = LabelFilter::And(Box::new(size), Box::new(number));
        let mut log = parse_log("{a=\"b\"} | c=\"d\"").unwrap();
        log.stages.push(Stage::LabelFilter(filter));
        for expr in [Expr::Metric(metric), Expr::Log(log)] {
            prop_assert_eq!(parse_exact(&exact(&expr)), Ok(expr));
        }
    }

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        fuzz_parse(text.as_bytes());
    }
}

#[test]
fn numbers_without_a_literal_have_an_exact_text() {
    for (query, text) in [
        ("1 / 0", "(0 / 0)"),
        ("vector(1) > (1e308 * 10)", "(vector(1) > (1e308 * 1e308))"),
        ("-1e308 * 10", "(-1e308 * 1e308)"),
        ("-0.0", "-0.0"),
        ("vector(1.23456789)", "vector(1.23456789)"),
        ("{a=\"b\"} | c > 4MiB | d > 0.1B", "{a=\"b\"} | c>4194304B | d>0kB"),
    ] {
        let expr = parse(query).unwrap();
        assert_eq!(exact(&expr), text);
        assert_eq!(format!("{:?}", parse_exact(text).unwrap()), format!("{expr:?}"));
    }
    // An exact text may be longer than a query.
    let long = format!("{{a=\"b\"}}{}", "|=`\u{1}`".repeat(20_000));
    let expr = parse(&long).unwrap();
    assert!(exact(&expr).len() >= MAX_QUERY_BYTES);
    assert_eq!(parse_exact(&exact(&expr)), Ok(expr));
}

/// What Loki says about `query`, ours.
fn error(query: &str) -> String {
    parse(query).expect_err("the query is wrong").text
}

#[test]
fn hostile_nesting_is_answered_without_deep_recursion() {
    let most = MAX_QUERY_BYTES - 1;
    for part in
        ["(", "{", "sum(", "{a=\"b\"} | (", "vector(1)+", "a=\"b\",", "rate((", "1^", "[", "-"]
    {
        assert!(parse(&part.repeat(most / part.len())).is_err(), "{part}");
    }
    let nested = |open: &str, inner: &str, close: &str, count: usize| {
        format!("{}{inner}{}", open.repeat(count), close.repeat(count))
    };
    assert_eq!(parse(&nested("(", "1", ")", 60_000)), parse("1"));
    let too_deep = "parse error : expression is nested too deeply (more than 1000 levels)";
    for (open, inner, close) in [
        ("sum(", "vector(1)", ")"),
        ("vector(1)+", "vector(1)", ""),
        ("", "vector(1)", "+vector(1)"),
        ("vector(1)^(", "vector(1)", ")"),
        ("label_replace(", "vector(1)", ",\"\",\"\",\"\",\"\")"),
        ("", "{a=\"b\"} | c=\"d\"", ", e=\"f\""),
        ("", "{a=\"b\"} | c=\"d\"", " or e=\"f\""),
    ] {
        assert_eq!(error(&nested(open, inner, close, 4_000)), too_deep);
        // What is allowed can be printed, compared, copied and dropped on a small stack.
        let expr = parse(&nested(open, inner, close, 990)).unwrap();
        assert_eq!(parse(&expr.to_string()).as_ref(), Ok(&expr));
        assert!(pretty(&expr.clone()).len() < 8 << 20);
    }
    let at_most = format!("{{a=\"{}\"}}", "b".repeat(most - 6));
    assert!(parse(&at_most).is_ok());
    assert_eq!(
        error(&format!("{at_most} ")),
        "parse error : input size too long (131072 > 131072)"
    );
}

#[test]
fn what_comes_first_is_reported_first() {
    let empty = "queries require at least one regexp or equality matcher";
    for (query, want) in [
        // Syntax before the checks of meaning, which wait for the end...
        ("sum_over_time({a=\"b\"}[5m]) x", "unexpected IDENTIFIER"),
        ("{} |", "unexpected $end"),
        // ... but for expressions, which are compiled as they are read.
        ("{a=~\"(\"} |", "error parsing regexp"),
        ("{a=\"b\"} | regexp \"x\" |", "at least one named capture"),
        // Outer before inner, left before right.
        ("sum(1, sum_over_time({}[5m]))", "unsupported parameter for operation sum(1,"),
        ("sum_over_time({}[5m])", "invalid aggregation sum_over_time without unwrap"),
        ("rate({}[5m]) + topk(rate({a=\"b\"}[5m]))", empty),
    ] {
        assert!(error(query).contains(want), "{query}: {}", error(query));
    }
}

#[test]
fn only_a_selector_is_a_list_of_matchers() {
    assert_eq!(parse_matchers("{}"), Ok(Vec::new()));
    assert_eq!(parse_matchers(" ( {a=\"b\"} ) ").unwrap()[0].to_string(), "a=\"b\"");
    assert!(require_matcher(&[]).is_err());
    for query in ["{a=\"b\"} |= \"x\"", "rate({a=\"b\"}[5m])", "1"] {
        let error = parse_matchers(query).unwrap_err();
        assert_eq!(error.text, "only label matchers are supported");
    }
    assert_eq!(parse_log("1").unwrap_err().text, "only log selector is supported");
    assert!(parse_log("{}").is_err());
}
