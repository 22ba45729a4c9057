//! Which parts of a tenant and day are merged next (R4). Pure.
//!
//! A part belongs to the narrowest window of its day that is worth merging: its hour, its six hours,
//! or the day, so that rows of far-apart times stay in different parts while the day is young. In a
//! window that still fills, parts wait until there are many of them; in one that has ended
//! ([`Rules::slack`] ago, which only makes late rows rare) a few are enough, and what was merged by
//! the hour becomes one part of six hours, then of the day. A merge must pay: parts that are smaller
//! than what they are merged with are written again rarely, and a large part never.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Day, TenantId, UnixNanos};
use store::PartRecord;

/// When a merge pays. Constants of a deployment; tests shrink them.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Parts of an open window that make a merge, and that make any merge due at once.
    pub fan_in: usize,
    /// Most parts of one merge: each takes memory.
    pub max_inputs: usize,
    /// A part of this size is not merged any more.
    pub full_bytes: u64,
    /// Most bytes of one merge's inputs.
    pub max_bytes: u64,
    /// How long after its end a window counts as ended.
    pub slack: Duration,
    /// How long the newest part of a small merge has been there: more of them may be coming.
    pub settle: Duration,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            fan_in: 16,
            max_inputs: 32,
            full_bytes: 256 << 20,
            max_bytes: 1 << 30,
            slack: Duration::from_secs(3600),
            settle: Duration::from_secs(20),
        }
    }
}

/// Parts that should become one.
#[derive(Clone, Debug)]
pub struct Task {
    /// Whose.
    pub tenant: TenantId,
    /// Of which day.
    pub day: Day,
    /// Two or more, oldest upload first: rows of one instant stay in that order.
    pub inputs: Vec<Arc<PartRecord>>,
    /// Now, or when no more parts have come for [`Rules::settle`].
    pub is_due: bool,
}

const HOUR_NS: i64 = 3_600_000_000_000;
const WINDOWS_NS: [i64; 3] = [HOUR_NS, 6 * HOUR_NS, 24 * HOUR_NS];
/// Fewest parts of an ended window that are merged: an hour's parts soon become six hours'.
const ENDED_LEAST: [usize; 3] = [4, 2, 2];
/// The inputs of a merge are together at least this much larger than the largest of them, times
/// two: else much is written again for little.
const PAYS_HALVES: u64 = 3;

/// The merges of `parts`, all of one tenant and day, that pay at `now`. No part is in two of them.
pub fn plan(parts: &[Arc<PartRecord>], now: UnixNanos, rules: &Rules) -> Vec<Task> {
    let mut windows: BTreeMap<(usize, i64), Vec<Arc<PartRecord>>> = BTreeMap::new();
    for part in parts {
        // What a later version wrote about it would be lost.
        if part.len_bytes < rules.full_bytes && part.rest.is_empty() {
            windows.entry(window_of(part, now, rules)).or_default().push(Arc::clone(part));
        }
    }
    let mut tasks = Vec::new();
    for ((width, number), mut parts) in windows {
        let has_ended = has_ended(width, number, now, rules);
        let least = match has_ended {
            true => ENDED_LEAST[width],
            false if WINDOWS_NS[width] == base::time::DAY_NS => continue,
            false => rules.fan_in,
        };
        parts.sort_by_key(|part| (part.len_bytes, part.id));
        while let Some(count) = paying(&parts, least, rules) {
            let mut inputs: Vec<Arc<PartRecord>> = parts.drain(..count).collect();
            inputs.sort_by_key(|part| part.id);
            let newest_ms = inputs.iter().map(|part| part.id.0.timestamp_ms()).max().unwrap_or(0);
            let since_ns = now.0.saturating_sub((newest_ms as i64).saturating_mul(1_000_000));
            let is_due = inputs.len() >= rules.fan_in || since_ns >= ns(rules.settle);
            let (tenant, day) = (inputs[0].tenant.clone(), inputs[0].day);
            tasks.push(Task { tenant, day, inputs, is_due });
        }
    }
    tasks
}

/// The window a part is merged in: its width and its number since 1970. The widest that has ended,
/// else the narrowest that it fits.
fn window_of(part: &PartRecord, now: UnixNanos, rules: &Rules) -> (usize, i64) {
    let number = |width: usize| {
        let of = |ts: UnixNanos| ts.0.div_euclid(WINDOWS_NS[width]);
        (of(part.min_ts) == of(part.max_ts)).then(|| of(part.min_ts))
    };
    let fits = (0..WINDOWS_NS.len()).filter_map(|width| Some((width, number(width)?)));
    let ended = fits.clone().filter(|&(width, number)| has_ended(width, number, now, rules));
    let day = (WINDOWS_NS.len() - 1, part.day.0.into());
    ended.max().or_else(|| fits.clone().next()).unwrap_or(day)
}

fn has_ended(width: usize, number: i64, now: UnixNanos, rules: &Rules) -> bool {
    let end_ns = number.saturating_add(1).saturating_mul(WINDOWS_NS[width]);
    end_ns.saturating_add(ns(rules.slack)) <= now.0
}

/// How many of the smallest of `parts`, which ascend by size, are merged; at least `least`.
fn paying(parts: &[Arc<PartRecord>], least: usize, rules: &Rules) -> Option<usize> {
    let (mut bytes, mut count) = (0, 0);
    for part in parts.iter().take(rules.max_inputs) {
        if bytes + part.len_bytes > rules.max_bytes {
            break;
        }
        bytes += part.len_bytes;
        count += 1;
    }
    while count >= least.max(2) {
        let largest = parts[count - 1].len_bytes;
        if bytes * 2 >= largest * PAYS_HALVES {
            return Some(count);
        }
        bytes -= largest;
        count -= 1;
    }
    None
}

fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
