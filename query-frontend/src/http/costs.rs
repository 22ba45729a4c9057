//! What a tenant's limits refuse, with Loki's status and text, before a querier is asked anything.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};

use crate::testing::{NOW, World, encoded, row};
use crate::{BlockedQuery, StaticLimits};

const S: i64 = 1_000_000_000;
const LINES: &str = "{app=\"x\"}";
const RATE: &str = "rate({app=\"x\"}[1h])";

fn range(query: &str, rest: &str) -> String {
    let query = encoded(query);
    format!("/loki/api/v1/query_range?start=1714557600&end=1714564800&query={query}{rest}")
}

fn instant(query: &str) -> String {
    format!("/loki/api/v1/query?time=1714564800&query={}", encoded(query))
}

#[tokio::test]
async fn each_limit_refuses_with_lokis_text_and_reads_nothing() {
    let hour = Duration::from_secs(3600);
    let none = StaticLimits::default;
    let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let blocked = BlockedQuery { types: labels(&["metric"]), ..BlockedQuery::default() };
    let many = format!("{{app=\"x\"{}}}", ", a=\"b\"".repeat(3));
    let table = [
        (
            StaticLimits { max_entries_limit_per_query: 10, ..none() },
            range(LINES, "&limit=11"),
            "max entries limit per query exceeded, limit > max_entries_limit_per_query (11 > 10)",
        ),
        (
            StaticLimits { max_streams_matchers_per_query: 3, ..none() },
            range(&many, ""),
            "max streams matchers per query exceeded, matchers-count > limit (4 > 3)",
        ),
        (
            StaticLimits { max_query_length: hour, ..none() },
            range(LINES, ""),
            "the query time range exceeds the limit (query length: 2h0m0s, limit: 1h)",
        ),
        (
            StaticLimits { max_query_range: hour, ..none() },
            instant("count_over_time({app=\"x\"}[2h])"),
            "[interval] value exceeds limit: [2h] > [1h]",
        ),
        (
            StaticLimits { max_query_range: hour, ..none() },
            range("1 + sum(rate({app=\"x\"}[61m]))", ""),
            "[interval] value exceeds limit: [1h1m] > [1h]",
        ),
        (
            StaticLimits { max_query_lookback: hour, ..none() },
            "/loki/api/v1/query_range?start=1714557600&end=1714557601&query=%7Bapp%3D%22x%22%7D"
                .to_owned(),
            "this data is no longer available, it is past now - max_query_lookback (1h)",
        ),
        (
            StaticLimits { required_labels: labels(&["env", "app", "team"]), ..none() },
            range(LINES, ""),
            "stream selector is missing required matchers [env, team], labels present in the \
             query were [app]",
        ),
        (
            StaticLimits { minimum_labels_number: 2, ..none() },
            range(LINES, ""),
            "stream selector has less label matchers than required: (present: [app], \
             number_present: 1, required_number_label_matchers: 2)",
        ),
        (
            StaticLimits { minimum_labels_number: 2, ..none() },
            instant(&format!("sum(rate({{a=\"b\", app=\"x\"}}[1m])) / {RATE}")),
            "stream selector has less label matchers than required: (present: [app], \
             number_present: 1, required_number_label_matchers: 2)",
        ),
        (
            StaticLimits { blocked_queries: vec![blocked], ..none() },
            instant(RATE),
            "query blocked by policy",
        ),
    ];
    for (limits, uri, text) in table {
        let world = World::new(limits);
        world.querier.hold(&[row("x", NOW.0 - S, "line")]);
        assert_eq!(world.get(&uri).await, (400, text.to_owned()), "{uri}");
        assert_eq!(world.querier.calls.load(Ordering::SeqCst), 0, "{uri}");
    }
}

async fn three_apps() -> World {
    let world = World::new(StaticLimits { max_query_series: 2, ..StaticLimits::default() });
    let at = NOW.0 - 60 * S;
    world.querier.hold(&[row("a", at, "1"), row("b", at, "2"), row("c", at, "3")]);
    world
}

#[tokio::test]
async fn series_are_limited_and_drilldown_gets_some_of_them_with_a_warning() {
    let world = three_apps().await;
    let text = "maximum number of series (2) reached for a single query; consider reducing query \
                cardinality by adding more specific stream selectors, reducing the time range, or \
                aggregating results with functions like sum(), count() or topk()";
    let counts = "count_over_time({app=~\".+\"}[1h])";
    for uri in [
        instant(counts),
        range(counts, "&step=3600"),
        range("-1 * 2 + count_over_time({app=~\".+\"}[1h])", ""),
    ] {
        assert_eq!(world.get(&uri).await, (400, text.to_owned()), "{uri}");
        let request = http::Request::get(&uri)
            .header("x-scope-orgid", "acme")
            .header("x-query-tags", "Source=Grafana-LokiExplore-App,Feature=x")
            .body(Body::empty())
            .unwrap();
        let (status, body) = world.send(request).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, body["data"]["result"].as_array().unwrap().len()), (200, 2));
        let warning =
            "maximum number of series (2) reached for a single query; returning partial results";
        assert_eq!(body["warnings"], json!([warning]));
    }
    let (status, _) = world.get(&instant(&format!("topk(2, {counts})"))).await;
    assert_eq!(status, 200, "only what is answered counts");
    let (status, _) = world.get(&instant(&format!("sum({counts})"))).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_query_that_would_read_too_much_is_refused_by_the_lines_it_selects_from() {
    let limits =
        |max_query_bytes_read| StaticLimits { max_query_bytes_read, ..StaticLimits::default() };
    let rows: Vec<_> =
        (0..8).map(|minute| row("x", NOW.0 - minute * 60 * S, &"y".repeat(256))).collect();
    for (query, bytes) in [
        (LINES, "1.8 KiB"), // the range ends before the last instant
        ("{app=\"x\"} |= \"nothing like it\"", "1.8 KiB"),
        ("sum(rate({app=\"x\"}[1h]))", "2.0 KiB"),
    ] {
        let text = format!(
            "the query would read too many bytes (query: {bytes}, limit: 1.5 KiB); consider adding \
             more specific stream selectors or reduce the time range of the query"
        );
        let world = World::new(limits(1536));
        world.querier.hold(&rows);
        let (status, body) = world.get(&range(query, "&step=1800")).await;
        assert_eq!((status, body), (400, text), "{query}");
        let world = World::new(limits(8192));
        world.querier.hold(&rows);
        assert_eq!(world.get(&range(query, "&step=1800")).await.0, 200, "{query}");
    }
}
