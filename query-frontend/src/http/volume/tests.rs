use serde_json::{Value, json};

use crate::StaticLimits;
use crate::testing::{Row, World, encoded};

const SECOND: i64 = 1_000_000_000;

fn row(labels: &[(&str, &str)], second: i64, line: &str) -> Row {
    let pairs = labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let metadata = vec![("env".to_owned(), "of metadata".to_owned())];
    Row { ts_ns: second * SECOND, labels: pairs.collect(), line: line.to_owned(), metadata }
}

/// A row that takes this many KiB, with its pair of metadata.
fn large(labels: &[(&str, &str)], second: i64, kib: usize) -> Row {
    row(labels, second, &"x".repeat(kib * 1024 - 8))
}

fn world(limits: StaticLimits) -> World {
    let world = World::new(limits);
    let shop = [("app", "shop"), ("env", "prod")];
    let cart = [("app", "cart"), ("env", "dev")];
    world.querier.hold(&[
        large(&shop, 100, 4),
        large(&shop, 109, 3),
        large(&shop, 110, 13),
        large(&cart, 105, 10),
        large(&cart, 119, 90), // not in the range
        large(&[("job", "j"), ("env", "dev")], 111, 3),
    ]);
    world
}

async fn ask(world: &World, path: &str, params: &[(&str, &str)]) -> (u16, String) {
    let params: Vec<String> =
        params.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    world.get(&format!("/loki/api/v1/index/{path}?start=100&end=115&{}", params.join("&"))).await
}

async fn result(world: &World, path: &str, params: &[(&str, &str)]) -> (String, Value) {
    let (status, body) = ask(world, path, params).await;
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    let data = &body["data"];
    (data["resultType"].as_str().unwrap().to_owned(), data["result"].clone())
}

#[tokio::test]
async fn a_volume_is_the_bytes_of_each_series_the_largest_first() {
    let world = world(StaticLimits::default());
    let query = ("query", r#"{app=~".+"}"#);
    let (kind, found) = result(&world, "volume", &[query]).await;
    assert_eq!(kind, "vector");
    let shop = json!({"metric": {"app": "shop"}, "value": [115, "20480"]});
    let cart = json!({"metric": {"app": "cart"}, "value": [115, "10240"]});
    assert_eq!(found, json!([shop, cart]));
    let (_, found) = result(&world, "volume", &[query, ("limit", "1")]).await;
    assert_eq!(found, json!([shop]));
    let (_, found) = result(&world, "volume", &[("query", "{}"), ("targetLabels", "env")]).await;
    let prod = json!({"metric": {"env": "prod"}, "value": [115, "20480"]});
    let dev = json!({"metric": {"env": "dev"}, "value": [115, "13312"]});
    assert_eq!(found, json!([prod, dev]), "metadata of the name has no part in it");
    let (_, found) =
        result(&world, "volume", &[("query", "{}"), ("targetLabels", "env,app")]).await;
    assert_eq!(found.as_array().unwrap().len(), 2, "streams without one of them are left out");
    let (_, found) = result(&world, "volume", &[query, ("aggregateBy", "labels")]).await;
    let of = |name: &str| json!({"metric": {name: ""}, "value": [115, "30720"]});
    assert_eq!(found, json!([of("app"), of("env")]));
    let (kind, found) = result(&world, "volume", &[("query", r#"{app="none"}"#)]).await;
    assert_eq!((kind.as_str(), found), ("vector", json!([])));
}

#[tokio::test]
async fn buckets_have_their_own_largest_and_end_a_millisecond_early() {
    let world = world(StaticLimits::default());
    // The rows of a stream are spread over their time: 20 KiB over 10 s of which 9.999 lie in the
    // first bucket and a row alone in the second, 10 KiB at one instant.
    let asked = [("query", r#"{app=~".+"}"#), ("step", "10")];
    let (kind, found) = result(&world, "volume_range", &asked).await;
    assert_eq!(kind, "matrix");
    let shop = json!({"metric": {"app": "shop"}, "values": [[109.999, "19456"], [115, "0"]]});
    let cart = json!({"metric": {"app": "cart"}, "values": [[109.999, "10240"]]});
    assert_eq!(found, json!([shop, cart]));
    let (kind, found) = result(&world, "volume_range", &[asked[0], asked[1], ("limit", "1")]).await;
    assert_eq!((kind.as_str(), found), ("matrix", json!([shop])));
    // Chunks end after two hours, so what lies in others stays in their buckets.
    let hour = 3600 * SECOND;
    let shop = [("app", "shop")];
    let at = |hours: i64| large(&shop, hours * hour / SECOND, 8);
    world.querier.hold(&[at(1), at(2), at(3), at(7)]);
    let path = "/loki/api/v1/index/volume_range?start=0&end=28800&step=3600&query=%7B%7D";
    let (_, body) = world.get(path).await;
    let found: Value = serde_json::from_str(&body).unwrap();
    let values =
        json!([[7199.999, "8192"], [10799.999, "15360"], [14399.999, "0"], [28800, "8192"]]);
    assert_eq!(found["data"]["result"][0]["values"], values);
}

#[tokio::test]
async fn bad_volumes_are_refused_in_lokis_words() {
    let world = world(StaticLimits { volume_max_series: 1, ..StaticLimits::default() });
    for (path, params, want) in [
        ("volume", &[("query", "{}"), ("limit", "-1")][..], "limit must be a positive value"),
        ("volume", &[("query", "{}"), ("aggregateBy", "x")], "invalid aggregation option"),
        ("volume", &[("query", "")], "parse error : syntax error: unexpected $end"),
        ("volume", &[("query", "{a=\"b\"} |= \"x\"")], "only label matchers are supported"),
        ("volume_range", &[("query", "{}"), ("step", "0")], "zero or negative query resolution"),
        ("volume_range", &[("query", "{}"), ("step", "1ms")], "exceeded maximum resolution"),
        (
            "volume",
            &[("query", "{}")],
            "the query hit the max number of series limit (limit: 1 series)",
        ),
    ] {
        let (status, body) = ask(&world, path, params).await;
        assert_eq!(status, 400, "{body}");
        assert!(body.starts_with(want), "{want}: {body}");
    }
    let off = self::world(StaticLimits { volume_enabled: false, ..StaticLimits::default() });
    assert_eq!(ask(&off, "volume", &[("query", "{}")]).await, (404, "not found".to_owned()));
}

#[tokio::test]
async fn stats_count_what_a_selector_selects() {
    let world = world(StaticLimits::default());
    let (status, body) = ask(&world, "stats", &[("query", r#"{env="dev"}"#)]).await;
    let stats: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &stats["streams"], &stats["entries"]), (200, &json!(2), &json!(2)));
    assert_eq!((&stats["bytes"], stats["chunks"].as_u64() >= Some(2)), (&json!(13312), true));
    let (status, body) = ask(&world, "stats", &[("query", r#"{env="none"}"#)]).await;
    assert_eq!(status, 200);
    assert_eq!(body, "{\"streams\":0,\"chunks\":0,\"bytes\":0,\"entries\":0}\n");
    let (status, body) = ask(&world, "stats", &[("query", "{}")]).await;
    assert!(status == 400 && body.starts_with("parse error : queries require"), "{body}");
}

#[tokio::test]
async fn labels_and_fields_are_detected() {
    let world = world(StaticLimits::default());
    let get = async |path: &str, query: &str| {
        let query = encoded(query);
        let path = format!("/loki/api/v1/{path}?start=100&end=115&query={query}");
        let (status, body) = world.get(&path).await;
        (status, serde_json::from_str::<Value>(&body).unwrap_or(Value::String(body)))
    };
    let env = json!({"label": "env", "cardinality": 1});
    let want = json!({"detectedLabels": [{"label": "app", "cardinality": 1}, env]});
    assert_eq!(get("detected_labels", r#"{app="shop"}"#).await, (200, want));
    assert_eq!(get("detected_labels", r#"{app="none"}"#).await, (200, json!({})));
    world.querier.hold(&[row(&[("app", "a")], 101, r#"{"n":{"x":7}}"#)]);
    let (status, found) = get("detected_fields", r#"{app="a"}"#).await;
    let env = json!({"label": "env", "type": "string", "cardinality": 1, "parsers": null});
    let n_x = json!({"label": "n_x", "type": "int", "cardinality": 1, "parsers": ["json"],
                     "jsonPath": ["n", "x"]});
    assert_eq!((status, found), (200, json!({"fields": [env, n_x], "limit": 1000})));
    let (status, found) = get("detected_field/n_x/values", r#"{app="a"}"#).await;
    assert_eq!((status, found), (200, json!({"values": ["7"], "limit": 1000})));
    assert_eq!(get("detected_field/none/values", r#"{app="a"}"#).await, (200, json!({})));
    assert_eq!(get("detected_fields", r#"{app="none"}"#).await, (200, json!({})));
    let (status, text) = get("detected_fields", r#"rate({app="a"}[5m])"#).await;
    assert_eq!((status, text), (400, json!("only log selector is supported")));
    let patterns = get("patterns", r#"{app="a"}"#).await;
    assert_eq!(patterns, (200, json!({"status": "success", "data": []})), "none are mined");
    let (status, text) = get("patterns", r#"{app="a"} |= "x""#).await;
    assert_eq!((status, text), (400, json!("only label matchers are supported")));
}
