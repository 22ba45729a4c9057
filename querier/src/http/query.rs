//! `/loki/api/v1/query`: a metric query at one instant.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base::TenantId;
use http::HeaderMap;
use logql::plan::{Params, Plan};
use logql::syntax::parse;
use rpc::http::{Form, HttpError, Tenants};

use super::encode::{self, EncodingFlags};
use super::params::InstantQuery;
use super::respond::ok;
use super::telemetry::Watch;
use super::{one_tenant, refuse};
use crate::checks::{Checks, selects_internal_streams};
use crate::querier::{Evaluated, Planned, Querier, workable};

pub(super) async fn query(
    State(querier): State<Arc<Querier>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let tenant = one_tenant(tenants)?;
    let mut watch = Watch::new(&querier, &tenant, &headers, "metric");
    let result = evaluate(&querier, &tenant, &form, &mut watch).await;
    let evaluated = watch.finish(result)?;
    let flags = EncodingFlags::default();
    ok(&querier, &headers, move || encode::answer(&evaluated, &flags)).await
}

async fn evaluate(
    querier: &Querier,
    tenant: &TenantId,
    form: &Form,
    watch: &mut Watch,
) -> Result<Evaluated, HttpError> {
    watch.text(form.value("query"));
    let now = querier.clock().now();
    let asked = InstantQuery::parse(form, now).map_err(refuse)?;
    let expr = parse(&asked.query).map_err(refuse)?;
    watch.instant(&expr, &asked);
    let checks = Checks { limits: querier.limits(), tenant, now };
    checks.instant(&expr, asked.time).map_err(refuse)?;
    let params = Params {
        start: workable(asked.time),
        end: workable(asked.time),
        step_ns: 0,
        interval_ns: 0,
        limit: asked.limit,
        direction: asked.direction,
        max_series: querier.limits().max_query_series(tenant),
        max_memory_bytes: querier.config.max_query_memory_bytes,
        categorize: false,
    };
    let plan = Plan::new(&expr, &params).map_err(refuse)?;
    let planned =
        Planned { tenant: tenant.clone(), plan: Arc::new(plan), direction: asked.direction };
    if selects_internal_streams(&expr) {
        return planned.nothing().map_err(refuse);
    }
    querier.evaluate(planned).await.map_err(refuse)
}
