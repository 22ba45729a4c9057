use serde_json::{Value, json};

use crate::StaticLimits;
use crate::testing::{Row, World, config, encoded};

const SECOND: i64 = 1_000_000_000;

fn row(second: i64, app: &str, level: &str, line: &str) -> Row {
    Row {
        ts_ns: second * SECOND,
        labels: vec![("app".to_owned(), app.to_owned())],
        line: line.to_owned(),
        metadata: vec![("detected_level".to_owned(), level.to_owned())],
    }
}

/// 100 s long: a line each second of one app, some of another.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for at in 0..100 {
        rows.push(row(1000 + at, "a", "info", &format!("user u{at} logged in")));
        if at % 3 == 0 {
            rows.push(row(1000 + at, "a", "warn", &format!("user v{at} logged in")));
        }
        rows.push(row(1000 + at, "b", "info", &format!("lease {at} renewed")));
    }
    rows
}

async fn ask(world: &World, params: &[(&str, &str)]) -> (u16, String) {
    let params: Vec<String> =
        params.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    world.get(&format!("/loki/api/v1/patterns?{}", params.join("&"))).await
}

async fn data(world: &World, params: &[(&str, &str)]) -> Value {
    let (status, body) = ask(world, params).await;
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["status"], "success");
    body["data"].clone()
}

#[tokio::test]
async fn lines_are_counted_by_pattern_level_and_step() {
    let world = World::new(StaticLimits::default());
    world.querier.hold(&rows());
    *world.querier.templates.lock().unwrap() =
        ["user <_> logged in", "lease <_> renewed", "<_> renewed", "none"]
            .map(str::to_owned)
            .into();
    let query = ("query", r#"{app="a"}"#);
    let (start, end) = (("start", "1005"), ("end", "1100"));
    let found = data(&world, &[query, start, end, ("step", "50s")]).await;
    let text = "user <_> logged in";
    let want = json!([
        {"pattern": text, "level": "info", "samples": [[1000, 45], [1050, 50]]},
        {"pattern": text, "level": "warn", "samples": [[1000, 15], [1050, 17]]},
    ]);
    assert_eq!(found, want);
    // Steps are ten seconds at least, and whole.
    let found = data(&world, &[query, start, end, ("step", "1")]).await;
    assert_eq!(found[0]["samples"][0], json!([1000, 5]));
    assert_eq!(found[0]["samples"][1], json!([1010, 10]));
    let found = data(&world, &[query, start, end, ("step", "10.5")]).await;
    assert_eq!(found[0]["samples"][0], json!([1001, 7]));
    // Less than thirty lines.
    assert_eq!(data(&world, &[query, ("start", "1005"), ("end", "1020")]).await, json!([]));
    let found = data(&world, &[("query", r#"{app=~".+"}"#), start, end]).await;
    assert_eq!(found.as_array().unwrap().len(), 3);
    assert_eq!(found[1]["pattern"], "lease <_> renewed", "it says more than what ends so");
}

#[tokio::test]
async fn nothing_is_found_where_nothing_is_known_and_when_it_is_switched_off() {
    let world = World::new(StaticLimits::default());
    world.querier.hold(&rows());
    let params = [("query", r#"{app="a"}"#), ("start", "1000"), ("end", "1100")];
    let (status, body) = ask(&world, &params).await;
    assert_eq!((status, body.as_str()), (200, "{\"status\":\"success\",\"data\":[]}\n"));

    let off = crate::Config { patterns: false, ..config() };
    let world = World::without_workers(off, StaticLimits::default());
    assert_eq!(data(&world, &params).await, json!([]), "and nobody is asked");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told() {
    let world = World::new(StaticLimits::default());
    for (params, text) in [
        ([("query", "{app=}"), ("start", "1000"), ("end", "1100")], "parse error"),
        ([("query", "{app=\"a\"}"), ("start", "1100"), ("end", "1000")], "end timestamp"),
        ([("query", "{app=\"a\"}"), ("step", "0"), ("end", "1000")], "zero or negative"),
    ] {
        let (status, body) = ask(&world, &params).await;
        assert!(status == 400 && body.contains(text), "{status} {body}");
    }
}
