//! The labels a row ends up with (contract 5): stream labels that nothing hides, then metadata
//! that no parsed label hides, then parsed labels and the error fields.

use std::borrow::Cow;

use base::{Labels, PageView};

use super::Origins;
use super::columns::{Columns, Text};
use super::names::{ERROR, ERROR_DETAILS, ERROR_DETAILS_NAME, ERROR_NAME, NONE, NameId, Names};
use super::pipeline::Stream;

/// Where a label comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Stream,
    Metadata,
    Parsed,
}

/// Labels of one row in name order.
#[derive(Debug)]
pub(crate) struct Effective<'r>(Vec<(&'r str, Cow<'r, str>, Origin)>);

/// One row whose run the scope has entered.
#[derive(Clone, Copy)]
pub(crate) struct RowRef<'r, 'a> {
    pub page: &'r PageView<'a>,
    pub stream: &'r Stream,
    pub columns: &'r Columns,
    pub names: &'r Names,
    pub row: usize,
}

impl<'r> RowRef<'r, '_> {
    /// The labels except those named in `without`.
    pub(crate) fn effective(&self, without: &[NameId]) -> Effective<'r> {
        let RowRef { page, stream, columns, names, row } = *self;
        let mut out = Vec::with_capacity(stream.ids.len() + page.metadata.len() + 8);
        let kept = |name: NameId| !without.contains(&name);
        let parsed = |name: NameId| columns.parsed.get(row, name).is_some();
        let scope = &columns.scope;
        for (index, &id) in stream.ids.iter().enumerate() {
            let hidden =
                id != NONE && (!kept(id) || parsed(id) || scope.metadata(page, row, id).is_some());
            if !hidden {
                let (name, value) = stream.labels.pair(index);
                out.push((name, Cow::Borrowed(value), Origin::Stream));
            }
        }
        for &id in scope.effective() {
            if id == NONE || !kept(id) || parsed(id) {
                continue;
            }
            if let Some(value) = scope.metadata(page, row, id) {
                out.push((names.text(id), lossy(value), Origin::Metadata));
            }
        }
        let text = |text: Text| lossy(text.bytes(page.lines.bytes, &columns.scratch));
        for (id, value) in columns.parsed.live(row) {
            if kept(id) {
                out.push((names.text(id), text(value), Origin::Parsed));
            }
        }
        if !columns.errors.none() {
            let error = Some(columns.errors.of(row)).filter(|_| kept(ERROR));
            let details = columns.errors.details(row).filter(|_| kept(ERROR_DETAILS));
            for (name, value) in [(ERROR_NAME, error), (ERROR_DETAILS_NAME, details)] {
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    // A key of the line may have the same name.
                    out.retain(|label| label.0 != name);
                    out.push((name, text(value), Origin::Parsed));
                }
            }
        }
        out.sort_unstable_by(|a, b| a.0.cmp(b.0));
        // Two metadata columns with one name in this run gave the same value twice.
        out.dedup_by(|a, b| a.0 == b.0);
        Effective(out)
    }

    /// All of them together, except those named in `without`.
    pub(crate) fn labels(&self, without: &[NameId]) -> Labels {
        self.effective(without).joined()
    }
}

impl Effective<'_> {
    /// All in one set.
    pub(crate) fn joined(&self) -> Labels {
        Labels::from_sorted(self.0.iter().map(|(name, value, _)| (*name, &**value)))
    }

    /// Those that are no stream labels.
    pub(crate) fn origins(&self) -> Origins {
        Origins { metadata: self.of(Origin::Metadata), parsed: self.of(Origin::Parsed) }
    }

    fn of(&self, origin: Origin) -> Labels {
        let labels = self.0.iter().filter(|label| label.2 == origin);
        Labels::from_sorted(labels.map(|(name, value, _)| (*name, &**value)))
    }
}

/// Labels are text; what is no UTF-8 in them is replaced.
pub(crate) fn lossy(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
}
