//! `| json x="a.b[0].c"`: values at given paths (contract 6.2).
//!
//! The line is scanned once for all paths, token by token. Nothing is validated: a path takes the
//! first value that stands where it leads, whatever is missing or too much around it, also in a
//! second document on the same line. The only error is a line that does not begin like JSON.

use base::PageView;

use super::columns::{ErrorKind, Text};
use super::json::{Kind, Value, block_end, next_token, string_end, token_end, value_at};
use super::json_shape::{Extent, Owner, Reader, Shapes, Step};
use super::json_text::{push_clean, unescape};
use super::names::{NONE, NameId};
use super::pipeline::RunRows;
use crate::syntax::json_path::Segment;

/// One path and the label it fills.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// The label.
    pub name: NameId,
    /// Steps; at least one.
    pub segments: Vec<Segment>,
}

/// The paths of one stage.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// In order of the stage.
    pub list: Vec<Path>,
    /// Which stage of the pipeline this is: its index in [`Scratch::shapes`].
    pub slot: usize,
}

/// How far a path has got.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Leading segments that the keys around the current place match.
    matched: usize,
    /// Done, with or without a value.
    done: bool,
    value: Option<Value>,
}

/// Scratch of a worker.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    progress: Vec<Progress>,
    key: Vec<u8>,
    shapes: Vec<Shapes>,
}

/// Tags the values of a shape with the numbers of the paths that lead to them. A shape is of use
/// if every path leads to one of its own, by keys alone.
struct Leading<'p> {
    paths: &'p [Path],
    found: Vec<bool>,
    useless: bool,
}

impl Leading<'_> {
    /// The first path that leads here and nowhere before.
    fn leads(&self, keys: &[&[u8]]) -> Option<usize> {
        let is_key = |(segment, key): (&Segment, &&[u8])| match segment {
            Segment::Field(name) => name.as_bytes() == *key,
            _ => false,
        };
        let leads = |path: &Path| {
            path.segments.len() == keys.len() && path.segments.iter().zip(keys).all(is_key)
        };
        (0..self.paths.len()).find(|&at| !self.found[at] && leads(&self.paths[at]))
    }
}

impl Owner for Leading<'_> {
    fn tag(&mut self, keys: &[&[u8]]) -> u32 {
        let Some(path) = self.leads(keys) else { return NONE };
        self.found[path] = true;
        self.useless |= self.leads(keys).is_some(); // a value has one tag
        path as u32
    }

    fn object(&mut self, keys: &[&[u8]]) {
        self.useless |= self.leads(keys).is_some();
    }

    fn extent(&mut self, steps: &[Step]) -> Extent {
        if self.useless || self.found.contains(&false) {
            return Extent::Nothing; // the rest of the line is looked through
        }
        Extent::Steps(steps.iter().rposition(|step| step.tag != NONE).map_or(0, |last| last + 1))
    }
}

impl Reader for Vec<Progress> {
    const LOOKS_INTO_NUMBERS: bool = true;

    #[inline]
    fn value(&mut self, step: &Step, value: Value) -> bool {
        if step.tag != NONE {
            self[step.tag as usize].value = Some(value);
        }
        true
    }
}

struct Scan<'w> {
    data: &'w [u8],
    paths: &'w [Path],
    scratch: &'w mut Scratch,
    missing: usize,
    /// Bytes that were looked through for elements that turned out to be none.
    wasted: usize,
}

/// An element that does not end is looked for up to the line's end, and what is inside it may be
/// the next one that does not end. So much may be looked through in vain, for each byte of the line
/// and besides: then the line has no more elements. Nobody writes such a line but to keep a parser
/// busy (P6).
const WASTE_MAX: (usize, usize) = (4, 4 << 10);

impl Scan<'_> {
    /// Scans to the end, the last missing path, the first unreadable string or too much waste.
    fn run(&mut self) {
        let (mut at, mut level) = (0, 0usize);
        while at < self.data.len() && self.missing > 0 {
            match self.data[at] {
                b'"' => {
                    let Some(next) = self.string(at, level) else {
                        return;
                    };
                    at = next;
                }
                b'{' => {
                    level += 1;
                    at += 1;
                }
                b'}' | b']' => {
                    level = level.saturating_sub(1);
                    at += 1;
                }
                b'[' => {
                    let Some(next) = self.array(at, level) else {
                        return;
                    };
                    at = next;
                }
                _ => at += 1,
            }
        }
    }

    /// A string: a key if a colon follows. Where to go on.
    fn string(&mut self, open: usize, level: usize) -> Option<usize> {
        let (end, escaped) = string_end(self.data, open + 1)?;
        let colon = next_token(self.data, end)?;
        if self.data[colon] != b':' {
            return Some(end);
        }
        if level == 0 {
            return None; // a key outside of any object
        }
        let mut key = &self.data[open + 1..end - 1];
        let mut unescaped = std::mem::take(&mut self.scratch.key);
        if escaped {
            unescaped.clear();
            if !unescape(key, &mut unescaped) {
                return None;
            }
            key = &unescaped;
        }
        let mut value = None; // the same for all paths
        for (path, progress) in self.paths.iter().zip(&mut self.scratch.progress) {
            progress.matched = progress.matched.min(level - 1);
            let fits = progress.matched == level - 1
                && matches!(path.segments.get(level - 1), Some(Segment::Field(name))
                    if name.as_bytes() == key);
            if !fits {
                continue;
            }
            progress.matched = level;
            if path.segments.len() == level && !progress.done {
                *progress = Progress { done: true, ..*progress };
                progress.value = *value.get_or_insert_with(|| value_at(self.data, colon + 1).ok());
                self.missing -= 1;
            }
        }
        self.scratch.key = unescaped;
        Some(colon + 1)
    }

    /// An array: skipped unless a path wants an element of it.
    fn array(&mut self, open: usize, level: usize) -> Option<usize> {
        let wanted = |path: &Path, progress: &Progress| match path.segments.get(level) {
            Some(Segment::Index(index)) if !progress.done && progress.matched >= level => {
                Some(*index)
            }
            _ => None,
        };
        let pairs = self.paths.iter().zip(&self.scratch.progress);
        if pairs.filter_map(|(path, progress)| wanted(path, progress)).next().is_none() {
            return block_end(self.data, open, b'[', b']');
        }
        let mut at = open + 1;
        for index in 0.. {
            let Ok(value) = value_at(self.data, at) else {
                self.wasted += looked_through(self.data, at);
                if self.wasted > WASTE_MAX.0 * self.data.len() + WASTE_MAX.1 {
                    return None;
                }
                break;
            };
            for (path, progress) in self.paths.iter().zip(&mut self.scratch.progress) {
                if wanted(path, progress) == Some(index) {
                    progress.done = true;
                    progress.value = look_up(self.data, value, &path.segments[level + 1..]);
                    self.missing -= 1;
                }
            }
            at = value.next;
            match next_token(self.data, at) {
                Some(comma) if self.data[comma] == b',' => at = comma + 1,
                _ => break,
            }
        }
        // What follows the last element read is scanned like anything else.
        Some(next_token(self.data, at).map_or(at, |end| end + usize::from(self.data[end] == b']')))
    }
}

/// How many bytes [`value_at`] looks at, at most, to find that there is no value at `at`.
fn looked_through(data: &[u8], at: usize) -> usize {
    let to = match next_token(data, at) {
        Some(from) if !matches!(data[from], b'"' | b'{' | b'[') => token_end(data, from),
        _ => data.len(),
    };
    to - at
}

/// A path into an array is followed this far: each step may look through the rest of the line.
const STEPS_MAX: usize = 32;

/// The value at `path` inside `value`; of equal keys the first counts.
fn look_up(data: &[u8], mut value: Value, path: &[Segment]) -> Option<Value> {
    if path.len() > STEPS_MAX {
        return None;
    }
    for step in path {
        let inside = &data[..value.to];
        value = match (step, value.kind) {
            (Segment::Field(name), Kind::Object) => member(inside, value.from + 1, name)?,
            (Segment::Index(index), Kind::Array) => element(inside, value.from + 1, *index)?,
            _ => return None,
        };
    }
    Some(value)
}

/// The member `name` of an object whose first member begins at `at`.
fn member(inside: &[u8], mut at: usize, name: &str) -> Option<Value> {
    let mut unescaped = Vec::new();
    loop {
        let open = next_token(inside, at).filter(|&at| inside[at] == b'"')?;
        let (end, escaped) = string_end(inside, open + 1)?;
        let colon = next_token(inside, end).filter(|&at| inside[at] == b':')?;
        let value = value_at(inside, colon + 1).ok()?;
        let raw = &inside[open + 1..end - 1];
        unescaped.clear();
        let same = match escaped {
            true => unescape(raw, &mut unescaped) && unescaped == name.as_bytes(),
            false => raw == name.as_bytes(),
        };
        if same {
            return Some(value);
        }
        at = next_token(inside, value.next).filter(|&at| inside[at] == b',')? + 1;
    }
}

/// The element `index` of an array whose first element begins at `at`.
fn element(inside: &[u8], mut at: usize, index: usize) -> Option<Value> {
    for _ in 0..index {
        let value = value_at(inside, at).ok()?;
        at = next_token(inside, value.next).filter(|&at| inside[at] == b',')? + 1;
    }
    value_at(inside, at).ok()
}

/// Extracts from the lines of a run.
pub(crate) fn extract(
    mut run: RunRows<'_, '_, '_>,
    paths: &Paths,
    scratch: &mut Scratch,
    plain: bool,
) {
    let Paths { list: paths, slot } = paths;
    if scratch.shapes.len() <= *slot {
        scratch.shapes.resize_with(slot + 1, Shapes::default);
    }
    while let Some(row) = run.next_row() {
        let RunRows { page, columns, names, .. } = &mut run;
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
        let shapes = &mut scratch.shapes[*slot];
        if plain || shapes.read(line, &mut scratch.progress).is_none() {
            let found = vec![false; if plain { 0 } else { paths.len() }];
            if !plain {
                shapes.learn(line, &mut Leading { paths, found, useless: false });
            }
            scratch.progress.fill(Progress::default());
            Scan { data: line, paths, scratch, missing: paths.len(), wasted: 0 }.run();
        }
        for (path, progress) in paths.iter().zip(&scratch.progress) {
            let taken = columns.taken(page, row, path.name);
            let Some(value) = progress.value else {
                if !taken {
                    columns.parsed.add(row, path.name, Text::EMPTY);
                }
                continue;
            };
            let text = text_of(page, row, value, &mut columns.scratch);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::json_path;

    fn paths(expressions: &[&str]) -> Vec<Path> {
        let path = |(name, expression): (usize, &&str)| Path {
            name: name as NameId,
            segments: json_path::parse(expression).unwrap(),
        };
        expressions.iter().enumerate().map(path).collect()
    }

    /// What the paths lead to, and how many bytes were looked through in vain.
    fn scan(line: &str, expressions: &[&str]) -> (Vec<Option<String>>, usize) {
        let paths = paths(expressions);
        let mut scratch = Scratch::default();
        scratch.progress.resize(paths.len(), Progress::default());
        let data = line.as_bytes();
        let missing = paths.len();
        let mut scan = Scan { data, paths: &paths, scratch: &mut scratch, missing, wasted: 0 };
        scan.run();
        let wasted = scan.wasted;
        let text = |value: Value| line[value.from..value.to].to_owned();
        (scratch.progress.iter().map(|path| path.value.map(text)).collect(), wasted)
    }

    #[test]
    fn arrays_that_do_not_end_are_looked_through_a_few_times() {
        const SIZE: usize = 8 << 10;
        for (line, path) in [
            ("[".repeat(SIZE), "[0]"),
            ("{\"a\":".to_owned() + &"[".repeat(SIZE), "a[0]"),
            ("[1,".repeat(SIZE / 3), "[5]"),
            ("{\"a\":".to_owned() + &"[x".repeat(SIZE / 2), "a[0]"),
            ("[{".repeat(SIZE / 2), "[0]"),
        ] {
            let (found, wasted) = scan(&line, &[path]);
            assert_eq!(found, [None], "{path} of {}", &line[..20]);
            // One look more may be begun.
            assert!(wasted <= 5 * line.len() + (4 << 10), "{wasted} bytes for {}", line.len());
        }
    }

    #[test]
    fn an_element_is_found_behind_what_is_none() {
        let words = "[x] ".repeat(5000) + "[7]";
        assert_eq!(scan(&words, &["[0]"]).0, [Some("7".to_owned())]);
        let open = "[".repeat(60) + "7]";
        assert_eq!(
            scan(&open, &["[0]"]).0,
            [Some("[7]".to_owned())],
            "it ends, the ones around not"
        );
    }

    #[test]
    fn the_first_of_equal_keys_counts_for_all_paths() {
        let found = scan(r#"{"a":[1,2],"a":3}"#, &["a", "a[1]", "a"]).0;
        let list = Some("[1,2]".to_owned());
        assert_eq!(found, [list.clone(), Some("2".to_owned()), list]);
    }
}
