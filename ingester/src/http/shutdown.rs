//! `/ingester/shutdown` and `/ingester/prepare_shutdown`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use rpc::http::form::Form;

use crate::{Error, Ingester};

/// What an ingester says that has been asked to end.
pub(super) const STOPPED: &str = "Ingester is stopping or already stopped.";

/// `GET|POST /ingester/shutdown?flush=true&delete_ring_tokens=false&terminate=true`. Tokens are on
/// no disk yet, so there is nothing to delete.
pub(super) async fn shutdown(
    State(ingester): State<Arc<Ingester>>,
    RawQuery(query): RawQuery,
) -> Response {
    let Ok(form) = Form::parse(query.as_deref().unwrap_or_default(), b"") else {
        return (StatusCode::BAD_REQUEST, "the query string cannot be read\n").into_response();
    };
    let flag = |name| form.get(name).is_none_or(|value| value != "false");
    let (flush, terminate) = (flag("flush"), flag("terminate"));
    if ingester.shut_down(flush, terminate).await {
        StatusCode::NO_CONTENT.into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{STOPPED}\n")).into_response()
    }
}

/// `GET /ingester/prepare_shutdown`: `set` or `unset`.
pub(super) async fn prepared(State(ingester): State<Arc<Ingester>>) -> Response {
    if !ingester.marker.is_configured() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let text = if ingester.marker.is_set() { "set" } else { "unset" };
    text.into_response()
}

/// `POST /ingester/prepare_shutdown`: the next shutdown flushes.
pub(super) async fn prepare(State(ingester): State<Arc<Ingester>>) -> Response {
    answer(&ingester, ingester.marker.set())
}

/// `DELETE /ingester/prepare_shutdown`: as if it had not been prepared.
pub(super) async fn cancel_preparation(State(ingester): State<Arc<Ingester>>) -> Response {
    answer(&ingester, ingester.marker.unset())
}

fn answer(ingester: &Ingester, changed: Result<(), Error>) -> Response {
    match changed {
        _ if !ingester.marker.is_configured() => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            tracing::error!(%error, "prepare shutdown");
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}
