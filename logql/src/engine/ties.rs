//! Rows that the pipeline makes equal: in Loki rows of one stream and instant with the same line and
//! the same metadata are one row, and it compares them as they leave the pipeline. So after
//! `| line_format "same"` one row of an instant is left.
//!
//! A pipeline that only parses and filters makes no rows equal: a label of the line may hide one of
//! the metadata, but what is hidden is compared all the same.
//!
//! Only rows that share stream and instant with another are run through the pipeline for that; which
//! of them counts does not depend on how rows were cut, for a row's fate depends on the row alone.

use std::sync::Arc;

use super::entries::{Candidate, Entries};
use super::overlap::row_hash;
use super::pipeline::{NameList, Pipeline};
use super::render::each_row;

/// What makes rows equal.
#[derive(Debug)]
pub(crate) struct Ties {
    pipeline: Pipeline,
    names: NameList,
}

impl Ties {
    /// Of a log query with this pipeline; `None` if it changes nothing that rows are compared by.
    pub(crate) fn of(pipeline: &Pipeline, names: &NameList) -> Option<Arc<Ties>> {
        let (pipeline, names) = (pipeline.clone(), names.clone());
        pipeline.changes_rows().then(|| Arc::new(Ties { pipeline, names }))
    }

    /// Gives candidates that share stream and instant with a neighbour the hash of what they become.
    /// `rows` are sorted by both.
    pub(crate) fn hash(&self, entries: &Entries, rows: &mut [Candidate]) {
        let same = |a: &Candidate, b: &Candidate| a.ts_ns == b.ts_ns && a.stream == b.stream;
        let open = |at: usize| {
            let row = &rows[at];
            let tied = (at > 0 && same(&rows[at - 1], row))
                || rows.get(at + 1).is_some_and(|next| same(row, next));
            tied && !row.rendered
        };
        let places: Vec<usize> = (0..rows.len()).filter(|&at| open(at)).collect();
        if places.is_empty() {
            return;
        }
        let tied: Vec<Candidate> = places.iter().map(|&at| rows[at]).collect();
        let mut hashes = Vec::with_capacity(tied.len());
        let mut scratch = Vec::new();
        let done =
            each_row(&self.pipeline, &self.names, entries, &tied, &mut |_, effective, line| {
                let metadata = effective.origins().metadata;
                let pairs = metadata.iter().map(|(name, value)| (name, value.as_bytes()));
                hashes.push(row_hash(line, pairs, &mut scratch));
            });
        if done.is_err() {
            return; // rendering the answer says why
        }
        for (at, hash) in places.into_iter().zip(hashes) {
            (rows[at].hash, rows[at].rendered) = (hash, true);
        }
    }
}
