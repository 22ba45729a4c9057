//! A leaf's stages, compiled: operators that take a page and a bitmap and leave a bitmap.

use std::iter::Peekable;

use base::bitmap::Ones;
use base::rows::Strings;
use base::{Bitmap, PageView, UnixNanos};

use super::columns::Columns;
use super::decolorize::Decolorize;
use super::drop_keep::DropKeep;
use super::format::{LabelFormat, LineFormat};
use super::json_shape::Shapes;
use super::label_filter::LabelFilter;
use super::label_text::{Prefilter, Trial};
use super::line_filter::{self, LineFilter};
use super::line_patterns::LinePatterns;
use super::logfmt::Flags;
use super::logfmt_keys::Requested;
use super::names::{
    ERROR_DETAILS, ERROR_DETAILS_NAME, ERROR_NAME, EXTRACTED_SUFFIX, Keys, NameId, Names,
};
use super::needles::Group;
use super::pattern::Pattern;
use super::regexp::Regexp;
use super::unwrap::Unwrap;
use super::wanted::Wanted;
use super::{json, json_paths, logfmt, logfmt_keys, unpack};
use crate::syntax::{self, Stage};

pub(crate) use super::runs::{RowsOf, Runs, Stream};

/// The names a leaf mentions, numbered in order of first mention.
#[derive(Clone, Debug)]
pub(crate) struct NameList(Vec<String>);

impl NameList {
    pub(crate) fn new() -> NameList {
        NameList(vec![ERROR_NAME.to_owned(), ERROR_DETAILS_NAME.to_owned()])
    }

    /// The number of `name`; new names are appended.
    pub(crate) fn number(&mut self, name: &str) -> NameId {
        let found = self.0.iter().position(|known| known == name);
        found.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        }) as NameId
    }

    /// Adds, for each `x_extracted`, the `x` that may turn into it.
    pub(crate) fn close(&mut self) {
        for index in 0..self.0.len() {
            if let Some(stem) = self.0[index].strip_suffix(EXTRACTED_SUFFIX) {
                let stem = stem.to_owned();
                self.number(&stem);
            }
        }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }
}

/// One operator.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    LineFilter(LineFilter),
    LabelFilter(LabelFilter),
    Json,
    JsonPaths(json_paths::Paths),
    Logfmt(Flags),
    LogfmtKeys(Vec<Requested>, Flags),
    Pattern(Pattern),
    Regexp(Box<Regexp>),
    Unpack,
    Unwrap(Unwrap),
    DropKeep(DropKeep),
    Decolorize(Decolorize),
    LineFormat(Box<LineFormat>),
    LabelFormat(Box<LabelFormat>),
    /// Says nothing about rows that the rest of the pipeline does not.
    Prefilter(Prefilter),
    /// No stage of any query: what [`crate::plan::VolumesPlan`] counts by.
    LinePatterns(Box<LinePatterns>),
}

/// What operators have made of a row's labels so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Made {
    /// Nothing: stream and metadata are all there is.
    #[default]
    Nothing,
    /// Labels out of the line, none of which has a name of the stream unless it
    /// [was yielded to](super::names::may_be_yielded_to).
    Parsed,
    /// Labels were set, renamed or taken away: any may differ from row to row.
    Changed,
}

impl Op {
    /// Whether it adds labels out of the line.
    pub(crate) fn is_parser(&self) -> bool {
        match self {
            Op::Json | Op::JsonPaths(_) | Op::Logfmt(_) | Op::LogfmtKeys(..) => true,
            Op::Pattern(_) | Op::Regexp(_) | Op::Unpack => true,
            Op::LineFilter(_) | Op::LabelFilter(_) | Op::Unwrap(_) | Op::DropKeep(_) => false,
            Op::Decolorize(_) | Op::LineFormat(_) | Op::LabelFormat(_) => false,
            Op::Prefilter(_) | Op::LinePatterns(_) => false,
        }
    }

    fn is_filter(&self) -> bool {
        matches!(self, Op::LineFilter(_) | Op::LabelFilter(_))
    }

    /// Whether what comes after it sees another line.
    pub(super) fn changes_line(&self) -> bool {
        matches!(self, Op::Unpack | Op::Decolorize(_) | Op::LineFormat(_))
    }

    pub(super) fn made(&self) -> Made {
        match self {
            Op::DropKeep(_) | Op::LabelFormat(_) | Op::LinePatterns(_) => Made::Changed,
            op if op.is_parser() => Made::Parsed,
            _ => Made::Nothing,
        }
    }

    fn needs_line(&self) -> bool {
        match self {
            Op::LabelFilter(_) | Op::Unwrap(_) | Op::DropKeep(_) => false,
            Op::LabelFormat(format) => format.needs_line(),
            _ => true,
        }
    }
}

/// Operators in the order in which they run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipeline {
    pub(super) ops: Vec<Op>,
}

impl Pipeline {
    /// Compiles the stages. The error is Loki's text, with the stage as `Display` prints it.
    pub(crate) fn new(
        stages: &[Stage],
        names: &mut NameList,
        now: UnixNanos,
    ) -> Result<Pipeline, String> {
        let mut ops = Vec::with_capacity(stages.len());
        for stage in stages {
            let op = compile(stage, names, now);
            let mut op = op.map_err(|why| format!("parse error : stage '{stage}' : {why}"))?;
            if let Op::JsonPaths(paths) = &mut op {
                paths.slot = ops.len();
            }
            ops.push(op);
        }
        Ok(Pipeline { ops: order(ops) })
    }

    /// Appends `unwrap` and the filters after it.
    pub(crate) fn unwrap(
        &mut self,
        unwrap: &syntax::Unwrap,
        names: &mut NameList,
    ) -> Result<(), String> {
        self.ops.push(Op::Unwrap(Unwrap::new(unwrap, names.number(&unwrap.label))));
        for filter in &unwrap.filters {
            let stage = Stage::LabelFilter(filter.clone());
            let op = LabelFilter::new(filter, &mut |name| names.number(name));
            let op = op.map_err(|why| format!("parse error : stage '{stage}' : {why}"))?;
            self.ops.push(Op::LabelFilter(op));
        }
        Ok(())
    }

    /// Appends the patterns by which lines are told apart.
    pub(crate) fn tell_apart(&mut self, patterns: LinePatterns) {
        self.ops.push(Op::LinePatterns(Box::new(patterns)));
    }

    /// Without parsers: for queries that need no label out of lines.
    pub(crate) fn without_parsers(mut self) -> Pipeline {
        self.ops.retain(|op| !op.is_parser());
        self
    }

    /// Without what comes after the last filter: it does not change which rows are selected.
    pub(crate) fn only_selecting(mut self) -> Pipeline {
        while self.ops.last().is_some_and(|op| !op.is_filter()) {
            self.ops.pop();
        }
        self
    }

    /// Whether every row is selected as it is.
    pub(crate) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Whether some operator reads line bytes.
    pub(crate) fn needs_line(&self) -> bool {
        self.ops.iter().any(Op::needs_line)
    }

    /// Whether some operator looks at labels that it does not name.
    pub(crate) fn needs_all_labels(&self) -> bool {
        self.ops.iter().any(|op| match op {
            Op::LineFormat(format) => format.needs_all_labels(),
            Op::LabelFormat(format) => format.needs_all_labels(),
            _ => false,
        })
    }

    /// Whether lines or metadata may leave it otherwise than they came.
    pub(crate) fn changes_rows(&self) -> bool {
        let changes = |op: &Op| op.changes_line() || op.made() == Made::Changed;
        self.ops.iter().any(changes)
    }

    /// What the operators make of labels.
    pub(crate) fn made(&self) -> Made {
        self.ops.iter().map(Op::made).max().unwrap_or_default()
    }

    /// Text that every selected line, as stored, holds.
    pub(crate) fn needles(&self) -> Vec<Group> {
        let stored = self.ops.iter().take_while(|op| !op.changes_line());
        let filters = stored.filter_map(|op| match op {
            Op::LineFilter(filter) => Some(filter.groups()),
            _ => None,
        });
        filters.flatten().cloned().collect()
    }

    /// Calls `visit` with the name of each label that is looked at and whether errors matter to
    /// it.
    pub(crate) fn filter_names(&self, visit: &mut impl FnMut(NameId, bool)) {
        for op in &self.ops {
            match op {
                Op::LabelFilter(filter) => filter.names(visit),
                Op::Unwrap(unwrap) => visit(unwrap.name, false),
                Op::DropKeep(list) => list.names(&mut |name| visit(name, name <= ERROR_DETAILS)),
                Op::LineFormat(format) => {
                    format.names(&mut |name| visit(name, name <= ERROR_DETAILS));
                }
                Op::LabelFormat(format) => {
                    format.names(&mut |name| visit(name, name <= ERROR_DETAILS));
                }
                _ => {}
            }
        }
    }

    /// Runs over one page. `rooms` has begun the page. If some operator changed lines, those that
    /// labels refer to are left in [`Rooms::lines`].
    pub(crate) fn run(
        &self,
        page: &PageView<'_>,
        runs: &Runs<'_>,
        rooms: &mut Rooms,
        wanted: &Wanted,
        selected: &mut Bitmap,
    ) {
        let mut made = Made::Nothing;
        let mut lines: Option<Strings> = None;
        for op in &self.ops {
            if selected.is_none() {
                break;
            }
            let page = match &lines {
                Some(lines) => PageView { lines: lines.view(), ..*page },
                None => *page,
            };
            let page = &page;
            match op {
                Op::LineFilter(filter) => filter.apply(page, selected, &mut rooms.line),
                Op::LabelFilter(filter) => filter.apply(page, runs, rooms, selected, made),
                Op::Unwrap(unwrap) => unwrap.apply(page, runs, rooms, selected),
                Op::Prefilter(filter) => filter.apply(page, runs, rooms, selected),
                Op::DropKeep(list) => list.apply(page, runs, rooms, selected),
                Op::LabelFormat(format) => format.apply(page, runs, rooms, selected),
                Op::LinePatterns(patterns) => patterns.apply(page, runs, rooms, selected),
                Op::Decolorize(_) | Op::LineFormat(_) | Op::Unpack => {
                    let changed = change_lines(op, page, runs, rooms, wanted, selected);
                    rooms.spare = lines.replace(changed).unwrap_or_default();
                }
                _ => parse(op, page, runs, rooms, wanted, selected),
            }
            made = made.max(op.made());
        }
        rooms.lines = lines;
    }
}

/// The lines after an operator that changes them; those of other rows are empty.
fn change_lines(
    op: &Op,
    page: &PageView<'_>,
    runs: &Runs<'_>,
    rooms: &mut Rooms,
    wanted: &Wanted,
    selected: &Bitmap,
) -> Strings {
    rooms.columns.detach(page.lines.bytes, selected);
    let mut lines = std::mem::take(&mut rooms.spare);
    lines.clear();
    match op {
        Op::Decolorize(decolorize) => {
            let mut next = 0;
            for row in selected.iter() {
                skip_rows(&mut lines, &mut next, row);
                decolorize.push(page.lines.get(row), &mut lines.bytes);
                end_row(&mut lines, &mut next);
            }
        }
        Op::LineFormat(format) => format.apply(page, runs, rooms, selected, &mut lines),
        _ => unpack_lines(page, runs, rooms, wanted, selected, &mut lines),
    }
    let mut next = lines.len();
    skip_rows(&mut lines, &mut next, page.len());
    lines
}

/// Empty lines up to `row`.
pub(crate) fn skip_rows(lines: &mut Strings, next: &mut usize, row: usize) {
    while *next < row {
        end_row(lines, next);
    }
}

/// Ends the line whose bytes were appended.
pub(crate) fn end_row(lines: &mut Strings, next: &mut usize) {
    lines.push(b"");
    *next += 1;
}

fn unpack_lines(
    page: &PageView<'_>,
    runs: &Runs<'_>,
    rooms: &mut Rooms,
    wanted: &Wanted,
    selected: &Bitmap,
    lines: &mut Strings,
) {
    let mut next = 0;
    let Rooms { columns, names, json_keys, .. } = rooms;
    for_each_run(page, runs, columns, names, selected, |run| {
        unpack::extract(run, json_keys, wanted, |row, text| {
            skip_rows(lines, &mut next, row);
            lines.bytes.extend_from_slice(text);
            end_row(lines, &mut next);
        });
    });
}

fn compile(stage: &Stage, names: &mut NameList, now: UnixNanos) -> Result<Op, String> {
    Ok(match stage {
        Stage::LineFilter(filter) => Op::LineFilter(LineFilter::new(filter)?),
        Stage::LabelFilter(filter) => {
            Op::LabelFilter(LabelFilter::new(filter, &mut |name| names.number(name))?)
        }
        Stage::Json(extractions) if extractions.is_empty() => Op::Json,
        Stage::Json(extractions) => {
            let mut paths = Vec::with_capacity(extractions.len());
            for extraction in extractions {
                let segments = syntax::json_path::parse(&extraction.expression)?;
                paths.push(json_paths::Path { name: names.number(&extraction.name), segments });
                names.number(&format!("{}{EXTRACTED_SUFFIX}", extraction.name));
            }
            Op::JsonPaths(json_paths::Paths { list: paths, slot: 0 })
        }
        Stage::Logfmt { strict, keep_empty, extractions } => {
            let flags = Flags { strict: *strict, keep_empty: *keep_empty };
            if extractions.is_empty() {
                return Ok(Op::Logfmt(flags));
            }
            let mut requested = Vec::with_capacity(extractions.len());
            for extraction in extractions {
                let key = syntax::logfmt_key::parse(&extraction.expression)?;
                let (name, key) = (names.number(&extraction.name), names.number(&key));
                requested.push(Requested { name, key });
                names.number(&format!("{}{EXTRACTED_SUFFIX}", extraction.name));
            }
            Op::LogfmtKeys(requested, flags)
        }
        Stage::Pattern(template) => {
            Op::Pattern(Pattern::new(&syntax::pattern::parse(template)?, names))
        }
        Stage::Regexp(expression) => Op::Regexp(Box::new(Regexp::new(expression, names)?)),
        Stage::Unpack => Op::Unpack,
        Stage::Drop(list) => Op::DropKeep(DropKeep::new(false, list, names)?),
        Stage::Keep(list) => Op::DropKeep(DropKeep::new(true, list, names)?),
        Stage::Decolorize => Op::Decolorize(Decolorize::new()),
        Stage::LineFormat(template) => {
            Op::LineFormat(Box::new(LineFormat::new(template, names, now)?))
        }
        Stage::LabelFormat(formats) => {
            Op::LabelFormat(Box::new(LabelFormat::new(formats, names, now)?))
        }
    })
}

/// Puts operators in the order in which they run.
///
/// As in Loki, a line filter runs before everything that stands between it and the `line_format`,
/// `unpack` or label filter before it: before a `decolorize` too, which shows. The rest of the
/// order does not show, because filters only drop rows: up to the first operator that changes
/// lines, label filters before the first parser come first (they look at runs and dictionaries),
/// then all line filters, the most promising first, then the rest.
fn order(ops: Vec<Op>) -> Vec<Op> {
    let mut ordered: Vec<Op> = Vec::with_capacity(ops.len());
    for op in ops {
        let stays = |op: &Op| {
            let changes = matches!(op, Op::LineFormat(_) | Op::Unpack);
            changes || matches!(op, Op::LabelFilter(_) | Op::LineFilter(_))
        };
        let at = match op {
            Op::LineFilter(_) => ordered.iter().rposition(stays).map_or(0, |at| at + 1),
            _ => ordered.len(),
        };
        ordered.insert(at, op);
    }
    let stored = ordered.iter().position(Op::changes_line).unwrap_or(ordered.len());
    let after = ordered.split_off(stored);
    let first_other = ordered.iter().position(|op| !op.is_filter()).unwrap_or(ordered.len());
    let (mut early, mut lines, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for (index, op) in ordered.into_iter().enumerate() {
        match op {
            Op::LineFilter(filter) => lines.push(filter),
            op if index < first_other => early.push(op),
            op => rest.push(op),
        }
    }
    lines.sort_by_key(LineFilter::rank);
    early.extend(lines.into_iter().map(Op::LineFilter));
    early.extend(rest);
    early.extend(after);
    early
}

/// Calls `parse` with each run that has selected rows.
fn for_each_run(
    page: &PageView<'_>,
    runs: &Runs<'_>,
    columns: &mut Columns,
    names: &mut Names,
    selected: &Bitmap,
    mut parse: impl FnMut(RunRows<'_, '_, '_>),
) {
    let mut rows = selected.iter().peekable();
    for (from, to, stream) in runs.iter() {
        if rows.peek().is_none_or(|&row| row >= to) {
            continue;
        }
        debug_assert!(rows.peek().is_some_and(|&row| row >= from));
        runs.enter(stream, columns, names);
        parse(RunRows { page, columns, names, rows: &mut rows, end: to });
    }
}

fn parse(
    op: &Op,
    page: &PageView<'_>,
    runs: &Runs<'_>,
    rooms: &mut Rooms,
    wanted: &Wanted,
    selected: &Bitmap,
) {
    let Rooms { columns, names, json_keys, logfmt_keys: pair_keys, paths: scratch, .. } = rooms;
    let (shapes, plain) = (&mut rooms.shapes, rooms.plain);
    for_each_run(page, runs, columns, names, selected, |run| match op {
        Op::Json => json::extract(run, json_keys, wanted, (!plain).then_some(&mut *shapes)),
        Op::JsonPaths(paths) => json_paths::extract(run, paths, scratch, plain),
        Op::Logfmt(flags) => logfmt::extract(run, pair_keys, wanted, *flags),
        Op::LogfmtKeys(asked, flags) => logfmt_keys::extract(run, pair_keys, asked, *flags),
        Op::Pattern(pattern) => pattern.extract(run, wanted),
        Op::Regexp(regexp) => regexp.extract(run),
        _ => unreachable!("not a parser"),
    });
}

/// The selected rows of one run, for a parser. The scope has entered the run.
pub(crate) struct RunRows<'r, 'a, 'b> {
    pub page: &'r PageView<'a>,
    pub columns: &'r mut Columns,
    pub names: &'r mut Names,
    rows: &'r mut Peekable<Ones<'b>>,
    end: usize,
}

impl RunRows<'_, '_, '_> {
    /// The next row; rows of later runs stay.
    #[inline]
    pub(crate) fn next_row(&mut self) -> Option<usize> {
        self.rows.next_if(|&row| row < self.end)
    }
}

/// What a worker keeps from page to page so that no row and no page allocates.
#[derive(Debug)]
pub(crate) struct Rooms {
    pub names: Names,
    pub json_keys: Keys,
    /// Their tags are numbers of names.
    pub shapes: Shapes,
    pub logfmt_keys: Keys,
    pub columns: Columns,
    pub line: line_filter::Scratch,
    pub paths: json_paths::Scratch,
    /// Verdicts of a label filter by dictionary code.
    pub memo: Vec<u8>,
    pub memo_column: usize,
    /// How each [`Prefilter`] does.
    pub trials: Vec<Trial>,
    /// No short cuts: tests compare with this.
    pub plain: bool,
    /// What `unwrap` read of each row of the page.
    pub values: Vec<f64>,
    /// The lines as the last run left them, if an operator changed them.
    pub lines: Option<Strings>,
    spare: Strings,
}

impl Rooms {
    pub(crate) fn new(names: &NameList, open: bool) -> Rooms {
        Rooms {
            names: Names::new(names.names(), open),
            json_keys: Keys::default(),
            shapes: Shapes::default(),
            logfmt_keys: Keys::default(),
            columns: Columns::default(),
            line: line_filter::Scratch::default(),
            paths: json_paths::Scratch::default(),
            memo: Vec::new(),
            memo_column: 0,
            trials: Vec::new(),
            plain: false,
            values: Vec::new(),
            lines: None,
            spare: Strings::default(),
        }
    }

    /// Begins a page. True = the numbers of names that are not the leaf's became invalid.
    pub(crate) fn trim(&mut self) -> bool {
        let anew = self.names.trim();
        if self.json_keys.trim(anew) {
            self.shapes.clear();
        }
        self.logfmt_keys.trim(anew);
        anew
    }

    /// Begins a page: no parsed labels, errors only where metadata brings them.
    pub(crate) fn begin_page(&mut self, page: &PageView<'_>) {
        self.columns.begin_page(&mut self.names, page);
        for column in page.metadata {
            let details = column.name == ERROR_DETAILS_NAME;
            if !details && column.name != ERROR_NAME {
                continue;
            }
            for row in 0..page.len() {
                if let Some(value) = column.get(row) {
                    let text = self.columns.keep(value);
                    if details {
                        self.columns.errors.set_details(row, text);
                    } else {
                        let known = self.columns.errors.details(row);
                        self.columns.errors.set(row, text, known);
                    }
                }
            }
        }
    }
}
