//! `/api/prom/query`: log queries as Loki's first version answered them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use logql::syntax::{Expr, LineFilter, LineOp, LineOperand, Stage, parse};
use rpc::http::{Form, HttpError, Tenants};

use super::encode::AnswerBody;
use super::params::RangeQuery;
use super::refuse;
use super::respond::send;
use super::telemetry::{Watch, tags};
use crate::frontend::Frontend;
use crate::query::{Asked, Evaluated, Query};

/// Loki wraps this error once more than others; clients match the text.
const ONLY_STREAMS: &str =
    "rpc error: code = Code(400) desc = legacy endpoints only support streams result type";

pub(super) async fn query(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let mut watch = Watch::new(&frontend, &tenants, &headers, "limited");
    let result = evaluate(&frontend, &tenants, &form, tags(&headers), &mut watch).await;
    let evaluated = watch.finish(result)?;
    let Some(body) = AnswerBody::legacy(evaluated) else {
        return Err(HttpError::query_with(400, ONLY_STREAMS));
    };
    send(&frontend, &headers, body).await
}

async fn evaluate(
    frontend: &Frontend,
    tenants: &Tenants,
    form: &Form,
    tags: String,
    watch: &mut Watch,
) -> Result<Evaluated, HttpError> {
    watch.text(form.value("query"));
    let asked = RangeQuery::parse(form, frontend.clock().now()).map_err(refuse)?;
    let mut expr = parse(&asked.query).map_err(refuse)?;
    let Expr::Log(log) = &mut expr else {
        return Err(HttpError::query_with(400, ONLY_STREAMS));
    };
    let regexp = form.value("regexp");
    if !regexp.is_empty() {
        let operands = vec![LineOperand::Text(regexp.as_bytes().to_vec())];
        log.stages.push(Stage::LineFilter(LineFilter { op: LineOp::Regex, operands }));
    }
    watch.range(&expr, &asked);
    let (tenants, asked) = (tenants.clone(), Asked::Range(asked));
    let query = Query { tenants, expr, asked, tags, categorize: false };
    frontend.evaluate(query).await.map_err(refuse)
}
