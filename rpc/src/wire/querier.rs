//! Jobs of queriers.

use base::UnixNanos;
use logql::engine::Partial;
use logql::engine::portable::PortablePartial;
use logql::plan::{Leaf, Origin};
use proto::columns::{TextList, texts};
use proto::convert::{label_sets, matchers, read_label_sets, read_matchers, required, tenant};
use proto::v1::{self, list_job, listed};
use proto::{Wire, WireError};

use crate::querier::{ListJob, Listed, Listing, QuerierError, SelectJob, Selected};
use crate::stats::QueryStats;

/// A [`SelectJob`].
pub fn select_job(job: &SelectJob) -> v1::SelectJob {
    v1::SelectJob {
        tenant: job.tenant.as_str().to_owned(),
        leaf: Some(job.leaf.origin().to_wire()),
    }
}

/// Reads what [`select_job`] wrote, and plans the leaf.
pub fn read_select_job(message: v1::SelectJob) -> Result<SelectJob, QuerierError> {
    const MESSAGE: &str = "SelectJob";
    let origin = Origin::from_wire(required(MESSAGE, "leaf", message.leaf)?)?;
    Ok(SelectJob { tenant: tenant(MESSAGE, &message.tenant)?, leaf: origin.leaf()? })
}

/// A [`Selected`].
pub fn selected(selected: &Selected) -> v1::Selected {
    v1::Selected {
        partial: Some(selected.partial.to_portable().to_wire()),
        stats: Some(selected.stats.to_wire()),
        warnings: Some(texts(selected.warnings.iter().map(String::as_str))),
    }
}

/// Reads the answer to a job for `leaf`.
pub fn read_selected(leaf: &Leaf, message: v1::Selected) -> Result<Selected, QuerierError> {
    const MESSAGE: &str = "Selected";
    let partial = PortablePartial::from_wire(required(MESSAGE, "partial", message.partial)?)?;
    let warnings = TextList::new(MESSAGE, "warnings", message.warnings.as_ref())?;
    Ok(Selected {
        partial: Partial::from_portable(leaf, partial)?,
        stats: QueryStats::from_wire(message.stats.unwrap_or_default())?,
        warnings: warnings.iter().map(str::to_owned).collect(),
    })
}

impl Wire for ListJob {
    type Message = v1::ListJob;

    fn to_wire(&self) -> v1::ListJob {
        let (kind, name) = match &self.listing {
            Listing::Streams => (list_job::Kind::Streams, ""),
            Listing::Names => (list_job::Kind::Names, ""),
            Listing::Values(name) => (list_job::Kind::Values, name.as_str()),
            Listing::Templates => (list_job::Kind::Templates, ""),
        };
        v1::ListJob {
            tenant: self.tenant.as_str().to_owned(),
            kind: kind.into(),
            name: name.to_owned(),
            selectors: Some(matchers(&self.selectors)),
            start_ns: self.start.0,
            end_ns: self.end.0,
        }
    }

    fn from_wire(message: v1::ListJob) -> Result<ListJob, WireError> {
        const MESSAGE: &str = "ListJob";
        let listing = match message.kind() {
            list_job::Kind::Streams => Listing::Streams,
            list_job::Kind::Names => Listing::Names,
            list_job::Kind::Values => Listing::Values(message.name),
            list_job::Kind::Templates => Listing::Templates,
            list_job::Kind::Unspecified => return Err(WireError::new(MESSAGE, "kind is missing")),
        };
        Ok(ListJob {
            tenant: tenant(MESSAGE, &message.tenant)?,
            listing,
            selectors: read_matchers(message.selectors.as_ref())?,
            start: UnixNanos(message.start_ns),
            end: UnixNanos(message.end_ns),
        })
    }
}

impl Wire for Listed {
    type Message = v1::Listed;

    fn to_wire(&self) -> v1::Listed {
        let listed = match self {
            Listed::Streams(streams) => listed::Listed::Streams(label_sets(streams)),
            Listed::Texts(list) => listed::Listed::Texts(texts(list.iter().map(String::as_str))),
        };
        v1::Listed { listed: Some(listed) }
    }

    fn from_wire(message: v1::Listed) -> Result<Listed, WireError> {
        const MESSAGE: &str = "Listed";
        Ok(match required(MESSAGE, "listed", message.listed)? {
            listed::Listed::Streams(streams) => Listed::Streams(read_label_sets(Some(&streams))?),
            listed::Listed::Texts(texts) => {
                let list = TextList::new(MESSAGE, "texts", Some(&texts))?;
                Listed::Texts(list.iter().map(str::to_owned).collect())
            }
        })
    }
}
