//! What an entry may be: age, length, metadata. Checks and texts in Loki's order.

use base::{Labels, UnixNanos};
use chrono::SecondsFormat;

use crate::decode::Entry;
use crate::limits::PushLimits;
use crate::problems::Reason;
use crate::streams::Refusal;

/// The instants between which a push may have entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    oldest_ns: i64,
    newest_ns: i64,
    /// Whether the tenant may push at all.
    pub(crate) blocked: bool,
}

impl Default for Window {
    fn default() -> Window {
        Window { oldest_ns: i64::MIN, newest_ns: i64::MAX, blocked: false }
    }
}

impl Window {
    pub(crate) fn new(limits: &PushLimits, now: UnixNanos) -> Window {
        let ns = |duration: std::time::Duration| i64::try_from(duration.as_nanos());
        let age = ns(limits.reject_old_samples_max_age).unwrap_or(i64::MAX);
        let grace = ns(limits.creation_grace_period).unwrap_or(i64::MAX);
        let oldest = if limits.reject_old_samples { now.0.saturating_sub(age) } else { i64::MIN };
        Window {
            oldest_ns: oldest,
            newest_ns: now.0.saturating_add(grace),
            blocked: limits.block_ingestion_until.is_some_and(|until| now < until),
        }
    }
}

/// `line` at its allowed length with the identifier at its end, in `out`, if it must be cut.
pub(crate) fn cut<'a>(line: &[u8], limits: &PushLimits, out: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let max = limits.max_line_size as usize;
    if !limits.max_line_size_truncate || max == 0 || line.len() <= max {
        return None;
    }
    let identifier = limits.max_line_size_truncate_identifier.as_bytes();
    out.clear();
    out.extend_from_slice(&line[..max.saturating_sub(identifier.len())]);
    out.extend_from_slice(identifier);
    Some(out)
}

/// Why `entry`, with `line` as its possibly cut line, may not be stored.
#[inline]
pub(crate) fn entry(
    entry: &Entry<'_>,
    line: &[u8],
    metadata_bytes: u64,
    window: &Window,
    limits: &PushLimits,
    labels: &Labels,
) -> Option<Refusal> {
    let pairs = entry.metadata.len() as u64;
    let in_window = window.oldest_ns <= entry.ts_ns && entry.ts_ns <= window.newest_ns;
    let fits = limits.max_line_size == 0 || line.len() as u64 <= limits.max_line_size;
    if in_window && fits && pairs == 0 {
        return None;
    }
    refusal(entry.ts_ns, line.len(), pairs, metadata_bytes, window, limits, labels)
}

fn refusal(
    ts_ns: i64,
    length: usize,
    pairs: u64,
    metadata_bytes: u64,
    window: &Window,
    limits: &PushLimits,
    labels: &Labels,
) -> Option<Refusal> {
    let refuse = |reason, text| Some(Refusal { reason, text });
    if ts_ns < window.oldest_ns {
        let (ts, oldest) = (rfc3339(ts_ns), rfc3339(window.oldest_ns));
        let text = format!(
            "entry for stream '{labels}' has timestamp too old: {ts}, \
             oldest acceptable timestamp is: {oldest}"
        );
        return refuse(Reason::GreaterThanMaxSampleAge, text);
    }
    if ts_ns > window.newest_ns {
        let ts = rfc3339(ts_ns);
        let text = format!("entry for stream '{labels}' has timestamp too new: {ts}");
        return refuse(Reason::TooFarInFuture, text);
    }
    let max = limits.max_line_size;
    if max != 0 && length as u64 > max {
        let text = format!(
            "max entry size '{max}' bytes exceeded for stream '{labels}' \
             while adding an entry with length '{length}' bytes"
        );
        return refuse(Reason::LineTooLong, text);
    }
    if pairs == 0 {
        return None;
    }
    if !limits.allow_structured_metadata {
        let text = format!(
            "stream '{labels}' includes structured metadata, but this feature is disallowed. \
             Please see `limits_config.allow_structured_metadata` \
             or contact your Loki administrator to enable it"
        );
        return refuse(Reason::DisallowedStructuredMetadata, text);
    }
    let max = limits.max_structured_metadata_size;
    if max != 0 && metadata_bytes > max {
        let text = format!(
            "stream '{labels}' has structured metadata too large: '{metadata_bytes}' bytes, \
             limit: '{max}' bytes. Please see `limits_config.max_structured_metadata_size` \
             or contact your Loki administrator to increase it"
        );
        return refuse(Reason::StructuredMetadataTooLarge, text);
    }
    let max = limits.max_structured_metadata_entries_count;
    if max != 0 && pairs > max {
        let text = format!(
            "stream '{labels}' has too many structured metadata labels: '{pairs}', \
             limit: '{max}'. Please see `limits_config.max_structured_metadata_entries_count` \
             or contact your Loki administrator to increase it"
        );
        return refuse(Reason::StructuredMetadataTooMany, text);
    }
    None
}

/// As Go's `time.RFC3339` in UTC: whole seconds.
pub(crate) fn rfc3339(ts_ns: i64) -> String {
    chrono::DateTime::from_timestamp_nanos(ts_ns).to_rfc3339_opts(SecondsFormat::Secs, true)
}
