//! What a leaf knows after some of its rows.

use super::Stats;
use super::entries::Entries;
use super::samples::Samples;
use crate::plan::{Direction, QueryError, TimeRange};

/// What a leaf knows after some of its rows. Merging is associative and commutative.
#[derive(Clone, Debug, Default)]
pub struct Partial {
    pub(crate) held: Held,
    pub(crate) stats: Stats,
}

/// By kind of leaf.
#[derive(Clone, Debug, Default)]
pub(crate) enum Held {
    /// No rows were looked at.
    #[default]
    Nothing,
    Samples(Samples),
    Entries(Entries),
}

impl Partial {
    /// Takes in `other`, which comes from other rows of the same leaf (or the same overlap rows).
    pub fn merge(&mut self, other: Partial) -> Result<(), QueryError> {
        self.stats.add(&other.stats);
        match (&mut self.held, other.held) {
            (_, Held::Nothing) => Ok(()),
            (own @ Held::Nothing, other) => {
                *own = other;
                Ok(())
            }
            (Held::Samples(own), Held::Samples(other)) => own.merge(other),
            (Held::Entries(own), Held::Entries(other)) => own.merge(&other),
            (Held::Samples(_), Held::Entries(_)) | (Held::Entries(_), Held::Samples(_)) => {
                panic!("partials of different leaves are never merged")
            }
        }
    }

    /// For log queries: as [`crate::engine::Worker::threshold`], over all rows merged so far.
    pub fn threshold(&self) -> Option<i64> {
        match &self.held {
            Held::Entries(entries) => entries.threshold(),
            Held::Samples(_) | Held::Nothing => None,
        }
    }

    /// Whether rows of `range` can still change the answer. Always, for samples.
    pub fn needs(&self, range: TimeRange) -> bool {
        let Held::Entries(entries) = &self.held else {
            return true;
        };
        let threshold = entries.threshold();
        !entries.wants_none()
            && threshold.is_none_or(|threshold| match entries.direction() {
                Direction::Backward => range.to_ns.saturating_sub(1) > threshold,
                Direction::Forward => range.from_ns < threshold,
            })
    }

    /// What was looked at to get here.
    pub fn stats(&self) -> Stats {
        self.stats
    }
}

impl Stats {
    /// Adds the work of `other`.
    pub fn add(&mut self, other: &Stats) {
        self.rows += other.rows;
        self.line_bytes += other.line_bytes;
        self.metadata_bytes += other.metadata_bytes;
        self.selected_rows += other.selected_rows;
    }
}
