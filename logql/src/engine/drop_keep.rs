//! `| drop a, b="x"` and `| keep a, b="x"`: takes labels away, by name or where a value matches
//! (contract 6.10).
//!
//! Takes the labels of a page, changes those of selected rows. The error fields are dropped like
//! labels and always kept. Nothing to merge.

use base::{Bitmap, PageView};

use super::matcher::ValueMatcher;
use super::names::{ERROR, ERROR_DETAILS, NONE, NameId};
use super::pipeline::{NameList, Rooms, RowsOf, Runs};
use crate::syntax::NamedMatcher;

/// What `| keep` keeps too: how a query that groups by the error marks that it does.
const PRESERVE_ERROR: &str = "__preserve_error__";

/// An item of the list.
#[derive(Clone, Debug)]
struct Item {
    name: NameId,
    /// Only where the value matches.
    matcher: Option<ValueMatcher>,
}

/// A compiled list.
#[derive(Clone, Debug)]
pub(crate) struct DropKeep {
    keep: bool,
    items: Vec<Item>,
    preserved: NameId,
}

impl DropKeep {
    /// Compiles. The error is Go's.
    pub(crate) fn new(
        keep: bool,
        list: &[NamedMatcher],
        names: &mut NameList,
    ) -> Result<DropKeep, String> {
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            let (name, matcher) = match item {
                NamedMatcher::Name(name) => (name, None),
                NamedMatcher::Matcher(matcher) => {
                    let compiled = ValueMatcher::new(matcher.op, &matcher.value)?;
                    (&matcher.name, Some(compiled))
                }
            };
            items.push(Item { name: names.number(name), matcher });
        }
        if keep {
            items.sort_by_key(|item| item.name); // in any order one that keeps is enough
        }
        Ok(DropKeep { keep, items, preserved: names.number(PRESERVE_ERROR) })
    }

    /// Calls `visit` with each name whose value is looked at.
    pub(crate) fn names(&self, visit: &mut impl FnMut(NameId)) {
        self.items.iter().filter(|item| item.matcher.is_some()).for_each(|item| visit(item.name));
    }

    /// Takes labels of selected rows away.
    pub(crate) fn apply(
        &self,
        page: &PageView<'_>,
        runs: &Runs<'_>,
        rooms: &mut Rooms,
        selected: &Bitmap,
    ) {
        for run in RowsOf::each(runs, selected) {
            runs.enter(run.stream, &mut rooms.columns, &mut rooms.names);
            for row in run.rows(selected) {
                rooms.columns.parsed.begin(row);
                if self.keep {
                    self.keep(page, runs, rooms, run.stream, row);
                } else {
                    self.drop(page, runs, rooms, run.stream, row);
                }
            }
        }
    }

    fn drop(
        &self,
        page: &PageView<'_>,
        runs: &Runs<'_>,
        rooms: &mut Rooms,
        stream: u32,
        row: usize,
    ) {
        for item in &self.items {
            let columns = &mut rooms.columns;
            if matches!(item.name, ERROR | ERROR_DETAILS) {
                let text = if item.name == ERROR {
                    Some(columns.errors.of(row))
                } else {
                    columns.errors.details(row)
                };
                let value = text.map(|text| text.bytes(page.lines.bytes, &columns.scratch));
                if item.matches(value) {
                    let error = item.name == ERROR;
                    columns.errors.clear(row, error, !error);
                }
                continue;
            }
            let value = columns.value(page, runs.labels(stream), row, item.name);
            // A label that is not there cannot be taken away.
            if value.is_some() && item.matches(value) {
                columns.parsed.hide(row, item.name);
            }
        }
    }

    fn keep(
        &self,
        page: &PageView<'_>,
        runs: &Runs<'_>,
        rooms: &mut Rooms,
        stream: u32,
        row: usize,
    ) {
        let Rooms { columns, .. } = rooms;
        let kept = |name: NameId, value: &[u8]| {
            let first = self.items.partition_point(|item| item.name < name);
            let mut own = self.items[first..].iter().take_while(|item| item.name == name);
            name == self.preserved || own.any(|item| item.matches(Some(value)))
        };
        let (lines, scratch) = (page.lines.bytes, &columns.scratch);
        let parsed = &mut columns.parsed;
        parsed.hide_parsed(row, |name, text| kept(name, text.bytes(lines, scratch)));
        let scope = &columns.scope;
        for (index, &name) in runs.ids(stream).iter().enumerate() {
            let hidden = name == NONE || parsed.get(row, name).is_some();
            if hidden || scope.metadata(page, row, name).is_some() {
                continue;
            }
            if !kept(name, runs.labels(stream).pair(index).1.as_bytes()) {
                parsed.hide(row, name);
            }
        }
        for &name in scope.effective() {
            if name == NONE || parsed.get(row, name).is_some() {
                continue;
            }
            if scope.metadata(page, row, name).is_some_and(|value| !kept(name, value)) {
                parsed.hide(row, name);
            }
        }
    }
}

impl Item {
    fn matches(&self, value: Option<&[u8]>) -> bool {
        self.matcher.as_ref().is_none_or(|m| m.is_match(value.unwrap_or_default()))
    }
}
