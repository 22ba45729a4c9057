//! `| json x="a.b[0].c"`: values at given paths (contract 6.2).
//!
//! The line is walked once for all paths. A path takes the first value it meets; what is malformed
//! ends the walk and is no error, as long as the line begins like JSON.

use std::iter::Peekable;

use base::PageView;
use base::bitmap::Ones;

use super::columns::{Columns, ErrorKind, Text};
use super::json::{Kind, Value, block_end, next_token, string_end, value_at};
use super::json_text::{push_clean, unescape};
use super::names::{NONE, NameId, Names};
use crate::syntax::json_path::Segment;

/// Deepest value that is looked at; paths are shorter than that (P6).
const DEPTH_MAX: usize = 256;

/// One path and the label it fills.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// The label.
    pub name: NameId,
    /// Steps; at least one.
    pub segments: Vec<Segment>,
}

/// How far each path has got.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Leading segments that the current place matches.
    matched: usize,
    found: Option<Found>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    value: Value,
}

/// Scratch of a worker.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    progress: Vec<Progress>,
    key: Vec<u8>,
}

struct Walk<'w> {
    data: &'w [u8],
    paths: &'w [Path],
    scratch: &'w mut Scratch,
    missing: usize,
}

impl Walk<'_> {
    /// Notes the paths that take the step `is` from `depth`. True = some lead on from here.
    fn step(&mut self, depth: usize, at: usize, is: Step<'_>) -> bool {
        let mut leads_on = false;
        for (path, progress) in self.paths.iter().zip(&mut self.scratch.progress) {
            let fits = progress.found.is_none()
                && progress.matched == depth
                && path.segments.get(depth).is_some_and(|segment| match (segment, is) {
                    (Segment::Field(name), Step::Key(key)) => name.as_bytes() == key,
                    (Segment::Index(index), Step::Element(element)) => *index == element,
                    _ => false,
                });
            if !fits {
                continue;
            }
            if path.segments.len() > depth + 1 {
                progress.matched = depth + 1;
                leads_on = true;
            } else if let Ok(value) = value_at(self.data, at) {
                progress.found = Some(Found { value });
                self.missing -= 1;
            }
        }
        leads_on
    }

    fn back_to(&mut self, depth: usize) {
        for progress in &mut self.scratch.progress {
            progress.matched = progress.matched.min(depth);
        }
    }

    /// Walks the value at `at`; where it ends, or nothing if the walk must end.
    fn value(&mut self, at: usize, depth: usize, enter: bool) -> Option<usize> {
        let at = next_token(self.data, at)?;
        match self.data[at] {
            b'{' if enter && depth < DEPTH_MAX => self.object(at, depth),
            b'[' if enter && depth < DEPTH_MAX => self.array(at, depth),
            b'{' => block_end(self.data, at, b'{', b'}'),
            b'[' => block_end(self.data, at, b'[', b']'),
            _ => value_at(self.data, at).ok().map(|value| value.next),
        }
    }

    fn object(&mut self, open: usize, depth: usize) -> Option<usize> {
        let mut at = next_token(self.data, open + 1)?;
        loop {
            match self.data[at] {
                b'}' => return Some(at + 1),
                b'"' => {}
                _ => return None,
            }
            let (key_end, escaped) = string_end(self.data, at + 1)?;
            let mut key = &self.data[at + 1..key_end - 1];
            let mut unescaped = std::mem::take(&mut self.scratch.key);
            unescaped.clear();
            let readable = !escaped || unescape(key, &mut unescaped);
            if escaped {
                key = &unescaped;
            }
            let colon = next_token(self.data, key_end).filter(|&at| self.data[at] == b':');
            let enter = match colon {
                Some(colon) if readable => self.step(depth, colon + 1, Step::Key(key)),
                _ => false,
            };
            self.scratch.key = unescaped;
            let colon = colon.filter(|_| readable && self.missing > 0)?;
            let next = self.value(colon + 1, depth + 1, enter)?;
            self.back_to(depth);
            at = next_token(self.data, next).filter(|_| self.missing > 0)?;
            if self.data[at] == b',' {
                at = next_token(self.data, at + 1)?;
            } else if self.data[at] != b'}' {
                return None;
            }
        }
    }

    fn array(&mut self, open: usize, depth: usize) -> Option<usize> {
        let mut at = next_token(self.data, open + 1)?;
        if self.data[at] == b']' {
            return Some(at + 1);
        }
        for index in 0.. {
            let enter = self.step(depth, at, Step::Element(index));
            if self.missing == 0 {
                return None;
            }
            let next = self.value(at, depth + 1, enter)?;
            self.back_to(depth);
            at = next_token(self.data, next).filter(|_| self.missing > 0)?;
            match self.data[at] {
                b',' => at = next_token(self.data, at + 1)?,
                b']' => return Some(at + 1),
                _ => return None,
            }
        }
        None
    }
}

#[derive(Clone, Copy)]
enum Step<'k> {
    Key(&'k [u8]),
    Element(usize),
}

/// Extracts from the lines of `rows` before `end`, which belong to the run the scope has entered.
pub(crate) fn extract(
    page: &PageView<'_>,
    rows: &mut Peekable<Ones<'_>>,
    end: usize,
    columns: &mut Columns,
    names: &mut Names,
    paths: &[Path],
    scratch: &mut Scratch,
) {
    while let Some(row) = rows.next_if(|&row| row < end) {
        let line = page.lines.get(row);
        let Some(first) = line.first() else {
            continue;
        };
        columns.parsed.begin(row);
        if !matches!(first, b'"' | b'{' | b'[') {
            columns.fail(row, ErrorKind::Json, None);
            continue;
        }
        scratch.progress.clear();
        scratch.progress.resize(paths.len(), Progress::default());
        let mut walk = Walk { data: line, paths, scratch, missing: paths.len() };
        walk.value(0, 0, true);
        for (path, progress) in paths.iter().zip(&scratch.progress) {
            let taken = columns.scope.taken(page, row, path.name);
            let Some(found) = progress.found else {
                if !taken {
                    columns.parsed.add(row, path.name, Text::EMPTY);
                }
                continue;
            };
            let text = text_of(page, row, found.value, &mut columns.scratch);
            let name = if taken { names.extracted(path.name) } else { path.name };
            if name != NONE {
                columns.parsed.set(row, name, text);
            }
        }
    }
}

fn text_of(page: &PageView<'_>, row: usize, value: Value, scratch: &mut Vec<u8>) -> Text {
    let start = page.lines.span(row).0;
    let bytes = &page.lines.bytes[start + value.from..start + value.to];
    match value.kind {
        Kind::Null => Text::EMPTY,
        Kind::String { escaped } if escaped || !bytes.is_ascii() => {
            let from = scratch.len();
            push_clean(bytes, escaped, scratch);
            Text::scratch(from, scratch.len())
        }
        _ => Text::line(start + value.from, start + value.to),
    }
}
