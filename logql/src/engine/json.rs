//! `| json`: every leaf of a JSON object becomes a label (contract 6.2).
//!
//! The rules of what counts as malformed are those Loki's answers show: keys and values are taken
//! one after the other, an object or array is first looked through for its closing bracket, and
//! what was extracted before the first mistake stays. Nothing after the top object's end matters.

use base::PageView;

use super::columns::{Columns, ErrorKind, Text};
use super::json_shape::{Extent, Owner, Reader, Shapes, Step};
use super::json_text::unescape;
use super::names::{KeyMeaning, Keys, NONE, NameId, Names};
use super::pipeline::RunRows;
use super::wanted::Wanted;

/// Objects deeper than this are skipped like arrays: the depth bounds the stack (P6). Loki has no
/// such bound; lines of 256 nested objects do not occur outside of attacks.
const DEPTH_MAX: usize = 256;

/// The texts of `__error_details__`.
pub(crate) const MALFORMED_JSON: &str = "Malformed JSON error";
const MALFORMED_STRING: &str = "Value is string, but can't find closing '\"' symbol";
const MALFORMED_ARRAY: &str = "Value is array, but can't find closing ']' symbol";
const MALFORMED_OBJECT: &str = "Value looks like object, but can't find closing '}' symbol";
const MALFORMED_ESCAPE: &str = "Encountered an invalid escape sequence in a string";
const UNKNOWN_VALUE: &str = "Unknown value type";

/// What a value is; `escaped` strings hold a backslash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    String { escaped: bool },
    Number,
    Boolean,
    Null,
    Object,
    Array,
}

/// A value's kind, its bytes `from..to` (strings without quotes) and where the next token begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub kind: Kind,
    pub from: usize,
    pub to: usize,
    pub next: usize,
}

/// Why a walk ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// Malformed; the text says how.
    Malformed(&'static str),
    /// All that is needed was found.
    Enough,
}

/// Who is told of the members of an object.
pub(crate) trait Visitor {
    /// A key under `parent`: what it is good for.
    fn key(&mut self, parent: u32, key: &[u8]) -> KeyMeaning;
    /// A string, number or boolean of `data` whose key has a name.
    fn value(&mut self, name: NameId, data: &[u8], value: Value) -> Result<(), Halt>;
}

/// The first byte at or after `at` that is no white space.
#[inline]
pub(crate) fn next_token(data: &[u8], mut at: usize) -> Option<usize> {
    while let Some(&byte) = data.get(at) {
        if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// One past the closing quote of the string whose first byte is at `at`, and whether a backslash
/// is in it.
#[inline]
pub(crate) fn string_end(data: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut escaped = false;
    loop {
        at += memchr::memchr2(b'"', b'\\', data.get(at..)?)?;
        if data[at] == b'"' {
            return Some((at + 1, escaped));
        }
        escaped = true;
        at += 2;
    }
}

/// One past the bracket that closes the one at `at`. Only brackets of the same kind count.
pub(crate) fn block_end(data: &[u8], mut at: usize, open: u8, close: u8) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        at += memchr::memchr3(b'"', open, close, data.get(at..)?)?;
        let byte = data[at];
        if byte == b'"' {
            at = string_end(data, at + 1)?.0;
            continue;
        }
        at += 1;
        if byte == open {
            depth += 1;
        } else {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
}

/// Where objects end. One look through an object finds the ends of all objects in it, so that a line
/// is looked through about once, however deep it nests.
#[derive(Debug, Default)]
struct Blocks {
    /// Beginning and end of each object seen, in order of beginning; 0 = not closed yet.
    ends: Vec<(usize, usize)>,
    open: Vec<usize>,
    /// What lies before was looked through.
    seen_to: usize,
    again: usize,
}

/// Quotes that stand where none may make a second look find other objects than the first; nobody
/// writes such a line but to keep a parser busy (P6).
const LOOKS_MAX: usize = 8;

impl Blocks {
    /// One past the bracket that closes the object that begins at `from`: as [`block_end`].
    fn end(&mut self, data: &[u8], from: usize) -> Option<usize> {
        if from < self.seen_to {
            if let Ok(found) = self.ends.binary_search_by_key(&from, |block| block.0) {
                return Some(self.ends[found].1);
            }
            self.again += 1;
            if self.again > LOOKS_MAX {
                return None;
            }
        }
        self.ends.clear();
        let mut at = from;
        loop {
            at += memchr::memchr3(b'"', b'{', b'}', data.get(at..)?)?;
            match data[at] {
                b'"' => {
                    at = string_end(data, at + 1)?.0;
                    continue;
                }
                b'{' => {
                    self.open.push(self.ends.len());
                    self.ends.push((at, 0));
                }
                _ => {
                    let closed = self.open.pop().expect("the first bracket opens");
                    self.ends[closed].1 = at + 1;
                }
            }
            at += 1;
            if self.open.is_empty() {
                self.seen_to = self.seen_to.max(at);
                return Some(at);
            }
        }
    }
}

/// Where a number, or what stands in the place of one, ends.
#[inline]
pub(crate) fn token_end(data: &[u8], from: usize) -> usize {
    let mut to = from;
    while to < data.len() && !matches!(data[to], b' ' | b'\n' | b'\r' | b'\t' | b',' | b'}' | b']')
    {
        to += 1;
    }
    to
}

/// The value that begins at or after `at`.
#[inline]
pub(crate) fn value_at(data: &[u8], at: usize) -> Result<Value, Halt> {
    value_with(data, at, |from| block_end(data, from, b'{', b'}'))
}

/// The same, with a way to find the end of an object.
#[inline]
fn value_with(
    data: &[u8],
    at: usize,
    object_end: impl FnOnce(usize) -> Option<usize>,
) -> Result<Value, Halt> {
    let Some(from) = next_token(data, at) else {
        return Err(Halt::Malformed(MALFORMED_JSON));
    };
    match data[from] {
        b'"' => {
            let end = string_end(data, from + 1).ok_or(Halt::Malformed(MALFORMED_STRING))?;
            let kind = Kind::String { escaped: end.1 };
            Ok(Value { kind, from: from + 1, to: end.0 - 1, next: end.0 })
        }
        b'{' => {
            let to = object_end(from).ok_or(Halt::Malformed(MALFORMED_OBJECT))?;
            Ok(Value { kind: Kind::Object, from, to, next: to })
        }
        b'[' => {
            let to = block_end(data, from, b'[', b']').ok_or(Halt::Malformed(MALFORMED_ARRAY))?;
            Ok(Value { kind: Kind::Array, from, to, next: to })
        }
        first => {
            let to = token_end(data, from);
            let kind = match first {
                b'0'..=b'9' | b'-' => Kind::Number,
                b't' | b'f' if matches!(&data[from..to], b"true" | b"false") => Kind::Boolean,
                b'n' | b'u' if &data[from..to] == b"null" => Kind::Null,
                _ => return Err(Halt::Malformed(UNKNOWN_VALUE)),
            };
            Ok(Value { kind, from, to, next: to })
        }
    }
}

/// Tells `visitor` of the members of the object at the beginning of `data`.
pub(crate) fn walk(data: &[u8], visitor: &mut impl Visitor) -> Result<(), Halt> {
    let place = Place { start: 0, parent: 0, depth: 0 };
    walk_object(data, place, visitor, &mut Room::default())
}

/// What a walk needs besides.
#[derive(Default)]
struct Room {
    /// A key without its escapes.
    key: Vec<u8>,
    blocks: Blocks,
}

/// Where an object begins, under which prefix and how deep.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    parent: u32,
    depth: usize,
}

/// `data` ends where the object does.
fn walk_object(
    data: &[u8],
    place: Place,
    visitor: &mut impl Visitor,
    room: &mut Room,
) -> Result<(), Halt> {
    let object = Halt::Malformed(MALFORMED_OBJECT);
    let json = Halt::Malformed(MALFORMED_JSON);
    let array = Halt::Malformed(MALFORMED_ARRAY);
    let Place { start, parent, depth } = place;
    let open = next_token(data, start).filter(|&at| data[at] == b'{').ok_or(object)?;
    let mut at = next_token(data, open + 1).ok_or(json)?;
    if data[at] == b'}' {
        return Ok(());
    }
    loop {
        match data[at] {
            b'"' => at += 1,
            b'}' => return Ok(()), // after a trailing comma
            _ => return Err(object),
        }
        let (key_end, escaped) = string_end(data, at).ok_or(json)?;
        let mut key = &data[at..key_end - 1];
        if escaped {
            room.key.clear();
            if !unescape(key, &mut room.key) {
                return Err(Halt::Malformed(MALFORMED_ESCAPE));
            }
        }
        let colon = next_token(data, key_end).filter(|&at| data[at] == b':').ok_or(json)?;
        let value = value_with(data, colon + 1, |from| room.blocks.end(data, from))?;
        if escaped {
            key = &room.key;
        }
        match value.kind {
            Kind::Null | Kind::Array => {}
            Kind::Object => {
                let prefix = visitor.key(parent, key).prefix;
                if prefix != NONE && depth < DEPTH_MAX {
                    let place = Place { start: value.from, parent: prefix, depth: depth + 1 };
                    walk_object(&data[..value.to], place, visitor, room)?;
                }
            }
            Kind::String { .. } | Kind::Number | Kind::Boolean => {
                let name = visitor.key(parent, key).name;
                if name != NONE {
                    visitor.value(name, data, value)?;
                }
            }
        }
        at = next_token(data, value.next).ok_or(array)?;
        match data[at] {
            b'}' => return Ok(()),
            b',' => at = next_token(data, at + 1).ok_or(array)?,
            _ => return Err(object),
        }
    }
}

/// Puts leaves into the parsed labels of one row.
struct Extract<'w, 'a> {
    page: &'w PageView<'a>,
    row: usize,
    columns: &'w mut Columns,
    names: &'w mut Names,
    keys: &'w mut Keys,
    wanted: &'w Wanted,
    missing: usize,
}

impl Visitor for Extract<'_, '_> {
    #[inline]
    fn key(&mut self, parent: u32, key: &[u8]) -> KeyMeaning {
        self.keys.meaning(self.names, parent, key)
    }

    #[inline]
    fn value(&mut self, name: NameId, data: &[u8], value: Value) -> Result<(), Halt> {
        let mut name = name;
        if self.columns.taken(self.page, self.row, name) {
            name = self.names.extracted(name);
        }
        if name == NONE || !self.wanted.takes(name) || self.columns.parsed.has(name) {
            return Ok(());
        }
        let bytes = &data[value.from..value.to];
        let escaped = matches!(value.kind, Kind::String { escaped: true });
        let text = if escaped || (!bytes.is_ascii() && value.kind != Kind::Number) {
            let from = self.columns.scratch.len();
            super::json_text::push_clean(bytes, escaped, &mut self.columns.scratch);
            Text::scratch(from, self.columns.scratch.len())
        } else {
            let line = self.page.lines.span(self.row).0;
            Text::line(line + value.from, line + value.to)
        };
        self.columns.parsed.add(self.row, name, text);
        if self.wanted.counts(name) {
            self.missing -= 1;
            if self.missing == 0 {
                return Err(Halt::Enough);
            }
        }
        Ok(())
    }
}

/// Tags the values of a shape with the numbers of their names.
struct Named<'k> {
    names: &'k mut Names,
    keys: &'k mut Keys,
}

impl Owner for Named<'_> {
    fn tag(&mut self, path: &[&[u8]]) -> u32 {
        let mut parent = 0;
        let mut name = NONE;
        for key in path {
            if parent == NONE {
                return NONE; // nothing in there is needed
            }
            let meaning = self.keys.meaning(self.names, parent, key);
            (name, parent) = (meaning.name, meaning.prefix);
        }
        name
    }

    fn object(&mut self, _: &[&[u8]]) {}

    /// Mistakes anywhere in a line matter.
    fn extent(&mut self, _: &[Step]) -> Extent {
        Extent::Whole
    }
}

/// Takes the values of a line that fits a shape. The general walk looks for the end of an object
/// before it takes anything out of it: so values of inner objects wait for the next outer one.
struct Fitting<'e, 'w, 'a> {
    extract: &'e mut Extract<'w, 'a>,
    data: &'e [u8],
    waiting: &'e mut Vec<(NameId, Value)>,
}

impl Fitting<'_, '_, '_> {
    fn settle(&mut self) -> bool {
        let mut waiting = self.waiting.drain(..);
        waiting.all(|(name, value)| self.extract.value(name, self.data, value).is_ok())
    }
}

impl Reader for Fitting<'_, '_, '_> {
    const LOOKS_INTO_NUMBERS: bool = false;

    #[inline]
    fn value(&mut self, step: &Step, value: Value) -> bool {
        let is_label = matches!(value.kind, Kind::String { .. } | Kind::Number | Kind::Boolean);
        let is_label = is_label && step.tag != NONE;
        if step.depth > 0 {
            if is_label {
                self.waiting.push((step.tag, value));
            }
            return true;
        }
        if !self.waiting.is_empty() && !self.settle() {
            return false;
        }
        !is_label || self.extract.value(step.tag, self.data, value).is_ok()
    }
}

/// Extracts from the lines of a run; no `shapes` = without short cuts.
pub(crate) fn extract(
    mut run: RunRows<'_, '_, '_>,
    keys: &mut Keys,
    wanted: &Wanted,
    mut shapes: Option<&mut Shapes>,
) {
    let mut waiting = Vec::new();
    while let Some(row) = run.next_row() {
        let RunRows { page, columns, names, .. } = &mut run;
        columns.parsed.begin(row);
        keys.begin_line();
        let missing = wanted.missing(columns.parsed.of(row));
        let data = page.lines.get(row);
        let mut extract = Extract { page, row, columns, names, keys, wanted, missing };
        if let Some(shapes) = &mut shapes {
            waiting.clear();
            let mut fitting = Fitting { extract: &mut extract, data, waiting: &mut waiting };
            if shapes.read(data, &mut fitting).is_some() {
                fitting.settle();
                continue;
            }
        }
        let walked = walk(data, &mut extract);
        if let Some(shapes) = &mut shapes {
            keys.begin_line();
            shapes.learn(data, &mut Named { names, keys });
        }
        if let Err(Halt::Malformed(details)) = walked {
            columns.fail(row, ErrorKind::Json, Some(details));
        }
    }
}
