//! Every refusal of the conformance corpus that needs no data, replayed through the routes.

use std::collections::BTreeMap;

use axum::body::Body;
use serde_json::Value;

use crate::StaticLimits;
use crate::testing::{World, encoded};

/// Groups whose refusals come before evaluation. (Errors of stages are reported only when a stream
/// matches; they need the data set.)
const GROUPS: [&str; 6] = [
    "param_errors",
    "metadata_endpoints",
    "limits_and_direction",
    "client_requests",
    "instant_queries",
    "parse_errors",
];
const ROUTES: [&str; 7] = [
    "/loki/api/v1/query",
    "/loki/api/v1/query_range",
    "/loki/api/v1/labels",
    "/loki/api/v1/label/job/values",
    "/loki/api/v1/series",
    "/api/prom/query",
    "/api/prom/label",
];

fn urlencoded(parameters: &Value) -> String {
    let Some(parameters) = parameters.as_object() else { return String::new() };
    let mut pairs = Vec::new();
    for (name, value) in parameters {
        let values = match value {
            Value::Array(list) => list.clone(),
            one => vec![one.clone()],
        };
        for value in values {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            pairs.push(format!("{}={}", encoded(name), encoded(&value)));
        }
    }
    pairs.join("&")
}

fn request(case: &Value) -> http::Request<Body> {
    let path = case["path"].as_str().unwrap();
    let uri = format!("{path}?{}", urlencoded(&case["params"]));
    let mut request = http::Request::builder()
        .method(case["method"].as_str().unwrap())
        .uri(uri)
        .header("x-scope-orgid", "acme");
    let headers: BTreeMap<String, String> =
        serde_json::from_value(case["headers"].clone()).unwrap_or_default();
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if case["form"].is_object() {
        request = request.header("content-type", "application/x-www-form-urlencoded");
        return request.body(Body::from(urlencoded(&case["form"]))).unwrap();
    }
    request.body(Body::from(case["body"].as_str().unwrap_or("").to_owned())).unwrap()
}

#[tokio::test]
async fn recorded_refusals_have_their_status_and_text() {
    // The corpus was recorded with pieces of a day.
    let day = std::time::Duration::from_secs(86_400);
    let limits = StaticLimits { split_queries_by_interval: day, ..StaticLimits::default() };
    let world = World::new(limits);
    // Some requests leave `end` out; the corpus is two years younger than its data.
    world.clock.advance(3 * 365 * 86_400 * 1_000_000_000);
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance/cases");
    let (mut checked, mut wrong) = (0, Vec::new());
    for group in GROUPS {
        let text = std::fs::read(dir.join(group).with_extension("json")).unwrap();
        let file: Value = serde_json::from_slice(&text).unwrap();
        for case in file["cases"].as_array().unwrap() {
            let text = case["body_text"].as_str().unwrap_or("");
            let needs_data = text.starts_with("parse error : stage ");
            let refusal = case["status"] == 400 && case["compare"] == "text" && !needs_data;
            let route = ROUTES.contains(&case["path"].as_str().unwrap());
            if !refusal || !route {
                continue;
            }
            checked += 1;
            let (status, text) = world.send(request(case)).await;
            let want = case["body_text"].as_str().unwrap().trim();
            if status != 400 || text.trim() != want {
                wrong.push(format!("{}\n  want {want}\n  got  {status} {text}", case["name"]));
            }
        }
    }
    assert!(checked > 100, "only {checked} cases were found");
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
}
