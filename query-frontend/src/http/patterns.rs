//! `/loki/api/v1/patterns`: none, as Loki answers without its pattern ingester (recorded:
//! param_errors/patterns-disabled; contract 2.9). Patterns are not mined.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use logql::syntax::parse_matchers;
use rpc::http::{Form, HttpError, Tenants};

use super::respond::ok;
use super::{params, refuse};
use crate::checks::Checks;
use crate::frontend::Frontend;

/// `/patterns`.
pub(super) async fn patterns(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let now = frontend.clock().now();
    let (start, end) = params::bounds(&form, now).map_err(refuse)?;
    params::check_order(start, end).map_err(refuse)?;
    parse_matchers(form.value("query")).map_err(refuse)?;
    let checks = Checks { limits: frontend.limits(), tenants: &tenants, now };
    checks.window(start, end).map_err(refuse)?;
    ok(&frontend, &headers, || b"{\"status\":\"success\",\"data\":[]}\n".to_vec()).await
}
