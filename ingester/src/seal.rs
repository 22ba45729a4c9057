//! Sealing: a full head becomes a small part in memory, in the background.

use std::sync::{Arc, PoisonError};

use metrics::{counter, histogram};
use part::{Footer, Options, Source};
use store::scan::{Memory, Scan};

use crate::core::Core;
use crate::day::{DayKey, DayRows, SealedUnit, SealingHead};
use crate::metrics::{
    BLOCKS_PER_CHUNK, CHUNK_BOUNDS, CHUNK_ENCODE_TIME, CHUNK_ENTRIES, CHUNK_RATIO, CHUNK_SIZE,
    CHUNK_UTILIZATION, CHUNKS_CREATED, SAMPLES_PER_CHUNK,
};
use crate::select::SOURCES_FROM;
use crate::{Error, head};

/// A head is sealed at this many raw bytes, at the end of the batch that passes it: a row group.
pub(crate) const SEAL_BYTES: usize = 16 << 20;
/// Or at this many rows.
pub(crate) const SEAL_ROWS: u64 = 64 << 10;

/// Whether it is time to seal.
pub(crate) fn is_full(head: &head::Head) -> bool {
    head.raw_bytes() >= SEAL_BYTES || head.rows() >= SEAL_ROWS
}

impl Core {
    /// Seals every head of `day` that waits for it. Blocking. After an error the heads stay as they
    /// are, visible and unflushed.
    pub(crate) fn seal_waiting(&self, day: &DayRows) -> Result<(), Error> {
        let _turn = day.seal_turn.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(sealing) = day.lock().sealing.first().cloned() else {
                return Ok(());
            };
            let unit = self.seal(&day.key, &sealing)?;
            let stored = unit.image.len() as u64;
            day.lock().finish_seal(unit);
            self.usage.move_unflushed(sealing.raw_bytes, stored);
            day.metrics.encoded.increment(1);
            // A commit may have claimed batches of the head while it was sealed.
            self.look_up_claims(day);
        }
    }

    pub(crate) fn seal(&self, key: &DayKey, sealing: &SealingHead) -> Result<SealedUnit, Error> {
        let clock = &self.deps.clock;
        let began_ns = clock.monotonic_ns();
        let rows = &sealing.rows;
        let metadata: Vec<_> = rows.pages.iter().map(|page| page.rows.metadata_views()).collect();
        let views = rows.pages.iter().zip(&metadata);
        let pages = views.map(|(page, metadata)| page.rows.page(metadata)).collect();
        let source = Source { streams: &rows.streams, pages };
        let image = part::seal(&key.tenant, key.day, &[source], &Options::sealed())?;
        let image = image.ok_or(Error::EmptyHead)?;
        let footer = Footer::open(&image.bytes, image.bytes.len() as u64)?;
        let seconds = clock.monotonic_ns().saturating_sub(began_ns) as f64 / 1e9;
        histogram!(CHUNK_ENCODE_TIME).record(seconds);
        counter!(CHUNKS_CREATED).increment(1);
        let pages: usize = (0..footer.groups().len()).map(|group| footer.pages(group).len()).sum();
        histogram!(BLOCKS_PER_CHUNK).record(pages as f64);
        histogram!(CHUNK_ENTRIES).record(image.rows as f64);
        histogram!(SAMPLES_PER_CHUNK).record(image.rows as f64);
        histogram!(CHUNK_SIZE).record(image.bytes.len() as f64);
        histogram!(CHUNK_UTILIZATION).record(sealing.raw_bytes as f64 / SEAL_BYTES as f64);
        histogram!(CHUNK_RATIO).record(sealing.raw_bytes as f64 / image.bytes.len() as f64);
        histogram!(CHUNK_BOUNDS).record((image.max_ns - image.min_ns) as f64 / 3.6e12);
        let reader = Arc::new(Memory(image.bytes.clone()));
        let scan = Scan::new(Arc::new(footer), reader);
        Ok(SealedUnit {
            order: sealing.order,
            scan: Arc::new(scan.with_order(SOURCES_FROM + sealing.order)),
            image: image.bytes,
            streams: Arc::clone(&rows.streams),
            ranges: rows.ranges.clone(),
            batches: sealing.batches.clone(),
            raw_bytes: sealing.raw_bytes,
            began_ns: sealing.began_ns,
        })
    }
}
