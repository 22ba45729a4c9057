//! Routes that say how the process is: they need no tenant and no running service.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use rpc::http::{Form, Readiness};
use serde_json::json;

use crate::config::Config;
use crate::modules::{Board, State as ModuleState};
use crate::telemetry::LogLevel;
use crate::telemetry::metrics::Exporter;
use crate::version;

/// What the routes show.
#[derive(Clone)]
pub struct Operational {
    /// `/config`
    pub config: Arc<Config>,
    /// `/ready`
    pub readiness: Readiness,
    /// `/services`
    pub board: Board,
    /// `/metrics`
    pub exporter: Exporter,
    /// `/log_level`
    pub log_level: LogLevel,
}

/// The router, without any layer.
pub fn router(operational: Operational) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/services", get(services))
        .route("/log_level", get(log_level).post(set_log_level))
        .route("/loki/api/v1/status/buildinfo", get(buildinfo))
        .with_state(Arc::new(operational))
}

async fn ready(State(this): State<Arc<Operational>>) -> Response {
    this.readiness.answer()
}

async fn metrics(State(this): State<Arc<Operational>>) -> Response {
    let prometheus = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, prometheus)], this.exporter.render()).into_response()
}

async fn config(State(this): State<Arc<Operational>>, form: Form) -> Response {
    match form.value("mode") {
        "defaults" => plain(Config::dump_defaults()),
        "diff" | "diffs" => plain(this.config.dump_difference()),
        _ => plain(this.config.dump()),
    }
}

async fn services(State(this): State<Arc<Operational>>) -> Response {
    let line = |(name, state): (&str, ModuleState)| {
        let state = match state {
            ModuleState::Starting => "Starting",
            ModuleState::Running => "Running",
            ModuleState::Stopping => "Stopping",
            ModuleState::Terminated => "Terminated",
        };
        format!("{name} => {state}\n")
    };
    plain(this.board.list().into_iter().map(line).collect())
}

async fn log_level(State(this): State<Arc<Operational>>) -> Response {
    let message = format!("Current log level is {}", this.log_level.name());
    json(StatusCode::OK, &json!({ "message": message }))
}

async fn set_log_level(State(this): State<Arc<Operational>>, form: Form) -> Response {
    let name = form.value("log_level").to_ascii_lowercase();
    if this.log_level.set(&name) {
        let message = format!("Log level set to {name}");
        return json(StatusCode::OK, &json!({ "status": "success", "message": message }));
    }
    let message = format!("unrecognized level: {name}");
    json(StatusCode::BAD_REQUEST, &json!({ "status": "failed", "message": message }))
}

async fn buildinfo() -> Response {
    let info = json!({
        "version": version::VERSION,
        "revision": version::REVISION,
        "branch": version::BRANCH,
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    });
    json(StatusCode::OK, &info)
}

fn plain(text: String) -> Response {
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(header::CONTENT_TYPE, plain)], text).into_response()
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    let json = HeaderValue::from_static("application/json; charset=UTF-8");
    (status, [(header::CONTENT_TYPE, json)], value.to_string()).into_response()
}
