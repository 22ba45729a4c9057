//! Label names and values of streams.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use base::TenantId;
use http::HeaderMap;
use logql::syntax::{Matcher, parse_matchers, require_matcher};
use rpc::http::{Form, HttpError, Tenants};
use rpc::querier::{ListJob, Listed, Listing};

use super::respond::ok;
use super::telemetry::Watch;
use super::{encode, one_tenant, params, refuse};
use crate::checks::Checks;
use crate::frontend::Frontend;

/// `/labels`: the names.
pub(super) async fn names(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let tenant = one_tenant(tenants)?;
    let mut watch = Watch::new(&frontend, &tenant, &headers, "labels");
    watch.text(form.value("query"));
    let result = texts(&frontend, &tenant, &form, Listing::Names).await;
    let list = watch.finish_list(result)?;
    ok(&frontend, &headers, move || encode::label_list(&list)).await
}

/// `/label/{name}/values`: the values of one name.
pub(super) async fn values(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, HttpError> {
    let tenant = one_tenant(tenants)?;
    let mut watch = Watch::new(&frontend, &tenant, &headers, "labels");
    watch.text(form.value("query"));
    let result = texts(&frontend, &tenant, &form, Listing::Values(name)).await;
    let list = watch.finish_list(result)?;
    ok(&frontend, &headers, move || encode::label_list(&list)).await
}

async fn texts(
    frontend: &Frontend,
    tenant: &TenantId,
    form: &Form,
    listing: Listing,
) -> Result<Vec<String>, HttpError> {
    let now = frontend.clock().now();
    let (start, end) = params::bounds(form, now).map_err(refuse)?;
    let selectors = match form.value("query") {
        "" => Vec::new(),
        text => vec![selector(text)?],
    };
    let checks = Checks { limits: frontend.limits(), tenant, now };
    let (start, end) = checks.window(start, end).map_err(refuse)?;
    let job = ListJob { tenant: tenant.clone(), listing, selectors, start, end };
    match frontend.list(job).await.map_err(refuse)? {
        Listed::Texts(texts) => Ok(texts),
        Listed::Streams(_) => Err(HttpError::query_with(500, "texts were answered with streams")),
    }
}

/// A selector without pipeline that does not match everything.
pub(super) fn selector(text: &str) -> Result<Vec<Matcher>, HttpError> {
    let matchers = parse_matchers(text).map_err(refuse)?;
    require_matcher(&matchers).map_err(refuse)?;
    Ok(matchers)
}
