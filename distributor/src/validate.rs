//! What an entry may be: age, length, metadata. Checks and texts in Loki's order.

use base::hash::hash64;
use base::{Labels, UnixNanos};
use chrono::SecondsFormat;

use crate::decode::{Entry, MAX_PAIRS};
use crate::limits::PushLimits;
use crate::problems::Reason;

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

/// Text that is made of one value, where the tenant's lines have no limit.
pub(crate) const MAX_TEXT_BYTES: usize = 64 << 20;
/// Text that is made of the metadata of one entry, where the tenant's metadata has no limit.
pub(crate) const MAX_METADATA_BYTES: usize = 4 << 20;

/// Why an entry may not be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    TooOld { ts_ns: i64 },
    TooNew { ts_ns: i64 },
    LineTooLong { length: u64, max: u64 },
    MetadataDisallowed,
    MetadataTooLarge { bytes: u64, max: u64 },
    MetadataTooMany { pairs: u64, max: u64 },
}

/// Why `entry`, whose possibly cut line has `length` bytes, may not be stored.
#[inline]
pub(crate) fn entry(
    entry: &Entry<'_>,
    length: u64,
    metadata_bytes: u64,
    window: &Window,
    limits: &PushLimits,
) -> Option<Cause> {
    let pairs = entry.metadata.len();
    let in_window = window.oldest_ns <= entry.ts_ns && entry.ts_ns <= window.newest_ns;
    let fits = limits.max_line_size == 0 || length <= limits.max_line_size;
    if in_window && fits && pairs == 0 && entry.line_rest == 0 {
        return None;
    }
    cause(entry, length, metadata_bytes, window, limits)
}

fn cause(
    entry: &Entry<'_>,
    length: u64,
    metadata_bytes: u64,
    window: &Window,
    limits: &PushLimits,
) -> Option<Cause> {
    let (ts_ns, pairs) = (entry.ts_ns, entry.metadata.len());
    if ts_ns < window.oldest_ns {
        return Some(Cause::TooOld { ts_ns });
    }
    if ts_ns > window.newest_ns {
        return Some(Cause::TooNew { ts_ns });
    }
    // What is not there cannot be stored, whatever the tenant allows.
    let bound = |limit: u64, is_whole: bool, most: usize| match limit {
        0 if is_whole => u64::MAX,
        0 => most as u64,
        limit if is_whole => limit,
        limit => limit.min(most as u64),
    };
    let has_line = entry.line_rest == 0 || length == entry.line.len() as u64;
    let max = bound(limits.max_line_size, has_line, MAX_TEXT_BYTES);
    if length > max {
        return Some(Cause::LineTooLong { length, max });
    }
    if pairs == 0 {
        return None;
    }
    if !limits.allow_structured_metadata {
        return Some(Cause::MetadataDisallowed);
    }
    let is_whole = entry.metadata.is_whole();
    let max = bound(limits.max_structured_metadata_size, is_whole, MAX_METADATA_BYTES);
    if metadata_bytes > max {
        return Some(Cause::MetadataTooLarge { bytes: metadata_bytes, max });
    }
    let max = bound(limits.max_structured_metadata_entries_count, is_whole, MAX_PAIRS);
    (pairs > max).then_some(Cause::MetadataTooMany { pairs, max })
}

impl Cause {
    pub(crate) fn reason(self) -> Reason {
        match self {
            Cause::TooOld { .. } => Reason::GreaterThanMaxSampleAge,
            Cause::TooNew { .. } => Reason::TooFarInFuture,
            Cause::LineTooLong { .. } => Reason::LineTooLong,
            Cause::MetadataDisallowed => Reason::DisallowedStructuredMetadata,
            Cause::MetadataTooLarge { .. } => Reason::StructuredMetadataTooLarge,
            Cause::MetadataTooMany { .. } => Reason::StructuredMetadataTooMany,
        }
    }

    /// Equal where [`Cause::text`] is equal, under one window and one set of limits.
    pub(crate) fn key(self, labels: &Labels) -> u64 {
        let shown = match self {
            // The text has whole seconds.
            Cause::TooOld { ts_ns } | Cause::TooNew { ts_ns } => {
                ts_ns.div_euclid(1_000_000_000) as u64
            }
            Cause::LineTooLong { length, .. } => length,
            Cause::MetadataDisallowed => 0,
            Cause::MetadataTooLarge { bytes, .. } => bytes,
            Cause::MetadataTooMany { pairs, .. } => pairs,
        };
        let mut bytes = [0; 17];
        bytes[0] = self.reason() as u8;
        bytes[1..9].copy_from_slice(&shown.to_le_bytes());
        bytes[9..].copy_from_slice(&labels.key().0.to_le_bytes());
        hash64(&bytes)
    }

    /// What the client reads.
    pub(crate) fn text(self, window: &Window, labels: &Labels) -> String {
        match self {
            Cause::TooOld { ts_ns } => {
                let (ts, oldest) = (rfc3339(ts_ns), rfc3339(window.oldest_ns));
                format!(
                    "entry for stream '{labels}' has timestamp too old: {ts}, \
                     oldest acceptable timestamp is: {oldest}"
                )
            }
            Cause::TooNew { ts_ns } => {
                let ts = rfc3339(ts_ns);
                format!("entry for stream '{labels}' has timestamp too new: {ts}")
            }
            Cause::LineTooLong { length, max } => format!(
                "max entry size '{max}' bytes exceeded for stream '{labels}' \
                 while adding an entry with length '{length}' bytes"
            ),
            Cause::MetadataDisallowed => format!(
                "stream '{labels}' includes structured metadata, but this feature is disallowed. \
                 Please see `limits_config.allow_structured_metadata` \
                 or contact your Loki administrator to enable it"
            ),
            Cause::MetadataTooLarge { bytes, max } => format!(
                "stream '{labels}' has structured metadata too large: '{bytes}' bytes, \
                 limit: '{max}' bytes. Please see `limits_config.max_structured_metadata_size` \
                 or contact your Loki administrator to increase it"
            ),
            Cause::MetadataTooMany { pairs, max } => format!(
                "stream '{labels}' has too many structured metadata labels: '{pairs}', \
                 limit: '{max}'. Please see \
                 `limits_config.max_structured_metadata_entries_count` \
                 or contact your Loki administrator to increase it"
            ),
        }
    }
}

/// As Go's `time.RFC3339` in UTC: whole seconds.
pub(crate) fn rfc3339(ts_ns: i64) -> String {
    chrono::DateTime::from_timestamp_nanos(ts_ns).to_rfc3339_opts(SecondsFormat::Secs, true)
}
