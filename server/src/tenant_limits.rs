//! Routes that show a tenant its limits: `/config/tenant/v1/limits` and what Logs Drilldown asks.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::{HeaderValue, header};
use rpc::http::{HttpError, Tenant};
use serde_json::{Value, json};

use crate::config::node::{Kind, Node};
use crate::config::{self, reference};
use crate::limits::ConfigLimits;
use crate::version;

/// Limits that are published to Logs Drilldown, as Loki does unless told otherwise.
const PUBLISHED: [&str; 18] = [
    "discover_log_levels",
    "discover_service_name",
    "log_level_fields",
    "max_entries_limit_per_query",
    "max_line_size_truncate",
    "max_query_bytes_read",
    "max_query_length",
    "max_query_lookback",
    "max_query_range",
    "max_query_series",
    "metric_aggregation_enabled",
    "otlp_config",
    "pattern_persistence_enabled",
    "query_timeout",
    "retention_period",
    "retention_stream",
    "volume_enabled",
    "volume_max_series",
];

/// Whether patterns are told.
#[derive(Clone, Copy)]
struct Patterns(bool);

/// Both routes; they need a tenant. `patterns`: whether patterns are told.
pub fn router(limits: Arc<ConfigLimits>, patterns: bool) -> Router {
    Router::new()
        .route("/config/tenant/v1/limits", get(yaml))
        .route("/loki/api/v1/drilldown-limits", get(drilldown))
        .with_state(limits)
        .layer(Extension(Patterns(patterns)))
}

async fn yaml(State(limits): State<Arc<ConfigLimits>>, Tenant(tenant): Tenant) -> Response {
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    let text = config::dump(&limits.tenant(&tenant).config);
    ([(header::CONTENT_TYPE, plain)], text).into_response()
}

async fn drilldown(
    State(limits): State<Arc<ConfigLimits>>,
    Extension(Patterns(patterns)): Extension<Patterns>,
    tenant: Result<Tenant, HttpError>,
) -> Result<Response, HttpError> {
    // Whatever is wrong with the tenant is 401 here.
    let Tenant(tenant) = tenant.map_err(|error| HttpError::push_with(401, error.text()))?;
    let dump = config::dump(&limits.tenant(&tenant).config);
    let node = Node::parse(&dump).map_err(|fault| {
        HttpError::query(base::ErrorKind::Internal, format!("limits do not read back: {fault}"))
    })?;
    let all = value(&node, "limits_config");
    let published: serde_json::Map<String, Value> =
        PUBLISHED.iter().map(|name| ((*name).to_owned(), all[name].clone())).collect();
    let body = json!({
        "limits": published,
        "pattern_ingester_enabled": patterns,
        "version": version::VERSION,
    });
    let kind = HeaderValue::from_static("application/json; charset=UTF-8");
    Ok(([(header::CONTENT_TYPE, kind)], body.to_string()).into_response())
}

/// As JSON: switches and numbers as such, everything else as text.
fn value(node: &Node, path: &str) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::List(items) => items.iter().map(|item| value(item, &format!("{path}[]"))).collect(),
        Kind::Map(pairs) => {
            let pair = |(key, node): &(config::node::Key, Node)| {
                (key.name.clone(), value(node, &format!("{path}.{}", key.name)))
            };
            Value::Object(pairs.iter().map(pair).collect())
        }
        Kind::Scalar(text) => match reference::key(path).map(|key| key.kind) {
            Some("switch") => Value::Bool(text == "true"),
            Some("number") => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            _ => json!(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use base::TenantId;
    use rpc::http::TenantPolicy;
    use tower::ServiceExt;

    use super::*;
    use crate::config::{Config, Source, load, runtime};

    async fn ask(route: &str, tenant: Option<&str>) -> (u16, String) {
        let mut config = Config::load(&Source::default()).unwrap();
        config.raw.limits_config.max_query_series = 9;
        let limits = Arc::new(ConfigLimits::new(&config));
        let text = "overrides: {a: {max_query_series: 7, query_timeout: 5s}}".to_owned();
        let files = [(std::path::PathBuf::from("o"), text)];
        limits.replace(runtime::parse(&files, limits.base()).unwrap());
        let policy = TenantPolicy {
            auth_enabled: true,
            no_auth_tenant: TenantId::new("fake").unwrap(),
            multi_tenant_queries: true,
        };
        let mut request = http::Request::get(route);
        if let Some(tenant) = tenant {
            request = request.header("X-Scope-OrgID", tenant);
        }
        let router = router(limits, true).layer(Extension(Arc::new(policy)));
        let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_tenant_sees_its_own_limits_as_yaml() {
        for (tenant, series) in [("a", 7), ("b", 9)] {
            let (status, text) = ask("/config/tenant/v1/limits", Some(tenant)).await;
            assert_eq!(status, 200);
            let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
            let loaded = load::from_text(&format!("limits_config:\n{indented}")).unwrap();
            assert_eq!(loaded.raw.limits_config.max_query_series, series);
        }
        let (status, text) = ask("/config/tenant/v1/limits", None).await;
        assert_eq!((status, text.trim()), (401, "no org id"));
        assert_eq!(ask("/config/tenant/v1/limits", Some("a|b")).await.0, 400);
    }

    #[tokio::test]
    async fn drilldown_sees_the_published_limits_as_json() {
        let (status, text) = ask("/loki/api/v1/drilldown-limits", Some("a")).await;
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_str(&text).unwrap();
        let limits = &answer["limits"];
        assert_eq!(limits.as_object().unwrap().len(), PUBLISHED.len());
        assert_eq!(limits["max_query_series"], 7);
        assert_eq!(limits["query_timeout"], "5s");
        assert_eq!(limits["discover_log_levels"], true);
        assert_eq!(limits["log_level_fields"][0], "level");
        assert_eq!(answer["pattern_ingester_enabled"], true);
        for tenant in [None, Some("a|b")] {
            assert_eq!(ask("/loki/api/v1/drilldown-limits", tenant).await.0, 401);
        }
    }
}
