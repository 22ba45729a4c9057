//! Which tenants a query reads. Matchers on `__tenant_id__` choose among those of the request, selector
//! by selector. Then they are taken out of it, for no stored stream has such a label to be matched. But
//! selectors of metric queries keep them, as Loki's do: there only those that match a missing label
//! (`!=`, `!~`) find anything (recorded: multi_tenant/051).

use base::{Labels, TenantId};
use logql::engine::tenants::TENANT;
use logql::plan::{Leaf, QueryError};
use logql::syntax::{Expr, Matcher};
use rpc::http::Tenants;

use crate::checks::each_range;

/// Whose rows each selector of `expr` reads, left to right, which is the order of the leaves of its
/// plan. Takes the matchers on tenants out of a log query.
pub fn owners(expr: &mut Expr, tenants: &Tenants) -> Result<Vec<Vec<TenantId>>, QueryError> {
    let mut owners = Vec::new();
    match expr {
        Expr::Log(log) => owners.push(choose(&mut log.matchers, tenants)?),
        Expr::Metric(metric) => each_range(metric, &mut |range| {
            owners.push(choose(&mut range.log.matchers.clone(), tenants)?);
            Ok::<(), QueryError>(())
        })?,
    }
    Ok(owners)
}

/// A tenant and its selectors: any of them must match, none = all streams.
pub type Owned = (TenantId, Vec<Vec<Matcher>>);

/// The tenants that `selectors` ask for, each with its own.
pub fn by_tenant(
    selectors: Vec<Vec<Matcher>>,
    tenants: &Tenants,
) -> Result<Vec<Owned>, QueryError> {
    if selectors.is_empty() || !tenants.multi {
        return Ok(tenants.ids.iter().map(|id| (id.clone(), selectors.clone())).collect());
    }
    let mut chosen = Vec::with_capacity(selectors.len());
    for mut matchers in selectors {
        let owners = choose(&mut matchers, tenants)?;
        chosen.push((owners, matchers));
    }
    let mut out = Vec::new();
    for id in &tenants.ids {
        let own = chosen.iter().filter(|(owners, _)| owners.contains(id));
        let mut own: Vec<Vec<Matcher>> = own.map(|(_, matchers)| matchers.clone()).collect();
        if own.is_empty() {
            continue;
        }
        if own.iter().any(Vec::is_empty) {
            own.clear();
        }
        out.push((id.clone(), own));
    }
    Ok(out)
}

/// The tenants that a selector asks for. Its matchers on tenants are taken away.
pub fn choose(matchers: &mut Vec<Matcher>, tenants: &Tenants) -> Result<Vec<TenantId>, QueryError> {
    if !tenants.multi || !matchers.iter().any(|matcher| matcher.name == TENANT) {
        return Ok(tenants.ids.clone());
    }
    let (of_tenant, rest): (Vec<Matcher>, _) =
        std::mem::take(matchers).into_iter().partition(|matcher| matcher.name == TENANT);
    *matchers = rest;
    // A leaf knows what matchers mean.
    let leaf = Leaf::of_selector(&of_tenant)?;
    let is_chosen = |id: &&TenantId| leaf.selects(&Labels::from_sorted([(TENANT, id.as_str())]));
    Ok(tenants.ids.iter().filter(is_chosen).cloned().collect())
}

#[cfg(test)]
mod tests;
