//! `/loki/api/v1/index/stats`: how much a selector selects (contract 2.7). Bytes are those
//! that `/index/volume` tells.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use logql::plan::{TimeRange, VolumesOf};
use rpc::http::{Form, HttpError, Tenants};

use super::chunks::Chunk;
use super::labels::selector;
use super::lists;
use super::params::RangeQuery;
use super::respond::ok;
use super::telemetry::Watch;
use super::volume::one_instant;
use super::{encode, refuse};
use crate::checks::Checks;
use crate::frontend::Frontend;

/// What a selector selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexStats {
    /// Streams with rows in the range.
    pub streams: u64,
    /// Pieces in which they are stored: streams of parts and of ingesters.
    pub chunks: u64,
    /// Bytes of their rows in the range, whole KiB of each stream.
    pub bytes: u64,
    /// Their rows in the range.
    pub entries: u64,
}

/// `/index/stats`.
pub(super) async fn stats(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let mut watch = Watch::new(&frontend, &tenants, &headers, "stats");
    watch.text(form.value("query"));
    let result = evaluate(&frontend, &tenants, &form).await;
    let stats = watch.finish_list(result.map(|stats| vec![stats]))?[0];
    ok(&frontend, &headers, move || encode::index_stats(&stats)).await
}

async fn evaluate(
    frontend: &Frontend,
    tenants: &Tenants,
    form: &Form,
) -> Result<IndexStats, HttpError> {
    let now = frontend.clock().now();
    let asked = RangeQuery::parse(form, now).map_err(refuse)?;
    let matchers = selector(&asked.query)?;
    let checks = Checks { limits: frontend.limits(), tenants, now };
    let (start, end) = checks.window(asked.start, asked.end).map_err(refuse)?;
    let range = TimeRange { from_ns: start.0, to_ns: one_instant(start, end) };
    let asked =
        VolumesOf { matchers, patterns: Arc::default(), range, step_ns: 0, max_memory_bytes: 0 };
    let volumed = lists::volumes(frontend, tenants, asked).await?;
    let volumes = volumed.series.iter().flat_map(|(_, volumes)| volumes);
    let (entries, bytes) = volumes.fold((0, 0), |(lines, bytes), (_, volume)| {
        (lines + volume.lines, bytes + Chunk::of(volume).bytes())
    });
    let streams = volumed.series.len() as u64;
    let pieces = volumed.stats.parts.streams + volumed.stats.ingester.streams;
    Ok(IndexStats { streams, chunks: pieces.max(streams), bytes, entries })
}
