//! `/loki/api/v1/query`: a metric query at one instant.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use logql::syntax::parse;
use rpc::http::{Form, HttpError, Tenants};

use super::encode::{AnswerBody, EncodingFlags};
use super::params::InstantQuery;
use super::refuse;
use super::respond::{check_accept, send};
use super::telemetry::{Watch, tags};
use crate::frontend::Frontend;
use crate::query::{Asked, Evaluated, Query};

pub(super) async fn query(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    check_accept(&headers)?;
    let mut watch = Watch::new(&frontend, &tenants, &headers, "metric");
    let result = evaluate(&frontend, &tenants, &form, tags(&headers), &mut watch).await;
    let evaluated = watch.finish(result)?;
    let flags = EncodingFlags::default();
    send(&frontend, &headers, AnswerBody::new(evaluated, flags)).await
}

async fn evaluate(
    frontend: &Frontend,
    tenants: &Tenants,
    form: &Form,
    tags: String,
    watch: &mut Watch,
) -> Result<Evaluated, HttpError> {
    watch.text(form.value("query"));
    let now = frontend.clock().now();
    let asked = InstantQuery::parse(form, now).map_err(refuse)?;
    let expr = parse(&asked.query).map_err(refuse)?;
    watch.instant(&expr, &asked);
    let (tenants, asked) = (tenants.clone(), Asked::Instant(asked));
    let query = Query { tenants, expr, asked, tags, categorize: false };
    frontend.evaluate(query).await.map_err(refuse)
}
