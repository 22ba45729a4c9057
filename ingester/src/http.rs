//! `/flush`, `/flush/tenant`, `/ingester/shutdown`, `/ingester/prepare_shutdown` (contract: http-api, section 5).

mod flush;
mod shutdown;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::Ingester;

/// Routes of the ingester. None but `/flush/tenant` needs a tenant.
pub fn router(ingester: Arc<Ingester>) -> Router {
    let prepare =
        get(shutdown::prepared).post(shutdown::prepare).delete(shutdown::cancel_preparation);
    Router::new()
        .route("/flush", get(flush::flush).post(flush::flush))
        .route("/flush/tenant", post(flush::tenant))
        .route("/ingester/shutdown", get(shutdown::shutdown).post(shutdown::shutdown))
        .route("/ingester/prepare_shutdown", prepare)
        .with_state(ingester)
}

#[cfg(test)]
mod tests;
