//! Label names and values of streams.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use base::{Labels, TenantId};
use http::HeaderMap;
use logql::syntax::{Matcher, parse_matchers, require_matcher};
use rpc::http::{Form, HttpError, Tenants};

use super::respond::ok;
use super::telemetry::Watch;
use super::{encode, one_tenant, params, refuse};
use crate::checks::Checks;
use crate::querier::Querier;
use crate::streams::StreamsQuery;

/// `/labels`: the names.
pub(super) async fn names(
    State(querier): State<Arc<Querier>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let tenant = one_tenant(tenants)?;
    let mut watch = Watch::new(&querier, &tenant, &headers, "labels");
    watch.text(form.value("query"));
    let result = streams(&querier, &tenant, &form).await.map(|streams| {
        sorted(streams.iter().flat_map(|labels| labels.iter().map(|(name, _)| name.to_owned())))
    });
    let list = watch.finish_list(result)?;
    ok(&querier, &headers, move || encode::label_list(&list)).await
}

/// `/label/{name}/values`: the values of one name.
pub(super) async fn values(
    State(querier): State<Arc<Querier>>,
    tenants: Tenants,
    headers: HeaderMap,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, HttpError> {
    let tenant = one_tenant(tenants)?;
    let mut watch = Watch::new(&querier, &tenant, &headers, "labels");
    watch.text(form.value("query"));
    let result = streams(&querier, &tenant, &form).await.map(|streams| {
        sorted(streams.iter().filter_map(|labels| labels.get(&name).map(str::to_owned)))
    });
    let list = watch.finish_list(result)?;
    ok(&querier, &headers, move || encode::label_list(&list)).await
}

async fn streams(
    querier: &Querier,
    tenant: &TenantId,
    form: &Form,
) -> Result<Vec<Labels>, HttpError> {
    let now = querier.clock().now();
    let (start, end) = params::bounds(form, now).map_err(refuse)?;
    let selectors = match form.value("query") {
        "" => Vec::new(),
        text => vec![selector(text)?],
    };
    let checks = Checks { limits: querier.limits(), tenant, now };
    let (start, end) = checks.window(start, end).map_err(refuse)?;
    let query = StreamsQuery { tenant: tenant.clone(), selectors, start, end };
    querier.streams(&query).await.map_err(refuse)
}

/// A selector without pipeline that does not match everything.
pub(super) fn selector(text: &str) -> Result<Vec<Matcher>, HttpError> {
    let matchers = parse_matchers(text).map_err(refuse)?;
    require_matcher(&matchers).map_err(refuse)?;
    Ok(matchers)
}

fn sorted(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut values: Vec<String> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}
