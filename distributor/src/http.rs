//! The push routes.

mod mediatype;
mod otlp;
mod push;

use std::sync::Arc;

use axum::Router;
use axum::routing::post;

use crate::distributor::Distributor;

/// `POST /loki/api/v1/push`, its old name `POST /api/prom/push`, and `POST /otlp/v1/logs`. Takes the tenant from
/// [`rpc::http::Tenant`] and budget from the extensions that `rpc::http::Edge` sets.
pub fn router(distributor: Arc<Distributor>) -> Router {
    Router::new()
        .route("/loki/api/v1/push", post(push::push))
        .route("/api/prom/push", post(push::push))
        .route("/otlp/v1/logs", post(otlp::push))
        .with_state(distributor)
}
