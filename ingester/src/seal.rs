//! Sealing: when raw rows take much memory, full heads become small parts in memory.
//!
//! A unit that is flushed while it is raw is compressed once, for the bucket; sealing compresses it
//! a second time. So it is done only above `Config::raw_limit`.

use std::sync::{Arc, PoisonError};

use metrics::counter;
use part::{Footer, Options, Source};
use store::scan::{Memory, Scan};

use crate::core::Core;
use crate::day::{Claimed, DayKey, DayRows, Unit, UnitRows};
use crate::head::Snapshot;
use crate::metrics::SEALED_UNITS;
use crate::{Error, head};

/// A head is full at this many raw bytes, at the end of the batch that passes it: a row group.
pub(crate) const FULL_BYTES: usize = 16 << 20;
/// Or at this many rows.
pub(crate) const FULL_ROWS: u64 = 64 << 10;

/// Whether it is time to begin another head.
pub(crate) fn is_full(head: &head::Head) -> bool {
    head.raw_bytes() >= FULL_BYTES || head.rows() >= FULL_ROWS
}

impl Core {
    /// Whether raw rows take more than they may: flushes must come first, or full heads be sealed.
    pub(crate) fn is_short_of_raw(&self) -> bool {
        self.usage.unread_bytes() > self.config.raw_limit.0
    }

    /// Seals the raw units of `day`, oldest first, until raw rows take less than they may.
    /// Blocking. After an error the units stay as they are, visible and unflushed.
    pub(crate) fn seal_while_short(&self, day: &DayRows) -> Result<(), Error> {
        let _turn = day.seal_turn.lock().unwrap_or_else(PoisonError::into_inner);
        while self.is_short_of_raw() && self.seal_oldest(day)? {}
        Ok(())
    }

    /// Seals the oldest raw unit that no commit claims. The caller holds the day's seal turn.
    pub(crate) fn seal_oldest(&self, day: &DayRows) -> Result<bool, Error> {
        let raw = {
            let state = day.lock();
            let is_wanted = |u: &&crate::day::UnitState| {
                u.unit.is_raw() && !matches!(u.claimed, Claimed::By { .. })
            };
            state.units.iter().find(is_wanted).map(|state| Arc::clone(&state.unit))
        };
        let Some(raw) = raw else {
            return Ok(false);
        };
        let sealed = seal_unit(&day.key, &raw)?;
        let sealed_bytes = sealed.held_bytes();
        if day.lock().finish_seal(&raw, sealed) {
            counter!(SEALED_UNITS).increment(1);
            self.usage.sealed(raw.raw_bytes, sealed_bytes);
        }
        Ok(true)
    }
}

fn seal_unit(key: &DayKey, unit: &Unit) -> Result<Unit, Error> {
    let UnitRows::Raw(rows) = &unit.rows else {
        return Err(Error::Resealed);
    };
    let image = part_of(key, &[rows], &Options::sealed(), &mut |_| {})?;
    let footer = Footer::open(&image.bytes, image.bytes.len() as u64)?;
    let reader = Arc::new(Memory(image.bytes.clone()));
    let scan = Scan::new(Arc::new(footer), reader).with_order(unit.order);
    Ok(unit.sealed(Arc::new(scan), image.bytes))
}

/// One part of raw rows. `tell` hears of the line bytes that are read.
pub(crate) fn part_of(
    key: &DayKey,
    rows: &[&Snapshot],
    options: &Options,
    tell: &mut dyn FnMut(u64),
) -> Result<part::Image, Error> {
    let metadata: Vec<Vec<_>> = rows
        .iter()
        .map(|rows| rows.pages.iter().map(|page| page.rows.metadata_views()).collect())
        .collect();
    let sources: Vec<Source<'_>> = rows
        .iter()
        .zip(&metadata)
        .map(|(rows, metadata)| Source {
            streams: &rows.streams,
            pages: rows.pages.iter().zip(metadata).map(|(page, m)| page.rows.page(m)).collect(),
        })
        .collect();
    let image = part::seal_telling(&key.tenant, key.day, &sources, options, tell)?;
    image.ok_or(Error::EmptyHead)
}
