//! Requests that are no queries, over each of their tenants.

use base::{HashSet, Labels, TenantId, UnixNanos};
use futures::stream::{self, StreamExt, TryStreamExt};
use logql::plan::VolumesOf;
use logql::syntax::Matcher;
use rpc::http::{HttpError, Tenants};
use rpc::querier::{ListJob, Listed, Listing};
use rpc::stats::QueryStats;

use super::refuse;
use crate::frontend::Frontend;
use crate::query::PieceStats;
use crate::tenants;
use crate::volume::{VolumeQuery, Volumed};

/// Tenants that are asked at a time.
const AT_A_TIME: usize = 16;

/// Which streams, and when.
pub(super) struct Which<'a> {
    pub tenants: &'a Tenants,
    /// Any must match; none = all streams.
    pub selectors: Vec<Vec<Matcher>>,
    pub start: UnixNanos,
    /// The last instant.
    pub end: UnixNanos,
}

/// The streams of each tenant.
pub(super) async fn streams(
    frontend: &Frontend,
    which: Which<'_>,
) -> Result<Vec<(TenantId, Vec<Labels>)>, HttpError> {
    let streams = |(id, listed)| match listed {
        Listed::Streams(streams) => Ok((id, streams)),
        Listed::Texts(_) => Err(HttpError::query_with(500, "streams were answered with texts")),
    };
    list(frontend, which, Listing::Streams).await?.into_iter().map(streams).collect()
}

/// Names or values: sorted, each once.
pub(super) async fn texts(
    frontend: &Frontend,
    which: Which<'_>,
    listing: Listing,
) -> Result<Vec<String>, HttpError> {
    let mut whole = Vec::new();
    for (_, listed) in list(frontend, which, listing).await? {
        match listed {
            Listed::Texts(texts) => whole.extend(texts),
            Listed::Streams(_) => {
                return Err(HttpError::query_with(500, "texts were answered with streams"));
            }
        }
    }
    whole.sort_unstable();
    whole.dedup();
    Ok(whole)
}

/// Texts of all tenants in the order in which they are told, each once.
pub(super) async fn in_order(
    frontend: &Frontend,
    which: Which<'_>,
    listing: Listing,
) -> Result<Vec<String>, HttpError> {
    let (mut seen, mut whole) = (HashSet::default(), Vec::new());
    for (_, listed) in list(frontend, which, listing).await? {
        let Listed::Texts(texts) = listed else {
            return Err(HttpError::query_with(500, "texts were answered with streams"));
        };
        whole.extend(texts.into_iter().filter(|text| seen.insert(text.clone())));
    }
    Ok(whole)
}

async fn list(
    frontend: &Frontend,
    which: Which<'_>,
    listing: Listing,
) -> Result<Vec<(TenantId, Listed)>, HttpError> {
    let Which { tenants, selectors, start, end } = which;
    let of_each = tenants::by_tenant(selectors, tenants).map_err(refuse)?;
    let runs = of_each.into_iter().map(|(tenant, selectors)| {
        let listing = listing.clone();
        async move {
            let job = ListJob { tenant: tenant.clone(), listing, selectors, start, end };
            Ok((tenant, frontend.list(job).await.map_err(refuse)?))
        }
    });
    stream::iter(runs).buffered(AT_A_TIME).try_collect().await
}

/// The volumes of all tenants, one after the other: what has the same labels in two of them is there
/// twice.
pub(super) async fn volumes(
    frontend: &Frontend,
    tenants: &Tenants,
    mut asked: VolumesOf,
) -> Result<Volumed, HttpError> {
    let owners = tenants::choose(&mut asked.matchers, tenants).map_err(refuse)?;
    let runs = owners.into_iter().map(|tenant| {
        let query = VolumeQuery { tenant, asked: asked.clone() };
        async move { frontend.volumes(query).await.map_err(refuse) }
    });
    let mut runs = stream::iter(runs).buffered(AT_A_TIME);
    let mut whole = Volumed {
        series: Vec::new(),
        window_ends: Vec::new(),
        stats: QueryStats::default(),
        pieces: PieceStats::default(),
        warnings: Vec::new(),
    };
    while let Some(more) = runs.try_next().await? {
        let Volumed { series, window_ends, stats, pieces, warnings } = more;
        whole.series.extend(series);
        whole.window_ends = window_ends;
        whole.stats.take_in(&stats);
        whole.pieces.take_in(&pieces);
        whole.warnings.extend(warnings);
    }
    whole.stats.entries_returned = whole.series.len() as u64;
    whole.warnings.sort_unstable();
    whole.warnings.dedup();
    Ok(whole)
}
