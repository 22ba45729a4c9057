//! `/loki/api/v1/detected_fields` and the values of one: what the newest lines of a query hold
//! (contract 2.11).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use base::shutdown::Shutdown;
use base::task;
use http::HeaderMap;
use logql::engine::fields::{Field, FieldDetector};
use logql::engine::{Answer, Stream};
use logql::plan::Direction;
use logql::syntax::{Expr, parse_log};
use rpc::http::{Form, HttpError, Tenants};

use super::params::{self, RangeQuery};
use super::respond::ok;
use super::telemetry::{Watch, tags};
use super::{encode, refuse};
use crate::frontend::Frontend;
use crate::limits::OfAll;
use crate::query::{Asked, Query};

/// Lines that are looked at when `line_limit` is not given.
const DEFAULT_LINES: usize = 100;
/// Fields or values that are told when `limit` is not given.
const DEFAULT_LIMIT: usize = 1000;

/// `/detected_fields`.
pub(super) async fn fields(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let mut watch = Watch::new(&frontend, &tenants, &headers, "detected_fields");
    watch.text(form.value("query"));
    let result = async {
        let limit = limit(&form)?;
        let asker = Asker { tenants: &tenants, tags: tags(&headers) };
        let fields = detect(&frontend, asker, &form, FieldDetector::new(limit)).await?;
        Ok((fields, limit))
    };
    let (list, limit) = watch.finish_with(result.await, |(list, _)| list.len())?;
    ok(&frontend, &headers, move || encode::detected_fields(&list, limit)).await
}

/// `/detected_field/{name}/values`.
pub(super) async fn values(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, HttpError> {
    let mut watch = Watch::new(&frontend, &tenants, &headers, "detected_fields");
    watch.text(form.value("query"));
    let result = async {
        let limit = limit(&form)?;
        let asker = Asker { tenants: &tenants, tags: tags(&headers) };
        let fields = detect(&frontend, asker, &form, FieldDetector::only(&name)).await?;
        let mut values = fields.first().map(|field| field.shown_values()).unwrap_or_default();
        values.truncate(limit);
        Ok((values, limit))
    };
    let (list, limit) = watch.finish_with(result.await, |(list, _)| list.len())?;
    ok(&frontend, &headers, move || encode::detected_values(&list, limit)).await
}

/// `limit`, which older clients call `field_limit`.
fn limit(form: &Form) -> Result<usize, HttpError> {
    let name = ["limit", "field_limit"].into_iter().find(|name| !form.value(name).is_empty());
    name.map_or(Ok(DEFAULT_LIMIT), |name| params::count(form.value(name))).map_err(refuse)
}

/// Who asks.
struct Asker<'a> {
    tenants: &'a Tenants,
    tags: String,
}

/// The fields that `detector` gathers, by name. Query and detection together take no longer than
/// `query_timeout`.
async fn detect(
    frontend: &Frontend,
    asker: Asker<'_>,
    form: &Form,
    detector: FieldDetector,
) -> Result<Vec<Field>, HttpError> {
    let mut asked = RangeQuery::parse(form, frontend.clock().now()).map_err(refuse)?;
    asked.limit = match form.value("line_limit") {
        "" => DEFAULT_LINES,
        text => params::count(text).map_err(refuse)?,
    };
    (asked.direction, asked.interval_ns) = (Direction::Backward, 0);
    let expr = Expr::Log(parse_log(&asked.query).map_err(refuse)?);
    let (tenants, tags) = (asker.tenants.clone(), asker.tags);
    let timeout = OfAll { limits: frontend.limits(), tenants: &tenants.ids }.query_timeout();
    let query = Query { tenants, expr, asked: Asked::Range(asked), tags, categorize: true };
    let work = async {
        let evaluated = frontend.evaluate(query).await.map_err(refuse)?;
        match evaluated.answer {
            Answer::Streams(streams) => gather(detector, streams).await,
            _ => Err(HttpError::query_with(500, "a log query was answered with samples")),
        }
    };
    if timeout.is_zero() {
        return work.await;
    }
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(HttpError::query_timeout()))
}

/// Looks through the streams of an answer, as long as the future is waited for.
async fn gather(
    mut detector: FieldDetector,
    streams: Vec<Stream>,
) -> Result<Vec<Field>, HttpError> {
    let stop = Shutdown::new();
    let stopped = stop.clone();
    let _waiting = stop.drop_guard();
    let job = task::blocking("frontend.detect", move || {
        let wanted = streams.iter().take_while(|_| !stopped.is_cancelled());
        wanted.for_each(|stream| detector.add(stream));
        let mut fields = detector.finish();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        fields
    });
    job.await.map_err(|died| HttpError::query_with(500, format!("an answer died: {died}")))
}
