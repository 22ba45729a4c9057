//! Every entry of a range in batches, each once, however many share an instant.
//!
//! A server gives at most so many entries per request. The next request begins at the last instant
//! that was seen, inclusive, and asks for as many entries more as were seen of that instant: they
//! come again and are taken out by what they are. So no order among entries of one instant is relied
//! on, and each request that is not the last brings something new.

use std::sync::Arc;

use anyhow::{Context, Result};
use base::HashMap;
use serde::Deserialize;

use crate::terminal::output::LabelSet;

/// One stream of an answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Stream {
    /// Its labels.
    pub stream: LabelSet,
    /// Timestamps (nanoseconds as text) and lines.
    pub values: Vec<(String, String)>,
}

/// One log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which stream of its batch; entries with the same number share labels.
    pub stream: usize,
    /// Labels of the stream.
    pub labels: Arc<LabelSet>,
    /// Nanoseconds since 1970.
    pub ts_ns: i64,
    /// The line.
    pub line: String,
}

/// What to ask next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// First instant, nanoseconds.
    pub start_ns: i64,
    /// One past the last.
    pub end_ns: i64,
    /// Most entries.
    pub limit: u64,
}

/// A walk over a range.
#[derive(Debug)]
pub struct Walk {
    forward: bool,
    start_ns: i64,
    end_ns: i64,
    batch: u64,
    /// Entries still wanted; [`None`] = all.
    wanted: Option<u64>,
    /// The last instant seen, and how often each entry of it was.
    seen_at: Option<i64>,
    seen: HashMap<u128, u64>,
    done: bool,
}

impl Walk {
    /// Walks `start_ns..end_ns` in steps of `batch` entries until `wanted` were given.
    pub fn new(
        forward: bool,
        range: std::ops::Range<i64>,
        batch: u64,
        wanted: Option<u64>,
    ) -> Walk {
        Walk {
            forward,
            start_ns: range.start,
            end_ns: range.end,
            batch: batch.max(1),
            wanted,
            seen_at: None,
            seen: HashMap::default(),
            done: wanted == Some(0),
        }
    }

    /// The next request, until there is nothing more to ask.
    pub fn next(&self) -> Option<Request> {
        if self.done || self.start_ns >= self.end_ns {
            return None;
        }
        let repeated: u64 = self.seen.values().sum();
        let limit = self.wanted.map_or(self.batch, |wanted| wanted.min(self.batch)) + repeated;
        Some(Request { start_ns: self.start_ns, end_ns: self.end_ns, limit })
    }

    /// The new entries of the answer to [`Walk::next`], in the order of the walk.
    pub fn take(&mut self, streams: Vec<Stream>) -> Result<Vec<Entry>> {
        let limit = self.next().map_or(0, |request| request.limit);
        let mut entries = flatten(streams)?;
        self.done = (entries.len() as u64) < limit;
        match self.forward {
            true => entries.sort_by_key(|entry| entry.ts_ns),
            false => entries.sort_by_key(|entry| std::cmp::Reverse(entry.ts_ns)),
        }
        self.drop_repeated(&mut entries);
        if let Some(last) = entries.last() {
            self.remember(last.ts_ns, &entries);
        }
        if let Some(wanted) = &mut self.wanted {
            entries.truncate(usize::try_from(*wanted).unwrap_or(usize::MAX));
            *wanted -= entries.len() as u64;
            self.done |= *wanted == 0;
        }
        Ok(entries)
    }

    fn drop_repeated(&self, entries: &mut Vec<Entry>) {
        let Some(at) = self.seen_at else { return };
        let mut left = self.seen.clone();
        entries.retain(|entry| {
            let copies = (entry.ts_ns == at).then(|| left.get_mut(&key(entry))).flatten();
            match copies {
                Some(copies) if *copies > 0 => {
                    *copies -= 1;
                    false
                }
                _ => true,
            }
        });
    }

    fn remember(&mut self, last_ns: i64, entries: &[Entry]) {
        if self.seen_at != Some(last_ns) {
            self.seen.clear();
            self.seen_at = Some(last_ns);
        }
        for entry in entries.iter().rev().take_while(|entry| entry.ts_ns == last_ns) {
            *self.seen.entry(key(entry)).or_default() += 1;
        }
        match self.forward {
            true => self.start_ns = last_ns,
            false => self.end_ns = last_ns.saturating_add(1),
        }
    }
}

fn flatten(streams: Vec<Stream>) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(streams.iter().map(|stream| stream.values.len()).sum());
    for (stream, Stream { stream: labels, values }) in streams.into_iter().enumerate() {
        let labels = Arc::new(labels);
        for (ts, line) in values {
            let ts_ns = ts.parse().with_context(|| format!("the timestamp {ts:?}"))?;
            entries.push(Entry { stream, labels: Arc::clone(&labels), ts_ns, line });
        }
    }
    Ok(entries)
}

/// Tells entries apart: labels (metadata is among them), timestamp, line.
pub fn key(entry: &Entry) -> u128 {
    let mut bytes = Vec::with_capacity(entry.line.len() + 64);
    for (name, value) in &*entry.labels {
        for text in [name, value] {
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes.extend_from_slice(&entry.ts_ns.to_le_bytes());
    bytes.extend_from_slice(entry.line.as_bytes());
    base::hash::hash128(&bytes)
}

#[cfg(test)]
mod tests;
