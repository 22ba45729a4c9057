//! `/flush`, `/ingester/shutdown`, `/ingester/prepare_shutdown` (contract: http-api, section 5).

use std::sync::Arc;

use axum::Router;

use crate::Ingester;

/// Routes of the ingester. None of them needs a tenant.
pub fn router(_ingester: Arc<Ingester>) -> Router {
    Router::new()
}
