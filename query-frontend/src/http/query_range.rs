//! `/loki/api/v1/query_range`: log queries, and metric queries at many instants.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use logql::syntax::parse;
use rpc::http::{Form, HttpError, Tenants};

use super::encode::{AnswerBody, EncodingFlags};
use super::params::RangeQuery;
use super::refuse;
use super::respond::{check_accept, send};
use super::telemetry::{Watch, tags};
use crate::frontend::Frontend;
use crate::query::{Asked, Evaluated, Query};

/// Asks for entries with the origin of their labels.
pub(super) const FLAGS_HEADER: &str = "x-loki-response-encoding-flags";

pub(super) async fn query(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    check_accept(&headers)?;
    let header = headers.get(FLAGS_HEADER).and_then(|value| value.to_str().ok());
    let flags = EncodingFlags::parse(header.unwrap_or(""));
    let mut watch = Watch::new(&frontend, &tenants, &headers, "metric");
    let asker = Asker { tenants: &tenants, tags: tags(&headers), categorize: flags.categorize() };
    let result = evaluate(&frontend, asker, &form, &mut watch).await;
    let evaluated = watch.finish(result)?;
    send(&frontend, &headers, AnswerBody::new(evaluated, flags)).await
}

/// Who asks, and how he wants it.
struct Asker<'a> {
    tenants: &'a Tenants,
    tags: String,
    categorize: bool,
}

async fn evaluate(
    frontend: &Frontend,
    asker: Asker<'_>,
    form: &Form,
    watch: &mut Watch,
) -> Result<Evaluated, HttpError> {
    watch.text(form.value("query"));
    let asked = RangeQuery::parse(form, frontend.clock().now()).map_err(refuse)?;
    let expr = parse(&asked.query).map_err(refuse)?;
    watch.range(&expr, &asked);
    let Asker { tenants, tags, categorize } = asker;
    let (tenants, asked) = (tenants.clone(), Asked::Range(asked));
    frontend.evaluate(Query { tenants, expr, asked, tags, categorize }).await.map_err(refuse)
}
