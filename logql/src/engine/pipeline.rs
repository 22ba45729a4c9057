//! A leaf's stages, compiled: operators that take a page and a bitmap and leave a bitmap.

use std::iter::Peekable;

use base::bitmap::Ones;
use base::{Bitmap, Labels, PageView, Run, StreamKey};

use super::columns::Columns;
use super::label_filter::LabelFilter;
use super::line_filter::{self, LineFilter};
use super::logfmt::Flags;
use super::logfmt_keys::Requested;
use super::names::{ERROR_DETAILS_NAME, ERROR_NAME, EXTRACTED_SUFFIX, Keys, NONE, NameId, Names};
use super::needles::Group;
use super::unwrap::Unwrap;
use super::wanted::Wanted;
use super::{json, json_paths, logfmt, logfmt_keys};
use crate::syntax::{self, Stage};

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
    JsonPaths(Vec<json_paths::Path>),
    Logfmt(Flags),
    LogfmtKeys(Vec<Requested>, Flags),
    Unwrap(Unwrap),
}

impl Op {
    /// Whether it adds labels out of the line.
    pub(crate) fn is_parser(&self) -> bool {
        !matches!(self, Op::LineFilter(_) | Op::LabelFilter(_) | Op::Unwrap(_))
    }

    fn needs_line(&self) -> bool {
        !matches!(self, Op::LabelFilter(_) | Op::Unwrap(_))
    }
}

/// Operators in the order in which they run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipeline {
    ops: Vec<Op>,
}

impl Pipeline {
    /// Compiles the stages. The error is Loki's text, with the stage as `Display` prints it.
    pub(crate) fn new(stages: &[Stage], names: &mut NameList) -> Result<Pipeline, String> {
        let mut ops = Vec::with_capacity(stages.len());
        for stage in stages {
            let op = compile(stage, names);
            ops.push(op.map_err(|why| format!("parse error : stage '{stage}' : {why}"))?);
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
            let op = compile(&stage, names);
            self.ops.push(op.map_err(|why| format!("parse error : stage '{stage}' : {why}"))?);
        }
        Ok(())
    }

    /// Without parsers: for queries that need no label out of lines.
    pub(crate) fn without_parsers(mut self) -> Pipeline {
        self.ops.retain(|op| !op.is_parser());
        self
    }

    /// Without what comes after the last filter: it does not change which rows are selected.
    pub(crate) fn only_selecting(mut self) -> Pipeline {
        while self.ops.last().is_some_and(Op::is_parser) {
            self.ops.pop();
        }
        self
    }

    /// Whether some operator reads line bytes.
    pub(crate) fn needs_line(&self) -> bool {
        self.ops.iter().any(Op::needs_line)
    }

    /// Whether some operator adds labels out of lines.
    pub(crate) fn parses(&self) -> bool {
        self.ops.iter().any(Op::is_parser)
    }

    /// Text that every selected line, as stored, holds.
    pub(crate) fn needles(&self) -> Vec<Group> {
        let filters = self.ops.iter().filter_map(|op| match op {
            Op::LineFilter(filter) => Some(filter.groups()),
            _ => None,
        });
        filters.flatten().cloned().collect()
    }

    /// Calls `visit` with the name of each label that is looked at and whether errors matter to it.
    pub(crate) fn filter_names(&self, visit: &mut impl FnMut(NameId, bool)) {
        for op in &self.ops {
            match op {
                Op::LabelFilter(filter) => filter.names(visit),
                Op::Unwrap(unwrap) => visit(unwrap.name, false),
                _ => {}
            }
        }
    }

    /// Runs over one page. `rooms` has begun the page.
    pub(crate) fn run(
        &self,
        page: &PageView<'_>,
        runs: &Runs<'_>,
        rooms: &mut Rooms,
        wanted: &Wanted,
        selected: &mut Bitmap,
    ) {
        let mut parsed = false;
        for op in &self.ops {
            if selected.is_none() {
                return;
            }
            match op {
                Op::LineFilter(filter) => filter.apply(page, selected, &mut rooms.line),
                Op::LabelFilter(filter) => filter.apply(page, runs, rooms, selected, parsed),
                Op::Unwrap(unwrap) => unwrap.apply(page, runs, rooms, selected),
                _ => parse(op, page, runs, rooms, wanted, selected),
            }
            parsed |= op.is_parser();
        }
    }
}

fn compile(stage: &Stage, names: &mut NameList) -> Result<Op, String> {
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
            Op::JsonPaths(paths)
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
        other => unreachable!("the plan refused {other}"),
    })
}

/// Label filters before the first parser come first (they look at runs and dictionaries), then all
/// line filters, the most promising first, then the rest as written. Filters only drop rows, so
/// their order does not show; no operator here changes the line.
fn order(ops: Vec<Op>) -> Vec<Op> {
    let first_parser = ops.iter().position(Op::is_parser).unwrap_or(ops.len());
    let (mut early, mut lines, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for (index, op) in ops.into_iter().enumerate() {
        match op {
            Op::LineFilter(filter) => lines.push(filter),
            op if index < first_parser => early.push(op),
            op => rest.push(op),
        }
    }
    lines.sort_by_key(LineFilter::rank);
    early.extend(lines.into_iter().map(Op::LineFilter));
    early.extend(rest);
    early
}

fn parse(
    op: &Op,
    page: &PageView<'_>,
    runs: &Runs<'_>,
    rooms: &mut Rooms,
    wanted: &Wanted,
    selected: &Bitmap,
) {
    let mut rows = selected.iter().peekable();
    let Rooms { columns, names, json_keys, logfmt_keys: pair_keys, paths: scratch, .. } = rooms;
    for (from, to, stream) in runs.iter() {
        if rows.peek().is_none_or(|&row| row >= to) {
            continue;
        }
        debug_assert!(rows.peek().is_some_and(|&row| row >= from));
        runs.enter(stream, columns, names);
        let run = RunRows { page, columns, names, rows: &mut rows, end: to };
        match op {
            Op::Json => json::extract(run, json_keys, wanted),
            Op::JsonPaths(paths) => json_paths::extract(run, paths, scratch),
            Op::Logfmt(flags) => logfmt::extract(run, pair_keys, wanted, *flags),
            Op::LogfmtKeys(asked, flags) => logfmt_keys::extract(run, pair_keys, asked, *flags),
            Op::LineFilter(_) | Op::LabelFilter(_) | Op::Unwrap(_) => {
                unreachable!("not a parser")
            }
        }
    }
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

    /// Makes the names of `stream` those of the current run.
    pub(crate) fn enter(&self, stream: u32, columns: &mut Columns, names: &mut Names) {
        columns.scope.enter(names, stream, &self.streams[stream as usize].ids);
    }
}

/// What a worker keeps from page to page so that no row and no page allocates.
#[derive(Debug)]
pub(crate) struct Rooms {
    pub names: Names,
    pub json_keys: Keys,
    pub logfmt_keys: Keys,
    pub columns: Columns,
    pub line: line_filter::Scratch,
    pub paths: json_paths::Scratch,
    /// Verdicts of a label filter by dictionary code.
    pub memo: Vec<u8>,
    pub memo_column: usize,
    /// What `unwrap` read of each row of the page.
    pub values: Vec<f64>,
}

impl Rooms {
    pub(crate) fn new(names: &NameList, open: bool) -> Rooms {
        Rooms {
            names: Names::new(names.names(), open),
            json_keys: Keys::default(),
            logfmt_keys: Keys::default(),
            columns: Columns::default(),
            line: line_filter::Scratch::default(),
            paths: json_paths::Scratch::default(),
            memo: Vec::new(),
            memo_column: 0,
            values: Vec::new(),
        }
    }

    /// Begins a page. True = the numbers of names that are not the leaf's became invalid.
    pub(crate) fn trim(&mut self) -> bool {
        let anew = self.names.trim();
        self.json_keys.trim(anew);
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
