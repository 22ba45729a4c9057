//! Label names and values of streams.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use logql::engine::tenants::TENANT;
use logql::syntax::{Matcher, parse_matchers, require_matcher};
use rpc::http::{Form, HttpError, Tenants};
use rpc::querier::Listing;

use super::encode::ListBody;
use super::lists::{self, Which};
use super::respond::send;
use super::telemetry::Watch;
use super::{params, refuse};
use crate::checks::Checks;
use crate::frontend::Frontend;

/// `/labels`: the names.
pub(super) async fn names(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let mut watch = Watch::new(&frontend, &tenants, &headers, "labels");
    watch.text(form.value("query"));
    let result = texts(&frontend, &tenants, &form, Listing::Names).await;
    let list = watch.finish_list(result)?;
    send(&frontend, &headers, ListBody::texts(list)).await
}

/// `/label/{name}/values`: the values of one name.
pub(super) async fn values(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, HttpError> {
    let mut watch = Watch::new(&frontend, &tenants, &headers, "labels");
    watch.text(form.value("query"));
    let result = texts(&frontend, &tenants, &form, Listing::Values(name)).await;
    let list = watch.finish_list(result)?;
    send(&frontend, &headers, ListBody::texts(list)).await
}

async fn texts(
    frontend: &Frontend,
    tenants: &Tenants,
    form: &Form,
    listing: Listing,
) -> Result<Vec<String>, HttpError> {
    let now = frontend.clock().now();
    let (start, end) = params::bounds(form, now).map_err(refuse)?;
    let selectors = match form.value("query") {
        "" => Vec::new(),
        text => vec![selector(text)?],
    };
    let checks = Checks { limits: frontend.limits(), tenants, now };
    let (start, end) = checks.window(start, end).map_err(refuse)?;
    let name_tenants = tenants.multi && listing == Listing::Names;
    if tenants.multi && matches!(&listing, Listing::Values(name) if name == TENANT) {
        return Ok(tenants.ids.iter().map(ToString::to_string).collect());
    }
    let mut texts =
        lists::texts(frontend, Which { tenants, selectors, start, end }, listing).await?;
    if name_tenants && let Err(place) = texts.binary_search_by(|text| text.as_str().cmp(TENANT)) {
        texts.insert(place, TENANT.to_owned());
    }
    Ok(texts)
}

/// A selector without pipeline that does not match everything.
pub(super) fn selector(text: &str) -> Result<Vec<Matcher>, HttpError> {
    let matchers = parse_matchers(text).map_err(refuse)?;
    require_matcher(&matchers).map_err(refuse)?;
    Ok(matchers)
}
