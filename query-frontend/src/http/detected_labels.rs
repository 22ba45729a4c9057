//! `/loki/api/v1/detected_labels`: labels worth to be chosen from (contract 2.10).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base::{HashSet, Labels};
use http::HeaderMap;
use logql::syntax::parse_matchers;
use rpc::http::{Form, HttpError, Tenants};

use super::lists::{self, Which};
use super::respond::ok;
use super::telemetry::Watch;
use super::{encode, numbers, params, refuse};
use crate::checks::Checks;
use crate::frontend::Frontend;

/// Labels that are shown whatever their values are.
const ALWAYS: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// `/detected_labels`.
pub(super) async fn labels(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let mut watch = Watch::new(&frontend, &tenants, &headers, "detected_labels");
    watch.text(form.value("query"));
    let result = detect(&frontend, &tenants, &form).await;
    let list = watch.finish_list(result)?;
    ok(&frontend, &headers, move || encode::detected_labels(&list)).await
}

async fn detect(
    frontend: &Frontend,
    tenants: &Tenants,
    form: &Form,
) -> Result<Vec<(String, usize)>, HttpError> {
    let now = frontend.clock().now();
    let (start, end) = params::bounds(form, now).map_err(refuse)?;
    let matchers = match form.value("query") {
        "" => Vec::new(),
        text => parse_matchers(text).map_err(refuse)?,
    };
    let checks = Checks { limits: frontend.limits(), tenants, now };
    let (start, end) = checks.window(start, end).map_err(refuse)?;
    let selectors = if matchers.is_empty() { Vec::new() } else { vec![matchers] };
    let which = Which { tenants, selectors, start, end };
    let of_each = lists::streams(frontend, which).await?;
    let streams: Vec<Labels> = of_each.into_iter().flat_map(|(_, streams)| streams).collect();
    Ok(detected(&streams))
}

/// Names and their numbers of values, sorted by name.
fn detected(streams: &[Labels]) -> Vec<(String, usize)> {
    let mut values: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for (name, value) in streams.iter().flat_map(Labels::iter) {
        values.entry(name).or_default().insert(value);
    }
    let shown = values.into_iter().filter(|(name, values)| is_shown(name, values));
    shown.map(|(name, values)| (name.to_owned(), values.len())).collect()
}

/// Ids and numbers are nothing to choose from, but for flags.
fn is_shown(name: &str, values: &HashSet<&str>) -> bool {
    let is_flag = || values.len() <= 2 && values.iter().all(|value| matches!(*value, "0" | "1"));
    ALWAYS.contains(&name) || is_flag() || !values.iter().all(|value| is_id(value))
}

fn is_id(value: &str) -> bool {
    numbers::parse_float(value).is_some() || is_uuid(value)
}

/// A UUID as Go's usual library reads it: bare, with hyphens, in braces, or as a URN.
fn is_uuid(value: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let inner = match value.len() {
        32 => return is_hex(value),
        36 => Some(value),
        38 => value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')),
        45 => value
            .split_at_checked(9)
            .filter(|(prefix, _)| prefix.eq_ignore_ascii_case("urn:uuid:"))
            .map(|(_, rest)| rest),
        _ => None,
    };
    inner.is_some_and(|text| {
        let lengths = text.split('-').map(str::len);
        lengths.eq([8, 4, 4, 4, 12]) && text.split('-').all(is_hex)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_ids_and_numbers_are_left_out() {
        let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        for (name, values, want) in [
            ("app", &["a", "b"][..], true),
            ("port", &["80", "8.5e1", "-1"], false),
            ("port", &["80", "http"], true),
            ("id", &[uuid, "12"], false),
            ("id", &["0f8fad5bd9cb469fa16570867728950e"], false),
            ("id", &["{0f8fad5b-d9cb-469f-a165-70867728950e}"], false),
            ("id", &["urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e"], false),
            ("id", &["0f8fad5b-d9cb-469f-a165-70867728950g"], true),
            ("id", &["0f8fad5b-d9cb-469f-a16570867728950e-"], true),
            ("pod", &[uuid], true),
            ("up", &["1"], true),
            ("up", &["0", "1"], true),
            ("up", &["0", "1", "2"], false),
        ] {
            let values: HashSet<&str> = values.iter().copied().collect();
            assert_eq!(is_shown(name, &values), want, "{name} {values:?}");
        }
    }

    #[test]
    fn values_are_counted_once() {
        let streams = [
            Labels::from_pairs([("app", "a"), ("env", "dev")]),
            Labels::from_pairs([("app", "b"), ("env", "dev")]),
            Labels::from_pairs([("app", "a"), ("n", "7")]),
        ];
        assert_eq!(detected(&streams), [("app".to_owned(), 2), ("env".to_owned(), 1)]);
        assert_eq!(detected(&[]), []);
    }
}
