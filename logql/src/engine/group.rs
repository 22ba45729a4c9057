//! Which series a row belongs to.
//!
//! Resolved once per run where stream labels alone decide, once per distinct value where one
//! metadata column does, else by the bytes of the values that matter.

use base::hash::hash64;
use base::rows::Strings;
use base::{Labels, LabelsBuilder, PageView};
use hashbrown::HashTable;

use super::columns::Columns;
use super::effective::{RowRef, lossy};
use super::names::{ERROR, ERROR_DETAILS, NONE, NameId, Names};
use super::pipeline::Made;
use super::samples::Samples;

/// How a leaf groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// Everything is one series without labels.
    One,
    /// By the values of these.
    By(Vec<NameId>),
    /// By all labels but these.
    Without(Vec<NameId>),
}

impl Grouping {
    /// Whether the error of a row is part of its series, so that it does not fail the query.
    pub(crate) fn keeps_error(&self) -> bool {
        matches!(self, Grouping::By(names) if names.contains(&ERROR))
    }
}

/// What decides about the rows of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deciding {
    /// The stream alone.
    Stream,
    /// This metadata column.
    Column(usize),
    /// The row.
    Row,
}

/// Added to the number of a name, in keys: the label was taken away. Numbers are far lower.
const GONE: NameId = 1 << 31;

/// Finds series of rows.
#[derive(Debug, Default)]
pub(crate) struct Grouper {
    keys: Strings,
    table: HashTable<u32>,
    series: Vec<u32>,
    key: Vec<u8>,
    last: Option<u32>,
    /// Per dictionary code of the deciding column: (mark of the run, series).
    memo: Vec<(u32, u32)>,
    mark: u32,
}

/// A cache of keys is given up above this many bytes: it is only a short cut to the labels (P6).
const KEY_BYTES_MAX: usize = 16 << 20;

impl Grouper {
    /// To be called before each page. `anew` = the numbers of names changed.
    pub(crate) fn trim(&mut self, anew: bool) {
        if anew || self.keys.bytes.len() > KEY_BYTES_MAX {
            *self = Grouper::default();
        }
    }

    /// Begins a run: what decides in it.
    pub(crate) fn begin_run(
        &mut self,
        grouping: &Grouping,
        page: &PageView<'_>,
        (columns, names): (&Columns, &Names),
        made: Made,
    ) -> Deciding {
        self.mark += 1;
        self.last = None;
        let scope = &columns.scope;
        let mut deciding = Deciding::Stream;
        let mut add = |column: usize| {
            deciding = match deciding {
                Deciding::Stream => Deciding::Column(column),
                Deciding::Column(one) if one == column => deciding,
                _ => Deciding::Row,
            };
        };
        match grouping {
            Grouping::One => return Deciding::Stream,
            Grouping::By(by) => {
                for &name in by {
                    let error = matches!(name, ERROR | ERROR_DETAILS) && !columns.errors.none();
                    let parsed = match made {
                        Made::Nothing => false,
                        Made::Parsed => scope.base(name).is_none() || names.may_be_yielded_to(name),
                        Made::Changed => true,
                    };
                    if error || parsed || !scope.is_sole(name) {
                        return Deciding::Row;
                    }
                    if let Some(column) = scope.meta(name) {
                        add(column);
                    }
                }
            }
            Grouping::Without(without) => {
                if made != Made::Nothing || !columns.errors.none() {
                    return Deciding::Row;
                }
                for (column, id) in scope.effective().iter().enumerate() {
                    if *id != NONE && !without.contains(id) {
                        add(column);
                    }
                }
            }
        }
        if let Deciding::Column(column) = deciding {
            let codes = page.metadata[column].values.len() + 1;
            if self.memo.len() < codes {
                self.memo.resize(codes, (0, 0));
            }
        }
        deciding
    }

    /// The series of a row of the current run.
    #[inline]
    pub(crate) fn of_row(
        &mut self,
        grouping: &Grouping,
        deciding: Deciding,
        row: RowRef<'_, '_>,
        samples: &mut Samples,
    ) -> u32 {
        match deciding {
            Deciding::Stream => match self.last {
                Some(series) => series,
                None => {
                    let series = self.find(grouping, row, samples);
                    self.last = Some(series);
                    series
                }
            },
            Deciding::Column(column) => {
                let code = row.page.metadata[column].codes[row.row] as usize;
                let (mark, series) = self.memo[code];
                if mark == self.mark {
                    return series;
                }
                let series = self.find(grouping, row, samples);
                self.memo[code] = (self.mark, series);
                series
            }
            Deciding::Row => self.find(grouping, row, samples),
        }
    }

    fn find(&mut self, grouping: &Grouping, row: RowRef<'_, '_>, samples: &mut Samples) -> u32 {
        self.key.clear();
        write_key(grouping, row, &mut self.key);
        let hash = hash64(&self.key);
        let (keys, key) = (&self.keys, &self.key);
        let found = self.table.find(hash, |&entry| keys.get(entry as usize) == key.as_slice());
        if let Some(&entry) = found {
            return self.series[entry as usize];
        }
        let series = samples.series(labels(grouping, row));
        let entry = self.keys.len() as u32;
        self.keys.push(&self.key);
        self.series.push(series);
        let keys = &self.keys;
        self.table.insert_unique(hash, entry, |&entry| hash64(keys.get(entry as usize)));
        series
    }
}

/// Bytes that are equal only for rows of one series. (Rows of one series may differ in them.)
fn write_key(grouping: &Grouping, row: RowRef<'_, '_>, key: &mut Vec<u8>) {
    let RowRef { page, stream, columns, .. } = row;
    let mut push = |name: NameId, value: &[u8]| {
        key.extend_from_slice(&name.to_le_bytes());
        key.extend_from_slice(&(value.len() as u32).to_le_bytes());
        key.extend_from_slice(value);
    };
    match grouping {
        Grouping::One => {}
        Grouping::By(names) => {
            for &name in names {
                push(name, value(row, name).unwrap_or_default());
            }
        }
        Grouping::Without(names) => {
            let key = stream.key.0.to_le_bytes();
            push(NONE, &key);
            for &id in columns.scope.effective() {
                if id != NONE
                    && !names.contains(&id)
                    && let Some(value) = columns.scope.metadata(page, row.row, id)
                {
                    push(id, value);
                }
            }
            for &(id, text) in columns.parsed.of(row.row) {
                if text.is_gone() {
                    push(id | GONE, b"");
                } else if !names.contains(&id) {
                    push(id, text.bytes(page.lines.bytes, &columns.scratch));
                }
            }
            if !columns.errors.none() {
                push(ERROR, value(row, ERROR).unwrap_or_default());
                push(ERROR_DETAILS, value(row, ERROR_DETAILS).unwrap_or_default());
            }
        }
    }
}

fn value<'r>(row: RowRef<'r, '_>, name: NameId) -> Option<&'r [u8]> {
    let RowRef { page, stream, columns, .. } = row;
    let error = match name {
        ERROR => Some(columns.errors.of(row.row)),
        ERROR_DETAILS => columns.errors.details(row.row),
        _ => return columns.value(page, &stream.labels, row.row, name),
    };
    error.map(|text| text.bytes(page.lines.bytes, &columns.scratch))
}

fn labels(grouping: &Grouping, row: RowRef<'_, '_>) -> Labels {
    match grouping {
        Grouping::One => Labels::empty(),
        Grouping::By(names) => {
            let mut builder = LabelsBuilder::default();
            for &name in names {
                let value = value(row, name).unwrap_or_default();
                if !value.is_empty() {
                    builder.set(row.names.text(name), &lossy(value));
                }
            }
            builder.build()
        }
        Grouping::Without(names) => row.labels(names),
    }
}
