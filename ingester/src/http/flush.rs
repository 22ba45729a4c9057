//! `GET|POST /flush`: starts a flush of everything and answers at once, as Loki does.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use crate::Ingester;

pub(super) async fn flush(State(ingester): State<Arc<Ingester>>) -> StatusCode {
    ingester.start_flush();
    StatusCode::NO_CONTENT
}
