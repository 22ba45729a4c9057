//! How much memory rows take, counted where they move.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Gauge, gauge};

use crate::followed::ENTRY_BYTES;
use crate::metrics::{FOLLOWED_BYTES, MEMORY_CHUNKS, RETAINED_BYTES, UNFLUSHED_BYTES};

/// Bytes and units by state. The gauges follow.
pub(crate) struct Usage {
    in_flight: AtomicU64,
    unflushed: AtomicU64,
    /// Those of the unflushed that are not sealed.
    raw: AtomicU64,
    /// Those of the raw that flushes under way have read into their parts.
    read: AtomicU64,
    retained: AtomicU64,
    /// Entries of followed batches.
    followed: AtomicU64,
    chunks: AtomicU64,
    unflushed_gauge: Gauge,
    retained_gauge: Gauge,
    followed_gauge: Gauge,
    chunks_gauge: Gauge,
}

/// Bytes of an append that is under way.
pub(crate) struct InFlight<'a> {
    usage: &'a Usage,
    bytes: u64,
}

impl Usage {
    pub(crate) fn new() -> Usage {
        let usage = Usage {
            in_flight: AtomicU64::new(0),
            unflushed: AtomicU64::new(0),
            raw: AtomicU64::new(0),
            read: AtomicU64::new(0),
            retained: AtomicU64::new(0),
            followed: AtomicU64::new(0),
            chunks: AtomicU64::new(0),
            unflushed_gauge: gauge!(UNFLUSHED_BYTES),
            retained_gauge: gauge!(RETAINED_BYTES),
            followed_gauge: gauge!(FOLLOWED_BYTES),
            chunks_gauge: gauge!(MEMORY_CHUNKS),
        };
        usage.publish();
        usage
    }

    /// Bytes of rows that no commit holds, appends under way included, and of what is known of
    /// followed batches.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.rows_bytes() + self.followed_bytes()
    }

    /// Those of the rows: what a flush of the rows here can free.
    pub(crate) fn rows_bytes(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed) + self.unflushed.load(Ordering::Relaxed)
    }

    /// What is known of followed batches.
    pub(crate) fn followed_bytes(&self) -> u64 {
        self.followed.load(Ordering::Relaxed) * ENTRY_BYTES
    }

    /// Followed batches went from `before` to `after`.
    pub(crate) fn move_followed(&self, before: usize, after: usize) {
        shift(&self.followed, before as u64, after as u64);
        self.followed_gauge.set(self.followed_bytes() as f64);
    }

    /// Reserves `bytes` for an append unless that would pass `limit`.
    pub(crate) fn begin_append(&self, bytes: u64, limit: u64) -> Option<InFlight<'_>> {
        self.in_flight.fetch_add(bytes, Ordering::Relaxed);
        let reserved = InFlight { usage: self, bytes };
        (self.held_bytes() <= limit).then_some(reserved)
    }

    pub(crate) fn retained_bytes(&self) -> u64 {
        self.retained.load(Ordering::Relaxed)
    }

    /// Bytes of unflushed rows that are not sealed.
    pub(crate) fn raw_bytes(&self) -> u64 {
        self.raw.load(Ordering::Relaxed)
    }

    /// Raw bytes that no flush has read yet: what appends run ahead of.
    pub(crate) fn unread_bytes(&self) -> u64 {
        self.raw_bytes().saturating_sub(self.read.load(Ordering::Relaxed))
    }

    /// A flush under way has read raw bytes, or ends and has read none any more.
    pub(crate) fn move_read(&self, before: u64, after: u64) {
        shift(&self.read, before, after);
    }

    /// Raw rows that were `before` bytes are `after` bytes.
    pub(crate) fn move_raw(&self, before: u64, after: u64) {
        shift(&self.raw, before, after);
        shift(&self.unflushed, before, after);
        self.publish();
    }

    /// `raw` bytes of rows became a sealed unit of `sealed` bytes.
    pub(crate) fn sealed(&self, raw: u64, sealed: u64) {
        shift(&self.raw, raw, 0);
        shift(&self.unflushed, raw, sealed);
        self.publish();
    }

    /// A unit was flushed, or its rows are gone.
    pub(crate) fn flushed(&self, bytes: u64, is_raw: bool) {
        shift(&self.raw, if is_raw { bytes } else { 0 }, 0);
        shift(&self.unflushed, bytes, 0);
        self.chunks.fetch_sub(1, Ordering::Relaxed);
        self.publish();
    }

    /// Retained bytes went from `before` to `after`.
    pub(crate) fn move_retained(&self, before: u64, after: u64) {
        shift(&self.retained, before, after);
        self.publish();
    }

    /// A head with rows began to exist.
    pub(crate) fn chunk_created(&self) {
        self.chunks.fetch_add(1, Ordering::Relaxed);
        self.publish();
    }

    fn publish(&self) {
        self.unflushed_gauge.set(self.unflushed.load(Ordering::Relaxed) as f64);
        self.retained_gauge.set(self.retained.load(Ordering::Relaxed) as f64);
        self.chunks_gauge.set(self.chunks.load(Ordering::Relaxed) as f64);
    }
}

/// Replaces `before` by `after` in a sum.
fn shift(sum: &AtomicU64, before: u64, after: u64) {
    sum.fetch_add(after, Ordering::Relaxed);
    sum.fetch_sub(before, Ordering::Relaxed);
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.usage.in_flight.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
