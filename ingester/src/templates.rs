//! What lines look like that are in no part yet: some rows of heads are looked at when somebody asks.

use base::Bitmap;
use logql::plan::TimeRange;
use part::{Miner, Sampler, Template};
use rpc::ingester::{IngesterError, LineTemplate};

use crate::head::Snapshot;

/// Rows of all heads that are looked at, about.
const ROWS: u64 = 16 << 10;

/// How many rows there are for each that is looked at.
pub(crate) fn stride<'s>(snapshots: impl Iterator<Item = &'s Snapshot>) -> u32 {
    let pages = snapshots.flat_map(|snapshot| &snapshot.pages);
    let rows: u64 = pages.map(|page| page.rows.len() as u64).sum();
    u32::try_from(rows / ROWS).unwrap_or(u32::MAX).max(1)
}

/// Templates of the rows of a head's selected streams around `range`.
pub(crate) fn of_head(
    snapshot: &Snapshot,
    selected: &Bitmap,
    range: TimeRange,
    stride: u32,
) -> Vec<Template> {
    let mut sampler = Sampler::of_every(stride);
    for page in &snapshot.pages {
        if page.min_ns < range.to_ns && page.max_ns >= range.from_ns {
            let metadata = page.rows.metadata_views();
            let wants = |stream: u32| selected.get(stream as usize);
            sampler.page(&page.rows.page(&metadata), wants);
        }
    }
    sampler.finish()
}

/// One list.
pub(crate) fn folded(templates: Vec<Template>) -> Vec<LineTemplate> {
    let mut miner = Miner::default();
    for template in templates {
        miner.template(&Template { streams: Vec::new(), ..template });
    }
    let line = |Template { level, text, rows, .. }: Template| LineTemplate { level, text, rows };
    miner.finish().into_iter().map(line).collect()
}

/// What a sealed unit that cannot be read means.
pub(crate) fn unreadable(error: &store::Error) -> IngesterError {
    IngesterError::Corrupt(format!("a sealed unit: {error}"))
}
