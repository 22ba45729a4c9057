//! `/loki/api/v1/series`: label sets of streams.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base::{Labels, TenantId};
use http::HeaderMap;
use logql::syntax::Matcher;
use rpc::http::{Form, HttpError, Tenants};

use super::labels::selector;
use super::respond::ok;
use super::telemetry::Watch;
use super::{encode, one_tenant, params, refuse};
use crate::checks::Checks;
use crate::querier::Querier;
use crate::streams::StreamsQuery;

/// `/series`.
pub(super) async fn series(
    State(querier): State<Arc<Querier>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let tenant = one_tenant(tenants)?;
    let mut watch = Watch::new(&querier, &tenant, &headers, "series");
    let result = streams(&querier, &tenant, &form, &mut watch).await;
    let list = watch.finish_list(result)?;
    ok(&querier, &headers, move || encode::series(&list)).await
}

async fn streams(
    querier: &Querier,
    tenant: &TenantId,
    form: &Form,
    watch: &mut Watch,
) -> Result<Vec<Labels>, HttpError> {
    let groups = groups(form);
    watch.text(&groups.join(", "));
    let now = querier.clock().now();
    let (start, end) = params::bounds(form, now).map_err(refuse)?;
    let selectors = selectors(&groups)?;
    let checks = Checks { limits: querier.limits(), tenant, now };
    let (start, end) = checks.window(start, end).map_err(refuse)?;
    let query = StreamsQuery { tenant: tenant.clone(), selectors, start, end };
    querier.streams(&query).await.map_err(refuse)
}

/// Values of `match` and `match[]`, each once, in order.
fn groups(form: &Form) -> Vec<&str> {
    let mut groups: Vec<&str> = form.all("match").chain(form.all("match[]")).collect();
    let mut known = base::HashSet::default();
    groups.retain(|group| known.insert(*group));
    groups
}

/// No group, or `{}` alone, is every stream.
fn selectors(groups: &[&str]) -> Result<Vec<Vec<Matcher>>, HttpError> {
    if let [only] = groups
        && only.split_ascii_whitespace().collect::<String>() == "{}"
    {
        return Ok(Vec::new());
    }
    groups.iter().map(|group| selector(group)).collect()
}
