//! The labels a row ends up with (contract 5): stream labels that nothing hides, then metadata
//! that no parsed label hides, then parsed labels and the error fields.

use std::borrow::Cow;

use base::{Labels, LabelsBuilder, PageView};

use super::Origins;
use super::columns::Columns;
use super::names::{ERROR, ERROR_DETAILS, ERROR_DETAILS_NAME, ERROR_NAME, NONE, NameId, Names};
use super::pipeline::Stream;

/// Labels of one row by where they come from.
#[derive(Debug, Default)]
pub(crate) struct Effective {
    pub stream: LabelsBuilder,
    pub metadata: LabelsBuilder,
    pub parsed: LabelsBuilder,
}

/// One row whose run the scope has entered.
#[derive(Clone, Copy)]
pub(crate) struct RowRef<'r, 'a> {
    pub page: &'r PageView<'a>,
    pub stream: &'r Stream,
    pub columns: &'r Columns,
    pub names: &'r Names,
    pub row: usize,
}

impl RowRef<'_, '_> {
    /// The labels except those named in `without`.
    pub(crate) fn effective(&self, without: &[NameId]) -> Effective {
        let mut out = Effective::default();
        let kept = |name: NameId| !without.contains(&name);
        let parsed = |name: NameId| self.columns.parsed.get(self.row, name).is_some();
        let scope = &self.columns.scope;
        for (index, &id) in self.stream.ids.iter().enumerate() {
            let hidden = id != NONE
                && (!kept(id) || parsed(id) || scope.metadata(self.page, self.row, id).is_some());
            if !hidden {
                let (name, value) = self.stream.labels.pair(index);
                out.stream.set(name, value);
            }
        }
        for &id in scope.effective() {
            if id == NONE || !kept(id) || parsed(id) {
                continue;
            }
            if let Some(value) = scope.metadata(self.page, self.row, id) {
                out.metadata.set(self.names.text(id), &lossy(value));
            }
        }
        for &(id, text) in self.columns.parsed.of(self.row) {
            if kept(id) {
                let value = text.bytes(self.page.lines.bytes, &self.columns.scratch);
                out.parsed.set(self.names.text(id), &lossy(value));
            }
        }
        if kept(ERROR) {
            self.set_error(&mut out.parsed, ERROR_NAME, Some(self.columns.errors.of(self.row)));
        }
        if kept(ERROR_DETAILS) {
            let details = self.columns.errors.details(self.row);
            self.set_error(&mut out.parsed, ERROR_DETAILS_NAME, details);
        }
        out
    }

    fn set_error(&self, out: &mut LabelsBuilder, name: &str, text: Option<super::columns::Text>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            out.set(name, &lossy(text.bytes(self.page.lines.bytes, &self.columns.scratch)));
        }
    }

    /// All of them together, except those named in `without`.
    pub(crate) fn labels(&self, without: &[NameId]) -> Labels {
        self.effective(without).parts().joined()
    }
}

impl Effective {
    /// Sorted and frozen.
    pub(crate) fn parts(self) -> Parts {
        let stream = self.stream.build();
        Parts { stream, metadata: self.metadata.build(), parsed: self.parsed.build() }
    }
}

/// Labels of one row by where they come from, frozen.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    stream: Labels,
    metadata: Labels,
    parsed: Labels,
}

impl Parts {
    /// All in one set.
    pub(crate) fn joined(&self) -> Labels {
        if self.metadata.is_empty() && self.parsed.is_empty() {
            return self.stream.clone();
        }
        let parts = [&self.stream, &self.metadata, &self.parsed];
        Labels::from_pairs(parts.into_iter().flat_map(Labels::iter))
    }

    /// Those that are no stream labels.
    pub(crate) fn origins(self) -> Origins {
        Origins { metadata: self.metadata, parsed: self.parsed }
    }
}

/// Labels are text; what is no UTF-8 in them is replaced.
pub(crate) fn lossy(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
}
