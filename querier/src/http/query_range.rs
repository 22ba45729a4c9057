//! `/loki/api/v1/query_range`: log queries, and metric queries at many instants.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base::{TenantId, UnixNanos};
use http::HeaderMap;
use logql::plan::{Params, Plan};
use logql::syntax::{Expr, parse};
use rpc::http::{Form, HttpError, Tenants};

use super::encode::{self, EncodingFlags};
use super::params::RangeQuery;
use super::respond::ok;
use super::telemetry::Watch;
use super::{one_tenant, refuse};
use crate::checks::{Checks, selects_internal_streams};
use crate::querier::{Evaluated, Planned, Querier, workable};

/// Asks for entries with the origin of their labels.
const FLAGS_HEADER: &str = "x-loki-response-encoding-flags";

pub(super) async fn query(
    State(querier): State<Arc<Querier>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let tenant = one_tenant(tenants)?;
    let header = headers.get(FLAGS_HEADER).and_then(|value| value.to_str().ok());
    let flags = EncodingFlags::parse(header.unwrap_or(""));
    let mut watch = Watch::new(&querier, &tenant, &headers, "metric");
    let result = evaluate(&querier, &tenant, &form, flags.categorize(), &mut watch).await;
    let evaluated = watch.finish(result)?;
    ok(&querier, &headers, move || encode::answer(&evaluated, &flags)).await
}

async fn evaluate(
    querier: &Querier,
    tenant: &TenantId,
    form: &Form,
    categorize: bool,
    watch: &mut Watch,
) -> Result<Evaluated, HttpError> {
    watch.text(form.value("query"));
    let asked = RangeQuery::parse(form, querier.clock().now()).map_err(refuse)?;
    let expr = parse(&asked.query).map_err(refuse)?;
    watch.range(&expr, &asked);
    run(querier, tenant, &expr, asked, categorize).await
}

/// Checks, plans and evaluates a parsed range query.
pub(super) async fn run(
    querier: &Querier,
    tenant: &TenantId,
    expr: &Expr,
    asked: RangeQuery,
    categorize: bool,
) -> Result<Evaluated, HttpError> {
    let checks = Checks { limits: querier.limits(), tenant, now: querier.clock().now() };
    let mut asked = asked;
    checks.range(expr, &mut asked).map_err(refuse)?;
    let log = matches!(expr, Expr::Log(_));
    let params = Params {
        start: workable(asked.start),
        end: workable(if log { log_end(&asked) } else { asked.end }),
        step_ns: asked.step_ns,
        interval_ns: asked.interval_ns,
        limit: asked.limit,
        direction: asked.direction,
        max_series: querier.limits().max_query_series(tenant),
        max_memory_bytes: querier.config.max_query_memory_bytes,
        categorize,
    };
    let plan = Plan::new(expr, &params).map_err(refuse)?;
    let direction = asked.direction;
    let planned = Planned { tenant: tenant.clone(), plan: Arc::new(plan), direction };
    if selects_internal_streams(expr) {
        return planned.nothing().map_err(refuse);
    }
    querier.evaluate(planned).await.map_err(refuse)
}

/// Log queries end before `end`; an empty range is that one instant (limits_and_direction/062).
fn log_end(asked: &RangeQuery) -> UnixNanos {
    if asked.start == asked.end { UnixNanos(asked.end.0.saturating_add(1)) } else { asked.end }
}
