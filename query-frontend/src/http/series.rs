//! `/loki/api/v1/series`: label sets of streams.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base::Labels;
use http::HeaderMap;
use logql::syntax::Matcher;
use rpc::http::{Form, HttpError, Tenants};

use super::encode::ListBody;
use super::labels::selector;
use super::lists::{self, Which};
use super::respond::send;
use super::telemetry::Watch;
use super::{params, refuse};
use crate::checks::Checks;
use crate::frontend::Frontend;

/// `/series`.
pub(super) async fn series(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let mut watch = Watch::new(&frontend, &tenants, &headers, "series");
    let result = streams(&frontend, &tenants, &form, &mut watch).await;
    let list = watch.finish_with(result, |list| list.iter().map(|(_, of)| of.len()).sum())?;
    send(&frontend, &headers, ListBody::series(list)).await
}

/// Streams, of several tenants with whose they are.
async fn streams(
    frontend: &Frontend,
    tenants: &Tenants,
    form: &Form,
    watch: &mut Watch,
) -> Result<Vec<(Option<String>, Vec<Labels>)>, HttpError> {
    let groups = groups(form);
    watch.text(&groups.join(", "));
    let now = frontend.clock().now();
    let (start, end) = params::bounds(form, now).map_err(refuse)?;
    let selectors = selectors(&groups)?;
    let checks = Checks { limits: frontend.limits(), tenants, now };
    let (start, end) = checks.window(start, end).map_err(refuse)?;
    let which = Which { tenants, selectors, start, end };
    let of_tenants = lists::streams(frontend, which).await?.into_iter();
    Ok(of_tenants.map(|(id, of)| (tenants.multi.then(|| id.to_string()), of)).collect())
}

/// Values of `match` and `match[]`, each once, in order.
fn groups(form: &Form) -> Vec<&str> {
    let mut groups: Vec<&str> = form.all("match").chain(form.all("match[]")).collect();
    let mut known = base::HashSet::default();
    groups.retain(|group| known.insert(*group));
    groups
}

/// No group, or `{}` alone, is every stream.
fn selectors(groups: &[&str]) -> Result<Vec<Vec<Matcher>>, HttpError> {
    if let [only] = groups
        && only.split_ascii_whitespace().collect::<String>() == "{}"
    {
        return Ok(Vec::new());
    }
    groups.iter().map(|group| selector(group)).collect()
}
