//! What Grafana sends, in the order in which it does: saving a Loki data source, Explore with its
//! volume, the context of a line, live tail, Logs Drilldown, and the search for alert rules.
//!
//! Every request has the parameters and headers that Grafana gives it; what it then relies on in
//! the answer is asserted.

use std::cell::RefCell;

use base::time::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::harness::{Cluster, END_NS, START_NS, Shape, Site, in_one_and_in_separate_processes};
use crate::http::{Connection, Response, encode};
use crate::tail::Tail;

in_one_and_in_separate_processes!(
    save_and_test_finds_a_working_data_source,
    explore_shows_lines_with_their_volume_and_scrolls_on,
    the_context_of_a_line_is_what_stands_around_it,
    live_tail_falls_back_to_the_route_that_is_there,
    drilldown_finds_services_labels_fields_and_their_volumes,
);

/// Lines of each of the two streams of the shop.
const LINES: usize = 240;
const LEVELS: [&str; 4] = ["info", "warn", "error", "debug"];
const CATEGORIZE: (&str, &str) = ("X-Loki-Response-Encoding-Flags", "categorize-labels");
const DRILLDOWN: (&str, &str) = ("X-Query-Tags", "Source=grafana-lokiexplore-app");

/// What Grafana sends from.
struct Grafana {
    connection: RefCell<Connection>,
}

impl Grafana {
    fn of(cluster: &Cluster<'_>) -> Grafana {
        Grafana { connection: RefCell::new(cluster.connect()) }
    }

    /// A request with parameters; Grafana's own headers come with each.
    fn ask(&self, path: &str, parameters: &[(&str, &str)], headers: &[(&str, &str)]) -> Response {
        let parameters: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let target = format!("{path}?{}", parameters.join("&"));
        let own = [("User-Agent", "Grafana/12.1.0"), ("X-Grafana-Org-Id", "1")];
        let headers: Vec<_> = own.iter().chain(headers).copied().collect();
        let mut connection = self.connection.borrow_mut();
        connection.request("GET", &target, &headers, b"").expect("an answer")
    }

    /// One that must succeed.
    fn get(&self, path: &str, parameters: &[(&str, &str)], headers: &[(&str, &str)]) -> Value {
        let response = self.ask(path, parameters, headers);
        assert_eq!(response.status, 200, "{path} {parameters:?} {}", response.text());
        response.json()
    }

    /// The result of a query, which must be of a kind.
    fn query(
        &self,
        path: &str,
        kind: &str,
        parameters: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Vec<Value> {
        let answer = self.get(path, parameters, headers);
        assert_eq!(answer["status"], "success");
        assert_eq!(answer["data"]["resultType"], kind, "{parameters:?}");
        for key in
            ["totalBytesProcessed", "totalLinesProcessed", "execTime", "bytesProcessedPerSecond"]
        {
            assert!(
                answer["data"]["stats"]["summary"][key].is_number(),
                "the statistics show {key}"
            );
        }
        answer["data"]["result"].as_array().expect("a result").clone()
    }
}

fn range() -> [(&'static str, String); 2] {
    [("start", START_NS.to_string()), ("end", END_NS.to_string())]
}

/// Line `n` of a stream: one in four of each level, half a minute apart.
fn ts_ns(n: usize) -> i64 {
    START_NS + n as i64 * 30_000_000_000
}

/// Two streams of one service, the first half of their rows in parts.
fn push_shop(cluster: &Cluster<'_>) {
    for half in [0..LINES / 2, LINES / 2..LINES] {
        let rows = |form: &dyn Fn(usize) -> String| -> Vec<Value> {
            let row =
                |n: usize| json!([ts_ns(n).to_string(), form(n), {"trace_id": format!("t{n}")}]);
            half.clone().map(row).collect()
        };
        let logfmt = rows(&|n| format!("level={} n={n} path=/cart took={n}ms", LEVELS[n % 4]));
        let in_json =
            rows(&|n| json!({"level": LEVELS[n % 4], "n": n, "user": {"id": n % 7}}).to_string());
        let body = json!({"streams": [
            {"stream": {"app": "shop", "pod": "shop-0"}, "values": logfmt},
            {"stream": {"app": "shop", "pod": "shop-1"}, "values": in_json},
        ]});
        let response = cluster.push(&body);
        assert_eq!(response.status, 204, "{}", response.text());
        if half.start == 0 {
            cluster.flush();
        }
    }
    cluster.push_lines("other", [(ts_ns(1), "another service".to_owned())]);
}

/// Timestamps and lines of a result with categorised labels, in its order within each stream.
fn rows_of(result: &[Value]) -> Vec<(i64, String)> {
    let values = result.iter().flat_map(|stream| stream["values"].as_array().expect("values"));
    let row = |value: &Value| {
        assert!(value[2].is_object(), "labels by origin: {value}");
        let ts_ns = value[0].as_str().and_then(|ts| ts.parse().ok()).expect("a timestamp");
        (ts_ns, value[1].as_str().expect("a line").to_owned())
    };
    values.map(row).collect()
}

/// Sum over all samples of a matrix.
fn total(matrix: &[Value]) -> f64 {
    let samples = matrix.iter().flat_map(|series| series["values"].as_array().expect("samples"));
    samples
        .map(|sample| sample[1].as_str().and_then(|v| v.parse::<f64>().ok()).expect("a value"))
        .sum()
}

fn save_and_test_finds_a_working_data_source(shape: Shape) {
    let site = Site::new(shape);
    let cluster = site.start();
    let grafana = Grafana::of(&cluster);
    // Ten digits are seconds: the year 2096. The direction is empty.
    let asked = [("direction", ""), ("query", "vector(1)+vector(1)"), ("time", "4000000000")];
    let found = grafana.query("/loki/api/v1/query", "vector", &asked, &[]);
    assert_eq!(found.len(), 1, "exactly one row");
    assert_eq!(found[0]["value"], json!([4_000_000_000_i64, "2"]));
    // Older versions ask for labels, of which a new server has none.
    let [start, end] = range();
    let labels = grafana.get("/loki/api/v1/labels", &[(start.0, &start.1), (end.0, &end.1)], &[]);
    assert_eq!(labels, json!({"status": "success"}));
    // What is shown of a bad query is the text, or the message of a JSON body.
    let bad = grafana.ask("/loki/api/v1/query_range", &[("query", "{app=")], &[]);
    assert_eq!(bad.status, 400);
    assert!(bad.text().starts_with("parse error at line 1, col 6"), "{}", bad.text());
    // Are there alert rules, and may there be any?
    let rules = grafana.get("/prometheus/api/v1/rules", &[], &[]);
    assert_eq!((&rules["status"], &rules["data"]["groups"]), (&json!("success"), &json!([])));
    let alerts = grafana.get("/prometheus/api/v1/alerts", &[], &[]);
    assert_eq!((&alerts["status"], &alerts["data"]["alerts"]), (&json!("success"), &json!([])));
    for (path, text) in [
        ("/api/prom/rules", "no rule groups found"),
        ("/api/prom/rules/test/test", "group does not exist"),
        ("/loki/api/v1/rules", "no rule groups found"),
    ] {
        let none = grafana.ask(path, &[("subtype", "cortex")], &[]);
        assert_eq!((none.status, none.text().trim()), (404, text), "{path}");
    }
    let info = grafana.get("/loki/api/v1/status/buildinfo", &[], &[]);
    assert!(info["version"].is_string() && info["revision"].is_string(), "{info}");
}

fn explore_shows_lines_with_their_volume_and_scrolls_on(shape: Shape) {
    let site = Site::new(shape);
    let cluster = site.start();
    push_shop(&cluster);
    let grafana = Grafana::of(&cluster);
    let [start, end] = range();
    let (start, end) = ((start.0, start.1.as_str()), (end.0, end.1.as_str()));
    // The builder: names, values among those that are chosen, series, the size of the query.
    let names = grafana.get("/loki/api/v1/labels", &[start, end], &[]);
    assert_eq!(names["data"], json!(["app", "pod", "service_name"]));
    let chosen = ("query", r#"{app="shop"}"#);
    let values = grafana.get("/loki/api/v1/label/pod/values", &[start, end, chosen], &[]);
    assert_eq!(values["data"], json!(["shop-0", "shop-1"]));
    let series = grafana.get("/loki/api/v1/series", &[("match[]", chosen.1), start, end], &[]);
    assert_eq!(series["data"].as_array().expect("series").len(), 2);
    let stats = grafana.get("/loki/api/v1/index/stats", &[chosen, start, end], &[]);
    assert_eq!((&stats["streams"], &stats["entries"]), (&json!(2), &json!(2 * LINES)));
    let shards =
        grafana.get("/loki/api/v1/label/__stream_shard__/values", &[start, end, chosen], &[]);
    assert_eq!(shards, json!({"status": "success"}), "there is nothing to split by");
    // The lines, newest first, a page at a time. A page ends where the next begins.
    let query =
        ("query", r#"{app="shop"} |= `level` | json | logfmt | drop __error__, __error_details__"#);
    let mut seen: Vec<(i64, String)> = Vec::new();
    let mut until = END_NS.to_string();
    let scroll = ("X-Query-Tags", "Source=infinitescroll");
    loop {
        let asked = [
            query,
            start,
            ("end", &until),
            ("step", "14400ms"),
            ("limit", "100"),
            ("direction", "backward"),
        ];
        let page =
            grafana.query("/loki/api/v1/query_range", "streams", &asked, &[CATEGORIZE, scroll]);
        let rows = rows_of(&page);
        let new: Vec<_> = rows.into_iter().filter(|row| !seen.contains(row)).collect();
        if new.is_empty() {
            break;
        }
        let last = new.iter().map(|row| row.0).min().expect("a row");
        // Grafana asks up to the last row it has, and drops what it has already.
        until = (last + 1).to_string();
        seen.extend(new);
    }
    assert_eq!(seen.len(), 2 * LINES, "every line is shown once");
    // The volume below them, bars by level.
    let volume = r#"sum by (level, detected_level) (count_over_time({app="shop"} |= `level` | json | logfmt | drop __error__, __error_details__[1m]))"#;
    let asked = [("query", volume), start, end, ("step", "60000ms"), ("direction", "backward")];
    let tags = ("X-Query-Tags", "Source=logvolhist");
    let bars = grafana.query("/loki/api/v1/query_range", "matrix", &asked, &[CATEGORIZE, tags]);
    assert_eq!(total(&bars) as usize, 2 * LINES);
    let mut levels: Vec<&str> =
        bars.iter().filter_map(|series| series["metric"]["detected_level"].as_str()).collect();
    levels.sort_unstable();
    assert_eq!(levels, ["debug", "error", "info", "warn"]);
    // A metric query as a table of one instant.
    let now = END_NS.to_string();
    let asked = [
        ("query", r#"sum(count_over_time({app="shop"}[2h]))"#),
        ("time", &now),
        ("direction", "backward"),
    ];
    let one = grafana.query("/loki/api/v1/query", "vector", &asked, &[CATEGORIZE]);
    assert_eq!(one[0]["value"][1], (2 * LINES - 2).to_string(), "a window is open on its left");
    // A sample of the lines of a metric query.
    let asked =
        [chosen, start, end, ("step", "14400ms"), ("limit", "100"), ("direction", "backward")];
    let sample = ("X-Query-Tags", "Source=logsample");
    let lines = grafana.query("/loki/api/v1/query_range", "streams", &asked, &[CATEGORIZE, sample]);
    assert_eq!(rows_of(&lines).len(), 100);
    // The query's text, put in order.
    let pretty = grafana.get("/loki/api/v1/format_query", &[("query", "{app=\"shop\"}|=`x`")], &[]);
    assert_eq!(pretty, json!({"status": "success", "data": "{app=\"shop\"} |= \"x\""}));
}

fn the_context_of_a_line_is_what_stands_around_it(shape: Shape) {
    let site = Site::new(shape);
    let cluster = site.start();
    push_shop(&cluster);
    let grafana = Grafana::of(&cluster);
    let at = LINES / 2;
    let ts = ts_ns(at);
    let (before, after) =
        ((ts - 7_200_000_000_000).to_string(), (ts + 7_200_000_000_000).to_string());
    let ts = ts.to_string();
    let ask = |start: &str, end: &str, direction: &str| {
        let query = r#"{app="shop",pod="shop-0",service_name="shop"}"#;
        let asked = [
            ("query", query),
            ("start", start),
            ("end", end),
            ("limit", "10"),
            ("step", "2000ms"),
            ("direction", direction),
        ];
        let tags = ("X-Query-Tags", "Source=logcontext");
        let rows = rows_of(&grafana.query(
            "/loki/api/v1/query_range",
            "streams",
            &asked,
            &[CATEGORIZE, tags],
        ));
        // Each set of labels is a stream of its own.
        let mut at: Vec<i64> = rows.into_iter().map(|row| row.0).collect();
        at.sort_unstable();
        at
    };
    // Forward its own row comes first, which Grafana takes out; backward it is not there.
    assert_eq!(ask(&ts, &after, "FORWARD"), (at..at + 10).map(ts_ns).collect::<Vec<_>>());
    assert_eq!(ask(&before, &ts, "BACKWARD"), (at - 10..at).map(ts_ns).collect::<Vec<_>>());
}

fn live_tail_falls_back_to_the_route_that_is_there(shape: Shape) {
    let site = Site::new(shape).with_config(
        "limits_config:\n  reject_old_samples: false\n  max_query_length: 0s\n  out_of_order_window: 0s\n",
    );
    let cluster = site.start();
    push_shop(&cluster);
    let grafana = Grafana::of(&cluster);
    let newer = grafana.ask("/loki/api/v2alpha/tail", &[("query", r#"{app="shop"}"#)], &[]);
    assert_eq!(newer.status, 404, "never 400, which would be shown to the user");
    // As the browser's tail: a limit, and labels by origin.
    let mut tail = Tail::open(&cluster, r#"{app="live"} | logfmt"#, "&limit=100", &[CATEGORIZE]);
    let now = SystemClock.now().0;
    cluster.push_lines("live", (0..50).map(|n| (now + n, format!("n={n}"))));
    let mut lines = tail.read(50).to_vec();
    lines.sort_by_key(|line| line[2..].parse::<usize>().expect("a number"));
    assert_eq!(lines, (0..50).map(|n| format!("n={n}")).collect::<Vec<_>>());
}

fn drilldown_finds_services_labels_fields_and_their_volumes(shape: Shape) {
    let site = Site::new(shape);
    let cluster = site.start();
    push_shop(&cluster);
    let grafana = Grafana::of(&cluster);
    let [start, end] = range();
    let (start, end) = ((start.0, start.1.as_str()), (end.0, end.1.as_str()));
    let limits =
        grafana.get("/loki/api/v1/drilldown-limits", &[], &[DRILLDOWN, ("X-Scope-OrgID", "fake")]);
    assert!(limits["limits"]["volume_enabled"].is_boolean(), "{limits}");
    assert!(
        limits["pattern_ingester_enabled"].is_boolean() && limits["version"].is_string(),
        "{limits}"
    );
    // The services, the largest first, and one's volume.
    let asked = [
        ("query", r#"{service_name=~".+"}"#),
        start,
        end,
        ("limit", "5000"),
        ("aggregateBy", "labels"),
        ("targetLabels", "service_name"),
    ];
    let found = grafana.get("/loki/api/v1/index/volume", &asked, &[DRILLDOWN]);
    assert_eq!(found["data"]["result"][0]["metric"], json!({"service_name": ""}));
    let asked = [asked[0], start, end, ("limit", "5000"), ("targetLabels", "service_name")];
    let found = grafana.get("/loki/api/v1/index/volume", &asked, &[DRILLDOWN]);
    let services: Vec<_> = found["data"]["result"].as_array().expect("a vector").iter().collect();
    let names: Vec<_> =
        services.iter().map(|s| s["metric"]["service_name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["shop", "other"]);
    let asked =
        [("query", r#"{service_name="shop"}"#), start, end, ("step", "600s"), ("limit", "100")];
    let found = grafana.get("/loki/api/v1/index/volume_range", &asked, &[DRILLDOWN]);
    assert_eq!(found["data"]["result"][0]["values"].as_array().expect("buckets").len(), 12);
    let volume = r#"sum by (detected_level) (count_over_time({service_name="shop"} | detected_level != "" [1m]))"#;
    let asked = [("query", volume), start, end, ("step", "60000ms")];
    let bars =
        grafana.query("/loki/api/v1/query_range", "matrix", &asked, &[CATEGORIZE, DRILLDOWN]);
    assert_eq!((bars.len(), total(&bars) as usize), (4, 2 * LINES));
    // Its labels and fields.
    let service = ("query", r#"{service_name="shop"}"#);
    let found = grafana.get("/loki/api/v1/detected_labels", &[service, start, end], &[DRILLDOWN]);
    let of = |name: &str| {
        found["detectedLabels"]
            .as_array()
            .expect("labels")
            .iter()
            .find(|label| label["label"] == name)
            .cloned()
    };
    assert_eq!(of("pod").expect("a label")["cardinality"], 2);
    let query =
        ("query", r#"{service_name="shop"} | json | logfmt | drop __error__, __error_details__"#);
    let asked = [query, start, end, ("line_limit", "1000"), ("limit", "1000")];
    let found = grafana.get("/loki/api/v1/detected_fields", &asked, &[DRILLDOWN]);
    let fields = found["fields"].as_array().expect("fields");
    let of = |name: &str| {
        fields
            .iter()
            .find(|field| field["label"] == name)
            .unwrap_or_else(|| panic!("{name} {found}"))
    };
    assert_eq!(of("took")["parsers"], json!(["logfmt"]));
    assert_eq!(of("trace_id")["parsers"], json!(null));
    assert_eq!(of("level")["cardinality"], 4);
    let asked = [service, start, end, ("line_limit", "1000"), ("limit", "1000")];
    let found = grafana.get("/loki/api/v1/detected_field/level/values", &asked, &[DRILLDOWN]);
    let mut values: Vec<_> =
        found["values"].as_array().expect("values").iter().filter_map(Value::as_str).collect();
    values.sort_unstable();
    assert_eq!(values, ["debug", "error", "info", "warn"]);
    let found = grafana.get("/loki/api/v1/label/pod/values", &[service, start, end], &[DRILLDOWN]);
    assert_eq!(found["data"], json!(["shop-0", "shop-1"]));
    // Its patterns: a list, maybe empty.
    let found =
        grafana.get("/loki/api/v1/patterns", &[service, start, end, ("step", "60s")], &[DRILLDOWN]);
    assert!(found["status"] == "success" && found["data"].is_array(), "{found}");
    // A field is chosen: its volume by value, its lines.
    let volume =
        r#"sum by (path) (count_over_time({service_name="shop"} | logfmt | path != "" [1m]))"#;
    let asked = [("query", volume), start, end, ("step", "60000ms")];
    let bars =
        grafana.query("/loki/api/v1/query_range", "matrix", &asked, &[CATEGORIZE, DRILLDOWN]);
    assert_eq!((bars.len(), total(&bars) as usize), (1, LINES));
    let query = ("query", r#"{service_name="shop"} | detected_level=`error` | trace_id=`t42`"#);
    let asked =
        [query, start, end, ("step", "14400ms"), ("limit", "1000"), ("direction", "backward")];
    let lines =
        grafana.query("/loki/api/v1/query_range", "streams", &asked, &[CATEGORIZE, DRILLDOWN]);
    assert_eq!(rows_of(&lines).len(), 2, "one of each pod");
}
