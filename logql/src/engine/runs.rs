//! The rows of a page by stream: what operators walk over.

use base::{Bitmap, Labels, Run, StreamKey};

use super::columns::Columns;
use super::names::{NONE, NameId, Names};

/// A selected stream, as one worker knows it.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub labels: Labels,
    pub key: StreamKey,
    /// The numbers of its label names.
    pub ids: Vec<NameId>,
}

impl Stream {
    pub(crate) fn new(labels: &Labels, names: &mut Names) -> Stream {
        let ids = labels.iter().map(|(name, _)| names.lookup(name.as_bytes())).collect();
        Stream { labels: labels.clone(), key: labels.key(), ids }
    }
}

/// The runs of a page, by the worker's own stream numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runs<'a> {
    pub runs: &'a [Run],
    /// Per stream of the source: the worker's number, or [`NONE`] = not selected.
    pub table: &'a [u32],
    pub streams: &'a [Stream],
}

impl Runs<'_> {
    /// `(from, to, stream)` of each run of a selected stream.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, usize, u32)> + '_ {
        let mut from = 0;
        self.runs.iter().filter_map(move |run| {
            let range = (from, run.end as usize, self.table[run.stream as usize]);
            from = run.end as usize;
            (range.2 != NONE).then_some(range)
        })
    }

    pub(crate) fn labels(&self, stream: u32) -> &Labels {
        &self.streams[stream as usize].labels
    }

    pub(crate) fn stream(&self, stream: u32) -> &Stream {
        &self.streams[stream as usize]
    }

    /// The numbers of its label names.
    pub(crate) fn ids(&self, stream: u32) -> &[NameId] {
        &self.streams[stream as usize].ids
    }

    /// Makes the names of `stream` those of the current run.
    pub(crate) fn enter(&self, stream: u32, columns: &mut Columns, names: &mut Names) {
        columns.scope.enter(names, stream, &self.streams[stream as usize].ids);
    }
}

/// The rows of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowsOf {
    pub stream: u32,
    from: usize,
    to: usize,
}

impl RowsOf {
    /// The runs that have selected rows.
    pub(crate) fn each<'r>(
        runs: &'r Runs<'_>,
        selected: &'r Bitmap,
    ) -> impl Iterator<Item = RowsOf> + 'r {
        let any =
            |&(from, to, _): &(usize, usize, u32)| selected.next(from).is_some_and(|row| row < to);
        runs.iter().filter(any).map(|(from, to, stream)| RowsOf { stream, from, to })
    }

    /// Its selected rows.
    pub(crate) fn rows(self, selected: &Bitmap) -> impl Iterator<Item = usize> + '_ {
        let mut at = self.from;
        std::iter::from_fn(move || {
            let row = selected.next(at).filter(|&row| row < self.to)?;
            at = row + 1;
            Some(row)
        })
    }
}
