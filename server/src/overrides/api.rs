//! `GET|PUT|DELETE /api/v1/overrides/{tenant}`: a tenant's own limits, held by the ring. One committed
//! entry changes them on every process of the cluster.
//!
//! The body is the block that would stand below the tenant's name in a file of `runtime_config.file`,
//! YAML or JSON; its keys win over the files'. What the leader has imported from its files is shown
//! here, too, and may be replaced, but not deleted. The ETag is the version at which it was put.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State as Extracted};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base::{ErrorKind, TenantId, task};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use ring::{Command, Expect, MAX_OVERRIDE_BYTES, Override, Refusal};
use rpc::http::{HttpError, body};
use serde_json::json;
use tokio::time::timeout;

use super::import;
use super::layers::Layers;
use crate::config::runtime::Block;
use crate::membership::Membership;

/// How long a committed change may take to this process.
const REACH: Duration = Duration::from_secs(5);

/// What the routes work on.
#[derive(Clone)]
pub struct Api {
    /// `None`: this process is in no ring.
    pub ring: Option<Membership>,
    /// Takes what was committed at once, so that whoever put it sees it here.
    pub layers: Arc<Layers>,
}

/// The routes. They need no tenant: an operator names one.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/api/v1/overrides", get(list))
        .route("/api/v1/overrides/{tenant}", get(show).put(put).delete(remove))
        .with_state(api)
}

impl Api {
    fn ring(&self) -> Result<&Membership, HttpError> {
        let nowhere =
            || HttpError::push(ErrorKind::NotFound, "this process is in no ring (ring.join)");
        self.ring.as_ref().ok_or_else(nowhere)
    }

    /// Commits `command`; returns the version at which it counts here, and soon everywhere.
    async fn commit(&self, command: Command) -> Result<u64, HttpError> {
        let ring = self.ring()?;
        let outcome = ring.propose(command).await;
        let outcome = outcome.map_err(|error| HttpError::push(error.kind(), error.to_string()))?;
        let version = outcome.version().map_err(|refusal| refused(&refusal))?;
        let mut states = ring.watch();
        let known = timeout(REACH, states.wait_for(|state| state.version >= version)).await;
        let late = "the change is committed and has not arrived here yet";
        let state = known.map_err(|_| HttpError::push(ErrorKind::Timeout, late))?;
        let layers = self.layers.clone();
        let taken = task::blocking("ring-overrides", move || layers.set_ring(&state)).await;
        taken.map_err(|_| HttpError::push_with(500, "taking the change panicked"))?;
        Ok(version)
    }
}

fn refused(refusal: &Refusal) -> HttpError {
    let status = match refusal {
        Refusal::Version { .. } => 412,
        Refusal::Unknown(_) => 404,
        Refusal::Full(_) => 507,
        _ => 400,
    };
    HttpError::push_with(status, refusal.to_string())
}

async fn list(Extracted(api): Extracted<Api>) -> Result<Response, HttpError> {
    let state = api.ring()?.newest();
    let tenants = state.overrides.iter().map(|(tenant, found)| {
        json!({
            "tenant": tenant.as_str(),
            "version": found.version,
            "bytes": found.bytes.len(),
            "imported": import::is_imported(found),
        })
    });
    let all = json!({ "tenants": tenants.collect::<Vec<serde_json::Value>>() });
    let kind = HeaderValue::from_static("application/json; charset=UTF-8");
    Ok(([(header::CONTENT_TYPE, kind)], all.to_string()).into_response())
}

async fn show(
    Extracted(api): Extracted<Api>,
    Path(tenant): Path<String>,
) -> Result<Response, HttpError> {
    let tenant = id(&tenant)?;
    let state = api.ring()?.newest();
    let Some(found) = state.overrides.get(&tenant) else {
        let text = format!("tenant {} has no overrides in the ring", tenant.as_str());
        return Err(HttpError::push(ErrorKind::NotFound, text));
    };
    let kind = HeaderValue::from_static("application/yaml; charset=utf-8");
    let headers = [(header::CONTENT_TYPE, kind), (header::ETAG, etag(found.version))];
    Ok((headers, found.bytes.clone()).into_response())
}

async fn put(
    Extracted(api): Extracted<Api>,
    Path(tenant): Path<String>,
    request: Request<Body>,
) -> Result<Response, HttpError> {
    let tenant = id(&tenant)?;
    let (parts, body) = request.into_parts();
    let expect = expectation(&api, &tenant, &parts)?;
    let collected = body::collect(&parts, body, MAX_OVERRIDE_BYTES).await;
    let bytes = import::without_mark(collected.map_err(body::BodyError::into_push)?.bytes);
    check(&bytes, &api.layers)?;
    let version = api.commit(Command::PutOverride { tenant, expect, bytes }).await?;
    Ok((StatusCode::NO_CONTENT, [(header::ETAG, etag(version))]).into_response())
}

async fn remove(
    Extracted(api): Extracted<Api>,
    Path(tenant): Path<String>,
    request: Request<Body>,
) -> Result<Response, HttpError> {
    let tenant = id(&tenant)?;
    let (parts, _) = request.into_parts();
    let expect = expectation(&api, &tenant, &parts)?;
    if api.ring()?.newest().overrides.get(&tenant).is_some_and(import::is_imported) {
        let text = "these overrides are what the leader's runtime_config.file says: change it, or \
                    put others";
        return Err(HttpError::push_with(409, text));
    }
    api.commit(Command::DeleteOverride { tenant, expect }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn id(tenant: &str) -> Result<TenantId, HttpError> {
    TenantId::new(tenant).map_err(|error| HttpError::push(ErrorKind::Invalid, error.to_string()))
}

/// What nobody could read later is not put.
fn check(bytes: &Bytes, layers: &Layers) -> Result<(), HttpError> {
    let invalid = |text: String| HttpError::push(ErrorKind::Invalid, text);
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(error.to_string()))?;
    Block::parse(text, layers.base()).map_err(|error| invalid(format!("{error:#}")))?;
    Ok(())
}

/// `If-Match` and `If-None-Match` (RFC 9110, 13.1). `If-Match: *` is whatever stands there now.
fn expectation(api: &Api, tenant: &TenantId, parts: &Parts) -> Result<Expect, HttpError> {
    let state = api.ring()?.newest();
    read_expectation(&parts.headers, state.overrides.get(tenant))
}

fn read_expectation(headers: &HeaderMap, found: Option<&Override>) -> Result<Expect, HttpError> {
    let value = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    let failed = |text: &str| HttpError::push_with(412, text);
    match (value(header::IF_MATCH), value(header::IF_NONE_MATCH)) {
        (None, None) => Ok(Expect::Any),
        (None, Some("*")) => Ok(Expect::Absent),
        (Some("*"), None) => match found {
            Some(found) => Ok(Expect::Version(found.version)),
            None => Err(failed("there are no overrides")),
        },
        (Some(tag), None) => match version(tag) {
            Some(version) => Ok(Expect::Version(version)),
            None => Err(failed("no version has that ETag")),
        },
        _ => {
            let text = "If-Match takes an ETag or *, If-None-Match takes *, and not both";
            Err(HttpError::push(ErrorKind::Invalid, text))
        }
    }
}

/// A strong ETag of ours.
fn version(tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    let is_plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|&version| is_plain && version > 0)
}

fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits are a header's value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(pairs: &[(&'static str, &str)], found: Option<u64>) -> Result<Expect, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        let found = found.map(|version| Override { version, bytes: Bytes::new() });
        read_expectation(&headers, found.as_ref()).map_err(|error| error.status().as_u16())
    }

    #[test]
    fn conditions_are_read_as_http_means_them() {
        assert_eq!(expect(&[], Some(3)), Ok(Expect::Any));
        assert_eq!(expect(&[("if-match", "\"3\"")], None), Ok(Expect::Version(3)));
        assert_eq!(expect(&[("if-match", "*")], Some(4)), Ok(Expect::Version(4)));
        assert_eq!(expect(&[("if-match", "*")], None), Err(412));
        assert_eq!(expect(&[("if-none-match", "*")], None), Ok(Expect::Absent));
        for tag in ["3", "W/\"3\"", "\"x\"", "\"0\"", "\"+3\"", ""] {
            assert_eq!(expect(&[("if-match", tag)], Some(3)), Err(412), "{tag}");
        }
        assert_eq!(expect(&[("if-none-match", "\"3\"")], None), Err(400));
        assert_eq!(expect(&[("if-none-match", "*"), ("if-match", "*")], None), Err(400));
        assert_eq!(version(etag(77).to_str().unwrap()), Some(77));
    }
}
