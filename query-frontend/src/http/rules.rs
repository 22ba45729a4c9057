//! The routes of Loki's ruler, as they answer where there are no rules (contract 3): Grafana asks
//! them of every data source. Rules are not evaluated, so none can be stored.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use rpc::http::{Form, HttpError, Tenant};
use serde_json::{Value, json};

/// Texts that Grafana and lokitool look for.
const NO_GROUPS: &str = "no rule groups found";
const NO_GROUP: &str = "group does not exist";
const NO_NAMESPACE: &str = "group namespace does not exist";

/// The ruler's routes: Prometheus' form, and configuration under both of its prefixes.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut router = Router::new()
        .route("/prometheus/api/v1/rules", get(rules))
        .route("/prometheus/api/v1/alerts", get(alerts));
    for prefix in ["/loki/api/v1/rules", "/api/prom/rules"] {
        let namespace = get(no_groups).post(cannot_store).delete(no_namespace);
        router = router
            .route(prefix, get(no_groups))
            .route(&format!("{prefix}/{{namespace}}"), namespace)
            .route(
                &format!("{prefix}/{{namespace}}/{{groupName}}"),
                get(no_group).delete(no_group),
            );
    }
    router
}

async fn rules(tenant: Result<Tenant, HttpError>, form: Form) -> Result<Response, HttpError> {
    if let Some(refused) = refused(tenant)? {
        return Ok(refused);
    }
    let kind = form.value("type");
    if !["", "alert", "record"].contains(&kind) {
        return Ok(bad_data(&format!("not supported value {kind:?}")));
    }
    Ok(prometheus(StatusCode::OK, "success", json!({"groups": []}), "", ""))
}

async fn alerts(tenant: Result<Tenant, HttpError>) -> Result<Response, HttpError> {
    match refused(tenant)? {
        Some(refused) => Ok(refused),
        None => Ok(prometheus(StatusCode::OK, "success", json!({"alerts": []}), "", "")),
    }
}

/// Without a tenant the answer is that of every route; a bad one is told in Prometheus' form.
fn refused(tenant: Result<Tenant, HttpError>) -> Result<Option<Response>, HttpError> {
    match tenant {
        Ok(_) => Ok(None),
        Err(error) if error.text() == "multiple org IDs present" => {
            Ok(Some(bad_data("too many org ids found")))
        }
        Err(error) => Err(error),
    }
}

fn bad_data(text: &str) -> Response {
    prometheus(StatusCode::BAD_REQUEST, "error", Value::Null, "bad_data", text)
}

fn prometheus(status: StatusCode, word: &str, data: Value, kind: &str, text: &str) -> Response {
    // In the order of Loki's keys; texts are quoted by the library.
    let (kind, text) = (Value::from(kind), Value::from(text));
    let body = format!(r#"{{"status":"{word}","data":{data},"errorType":{kind},"error":{text}}}"#);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

async fn no_groups(_: Tenant) -> HttpError {
    HttpError::push_with(404, NO_GROUPS)
}

async fn no_group(_: Tenant) -> HttpError {
    HttpError::push_with(404, NO_GROUP)
}

async fn no_namespace(_: Tenant) -> HttpError {
    HttpError::push_with(404, NO_NAMESPACE)
}

async fn cannot_store(_: Tenant) -> HttpError {
    HttpError::push_with(501, "rules are not evaluated, so none are stored")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use crate::StaticLimits;
    use crate::testing::World;

    #[tokio::test]
    async fn without_rules_grafana_finds_a_ruler_that_holds_none() {
        let world = World::new(StaticLimits::default());
        let none = |list: &str| {
            format!(r#"{{"status":"success","data":{{"{list}":[]}},"errorType":"","error":""}}"#)
        };
        let bad = r#"{"status":"error","data":null,"errorType":"bad_data","error":"not supported value \"x\""}"#;
        let mut table = vec![
            ("GET", "/prometheus/api/v1/rules".to_owned(), 200, none("groups")),
            (
                "GET",
                "/prometheus/api/v1/rules?type=alert&rule_name=a".to_owned(),
                200,
                none("groups"),
            ),
            ("GET", "/prometheus/api/v1/rules?type=x".to_owned(), 400, bad.to_owned()),
            ("GET", "/prometheus/api/v1/alerts".to_owned(), 200, none("alerts")),
            ("POST", "/prometheus/api/v1/alerts".to_owned(), 405, String::new()),
        ];
        for prefix in ["/loki/api/v1/rules", "/api/prom/rules"] {
            for (method, rest, status, text) in [
                ("GET", "", 404, "no rule groups found\n"),
                ("GET", "/a%2Fb", 404, "no rule groups found\n"),
                ("GET", "/test/test", 404, "group does not exist\n"),
                ("DELETE", "/test/test", 404, "group does not exist\n"),
                ("DELETE", "/test", 404, "group namespace does not exist\n"),
                ("POST", "/test", 501, "rules are not evaluated, so none are stored\n"),
            ] {
                table.push((method, format!("{prefix}{rest}"), status, text.to_owned()));
            }
        }
        for (method, uri, status, text) in table {
            let request = http::Request::builder().method(method).uri(&uri);
            let request = request.header("x-scope-orgid", "acme").body(Body::empty()).unwrap();
            assert_eq!(world.send(request).await, (status, text), "{method} {uri}");
        }
        let ask = async |uri: &str, tenant: &str| {
            let request = http::Request::get(uri).header("x-scope-orgid", tenant);
            world.send(request.body(Body::empty()).unwrap()).await
        };
        let several = r#"{"status":"error","data":null,"errorType":"bad_data","error":"too many org ids found"}"#;
        for route in ["rules", "alerts"] {
            let uri = format!("/prometheus/api/v1/{route}");
            assert_eq!(ask(&uri, "a|b").await, (400, several.to_owned()), "{route}");
            assert_eq!(ask(&uri, "").await, (401, "no org id\n".to_owned()), "{route}");
        }
        assert_eq!(ask("/api/prom/rules", "").await, (401, "no org id\n".to_owned()));
    }
}
