//! `| line_format "{{.a}}"` and `| label_format a="{{.b}}", c=d`: lines and labels out of templates
//! (contract 6.8).
//!
//! Takes the labels, times and lines of a page; leaves other lines, or labels that were set. Where
//! a template fails, the row gets an error and keeps what it had. Nothing to merge.

use base::rows::Strings;
use base::{Bitmap, PageView, UnixNanos};

use super::columns::{ErrorKind, Text};
use super::effective::RowRef;
use super::names::{ERROR, ERROR_DETAILS, ERROR_DETAILS_NAME, ERROR_NAME, NameId};
use super::pipeline::{NameList, Rooms, RowsOf, Runs, end_row, skip_rows};
use super::template::{Data, Template};
use crate::syntax::{LabelFormat as Assignment, LabelFormatValue};

/// Most bytes of formatted lines of one page: 32-bit offsets, and memory (P6).
const PAGE_BYTES_MAX: usize = 1 << 30;

/// What a template reads: a row, and when it is asked for.
struct Given<'r, 'a> {
    row: RowRef<'r, 'a>,
    now: UnixNanos,
}

impl Data for Given<'_, '_> {
    fn label(&self, name: NameId) -> Option<&[u8]> {
        let RowRef { page, stream, columns, row, .. } = &self.row;
        let error = match name {
            ERROR => Some(columns.errors.of(*row)),
            ERROR_DETAILS => columns.errors.details(*row),
            _ => return columns.value(page, &stream.labels, *row, name),
        };
        error.map(|text| text.bytes(page.lines.bytes, &columns.scratch))
    }

    fn labels(&self) -> Vec<(String, Vec<u8>)> {
        let labels = self.row.labels(&[]);
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
        labels.iter().map(owned).collect()
    }

    fn line(&self) -> &[u8] {
        self.row.page.lines.get(self.row.row)
    }

    fn ts_ns(&self) -> i64 {
        self.row.page.ts_ns[self.row.row]
    }

    fn now_ns(&self) -> i64 {
        self.now.0
    }
}

/// A compiled `line_format`.
#[derive(Clone, Debug)]
pub(crate) struct LineFormat {
    template: Template,
    now: UnixNanos,
}

impl LineFormat {
    /// Compiles. The error is Loki's reason.
    pub(crate) fn new(
        text: &str,
        names: &mut NameList,
        now: UnixNanos,
    ) -> Result<LineFormat, String> {
        let template = Template::new("line", text, names)
            .map_err(|error| format!("invalid line template: {error}"))?;
        Ok(LineFormat { template, now })
    }

    /// Calls `visit` with each label that is read by name.
    pub(crate) fn names(&self, visit: &mut impl FnMut(NameId)) {
        self.template.labels().iter().for_each(|&name| visit(name));
    }

    pub(crate) fn needs_all_labels(&self) -> bool {
        self.template.reads_everything()
    }

    /// Appends the new line of each selected row to `lines`.
    pub(crate) fn apply(
        &self,
        page: &PageView<'_>,
        runs: &Runs<'_>,
        rooms: &mut Rooms,
        selected: &Bitmap,
        lines: &mut Strings,
    ) {
        let mut next = 0;
        for run in RowsOf::each(runs, selected) {
            runs.enter(run.stream, &mut rooms.columns, &mut rooms.names);
            for row in run.rows(selected) {
                skip_rows(lines, &mut next, row);
                let from = lines.bytes.len();
                let Rooms { columns, names, .. } = &*rooms;
                let stream = runs.stream(run.stream);
                let row_ref = RowRef { page, stream, columns, names, row };
                let given = Given { row: row_ref, now: self.now };
                let done = match from < PAGE_BYTES_MAX {
                    true => self.template.execute(&given, &mut lines.bytes),
                    false => Err("the lines of a page become too long".to_owned()),
                };
                if let Err(why) = done {
                    lines.bytes.truncate(from);
                    lines.bytes.extend_from_slice(page.lines.get(row));
                    rooms.columns.fail(row, ErrorKind::Template, Some(&why));
                }
                end_row(lines, &mut next);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Source {
    /// The value of a label, which goes.
    Rename(NameId),
    Template(Box<Template>),
}

/// A compiled `label_format`.
#[derive(Clone, Debug)]
pub(crate) struct LabelFormat {
    assignments: Vec<(NameId, Source)>,
    now: UnixNanos,
}

impl LabelFormat {
    /// Compiles. The error is Loki's reason.
    pub(crate) fn new(
        formats: &[Assignment],
        names: &mut NameList,
        now: UnixNanos,
    ) -> Result<LabelFormat, String> {
        let mut assignments: Vec<(NameId, Source)> = Vec::with_capacity(formats.len());
        for Assignment { name, value } in formats {
            if name == ERROR_NAME || name == ERROR_DETAILS_NAME {
                return Err(format!("{name} cannot be formatted"));
            }
            let label = names.number(name);
            if assignments.iter().any(|known| known.0 == label) {
                return Err(format!(
                    "multiple label name '{name}' not allowed in a single format operation"
                ));
            }
            let source = match value {
                LabelFormatValue::Rename(source) => Source::Rename(names.number(source)),
                LabelFormatValue::Template(text) => {
                    let template = Template::new("label", text, names)
                        .map_err(|error| format!("invalid template for label '{name}': {error}"))?;
                    Source::Template(Box::new(template))
                }
            };
            assignments.push((label, source));
        }
        Ok(LabelFormat { assignments, now })
    }

    fn templates(&self) -> impl Iterator<Item = &Template> {
        self.assignments.iter().filter_map(|(_, source)| match source {
            Source::Template(template) => Some(&**template),
            Source::Rename(_) => None,
        })
    }

    /// Calls `visit` with each label that is read by name.
    pub(crate) fn names(&self, visit: &mut impl FnMut(NameId)) {
        for (_, source) in &self.assignments {
            match source {
                Source::Rename(name) => visit(*name),
                Source::Template(template) => {
                    template.labels().iter().for_each(|&name| visit(name))
                }
            }
        }
    }

    pub(crate) fn needs_all_labels(&self) -> bool {
        self.templates().any(Template::reads_everything)
    }

    pub(crate) fn needs_line(&self) -> bool {
        self.templates().any(Template::reads_line)
    }

    /// Sets labels of selected rows. Templates see the labels as they were before the first of
    /// them; renaming sees what was set so far.
    pub(crate) fn apply(
        &self,
        page: &PageView<'_>,
        runs: &Runs<'_>,
        rooms: &mut Rooms,
        selected: &Bitmap,
    ) {
        let mut made: Vec<Result<Vec<u8>, String>> = Vec::with_capacity(self.assignments.len());
        for run in RowsOf::each(runs, selected) {
            runs.enter(run.stream, &mut rooms.columns, &mut rooms.names);
            for row in run.rows(selected) {
                let Rooms { columns, names, .. } = &*rooms;
                let stream = runs.stream(run.stream);
                let row_ref = RowRef { page, stream, columns, names, row };
                let given = Given { row: row_ref, now: self.now };
                made.clear();
                for template in self.templates() {
                    let mut out = Vec::new();
                    made.push(template.execute(&given, &mut out).map(|()| out));
                }
                let columns = &mut rooms.columns;
                columns.parsed.begin(row);
                let mut made = made.drain(..);
                for (label, source) in &self.assignments {
                    match source {
                        Source::Rename(source) => {
                            let value = columns.value(page, runs.labels(run.stream), row, *source);
                            let Some(value) = value.map(<[u8]>::to_vec) else { continue };
                            let text = columns.keep(&value);
                            columns.parsed.put(row, *label, text);
                            columns.parsed.hide(row, *source);
                        }
                        Source::Template(_) => match made.next() {
                            Some(Ok(value)) => {
                                let text: Text = columns.keep(&value);
                                columns.parsed.put(row, *label, text);
                            }
                            Some(Err(why)) => columns.fail(row, ErrorKind::Template, Some(&why)),
                            None => {}
                        },
                    }
                }
            }
        }
    }
}
