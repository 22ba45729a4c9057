//! `/loki/api/v1/index/shards`: ranges of stream keys with about as many bytes each (contract 2.7).
//!
//! Keys here are not those of Loki's index: a range says how much lies in it, and what the ranges of
//! an answer have in common is that together they are all keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use logql::plan::{TimeRange, VolumesOf};
use rpc::http::{Form, HttpError, Tenants};

use super::chunks::Chunk;
use super::index_stats::IndexStats;
use super::labels::selector;
use super::lists;
use super::params::{ParamError, RangeQuery};
use super::respond::ok;
use super::telemetry::Watch;
use super::volume::one_instant;
use super::{encode, refuse};
use crate::checks::Checks;
use crate::frontend::Frontend;
use crate::volume::Volumed;

/// A range of stream keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// First key.
    pub min: u64,
    /// Last key.
    pub max: u64,
    /// What lies in it.
    pub stats: IndexStats,
}

/// `/index/shards`.
pub(super) async fn shards(
    State(frontend): State<Arc<Frontend>>,
    tenants: Tenants,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, HttpError> {
    let mut watch = Watch::new(&frontend, &tenants, &headers, "shards");
    watch.text(form.value("query"));
    let result = evaluate(&frontend, &tenants, &form).await;
    let (shards, volumed) = watch.finish_with(result, |(shards, _)| shards.len())?;
    ok(&frontend, &headers, move || encode::shards(&shards, &volumed)).await
}

async fn evaluate(
    frontend: &Frontend,
    tenants: &Tenants,
    form: &Form,
) -> Result<(Vec<Shard>, Volumed), HttpError> {
    let now = frontend.clock().now();
    let asked = RangeQuery::parse(form, now).map_err(refuse)?;
    let target = target_bytes(form.value("targetBytesPerShard")).map_err(refuse)?;
    let matchers = selector(&asked.query)?;
    let checks = Checks { limits: frontend.limits(), tenants, now };
    let (start, end) = checks.window(asked.start, asked.end).map_err(refuse)?;
    let asked = VolumesOf {
        matchers,
        patterns: Arc::default(),
        range: TimeRange { from_ns: start.0, to_ns: one_instant(start, end) },
        step_ns: 0,
        max_memory_bytes: 0,
    };
    let volumed = lists::volumes(frontend, tenants, asked).await?;
    let streams = volumed.series.iter().map(|(labels, volumes)| {
        let mut stats = IndexStats { streams: 1, chunks: 1, bytes: 0, entries: 0 };
        for (_, volume) in volumes {
            stats.entries += volume.lines;
            stats.bytes += Chunk::of(volume).bytes();
        }
        (labels.key().0, stats)
    });
    Ok((divided(streams, target), volumed))
}

fn target_bytes(text: &str) -> Result<u64, ParamError> {
    match base::ByteSize::parse(text) {
        Ok(bytes) if bytes.0 > 0 => Ok(bytes.0),
        _ => Err(ParamError("targetBytesPerShard must be a positive value".to_owned())),
    }
}

/// As few ranges, in order of keys, as have at most `target` bytes each; a stream is in one.
fn divided(streams: impl Iterator<Item = (u64, IndexStats)>, target: u64) -> Vec<Shard> {
    let none = IndexStats { streams: 0, chunks: 0, bytes: 0, entries: 0 };
    // Two tenants may have a stream of the same key.
    let mut by_key: BTreeMap<u64, IndexStats> = BTreeMap::new();
    for (key, stats) in streams {
        add(by_key.entry(key).or_insert(none), stats);
    }
    let mut open = Shard { min: 0, max: u64::MAX, stats: none };
    let mut shards = Vec::new();
    for (key, stats) in by_key {
        if open.stats.streams > 0 && open.stats.bytes.saturating_add(stats.bytes) > target {
            shards.push(Shard { max: key - 1, ..open });
            open = Shard { min: key, max: u64::MAX, stats: none };
        }
        add(&mut open.stats, stats);
    }
    shards.push(open);
    shards
}

fn add(sum: &mut IndexStats, more: IndexStats) {
    sum.streams += more.streams;
    sum.chunks += more.chunks;
    sum.bytes += more.bytes;
    sum.entries += more.entries;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::StaticLimits;
    use crate::testing::{World, encoded, row};

    proptest! {
        #[test]
        fn shards_are_all_keys_once_and_not_larger_than_they_must_be(
            streams in prop::collection::vec((0u64..40, 0u64..100), 0..30),
            target in 1u64..300,
        ) {
            let of = |bytes| IndexStats { streams: 1, chunks: 1, bytes, entries: 1 };
            let each = streams.iter().map(|&(key, bytes)| (key, of(bytes)));
            let shards = divided(each, target);
            let mut next = Some(0);
            for shard in &shards {
                prop_assert_eq!(Some(shard.min), next);
                prop_assert!(shard.min <= shard.max);
                next = shard.max.checked_add(1);
                let inside = |key: &u64| (shard.min..=shard.max).contains(key);
                let held: Vec<_> = streams.iter().filter(|(key, _)| inside(key)).collect();
                let bytes: u64 = held.iter().map(|(_, bytes)| bytes).sum();
                prop_assert_eq!((shard.stats.bytes, shard.stats.streams), (bytes, held.len() as u64));
                let keys: BTreeSet<u64> = held.iter().map(|it| it.0).collect();
                prop_assert!(bytes <= target || keys.len() == 1);
            }
            prop_assert_eq!(next, None);
        }
    }

    #[tokio::test]
    async fn shards_are_ranges_of_streams_of_about_as_many_bytes() {
        let world = World::new(StaticLimits::default());
        let line = "x".repeat(10 << 10);
        let rows = ["a", "b", "c", "d"].map(|app| row(app, 1_000_000_000, &line));
        world.querier.hold(&rows);
        let ask = async |target: &str| {
            let query = encoded(r#"{app=~".+"}"#);
            let path = "/loki/api/v1/index/shards?start=0&end=2";
            world.get(&format!("{path}&query={query}&targetBytesPerShard={target}")).await
        };
        let (status, body) = ask("25KB").await;
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let shards = body["shards"].as_array().unwrap();
        let stats = json!({"streams": 2, "chunks": 2, "bytes": 20480, "entries": 2});
        assert_eq!(shards.len(), 2);
        assert!(shards.iter().all(|shard| shard["stats"] == stats), "{body}");
        assert_eq!(shards[0]["bounds"]["min"], json!(0));
        let second = shards[1]["bounds"]["min"].as_u64().unwrap();
        assert_eq!(shards[0]["bounds"]["max"], json!(second - 1));
        assert_eq!(shards[1]["bounds"]["max"], json!(u64::MAX));
        assert!(body["statistics"]["summary"].is_object());
        assert_eq!(body["chunkGroups"], json!([]));
        for target in ["", "0", "-1", "many"] {
            let text = "targetBytesPerShard must be a positive value".to_owned();
            assert_eq!(ask(target).await, (400, text), "{target}");
        }
    }
}
