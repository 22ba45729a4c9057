use axum::body::Body;
use axum::routing::{get, post};
use base::random::SeededRandom;
use base::time::ManualClock;
use base::{TenantId, UnixNanos};
use http::Method;
use tower::ServiceExt;

use super::super::{Form, Tenant, Tenants};
use super::*;

fn edge(readiness: &Readiness) -> Edge {
    Edge {
        clock: Arc::new(ManualClock::new(UnixNanos(0))),
        random: Arc::new(SeededRandom::new(7)),
        tenants: Arc::new(TenantPolicy {
            auth_enabled: true,
            no_auth_tenant: TenantId::new("fake").unwrap(),
            multi_tenant_queries: true,
        }),
        bodies: Budget::new(1000),
        readiness: readiness.clone(),
        timeout: Duration::from_millis(1),
    }
}

async fn one(Tenant(tenant): Tenant) -> String {
    tenant.to_string()
}

async fn several(tenants: Tenants, form: Form) -> String {
    format!("{:?} {}", tenants.ids, form.value("q"))
}

async fn panics() -> String {
    panic!("on purpose")
}

fn app(readiness: &Readiness) -> Router {
    let edge = edge(readiness);
    let service = Router::new()
        .route("/push", post(one))
        .route("/query", get(several).post(several))
        .route("/stuck", get(std::future::pending::<()>))
        .route("/panic", get(panics));
    let probe = readiness.clone();
    let operational =
        Router::new().route("/ready", get(move || std::future::ready(probe.answer())));
    edge.wrap(edge.api(service).merge(operational))
}

async fn ask(app: &Router, method: Method, path: &str, tenant: &str) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(path);
    if !tenant.is_empty() {
        request = request.header("X-Scope-OrgID", tenant);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    assert!(response.headers().contains_key(observe::REQUEST_ID), "{path}");
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn answer(status: u16, text: &str) -> (u16, String) {
    (status, text.to_owned())
}

#[tokio::test]
async fn a_handler_gets_the_tenant_or_the_request_gets_lokis_error() {
    let readiness = Readiness::default();
    readiness.set(Phase::Running);
    let app = app(&readiness);
    assert_eq!(ask(&app, Method::POST, "/push", "acme").await, answer(200, "acme"));
    assert_eq!(ask(&app, Method::POST, "/push", "").await, answer(401, "no org id\n"));
    let several = answer(400, "multiple org IDs present\n");
    assert_eq!(ask(&app, Method::POST, "/push", "a|b").await, several);
    let query = ask(&app, Method::GET, "/query?q=x", "b|a").await;
    assert_eq!(query, answer(200, "[TenantId(a), TenantId(b)] x"));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_as_go_does() {
    let readiness = Readiness::default();
    readiness.set(Phase::Running);
    let app = app(&readiness);
    assert_eq!(ask(&app, Method::GET, "/nosuch", "a").await, answer(404, "404 page not found\n"));
    assert_eq!(ask(&app, Method::GET, "/push", "a").await, answer(405, ""));
}

#[tokio::test]
async fn service_routes_wait_for_readiness_and_operational_ones_do_not() {
    let readiness = Readiness::default();
    readiness.set(Phase::Starting("replaying".to_owned()));
    let app = app(&readiness);
    let waiting = answer(503, "Ingester not ready: replaying\n");
    assert_eq!(ask(&app, Method::POST, "/push", "a").await, waiting);
    assert_eq!(ask(&app, Method::GET, "/ready", "").await, waiting);
    readiness.set(Phase::Running);
    assert_eq!(ask(&app, Method::GET, "/ready", "").await, answer(200, "ready\n"));
    readiness.set(Phase::Stopping);
    let stopping = answer(503, "Application is stopping\n");
    assert_eq!(ask(&app, Method::GET, "/ready", "").await, stopping);
    assert_eq!(ask(&app, Method::POST, "/push", "a").await, answer(200, "a"));
}

#[tokio::test]
async fn a_panic_is_a_500_and_a_stuck_handler_a_504() {
    let readiness = Readiness::default();
    readiness.set(Phase::Running);
    let app = app(&readiness);
    assert_eq!(ask(&app, Method::GET, "/panic", "a").await, answer(500, "internal error"));
    let (status, text) = ask(&app, Method::GET, "/stuck", "a").await;
    assert_eq!(status, 504);
    assert!(text.starts_with("request timed out, decrease the duration"), "{text}");
    assert_eq!(ask(&app, Method::POST, "/push", "acme").await, answer(200, "acme"));
}

#[test]
fn unclean_paths_become_clean_ones() {
    let table = [
        ("/", None),
        ("/a/b", None),
        ("/a/b/", None),
        ("/a//b", Some("/a/b")),
        ("//a/b/", Some("/a/b/")),
        ("/a/./b", Some("/a/b")),
        ("/a/../b", Some("/b")),
        ("/../..", Some("/")),
        ("//", Some("/")),
        ("/a/.", Some("/a")),
    ];
    for (path, clean) in table {
        assert_eq!(clean_path(path).as_deref(), clean, "{path}");
    }
}

#[tokio::test]
async fn a_request_for_an_unclean_path_is_told_the_clean_one() {
    let readiness = Readiness::default();
    readiness.set(Phase::Running);
    let request = Request::builder().uri("/query//x/?q=1").body(Body::empty()).unwrap();
    let response = app(&readiness).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 301);
    assert_eq!(response.headers()["location"], "/query/x/?q=1");
}
