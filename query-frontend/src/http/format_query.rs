//! `/loki/api/v1/format_query`: a query in its canonical layout. Needs no tenant.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use logql::syntax;
use rpc::http::Form;

use super::json;

/// `/format_query`. Errors are JSON here, unlike everywhere else.
pub(super) async fn format_query(form: Form) -> Response {
    let query = form.value("query");
    let (status, word, name, text) = match syntax::parse(query) {
        Ok(expr) => (StatusCode::OK, "success", "data", syntax::pretty(&expr)),
        Err(error) => (StatusCode::BAD_REQUEST, "invalid-query", "error", error.text),
    };
    let mut body = Vec::with_capacity(text.len() + 64);
    body.extend_from_slice(format!("{{\"status\":\"{word}\",\"{name}\":").as_bytes());
    json::string(&mut body, text.as_bytes());
    body.push(b'}');
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
