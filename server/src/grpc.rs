//! The gRPC port: health, what answers while the services start, the layers around every call.

use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use futures::FutureExt;
use rpc::grpc::{RingDoor, serve_ring};
use rpc::http::Readiness;
use rpc::http::stack::Phase;
use tonic::Status;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tracing::Instrument;

/// What every gRPC port answers, whatever services run behind it.
#[derive(Clone)]
pub struct Grpc {
    readiness: Readiness,
    reporter: HealthReporter,
    health: HealthServer<HealthService>,
}

impl Grpc {
    /// Answers `NOT_SERVING` until [`Grpc::follow_readiness`] finds the process running.
    pub fn new(readiness: Readiness) -> Grpc {
        let reporter = HealthReporter::new();
        let health = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        Grpc { readiness, reporter, health }
    }

    /// Says in the health service what `/ready` says.
    pub async fn follow_readiness(&self) {
        let status = match self.readiness.state() {
            Phase::Running => ServingStatus::Serving,
            Phase::Starting(_) | Phase::Stopping => ServingStatus::NotServing,
        };
        self.reporter.set_service_status("", status).await;
    }

    /// Answers health and the ring, and `UNAVAILABLE` to everything else. Members of the ring find
    /// each other while they start.
    pub fn starting(&self, ring: RingDoor) -> Router {
        let readiness = self.readiness.clone();
        let refuse = move || {
            let what = match readiness.state() {
                Phase::Starting(what) => what,
                Phase::Running | Phase::Stopping => "stopping".to_owned(),
            };
            std::future::ready(Status::unavailable(what).into_http::<axum::body::Body>())
        };
        let mut services = Routes::builder();
        services.add_service(self.health.clone()).add_service(serve_ring(ring));
        let routes = services.routes().into_axum_router();
        routes.reset_fallback().fallback(refuse)
    }

    /// Health, `services` and what `clients` call, with the layers.
    pub fn running(&self, mut services: RoutesBuilder, clients: Router) -> Router {
        services.add_service(self.health.clone());
        // Read from the bottom: a later `layer` is further out.
        services
            .routes()
            .into_axum_router()
            .merge(clients)
            // A panic of a call is its own answer; the connection and its other calls live.
            .layer(middleware::from_fn(catch_panic))
            // Outermost: one span per call, in the trace of whoever called.
            .layer(middleware::from_fn(trace))
    }
}

async fn trace(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let span = tracing::info_span!("rpc", path, traceID = tracing::field::Empty);
    rpc::trace::follow(&span, request.headers());
    rpc::trace::record_id(&span);
    next.run(request).instrument(span).await
}

async fn catch_panic(request: Request, next: Next) -> Response {
    // Unwind safety: as for HTTP, what calls share is guarded by locks that poison or by atomics.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            metrics::counter!(rpc::http::metrics::PANICS).increment(1);
            tracing::error!("a call panicked");
            Status::internal("internal error").into_http()
        }
    }
}
