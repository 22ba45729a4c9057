use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use rpc::IngesterApi;
use rpc::http::TenantPolicy;
use tower::ServiceExt;

use super::router;
use crate::tests::harness::{Machine, held_rows};

async fn ask(router: &axum::Router, method: Method, uri: &str) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn flush_answers_at_once_and_the_rows_become_a_part() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    ingester.append(vec![machine.batch(&ingester, 4)]).await.unwrap();
    let router = router(ingester.clone());
    for method in [Method::POST, Method::GET] {
        assert_eq!(ask(&router, method, "/flush").await.0, StatusCode::NO_CONTENT);
    }
    while ingester.core.usage.held_bytes() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ingester.core.deps.catalog.snapshot().all_parts().count(), 1);
}

#[tokio::test]
async fn the_rows_of_one_tenants_streams_are_a_part_when_it_is_answered() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let batch = machine.batch(&ingester, 4);
    let (tenant, stream) = (batch.tenant.clone(), batch.streams[0].to_string());
    ingester.append(vec![batch]).await.unwrap();
    let policy = TenantPolicy {
        auth_enabled: true,
        no_auth_tenant: tenant.clone(),
        multi_tenant_queries: true,
    };
    let router = router(ingester.clone()).layer(Extension(Arc::new(policy)));
    let flush = async |tenant: &str, streams: &str| {
        let uri = format!("/flush/tenant?streams={}", encoded(streams));
        let mut request = Request::post(uri);
        if !tenant.is_empty() {
            request = request.header("x-scope-orgid", tenant);
        }
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    let parts = || ingester.core.deps.catalog.snapshot().all_parts().count();
    assert_eq!(flush("", &stream).await, (401, "no org id\n".to_owned()));
    let (status, text) = flush(tenant.as_str(), "{").await;
    assert!(status == 400 && text.starts_with("parse error at line 1"), "{status} {text}");
    for (tenant, streams) in [("nobody", &*stream), (tenant.as_str(), r#"{app="none"}"#)] {
        assert_eq!(flush(tenant, streams).await, (204, String::new()));
        assert_eq!(parts(), 0, "{tenant} {streams}");
    }
    assert_eq!(flush(tenant.as_str(), &stream).await, (204, String::new()));
    assert_eq!(parts(), 1);
    assert_eq!(flush(tenant.as_str(), "").await, (204, String::new()));
    assert_eq!(parts(), 1, "nothing is left");
    assert!(ingester.drain(false).await);
    let stopped = "Ingester is stopping or already stopped.\n".to_owned();
    assert_eq!(flush(tenant.as_str(), "").await, (503, stopped));
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn shutdown_flushes_answers_204_once_and_asks_the_process_to_end() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    ingester.append(vec![machine.batch(&ingester, 4)]).await.unwrap();
    let router = router(ingester.clone());
    let uri = "/ingester/shutdown";
    assert_eq!(ask(&router, Method::POST, uri).await.0, StatusCode::NO_CONTENT);
    assert!(ingester.terminate_requested().is_cancelled());
    assert!(held_rows(&ingester, u64::MAX).is_empty());
    let (status, text) = ask(&router, Method::GET, uri).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text, "Ingester is stopping or already stopped.\n");
}

#[tokio::test]
async fn shutdown_can_leave_rows_to_the_wal_and_the_process_running() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    ingester.append(vec![machine.batch(&ingester, 4)]).await.unwrap();
    let router = router(ingester.clone());
    let uri = "/ingester/shutdown?flush=false&terminate=false";
    assert_eq!(ask(&router, Method::POST, uri).await.0, StatusCode::NO_CONTENT);
    assert!(!ingester.terminate_requested().is_cancelled());
    assert_eq!(held_rows(&ingester, u64::MAX).concat().len(), 4);
}

#[tokio::test]
async fn a_prepared_shutdown_is_remembered_and_flushes() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = Machine::new();
    let uri = "/ingester/prepare_shutdown";
    let unconfigured = router(machine.start().await);
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let (status, _) = ask(&unconfigured, method, uri).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    drop(unconfigured);
    machine.config.shutdown_marker_path = Some(dir.path().into());
    machine = machine.power_cut();
    let ingester = machine.start().await;
    let first = router(ingester.clone());
    assert_eq!(ask(&first, Method::GET, uri).await, (StatusCode::OK, "unset".to_owned()));
    assert_eq!(ask(&first, Method::POST, uri).await.0, StatusCode::NO_CONTENT);
    assert_eq!(ask(&first, Method::GET, uri).await, (StatusCode::OK, "set".to_owned()));
    drop((first, ingester));

    machine = machine.power_cut();
    let ingester = machine.start().await;
    ingester.append(vec![machine.batch(&ingester, 4)]).await.unwrap();
    let second = router(ingester.clone());
    assert_eq!(ask(&second, Method::GET, uri).await, (StatusCode::OK, "set".to_owned()));
    assert_eq!(ask(&second, Method::DELETE, uri).await.0, StatusCode::NO_CONTENT);
    assert_eq!(ask(&second, Method::POST, uri).await.0, StatusCode::NO_CONTENT);
    assert!(ingester.drain(false).await);
    assert!(held_rows(&ingester, u64::MAX).is_empty());
}
