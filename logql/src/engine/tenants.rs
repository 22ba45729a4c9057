//! Answers over several tenants: every stream and every series says whose it is.
//!
//! As in Loki the label comes after the pipeline, so that no stage sees it, and before what is made of
//! series: `sum by (__tenant_id__)` finds it. A label of that name that was there is renamed.

use base::{Labels, LabelsBuilder};

use super::Partial;
use super::group::Grouping;
use super::partial::Held;
use crate::plan::leaf::LeafKind;
use crate::plan::{Leaf, QueryError};

/// Whose rows these are.
pub const TENANT: &str = "__tenant_id__";
/// What a label of that name is called beside it.
const ORIGINAL: &str = "original___tenant_id__";

/// The labels of a stream or a series of this tenant.
pub fn with_tenant(labels: &Labels, tenant: &str) -> Labels {
    let mut builder = LabelsBuilder::from_labels(&without_tenant(labels));
    builder.set(TENANT, tenant);
    builder.build()
}

/// The labels with [`TENANT`] renamed.
pub(crate) fn without_tenant(labels: &Labels) -> Labels {
    let Some(original) = labels.get(TENANT) else { return labels.clone() };
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.set(ORIGINAL, original);
    builder.remove(TENANT);
    builder.build()
}

impl Partial {
    /// What `leaf` knows of all rows of one tenant, as a partial to be merged with those of others.
    pub fn of_tenant(mut self, leaf: &Leaf, tenant: &str) -> Result<Partial, QueryError> {
        self.held = match (self.held, &leaf.program.kind) {
            (Held::Entries(entries), _) => Held::Entries(entries.of_tenant(tenant)),
            (Held::Samples(samples), LeafKind::Metric(metric)) => {
                let names = leaf.program.names.names();
                let group = match metric.of_aggregation {
                    true => Some((&metric.grouping, names)),
                    false => None,
                };
                Held::Samples(samples.renamed(|labels| series_of(labels, tenant, group))?)
            }
            (held, _) => held,
        };
        Ok(self)
    }
}

/// The labels of a series of this tenant, of those that the grouping above leaves.
fn series_of(labels: &Labels, tenant: &str, group: Option<(&Grouping, &[String])>) -> Labels {
    let whole = with_tenant(labels, tenant);
    let Some((grouping, names)) = group else { return whole };
    let listed = |ids: &[u32], name: &str| ids.iter().any(|&id| names[id as usize] == name);
    match grouping {
        Grouping::One => Labels::empty(),
        Grouping::By(ids) => Labels::from_pairs(whole.iter().filter(|(name, _)| listed(ids, name))),
        Grouping::Without(ids) => {
            Labels::from_pairs(whole.iter().filter(|(name, _)| !listed(ids, name)))
        }
    }
}

#[cfg(test)]
mod tests;
