use serde_json::{Value, json};

use crate::StaticLimits;
use crate::testing::{NOW, Row, World, encoded, row};
use axum::body::Body;

const S: i64 = 1_000_000_000;
const RANGE: &str = "start=1714557600&end=1714564800";

async fn world() -> World {
    World::new(StaticLimits::default())
}

#[tokio::test]
async fn bad_parameters_and_queries_get_lokis_status_and_text() {
    let world = world().await;
    let query_range = |query: &str, rest: &str| {
        format!("/loki/api/v1/query_range?query={}&{RANGE}{rest}", encoded(query))
    };
    let instant =
        |query: &str, rest: &str| format!("/loki/api/v1/query?query={}{rest}", encoded(query));
    let table = [
        (query_range("{job=\"x\"}", "&limit=0"), "limit must be a positive value"),
        (
            query_range("{job=\"x\"}", "&limit=5001"),
            "max entries limit per query exceeded, limit > max_entries_limit_per_query \
             (5001 > 5000)",
        ),
        ("/loki/api/v1/query_range".to_owned(), "parse error : syntax error: unexpected $end"),
        (
            query_range("{", ""),
            "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER \
             or }",
        ),
        (query_range("{job=", "&direction=x"), "invalid direction 'x'"),
        (
            instant("{job=\"x\"}", ""),
            "log queries are not supported as an instant query type, please change your query \
             to a range query type",
        ),
        (instant("vector(1)", "&time=abc"), "strconv.ParseInt: parsing \"abc\": invalid syntax"),
        (
            format!("/api/prom/query?query={}&{RANGE}", encoded("rate({job=\"x\"}[1m])")),
            "rpc error: code = Code(400) desc = legacy endpoints only support streams result type",
        ),
        (
            format!("/loki/api/v1/labels?query={}", encoded("{job=\"x\"} |= \"y\"")),
            "only label matchers are supported",
        ),
        (
            format!("/loki/api/v1/labels?query={}", encoded("{}")),
            "parse error : queries require at least one regexp or equality matcher that does not \
             have an empty-compatible value. For instance, app=~\".*\" does not meet this \
             requirement, but app=~\".+\" will",
        ),
        (
            "/loki/api/v1/labels?since=bogus".to_owned(),
            "could not parse 'since' parameter: not a valid duration string: \"bogus\"",
        ),
        (
            "/loki/api/v1/series?match%5B%5D=".to_owned(),
            "parse error : syntax error: unexpected $end",
        ),
        (
            "/loki/api/v1/series?match%5B%5D=nginx".to_owned(),
            "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER",
        ),
    ];
    for (uri, text) in table {
        assert_eq!(world.get(&uri).await, (400, text.to_owned()), "{uri}");
    }
}

#[tokio::test]
async fn a_form_body_is_read_and_comes_first() {
    let world = world().await;
    let request = http::Request::post("/loki/api/v1/query_range?limit=5&query=%7B")
        .header("x-scope-orgid", "acme")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("limit=0"))
        .unwrap();
    let answer = world.send(request).await;
    assert_eq!(answer, (400, "limit must be a positive value".to_owned()));
}

#[tokio::test]
async fn requests_without_a_tenant_or_with_another_method_are_refused() {
    let world = world().await;
    let request = |method: &str| {
        http::Request::builder().method(method).uri("/loki/api/v1/labels").body(Body::empty())
    };
    let (status, text) = world.send(request("GET").unwrap()).await;
    assert_eq!((status, text.as_str()), (401, "no org id\n"));
    assert_eq!(world.send(request("DELETE").unwrap()).await.0, 405);
}

#[tokio::test]
async fn labels_and_series_are_those_of_the_range() {
    let world = world().await;
    let at = NOW.0 - 600 * S;
    let (status, body) = world.get("/loki/api/v1/labels").await;
    assert_eq!((status, body.as_str()), (200, "{\"status\":\"success\"}\n"));
    let (status, body) = world.get("/loki/api/v1/series").await;
    assert_eq!((status, body.as_str()), (200, "{\"status\":\"success\",\"data\":[]}\n"));
    world.querier.hold(&[row("stored", at, "x"), row("both", at, "x"), row("recent", at, "y")]);
    for uri in ["/loki/api/v1/label/app/values", "/api/prom/label/app/values"] {
        let (_, body) = world.get(uri).await;
        assert_eq!(body, "{\"status\":\"success\",\"data\":[\"both\",\"recent\",\"stored\"]}\n");
    }
    let (_, body) = world.get("/loki/api/v1/label/nosuch/values").await;
    assert_eq!(body, "{\"status\":\"success\"}\n");
    let (_, body) = world.get("/loki/api/v1/series?match[]=%7B%7D").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    let apps = json!([{"app": "both"}, {"app": "recent"}, {"app": "stored"}]);
    assert_eq!(body["data"], apps);
    let (_, body) = world.get("/loki/api/v1/label/app/values?start=1&end=2").await;
    assert_eq!(body, "{\"status\":\"success\"}\n", "outside the range");
}

fn with_metadata(app: &str, ts_ns: i64, line: &str, level: &str) -> Row {
    let metadata = vec![("detected_level".to_owned(), level.to_owned())];
    Row { metadata, ..row(app, ts_ns, line) }
}

async fn three_lines() -> World {
    let world = world().await;
    let line = |minutes: i64, text: &str, level: &str| {
        with_metadata("x", NOW.0 - minutes * 60 * S, text, level)
    };
    world.querier.hold(&[
        line(30, "stored", "info"),
        line(20, "both <3", "info"),
        line(10, "recent", "warn"),
    ]);
    world
}

fn data(body: &str) -> Value {
    let mut body: Value = serde_json::from_str(body).unwrap();
    body["data"].as_object_mut().unwrap().remove("stats");
    body["data"].take()
}

#[tokio::test]
async fn lines_are_grouped_by_labels_and_cut_at_the_limit() {
    let world = three_lines().await;
    let at = |minutes: i64| (NOW.0 - minutes * 60 * S).to_string();
    let uri = format!("/loki/api/v1/query_range?{RANGE}&query={}", encoded("{app=\"x\"}"));
    let (status, body) = world.get(&uri).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        data(&body),
        json!({"resultType": "streams", "result": [
            {"stream": {"app": "x", "detected_level": "info"},
             "values": [[at(20), "both <3"], [at(30), "stored"]]},
            {"stream": {"app": "x", "detected_level": "warn"}, "values": [[at(10), "recent"]]},
        ]})
    );
    let (_, body) = world.get(&format!("{uri}&limit=1&direction=forward")).await;
    assert_eq!(data(&body)["result"][0]["values"], json!([[at(30), "stored"]]));

    let legacy = format!("/api/prom/query?{RANGE}&regexp=re.*t&query={}", encoded("{app=\"x\"}"));
    let (_, body) = world.get(&legacy).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    let labels = "{app=\"x\", detected_level=\"warn\"}";
    let entries = json!([{"ts": "2024-05-01T11:50:00Z", "line": "recent"}]);
    assert_eq!(body["streams"], json!([{"labels": labels, "entries": entries}]));
}

#[tokio::test]
async fn categorised_lines_name_their_metadata() {
    let world = three_lines().await;
    let uri = format!("/loki/api/v1/query_range?{RANGE}&limit=1&query={}", encoded("{app=\"x\"}"));
    let request = http::Request::get(uri)
        .header("x-scope-orgid", "acme")
        .header("x-loki-response-encoding-flags", "categorize-labels")
        .body(Body::empty())
        .unwrap();
    let (_, body) = world.send(request).await;
    let data = data(&body);
    assert_eq!(data["encodingFlags"], json!(["categorize-labels"]));
    let third = json!({"structuredMetadata": {"detected_level": "warn"}});
    assert_eq!(data["result"][0]["values"][0][2], third);
}

#[tokio::test]
async fn metrics_are_values_at_instants_and_stats_are_the_queriers() {
    let world = three_lines().await;
    let query = encoded("sum(count_over_time({app=\"x\"}[1h]))");
    let (status, body) =
        world.get(&format!("/loki/api/v1/query?time=1714564800&query={query}")).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(data(&body)["result"], json!([{"metric": {}, "value": [1_714_564_800, "3"]}]));
    let body: Value = serde_json::from_str(&body).unwrap();
    let stats = &body["data"]["stats"];
    assert_eq!(stats["summary"]["totalEntriesReturned"], 1);
    assert_eq!(stats["ingester"]["totalReached"], 1);
    assert_eq!(stats["querier"]["store"]["chunk"]["decompressedLines"], 3);
    let range = format!("/loki/api/v1/query_range?{RANGE}&step=1800&query={query}");
    let (_, body) = world.get(&range).await;
    let points = json!([[1_714_563_000, "1"], [1_714_564_800, "3"]]);
    assert_eq!(data(&body)["result"], json!([{"metric": {}, "values": points}]));
}

#[tokio::test]
async fn internal_streams_are_empty_for_ordinary_queries() {
    let world = world().await;
    let labels = vec![("__pattern__".to_owned(), "x".to_owned())];
    world.querier.hold(&[Row { labels, ..row("x", NOW.0 - S, "secret") }]);
    let query = encoded("{__pattern__=\"x\"}");
    let (status, body) =
        world.get(&format!("/loki/api/v1/query_range?{RANGE}&query={query}")).await;
    assert_eq!((status, &data(&body)["result"]), (200, &json!([])));
}

#[tokio::test]
async fn extreme_times_do_not_overflow() {
    let unlimited =
        StaticLimits { max_query_length: std::time::Duration::ZERO, ..Default::default() };
    let world = World::new(unlimited);
    world.querier.hold(&[row("x", NOW.0 - S, "a"), row("x", NOW.0 - 2 * S, "b")]);
    let times = ["-9223372036854775808", "-1", "0", "9999999999", "9223372036854775807"];
    let metric = encoded("sum(count_over_time({app=\"x\"}[1y] offset 1y))");
    let lines = encoded("{app=\"x\"}");
    for (at, start) in times.iter().enumerate() {
        let (status, body) =
            world.get(&format!("/loki/api/v1/query?time={start}&query={metric}")).await;
        assert_eq!(status, 200, "{start}: {body}");
        for end in &times[at..] {
            for query in [&metric, &lines] {
                let uri = format!("/loki/api/v1/query_range?start={start}&end={end}&query={query}");
                let (status, body) = world.get(&format!("{uri}&step=1y")).await;
                assert_eq!(status, 200, "{start} {end} {query}: {body}");
            }
            let (status, body) =
                world.get(&format!("/loki/api/v1/labels?start={start}&end={end}")).await;
            assert_eq!(status, 200, "{start} {end}: {body}");
        }
    }
}

#[tokio::test]
async fn constants_are_answered_without_reading() {
    let world = world().await;
    let uri = format!("/loki/api/v1/query?time=4000000000&query={}", encoded("vector(2)"));
    let (status, body) = world.get(&uri).await;
    assert_eq!(status, 200, "{body}");
    let want = json!([{"metric": {}, "value": [4_000_000_000i64, "2"]}]);
    assert_eq!(data(&body), json!({"resultType": "vector", "result": want}));
    let (_, body) = world.get("/loki/api/v1/query?time=1714564800&query=1%2B1").await;
    let want = json!({"resultType": "scalar", "result": [1_714_564_800_000i64, "2"]});
    assert_eq!(data(&body), want);
    assert_eq!(world.querier.calls.load(std::sync::atomic::Ordering::SeqCst), 0);
}
