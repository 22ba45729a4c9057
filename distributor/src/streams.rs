//! From labels as a body writes them to the stream they name, and the cache that spares the way.

use std::sync::{Arc, Mutex};

use base::hash::hash64;
use base::quote::quote_into;
use base::{Labels, TenantId};
use hashbrown::HashTable;

use crate::decode::{self, Fault, RawLabels};
use crate::error::Error;
use crate::level::{Detector, Level};
use crate::limits::PushLimits;
use crate::problems::Reason;

/// A label set that may be stored, with what every one of its entries needs.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Canonical: sorted, no empty values, `service_name` discovered.
    pub(crate) labels: Labels,
    /// `detected_level`, where the labels decide it.
    pub(crate) level: Option<LabelLevel>,
}

/// A level that a label names.
#[derive(Debug)]
pub(crate) enum LabelLevel {
    Known(Level),
    /// Anything else is taken as it is.
    Text(Box<[u8]>),
}

/// A label set that may not be stored.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

const SERVICE_NAME: &str = "service_name";
const UNKNOWN_SERVICE: &str = "unknown_service";

/// Reads `raw`. The outer error is of the JSON itself; the middle one of the label text.
#[allow(clippy::type_complexity)]
pub(crate) fn read(raw: RawLabels<'_>) -> Result<Result<Vec<(String, String)>, Error>, Fault> {
    let text = match raw {
        RawLabels::Text(text) | RawLabels::Named(text) => return Ok(decode::labels::parse(text)),
        RawLabels::Json(object) => {
            let pairs = decode::json::labels(object)?;
            let plain = |name: &str| {
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                    && !name.is_empty()
                    && !name.as_bytes()[0].is_ascii_digit()
            };
            if pairs.iter().all(|(name, _)| plain(name)) {
                return Ok(Ok(pairs));
            }
            text_of(&pairs)
        }
    };
    // Loki writes JSON labels as text and parses that: odd names get the parser's answer.
    Ok(decode::labels::parse(text.as_bytes()))
}

fn text_of(pairs: &[(String, String)]) -> String {
    let mut out = String::from("{");
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(name);
        out.push('=');
        quote_into(&mut out, value);
    }
    out.push('}');
    out
}

/// Canonical labels of `pairs` if the tenant's limits allow them. `is_named`: it is known elsewhere
/// which service this is.
pub(crate) fn admit(
    mut pairs: Vec<(String, String)>,
    is_named: bool,
    tenant: &TenantId,
    limits: &PushLimits,
    detector: &Detector,
) -> Result<Stream, Refusal> {
    pairs.retain(|(_, value)| !value.is_empty());
    if !is_named {
        discover_service_name(&mut pairs, limits);
    }
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    validate(&pairs, limits)?;
    let missing: Vec<&str> = limits
        .enforced_labels
        .iter()
        .map(String::as_str)
        .filter(|&name| !pairs.iter().any(|(known, _)| known == name))
        .collect();
    if !missing.is_empty() {
        let (missing, labels) = (missing.join(","), text_of(&pairs));
        return Err(Refusal {
            reason: Reason::MissingEnforcedLabels,
            text: format!(
                "missing required labels '{missing}' for user '{tenant}' for stream '{labels}' \
                 (policy: '')"
            ),
        });
    }
    let labels = Labels::from_pairs(pairs.iter().map(|(name, value)| (name, value)));
    let level = limits.discover_log_levels.then(|| level_of(&labels, limits, detector)).flatten();
    Ok(Stream { labels, level })
}

fn discover_service_name(pairs: &mut Vec<(String, String)>, limits: &PushLimits) {
    let find = |pairs: &[(String, String)], name: &str| {
        pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    if limits.discover_service_name.is_empty() || find(pairs, SERVICE_NAME).is_some() {
        return;
    }
    let found = limits.discover_service_name.iter().find_map(|name| find(pairs, name));
    pairs.push((SERVICE_NAME.to_owned(), found.unwrap_or_else(|| UNKNOWN_SERVICE.to_owned())));
}

fn validate(pairs: &[(String, String)], limits: &PushLimits) -> Result<(), Refusal> {
    let refuse = |reason, text| Err(Refusal { reason, text });
    if pairs.is_empty() {
        let text = "error at least one label pair is required per stream".to_owned();
        return refuse(Reason::MissingLabels, text);
    }
    let count = pairs.iter().filter(|(name, _)| name != SERVICE_NAME).count();
    let limit = limits.max_label_names_per_series;
    if count > limit {
        let labels = text_of(pairs);
        let text = format!("entry for stream '{labels}' has {count} label names; limit {limit}");
        return refuse(Reason::MaxLabelNamesPerSeries, text);
    }
    let mut last = "";
    for (name, value) in pairs {
        let (reason, what, shown) = if name.len() > limits.max_label_name_length {
            (Reason::LabelNameTooLong, "label name too long", name)
        } else if value.len() > limits.max_label_value_length {
            (Reason::LabelValueTooLong, "label value too long", value)
        } else if last == name {
            (Reason::DuplicateLabelNames, "duplicate label name", name)
        } else {
            last = name;
            continue;
        };
        let labels = text_of(pairs);
        return refuse(reason, format!("stream '{labels}' has {what}: '{shown}'"));
    }
    Ok(())
}

/// The value of the first of `log_level_fields` among the labels, as its level if it names one.
fn level_of(labels: &Labels, limits: &PushLimits, detector: &Detector) -> Option<LabelLevel> {
    let mut best: Option<(usize, &str)> = None;
    for (name, value) in labels.iter() {
        if let Some(rank) = detector.fields.rank(name.as_bytes())
            && best.is_none_or(|(known, _)| rank < known)
        {
            best = Some((rank, value));
        }
    }
    debug_assert!(best.is_none_or(|(rank, _)| rank < limits.log_level_fields.len()));
    best.map(|(_, value)| {
        let value = value.as_bytes();
        Level::named(value).map_or_else(|| LabelLevel::Text(value.into()), LabelLevel::Known)
    })
}

/// Bodies' label bytes -> streams, for all tenants. Bounded: when the young half of a shard is full
/// it becomes the old half, and what was old and not asked for since is forgotten.
pub(crate) struct StreamCache {
    shards: Vec<Mutex<Shard>>,
    entries_per_half: usize,
}

#[derive(Default)]
struct Shard {
    young: HashTable<Cached>,
    old: HashTable<Cached>,
    young_bytes: usize,
}

struct Cached {
    hash: u64,
    /// Whose, and under which limits.
    owner: u64,
    raw: Box<[u8]>,
    stream: Arc<Stream>,
}

const SHARDS: usize = 16;
/// Longer label bytes are parsed every time.
const MAX_RAW_BYTES: usize = 64 << 10;
/// Label bytes one half of a shard may hold: 64 MiB over all halves.
const HALF_BYTES: usize = (64 << 20) / SHARDS / 2;

impl StreamCache {
    pub(crate) fn new(entries: usize) -> StreamCache {
        StreamCache {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            entries_per_half: (entries / SHARDS / 2).max(1),
        }
    }

    /// The stream that `raw` names for `owner`. `owner` stands for a tenant, its limits and the
    /// way labels are written.
    pub(crate) fn get(&self, owner: u64, raw: &[u8]) -> Option<Arc<Stream>> {
        let hash = hash_of(owner, raw);
        let mut shard = self.lock(hash);
        let same = |cached: &Cached| cached.owner == owner && *cached.raw == *raw;
        if let Some(found) = shard.young.find(hash, same) {
            return Some(found.stream.clone());
        }
        let found = shard.old.find_entry(hash, same).ok()?.remove().0;
        let stream = found.stream.clone();
        self.put(&mut shard, found);
        Some(stream)
    }

    pub(crate) fn insert(&self, owner: u64, raw: &[u8], stream: &Arc<Stream>) {
        if raw.len() > MAX_RAW_BYTES {
            return;
        }
        let hash = hash_of(owner, raw);
        let mut shard = self.lock(hash);
        let cached = Cached { hash, owner, raw: raw.into(), stream: stream.clone() };
        self.put(&mut shard, cached);
    }

    fn put(&self, shard: &mut Shard, cached: Cached) {
        if shard.young.len() >= self.entries_per_half || shard.young_bytes > HALF_BYTES {
            std::mem::swap(&mut shard.young, &mut shard.old);
            shard.young.clear();
            shard.young_bytes = 0;
        }
        shard.young_bytes += cached.raw.len();
        shard.young.insert_unique(cached.hash, cached, |cached| cached.hash);
    }

    fn lock(&self, hash: u64) -> std::sync::MutexGuard<'_, Shard> {
        let shard = &self.shards[hash as usize % SHARDS];
        shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn hash_of(owner: u64, raw: &[u8]) -> u64 {
    // The table takes the top bits, the shard the low ones.
    hash64(raw) ^ owner.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests;
