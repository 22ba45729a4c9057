//! Label filters: text, numbers, durations, byte sizes, addresses, joined by `and` and `or`
//! (contract 6.7).
//!
//! Takes the labels of a page and a bitmap, leaves a bitmap. A stream label is judged once per run,
//! a metadata value once per distinct value, a parsed value per row. Nothing to merge.

use base::{Bitmap, PageView};

use super::columns::{Columns, ErrorKind};
use super::convert::{self, Unreadable};
use super::ip::IpFilter;
use super::label_text::{LabelText, key_text};
use super::matcher::ValueMatcher;
use super::names::{ERROR, ERROR_DETAILS, NameId, may_be_yielded_to};
use super::pipeline::{Made, Rooms, Runs};
use crate::syntax::{self, CompareOp};

/// A compiled filter.
#[derive(Clone, Debug)]
pub(crate) enum LabelFilter {
    /// One comparison.
    Test(Test),
    /// Both sides are evaluated: the right one may set an error that an `or` outside still sees.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// The right side is evaluated only where the left is false.
    Or(Box<LabelFilter>, Box<LabelFilter>),
}

/// A comparison of one label.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    name: NameId,
    /// A parsed label may have this name though the stream has it: see [`may_be_yielded_to`].
    hidden: bool,
    check: Check,
}

#[derive(Clone, Debug)]
enum Check {
    Text(ValueMatcher),
    Number(CompareOp, f64),
    Duration(CompareOp, i64),
    Bytes(CompareOp, u64),
    Ip { equal: bool, filter: IpFilter },
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Drop,
    Keep,
    /// Kept, but its value could not be read.
    Fail(Unreadable),
}

impl From<bool> for Verdict {
    fn from(keep: bool) -> Verdict {
        if keep { Verdict::Keep } else { Verdict::Drop }
    }
}

impl LabelFilter {
    /// Compiles. `number` gives the number of a label name; the error is Loki's reason.
    pub(crate) fn new(
        filter: &syntax::LabelFilter,
        number: &mut impl FnMut(&str) -> NameId,
    ) -> Result<LabelFilter, String> {
        use syntax::LabelFilter as Ast;
        let (name, check) = match filter {
            Ast::And(left, right) => {
                let left = Box::new(LabelFilter::new(left, number)?);
                return Ok(LabelFilter::And(left, Box::new(LabelFilter::new(right, number)?)));
            }
            Ast::Or(left, right) => {
                let left = Box::new(LabelFilter::new(left, number)?);
                return Ok(LabelFilter::Or(left, Box::new(LabelFilter::new(right, number)?)));
            }
            Ast::Match(matcher) => {
                (&matcher.name, Check::Text(ValueMatcher::new(matcher.op, &matcher.value)?))
            }
            Ast::Number { name, op, value } => (name, Check::Number(*op, *value)),
            Ast::Duration { name, op, value_ns } => (name, Check::Duration(*op, *value_ns)),
            Ast::Bytes { name, op, value } => {
                // Loki sends a query on as canonical text, whose sizes have two or three digits:
                // `4MiB` arrives as `4.2MB` and is compared as such.
                let text = filter.to_string();
                let printed = text.strip_prefix(&format!("{name}{op}")).unwrap_or(&text);
                (name, Check::Bytes(*op, convert::parse_bytes(printed).unwrap_or(*value)))
            }
            Ast::Ip { name, equal, pattern } => {
                (name, Check::Ip { equal: *equal, filter: IpFilter::new(pattern)? })
            }
        };
        let hidden = may_be_yielded_to(name.as_bytes());
        Ok(LabelFilter::Test(Test { name: number(name), hidden, check }))
    }

    /// Calls `visit` with the name of every comparison, and whether an error on the row matters
    /// to it.
    pub(crate) fn names(&self, visit: &mut impl FnMut(NameId, bool)) {
        match self {
            LabelFilter::Test(test) => {
                let error = matches!(test.name, ERROR | ERROR_DETAILS);
                visit(test.name, error || matches!(test.check, Check::Ip { .. }));
            }
            LabelFilter::And(left, right) | LabelFilter::Or(left, right) => {
                left.names(visit);
                right.names(visit);
            }
        }
    }

    /// Text in the lines of rows that pass, if only their lines can bring the label. `keyed` = all
    /// parsers take label names from keys in the line and set no label without one; `text` gives
    /// the text of a name.
    pub(crate) fn texts<'n>(
        &self,
        keyed: bool,
        text: &impl Fn(NameId) -> &'n str,
    ) -> Vec<LabelText> {
        match self {
            LabelFilter::Test(test) => test.texts(keyed, text(test.name)),
            LabelFilter::And(left, right) => {
                let mut all = left.texts(keyed, text);
                all.extend(right.texts(keyed, text));
                all
            }
            LabelFilter::Or(left, right) => {
                let mut sides = Vec::new();
                left.sides(&mut |side| sides.push(side.texts(keyed, text)));
                right.sides(&mut |side| sides.push(side.texts(keyed, text)));
                LabelText::any(sides).into_iter().collect()
            }
        }
    }

    /// Calls `visit` with each filter of a chain of `or`.
    fn sides(&self, visit: &mut impl FnMut(&LabelFilter)) {
        match self {
            LabelFilter::Or(left, right) => {
                left.sides(visit);
                right.sides(visit);
            }
            side => visit(side),
        }
    }

    /// Drops rows of `selected`. `made` = what ran before.
    pub(crate) fn apply(
        &self,
        page: &PageView<'_>,
        runs: &Runs<'_>,
        rooms: &mut Rooms,
        selected: &mut Bitmap,
        made: Made,
    ) {
        let mut on = On { page, runs, rooms, made };
        match self {
            // Errors set on rows that the left side drops are seen by nobody.
            LabelFilter::And(left, right) => {
                left.apply(page, runs, on.rooms, selected, made);
                right.apply(page, runs, on.rooms, selected, made);
            }
            _ => self.narrow(&mut on, selected),
        }
    }

    fn narrow(&self, on: &mut On<'_, '_>, selected: &mut Bitmap) {
        match self {
            LabelFilter::Test(test) => test.narrow(on, selected),
            LabelFilter::And(left, right) => {
                let mut other = selected.clone();
                left.narrow(on, selected);
                right.narrow(on, &mut other);
                selected.and(&other);
            }
            LabelFilter::Or(left, right) => {
                let mut rest = selected.clone();
                left.narrow(on, selected);
                rest.and_not(selected);
                right.narrow(on, &mut rest);
                selected.or(&rest);
            }
        }
    }
}

/// Where a filter is applied.
struct On<'o, 'a> {
    page: &'o PageView<'a>,
    runs: &'o Runs<'o>,
    rooms: &'o mut Rooms,
    made: Made,
}

/// Verdicts by dictionary code.
const UNKNOWN: u8 = 0;
const DROP: u8 = 1;
const KEEP: u8 = 2;
const FAIL: u8 = 3;

impl Test {
    /// A label `x_extracted` may be another one's after all: nothing is said of it.
    fn texts(&self, keyed: bool, name: &str) -> Vec<LabelText> {
        if matches!(self.name, ERROR | ERROR_DETAILS) || self.hidden {
            return Vec::new();
        }
        let (mut groups, needs_label) = match &self.check {
            Check::Text(matcher) => (matcher.written().to_vec(), !matcher.is_match(b"")),
            Check::Number(..) | Check::Duration(..) | Check::Bytes(..) => (Vec::new(), true),
            Check::Ip { .. } => return Vec::new(), // keeps rows with an error
        };
        if keyed && needs_label {
            groups.extend(key_text(name));
        }
        let names = vec![self.name];
        groups.into_iter().map(|group| LabelText { names: names.clone(), group }).collect()
    }

    fn judge(&self, value: Option<&[u8]>, failed: bool) -> Verdict {
        if let Check::Text(matcher) = &self.check {
            return matcher.is_match(value.unwrap_or_default()).into();
        }
        if let Check::Ip { equal, filter } = &self.check {
            // With an error on the row only comparisons of text may drop it.
            return (failed || value.is_some_and(|value| filter.is_match(value) == *equal)).into();
        }
        let Some(value) = value else {
            return Verdict::Drop;
        };
        let text = String::from_utf8_lossy(value);
        let judged = match self.check {
            Check::Number(op, right) => {
                convert::parse_float(&text).map(|left| compare(op, left, right))
            }
            Check::Duration(op, right) => {
                convert::parse_duration(&text).map(|left| compare(op, left, right))
            }
            Check::Bytes(op, right) => {
                convert::parse_bytes(&text).map(|left| compare(op, left, right))
            }
            Check::Text(_) | Check::Ip { .. } => unreachable!("judged above"),
        };
        judged.map_or_else(Verdict::Fail, Verdict::from)
    }

    fn narrow(&self, on: &mut On<'_, '_>, selected: &mut Bitmap) {
        if matches!(self.name, ERROR | ERROR_DETAILS) {
            self.narrow_by_error(on.page, &mut on.rooms.columns, selected);
            return;
        }
        on.rooms.memo.clear();
        for (from, to, stream) in on.runs.iter() {
            if selected.next(from).is_none_or(|row| row >= to) {
                continue;
            }
            on.runs.enter(stream, &mut on.rooms.columns, &mut on.rooms.names);
            let scope = &on.rooms.columns.scope;
            let (owned, column) = (scope.base(self.name), scope.meta(self.name));
            let sole = scope.is_sole(self.name);
            let run = Run { from, to, stream };
            match column {
                // A parsed label of this name would have stepped aside from the stream's.
                _ if on.made == Made::Changed => self.narrow_rows(on, run, selected),
                None if owned.is_some() && !self.hidden || on.made == Made::Nothing => {
                    self.narrow_constant(on, run, selected);
                }
                Some(column) if sole && on.made == Made::Nothing => {
                    self.narrow_dictionary(on, run, column, selected);
                }
                _ => self.narrow_rows(on, run, selected),
            }
        }
    }

    /// One value for the whole run.
    fn narrow_constant(&self, on: &mut On<'_, '_>, run: Run, selected: &mut Bitmap) {
        let columns = &mut on.rooms.columns;
        if !columns.errors.none() && matches!(self.check, Check::Ip { .. }) {
            self.narrow_rows(on, run, selected);
            return;
        }
        let labels = on.runs.labels(run.stream);
        let value = columns.scope.base(self.name).map(|index| labels.pair(index).1.as_bytes());
        match self.judge(value, false) {
            Verdict::Keep => {}
            Verdict::Drop => selected.clear_range(run.from, run.to),
            Verdict::Fail(why) => {
                let mut at = run.from;
                while let Some(row) = selected.next(at).filter(|&row| row < run.to) {
                    note(columns, row, &why);
                    at = row + 1;
                }
            }
        }
    }

    /// One verdict per distinct value.
    fn narrow_dictionary(
        &self,
        on: &mut On<'_, '_>,
        run: Run,
        column: usize,
        selected: &mut Bitmap,
    ) {
        let view = &on.page.metadata[column];
        // Codes mean the same in all runs of a page, but the column may change with the run: a
        // name may be taken in one stream and free in the next.
        let memo = &mut on.rooms.memo;
        if memo.len() != view.values.len() + 1 || on.rooms.memo_column != column {
            memo.clear();
            memo.resize(view.values.len() + 1, UNKNOWN);
            on.rooms.memo_column = column;
        }
        let errors = !on.rooms.columns.errors.none();
        let by_row = errors && matches!(self.check, Check::Ip { .. });
        let mut at = run.from;
        while let Some(row) = selected.next(at).filter(|&row| row < run.to) {
            at = row + 1;
            let code = view.codes[row] as usize;
            let known = on.rooms.memo[code];
            if code == 0 || by_row || known == UNKNOWN || known == FAIL {
                let verdict = self.judge_row(on, run.stream, row);
                if code != 0 && !by_row {
                    on.rooms.memo[code] = match verdict {
                        Verdict::Drop => DROP,
                        Verdict::Keep => KEEP,
                        Verdict::Fail(_) => FAIL,
                    };
                }
                settle(&mut on.rooms.columns, row, verdict, selected);
            } else if known == DROP {
                selected.clear(row);
            }
        }
    }

    fn narrow_rows(&self, on: &mut On<'_, '_>, run: Run, selected: &mut Bitmap) {
        let mut at = run.from;
        while let Some(row) = selected.next(at).filter(|&row| row < run.to) {
            at = row + 1;
            let verdict = self.judge_row(on, run.stream, row);
            settle(&mut on.rooms.columns, row, verdict, selected);
        }
    }

    fn judge_row(&self, on: &On<'_, '_>, stream: u32, row: usize) -> Verdict {
        let columns = &on.rooms.columns;
        let value = columns.value(on.page, on.runs.labels(stream), row, self.name);
        self.judge(value, !columns.errors.of(row).is_empty())
    }

    fn narrow_by_error(&self, page: &PageView<'_>, columns: &mut Columns, selected: &mut Bitmap) {
        if columns.errors.none() {
            if self.judge(None, false) == Verdict::Drop {
                selected.clear_range(0, selected.len());
            }
            return;
        }
        let mut at = 0;
        while let Some(row) = selected.next(at) {
            at = row + 1;
            let text = if self.name == ERROR {
                Some(columns.errors.of(row)).filter(|text| !text.is_empty())
            } else {
                columns.errors.details(row)
            };
            let value = text.map(|text| text.bytes(page.lines.bytes, &columns.scratch));
            let verdict = self.judge(value, !columns.errors.of(row).is_empty());
            settle(columns, row, verdict, selected);
        }
    }
}

#[derive(Clone, Copy)]
struct Run {
    from: usize,
    to: usize,
    stream: u32,
}

fn settle(columns: &mut Columns, row: usize, verdict: Verdict, selected: &mut Bitmap) {
    match verdict {
        Verdict::Keep => {}
        Verdict::Drop => selected.clear(row),
        Verdict::Fail(why) => note(columns, row, &why),
    }
}

/// The first error of a row stays.
fn note(columns: &mut Columns, row: usize, why: &Unreadable) {
    if columns.errors.of(row).is_empty() {
        columns.fail(row, ErrorKind::LabelFilter, Some(&why.0));
    }
}

fn compare<T: PartialOrd>(op: CompareOp, left: T, right: T) -> bool {
    match op {
        CompareOp::Equal => left == right,
        CompareOp::NotEqual => left != right,
        CompareOp::Greater => left > right,
        CompareOp::GreaterOrEqual => left >= right,
        CompareOp::Less => left < right,
        CompareOp::LessOrEqual => left <= right,
    }
}
