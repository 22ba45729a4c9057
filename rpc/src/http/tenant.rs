//! Who is asking: `X-Scope-OrgID`, and what stands in for it when authentication is off.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use base::tenant::TenantIdError;
use base::{ErrorKind, TenantId};
use http::request::Parts;

use super::error::HttpError;

/// The header that names the tenant.
pub const HEADER: &str = "x-scope-orgid";
/// The longest `:key=value` suffix of an id; it is cut off, as Loki does.
const MAX_METADATA_BYTES: usize = 64;

/// How requests are mapped to tenants; a request extension set by [`super::Edge::wrap`].
#[derive(Clone, Debug)]
pub struct TenantPolicy {
    /// Whether the header counts. Off: it is ignored and everybody is `no_auth_tenant`.
    pub auth_enabled: bool,
    /// The tenant while authentication is off (Loki: `fake`).
    pub no_auth_tenant: TenantId,
    /// Whether query routes take `a|b`.
    pub multi_tenant_queries: bool,
}

/// The one tenant of the request. For every route that is not a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant(pub TenantId);

/// The tenants of a query: sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenants {
    /// Never empty.
    pub ids: Vec<TenantId>,
    /// Whether the header named several, so that results carry `__tenant_id__`. True for `a|` too
    /// (the empty id is a tenant without data), although `ids` then has one entry.
    pub multi: bool,
}

impl Tenants {
    /// One tenant.
    pub fn one(id: TenantId) -> Tenants {
        Tenants { ids: vec![id], multi: false }
    }

    /// `a|b`: how logs and metrics call them.
    pub fn name(&self) -> String {
        self.ids.iter().map(TenantId::as_str).collect::<Vec<&str>>().join("|")
    }
}

impl TenantPolicy {
    /// Parses the header's value for a route that takes one tenant; `a|a` is `a`.
    pub fn single(&self, header: Option<&str>) -> Result<TenantId, HttpError> {
        let mut tenants = self.parse(header)?;
        if tenants.multi {
            return Err(HttpError::push(ErrorKind::Invalid, "multiple org IDs present"));
        }
        Ok(tenants.ids.remove(0))
    }

    /// Parses the header's value for a query route.
    pub fn several(&self, header: Option<&str>) -> Result<Tenants, HttpError> {
        if self.multi_tenant_queries {
            return self.parse(header);
        }
        Ok(Tenants { ids: vec![self.single(header)?], multi: false })
    }

    fn parse(&self, header: Option<&str>) -> Result<Tenants, HttpError> {
        if !self.auth_enabled {
            return Ok(Tenants { ids: vec![self.no_auth_tenant.clone()], multi: false });
        }
        let Some(header) = header.filter(|value| !value.is_empty()) else {
            return Err(HttpError::push_with(401, TenantIdError::Empty.to_string()));
        };
        let mut texts: Vec<&str> = header.split('|').map(without_metadata).collect();
        texts.sort_unstable();
        texts.dedup();
        let mut ids = Vec::with_capacity(texts.len());
        for text in &texts {
            match TenantId::new(text) {
                Ok(id) => ids.push(id),
                // Loki lets an empty id through; it is a tenant that can have no data.
                Err(TenantIdError::Empty) => {}
                Err(error) => return Err(HttpError::push(ErrorKind::Invalid, error.to_string())),
            }
        }
        if ids.is_empty() {
            let text = "no queue found: empty tenant is not allowed";
            return Err(HttpError::query(ErrorKind::Internal, text));
        }
        Ok(Tenants { ids, multi: texts.len() > 1 })
    }
}

/// `id:key=value` is `id`, when the suffix is short enough to be metadata.
fn without_metadata(text: &str) -> &str {
    match text.split_once(':') {
        Some((id, metadata)) if metadata.len() <= MAX_METADATA_BYTES => id,
        _ => text,
    }
}

fn policy_and_header(parts: &Parts) -> Result<(Arc<TenantPolicy>, Option<&str>), HttpError> {
    let Some(policy) = parts.extensions.get::<Arc<TenantPolicy>>() else {
        return Err(HttpError::query(ErrorKind::Internal, "the route has no tenant policy"));
    };
    let header = match parts.headers.get(HEADER) {
        None => None,
        Some(value) => match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Some(text),
            Err(_) => {
                let id = String::from_utf8_lossy(value.as_bytes()).into_owned();
                let error = TenantIdError::Unsupported { id, found: '\u{fffd}' };
                return Err(HttpError::push(ErrorKind::Invalid, error.to_string()));
            }
        },
    };
    Ok((policy.clone(), header))
}

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Tenant, HttpError> {
        let (policy, header) = policy_and_header(parts)?;
        policy.single(header).map(Tenant)
    }
}

/// For routes that serve anyone but log who asked.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Tenant {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Tenant>, Infallible> {
        let Ok((policy, header)) = policy_and_header(parts) else { return Ok(None) };
        Ok(policy.single(header).ok().map(Tenant))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Tenants {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Tenants, HttpError> {
        let (policy, header) = policy_and_header(parts)?;
        policy.several(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(auth_enabled: bool, multi: bool) -> TenantPolicy {
        let no_auth_tenant = TenantId::new("fake").unwrap();
        TenantPolicy { auth_enabled, no_auth_tenant, multi_tenant_queries: multi }
    }

    fn refused(answer: Result<TenantId, HttpError>) -> (u16, String) {
        let error = answer.unwrap_err();
        (error.status().as_u16(), error.text().to_owned())
    }

    #[test]
    fn the_header_is_ignored_while_authentication_is_off() {
        for header in [None, Some(""), Some("acme"), Some("a|b"), Some("/")] {
            assert_eq!(policy(false, true).single(header).unwrap().as_str(), "fake");
        }
    }

    #[test]
    fn one_tenant_is_required_where_only_one_is_served() {
        let policy = policy(true, true);
        for header in ["acme", "acme|acme", "acme:shard=1", "acme:a=b|acme:c=d"] {
            assert_eq!(policy.single(Some(header)).unwrap().as_str(), "acme", "{header}");
        }
        assert_eq!(refused(policy.single(None)), (401, "no org id".to_owned()));
        assert_eq!(refused(policy.single(Some(""))), (401, "no org id".to_owned()));
        let several = (400, "multiple org IDs present".to_owned());
        assert_eq!(refused(policy.single(Some("a|b"))), several);
        assert_eq!(refused(policy.single(Some("a|"))), several);
        let text = "tenant ID 'a/b' contains unsupported character '/'";
        assert_eq!(refused(policy.single(Some("a/b"))), (400, text.to_owned()));
        let dots = "tenant ID is '.' or '..'";
        assert_eq!(refused(policy.single(Some(".."))), (400, dots.to_owned()));
        let long = "x".repeat(151);
        let text = "tenant ID is too long: max 150 characters";
        assert_eq!(refused(policy.single(Some(&long))), (400, text.to_owned()));
        let metadata = format!("acme:{}", "m".repeat(65));
        assert_eq!(refused(policy.single(Some(&metadata))).0, 400);
    }

    #[test]
    fn a_query_may_name_several_tenants_when_allowed() {
        let names = |header| {
            let tenants = policy(true, true).several(Some(header)).unwrap();
            let ids: Vec<String> = tenants.ids.iter().map(|id| id.to_string()).collect();
            (ids.join(","), tenants.multi)
        };
        assert_eq!(names("b|a|b"), ("a,b".to_owned(), true));
        assert_eq!(names("a|a"), ("a".to_owned(), false));
        assert_eq!(names("a|"), ("a".to_owned(), true));
        let empty = policy(true, true).several(Some("|")).unwrap_err();
        assert_eq!(empty.status(), 500);
        let off = policy(true, false).several(Some("a|b")).unwrap_err();
        assert_eq!((off.status().as_u16(), off.text()), (400, "multiple org IDs present"));
    }
}
