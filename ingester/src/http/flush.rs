//! `GET|POST /flush`: starts a flush of everything and answers at once, as Loki does.
//! `POST /flush/tenant?streams={..}`: flushes rows of the tenant, and answers when they are a part.

use std::sync::Arc;

use axum::extract::State;
use base::ErrorKind;
use http::StatusCode;
use logql::plan::Leaf;
use logql::syntax::parse_matchers;
use rpc::http::{Form, HttpError, Tenant};

use super::shutdown::STOPPED;
use crate::Ingester;

pub(super) async fn flush(State(ingester): State<Arc<Ingester>>) -> StatusCode {
    ingester.start_flush();
    StatusCode::NO_CONTENT
}

/// Rows are flushed by the day: with those of selected streams the others of their days.
pub(super) async fn tenant(
    State(ingester): State<Arc<Ingester>>,
    Tenant(tenant): Tenant,
    form: Form,
) -> Result<StatusCode, HttpError> {
    let selector = match form.value("streams") {
        "" => None,
        text => Some(selector(text).map_err(|why| HttpError::push(ErrorKind::Invalid, why))?),
    };
    if ingester.is_stopping() {
        return Err(HttpError::push_with(503, STOPPED));
    }
    let flushed = match selector {
        None => ingester.flush_tenant(&tenant).await,
        Some(selector) => ingester.flush_streams(&tenant, &selector).await,
    };
    match flushed {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(HttpError::push(error.kind(), error.to_string())),
    }
}

fn selector(text: &str) -> Result<Arc<Leaf>, String> {
    let matchers = parse_matchers(text).map_err(|error| error.text)?;
    Leaf::of_selector(&matchers).map_err(|error| error.to_string())
}
