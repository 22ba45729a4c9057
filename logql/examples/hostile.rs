//! How long hostile queries and lines take: `cargo run --release --example hostile`. Each should be
//! answered or refused within 50 ms.

use std::sync::Arc;

use base::time::{Clock, SystemClock};
use base::{Labels, RowsBuilder, UnixNanos};
use logql::engine::StreamSource;
use logql::engine::overlap::Overlaps;
use logql::plan::{Direction, Params, Plan};
use logql::syntax;
use runelog_logql as logql;

const QUERY_BYTES: usize = 131_071;
const LINE_BYTES: usize = 1 << 20;

/// `open` as often as it fits, `middle`, and as many `close`.
fn nested(open: &str, middle: &str, close: &str) -> String {
    let count = (QUERY_BYTES - middle.len()) / (open.len() + close.len());
    format!("{}{middle}{}", open.repeat(count), close.repeat(count))
}

/// `start` and then `more` as often as it fits into `bytes`, and `end`.
fn filled(start: &str, more: &str, end: &str, bytes: usize) -> String {
    let count = (bytes - start.len() - end.len()) / more.len();
    format!("{start}{}{end}", more.repeat(count))
}

fn queries() -> Vec<(&'static str, String)> {
    let fill = |start: &str, more: &str, end: &str| filled(start, more, end, QUERY_BYTES);
    vec![
        ("parentheses", nested("(", "1", ")")),
        ("open parentheses", "(".repeat(QUERY_BYTES)),
        ("sums", nested("sum(", "rate({a=\"b\"}[1m])", ")")),
        ("operators", fill("vector(1)", "+vector(1)", "")),
        ("powers", fill("2", "^2", "")),
        ("numbers", fill("1", "+1", "")),
        ("matchers", fill("{a=\"b\"", ",a=\"b\"", "}")),
        ("alternation in a matcher", fill("{a=~\"x", "|xyz", "\"}")),
        ("alternation in a filter", fill("{a=\"b\"} |~ \"x", "|xyz", "\"")),
        (
            "groups in a filter",
            format!("{{a=\"b\"}} |~ \"{}x{}\"", "(".repeat(65_000), ")".repeat(65_000)),
        ),
        ("repetitions in a filter", fill("{a=\"b\"} |~ \"", "a?", "\"")),
        ("counted repetitions", fill("{a=\"b\"} |~ \"", "(a{1,9}){1,9}", "\"")),
        ("classes in a filter", fill("{a=\"b\"} |~ \"", "[^a-z\\\\d]", "\"")),
        ("line filters", fill("{a=\"b\"}", " |= \"x\"", "")),
        ("line filter chain", fill("{a=\"b\"} |= \"x\"", " or \"y\"", "")),
        ("parsers", fill("{a=\"b\"}", " | json", "")),
        ("label filters", fill("{a=\"b\"}", " | x=\"y\"", "")),
        ("or", fill("{a=\"b\"} | x=1", " or x=1", "")),
        ("and", fill("{a=\"b\"} | x=1", ", x=1", "")),
        (
            "nested filters",
            format!("{{a=\"b\"}} | {}x=1{}", "(".repeat(60_000), ")".repeat(60_000)),
        ),
        ("a long string", fill("{a=\"", "x", "\"}")),
        ("escapes", fill("{a=\"", "\\n", "\"}")),
        ("a long name", fill("{", "a", "=\"b\"}")),
        ("a long comment", fill("{a=\"b\"} #", "x", "")),
        ("a long number", fill("", "1", "")),
        ("a template", fill("{a=\"b\"} | line_format `", "{{.a}}", "`")),
        ("template pipes", fill("{a=\"b\"} | line_format `{{ .a", " | upper", "}}`")),
        (
            "nested templates",
            format!(
                "{{a=\"b\"}} | line_format `{}x{}`",
                "{{if .a}}".repeat(7_000),
                "{{end}}".repeat(7_000)
            ),
        ),
        (
            "template parentheses",
            format!(
                "{{a=\"b\"}} | line_format `{{{{ {}.a{} }}}}`",
                "(".repeat(60_000),
                ")".repeat(60_000)
            ),
        ),
        ("a pattern", fill("{a=\"b\"} | pattern \"", "<_> ", "<x>\"")),
        ("a line pattern", fill("{a=\"b\"} |> \"", "<_> ", "\"")),
        ("a path", fill("{a=\"b\"} | json x=\"a", "[0]", "\"")),
        ("paths", fill("{a=\"b\"} | json x=\"a\"", ",x=\"a\"", "")),
        ("names to drop", fill("{a=\"b\"} | drop a", ",a", "")),
        ("names to keep", fill("{a=\"b\"} | keep a", ",a", "")),
        ("groupings", fill("sum by (a", ",a", ") (rate({a=\"b\"}[1m]))")),
    ]
}

fn lines() -> Vec<(&'static str, &'static str, String)> {
    let fill = |start: &str, more: &str, end: &str| filled(start, more, end, LINE_BYTES);
    let members = |value: &str| {
        let mut line = String::from("{\"_entry\":\"x\"");
        for number in 0.. {
            if line.len() > LINE_BYTES {
                break;
            }
            line.push_str(&format!(",\"k{number}\":{value}"));
        }
        line + "}"
    };
    let pairs: String = (0..120_000).map(|n| format!("k{n}=v ")).collect();
    let deep = |open: &str, close: &str| {
        let count = LINE_BYTES / (open.len() + close.len());
        format!("{}1{}", open.repeat(count), close.repeat(count))
    };
    let json = ["| json", "| json x=\"k9.a[0]\", y=\"a.a.a[0][0][0]\"", "| unpack"];
    let mut lines = Vec::new();
    for stage in json {
        lines.push((stage, "numbers", members("1")));
        lines.push((stage, "texts", members("\"v\"")));
        lines.push((stage, "one text", fill("{\"a\":\"", "x", "\"}")));
        lines.push((stage, "escapes", fill("{\"a\":\"", "\\u00e9", "\"}")));
        lines.push((stage, "quotes", fill("{\"a\":\"", "\\\"", "\"}")));
        lines.push((stage, "objects", deep("{\"a\":", "}")));
        lines.push((stage, "open objects", "{\"a\":".repeat(LINE_BYTES / 5)));
        lines.push((stage, "arrays", format!("{{\"a\":{}}}", deep("[", "]"))));
        lines.push((stage, "broken objects", "{\"x\":1\",\"a\":".repeat(LINE_BYTES / 12)));
        lines.push((stage, "the same key", fill("{\"a\":1", ",\"a\":1", "}")));
        lines.push((stage, "spaces", fill("{", " ", "}")));
    }
    for stage in ["| json x=\"[0]\"", "| json x=\"a[0]\"", "| json x=\"[5]\", y=\"a[5]\""] {
        lines.push((stage, "open arrays", "[".repeat(LINE_BYTES)));
        lines.push((stage, "open arrays under a key", fill("{\"a\":", "[", "")));
        lines.push((stage, "open arrays of numbers", fill("", "[1,", "")));
        lines.push((stage, "open arrays of nothing", fill("{\"a\":", "[x", "")));
        lines.push((stage, "open arrays of objects", fill("[", "[{", "")));
    }
    for stage in ["| logfmt", "| logfmt --strict --keep-empty", "| logfmt k9, a"] {
        lines.push((stage, "pairs", pairs.clone()));
        lines.push((stage, "the same key", fill("", "a=b ", "")));
        lines.push((stage, "one value", fill("a=", "x", "")));
        lines.push((stage, "quotes", fill("a=", "\"", "")));
        lines.push((stage, "escapes", fill("a=\"", "\\n", "\"")));
        lines.push((stage, "open quote", fill("a=\"", "x", "")));
        lines.push((stage, "equals", "=".repeat(LINE_BYTES)));
    }
    let long = "a".repeat(16 << 10) + "b";
    let stage: &'static str = format!("| pattern \"<x>{long}<y>\"").leak();
    lines.push((stage, "a, for a long literal", "a".repeat(LINE_BYTES)));
    for stage in [
        "| pattern \"<a> <b>=<c>\"",
        "| regexp \"(?P<a>\\\\w+) (?P<b>.*)\"",
        "| regexp \"(?P<a>.*) (?P<b>.*)=(?P<c>.*)\"",
        "| regexp \"(?P<a>(a+)+)$\"",
        "| decolorize",
        "|~ \"(a|aa)+$\"",
        "|> \"<_>a<_>b<_>c\"",
        "|= ip(\"10.0.0.0/8\")",
        "| label_format x=\"{{ range $k, $v := . }}{{ $k }}{{ end }}\" | logfmt | keep a, k9",
    ] {
        lines.push((stage, "pairs", pairs.clone()));
        lines.push((stage, "a", "a".repeat(LINE_BYTES)));
        lines.push((stage, "spaces", " ".repeat(LINE_BYTES)));
        lines.push((stage, "digits and points", "1.".repeat(LINE_BYTES / 2)));
        lines.push((stage, "colours", "\u{1b}[".repeat(LINE_BYTES / 2)));
    }
    lines
}

fn params() -> Params {
    Params {
        start: UnixNanos(60_000_000_000),
        end: UnixNanos(60_000_000_000),
        step_ns: 0,
        interval_ns: 0,
        limit: 100,
        direction: Direction::Backward,
        max_series: 0,
        max_memory_bytes: 0,
        categorize: false,
        now: UnixNanos(0),
    }
}

fn plan(query: &str) -> Result<Plan, String> {
    let expr = syntax::parse(query).map_err(|error| error.to_string())?;
    Plan::new(&expr, &params()).map_err(|error| error.to_string())
}

/// One line through one stage.
fn run(stage: &str, line: &str) -> Result<(), String> {
    let plan = plan(&format!("count_over_time({{a=\"b\"}} {stage} [1m])"))?;
    let leaf = &plan.leaves()[0];
    let mut worker = leaf.worker(Arc::new(Overlaps::none()));
    let streams = vec![Labels::from_pairs([("a", "b")])];
    worker.source(&StreamSource { streams, order: 0 }).map_err(|error| error.to_string())?;
    let mut builder = RowsBuilder::default();
    builder.push(0, 30_000_000_000, line.as_bytes());
    let rows = builder.finish();
    worker.page(&rows.page(&[])).map_err(|error| error.to_string())?;
    plan.finish(vec![worker.finish()]).map(|_| ()).map_err(|error| error.to_string())
}

fn report(clock: &SystemClock, what: &str, work: impl Fn() -> Result<(), String>) {
    let mut best = u64::MAX;
    let mut told = String::new();
    for _ in 0..3 {
        let began = clock.monotonic_ns();
        let done = work();
        best = best.min(clock.monotonic_ns().saturating_sub(began));
        told =
            done.map_or_else(|error| error.chars().take(60).collect(), |()| "answered".to_owned());
    }
    let slow = if best > 50_000_000 { "  <-- SLOW" } else { "" };
    println!("{:>9.3} ms  {what}: {}{slow}", best as f64 / 1e6, told.replace('\n', " "));
}

fn main() {
    let clock = SystemClock;
    drop(plan("{a=\"b\"}")); // tables that are built once
    for (what, query) in queries() {
        let read = || syntax::parse(&query).map(|_| ()).map_err(|error| error.to_string());
        report(&clock, &format!("parse {what}"), read);
        report(&clock, &format!("parse, plan {what}"), || plan(&query).map(|_| ()));
    }
    for (stage, what, line) in lines() {
        let short: String = stage.chars().take(60).collect();
        report(&clock, &format!("{short} of {what}"), || run(stage, &line));
    }
}
