//! The push routes.

use std::sync::Arc;

use crate::distributor::Distributor;

/// `POST /loki/api/v1/push` and its old name `POST /api/prom/push`.
pub fn router(distributor: Arc<Distributor>) -> axum::Router {
    let _ = distributor;
    axum::Router::new()
}
