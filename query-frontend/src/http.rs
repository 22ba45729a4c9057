//! The query routes. Each file is one resource: parameters in, Loki's JSON out.
//!
//! Handlers take [`rpc::http::Form`] and [`rpc::http::Tenants`]; errors are plain text as Loki
//! writes them. A handler that is dropped (the client is gone) cancels its query.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use logql::plan::QueryError;
use logql::syntax::ParseError;
use rpc::http::HttpError;
use rpc::querier::QuerierError;

use crate::checks::Refusal;
use crate::error::Error;
use crate::frontend::Frontend;
use params::ParamError;

mod chunks;
mod detected_fields;
mod detected_labels;
pub mod encode;
mod format_query;
pub mod index_shards;
pub mod index_stats;
pub mod json;
mod labels;
mod legacy;
mod lists;
pub mod numbers;
pub mod params;
mod patterns;
mod query;
mod query_range;
mod respond;
mod rules;
mod series;
mod tail;
mod telemetry;
mod volume;

/// The query routes, GET and POST.
pub fn router(frontend: Arc<Frontend>) -> Router {
    let labels = || get(labels::names).post(labels::names);
    let values = || get(labels::values).post(labels::values);
    let format = get(format_query::format_query).post(format_query::format_query);
    let series = || get(series::series).post(series::series);
    let detected = || get(detected_labels::labels).post(detected_labels::labels);
    let fields = || get(detected_fields::fields).post(detected_fields::fields);
    let field_values = || get(detected_fields::values).post(detected_fields::values);
    Router::new()
        .route("/loki/api/v1/query", get(query::query).post(query::query))
        .route("/loki/api/v1/query_range", get(query_range::query).post(query_range::query))
        .route("/loki/api/v1/labels", labels())
        .route("/loki/api/v1/label", labels())
        .route("/loki/api/v1/label/{name}/values", values())
        .route("/loki/api/v1/series", series())
        .route("/loki/api/v1/index/stats", get(index_stats::stats).post(index_stats::stats))
        .route("/loki/api/v1/index/shards", get(index_shards::shards).post(index_shards::shards))
        .route("/loki/api/v1/index/volume", get(volume::instant).post(volume::instant))
        .route("/loki/api/v1/index/volume_range", get(volume::range).post(volume::range))
        .route("/loki/api/v1/detected_labels", detected())
        .route("/loki/api/v1/detected_fields", fields())
        .route("/loki/api/v1/detected_field/{name}/values", field_values())
        .route("/loki/api/v1/patterns", get(patterns::patterns).post(patterns::patterns))
        .route("/loki/api/v1/format_query", format)
        .route("/api/prom/query", get(legacy::query).post(legacy::query))
        .route("/api/prom/label", labels())
        .route("/api/prom/label/{name}/values", values())
        .route("/api/prom/series", series())
        .route("/loki/api/v1/tail", get(tail::tail))
        .route("/api/prom/tail", get(tail::tail))
        .merge(rules::router())
        .with_state(frontend)
}

fn refuse(error: impl Into<EdgeError>) -> HttpError {
    let EdgeError(error) = error.into();
    error
}

/// Anything that ends a request, as it leaves the process.
struct EdgeError(HttpError);

impl From<ParamError> for EdgeError {
    fn from(error: ParamError) -> EdgeError {
        EdgeError(HttpError::query_with(400, error.0))
    }
}

impl From<ParseError> for EdgeError {
    fn from(error: ParseError) -> EdgeError {
        EdgeError(HttpError::query_with(400, error.text))
    }
}

impl From<Refusal> for EdgeError {
    fn from(error: Refusal) -> EdgeError {
        EdgeError(HttpError::query_with(400, error.0))
    }
}

impl From<QueryError> for EdgeError {
    fn from(error: QueryError) -> EdgeError {
        let status = match &error {
            QueryError::Invalid(_) | QueryError::Limited(_) => 400,
            QueryError::Unsupported(_) => 501,
            QueryError::Internal(_) => 500,
        };
        EdgeError(HttpError::query_with(status, error.to_string()))
    }
}

impl From<Error> for EdgeError {
    fn from(error: Error) -> EdgeError {
        match error {
            Error::Query(error) => error.into(),
            Error::Timeout => EdgeError(HttpError::query_timeout()),
            Error::Querier(QuerierError::Cancelled) => EdgeError(HttpError::query_cancelled()),
            other => EdgeError(HttpError::query(other.kind(), other.to_string())),
        }
    }
}

#[cfg(test)]
mod costs;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
