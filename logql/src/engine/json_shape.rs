//! The shape of JSON lines: the bytes between their values.
//!
//! Most lines of a log have the keys of a line before, in the same order. A [`Shape`] keeps what
//! stands between the values of one line (its *leads*: braces, keys, colons, commas); a later line
//! that has the same leads needs no parsing: a lead is compared at once, and of a value only its
//! end is looked for.
//!
//! A line fits or it does not: one that does is a whole object without mistakes, as far as it was
//! compared, and its values are those that the general walk finds. One that does not is walked as
//! if there were no shapes. So a shape never decides what is in a line.

use super::json::{Kind, Value, next_token, string_end, value_at};

/// Shapes that are kept. Streams of one application write a few.
const SHAPES: usize = 4;
/// Objects deeper than this have no shape.
const DEPTH_MAX: usize = 8;
/// Lines with more values have no shape.
const STEPS_MAX: usize = 128;
/// Longer lines have no shape: their keys would be held twice.
const LINE_MAX: usize = 16 << 10;
/// Lines after which it is known whether shapes pay, and how many have to fit.
const TRIAL: (u32, u32) = (256, 64);
/// Lines without trying after they did not pay.
const REST_LINES: u32 = 4096;

/// A value of a shape.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// End of its lead in `Shape::leads`; it begins where the one before ends.
    lead_end: u32,
    /// Objects around it but the outermost.
    pub depth: u32,
    /// What its owner remembers about it.
    pub tag: u32,
}

/// What the lines of one kind have in common.
#[derive(Clone, Debug, Default)]
struct Shape {
    leads: Vec<u8>,
    steps: Vec<Step>,
    /// How many of the steps are compared.
    compared: usize,
    /// And what comes after them, to the end of the object.
    whole: bool,
}

/// The shapes of the lines that a worker saw last.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    shapes: Vec<Shape>,
    /// The one that fitted last.
    last: usize,
    /// The one that is given up next.
    next: usize,
    tried: u32,
    fitted: u32,
    rest: u32,
}

/// Who says what a shape's values are good for.
pub(crate) trait Owner {
    /// The tag of the value under these keys, outermost first.
    fn tag(&mut self, keys: &[&[u8]]) -> u32;
    /// These keys lead to an object.
    fn object(&mut self, keys: &[&[u8]]);
    /// How much of a line has to be compared.
    fn extent(&mut self, steps: &[Step]) -> Extent;
}

/// See [`Owner::extent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The shape is of no use.
    Nothing,
    /// So many steps.
    Steps(usize),
    /// The object.
    Whole,
}

/// Who is told of the values of a line that fits, in order. False = that is enough.
pub(crate) trait Reader {
    /// Whether the general walk, where it stands in for a shape, takes numbers byte by byte: then
    /// quotes and brackets in them are quotes and brackets.
    const LOOKS_INTO_NUMBERS: bool;
    /// A value and the tag of its place.
    fn value(&mut self, step: &Step, value: Value) -> bool;
}

impl Shapes {
    /// Forgets all shapes: what tags mean has changed.
    pub(crate) fn clear(&mut self) {
        *self = Shapes::default();
    }

    /// Reads `line` if it fits a shape. `None` = it does not, and `reader` may have been told of
    /// values that stand before the first difference.
    #[inline]
    pub(crate) fn read(&mut self, line: &[u8], reader: &mut impl Reader) -> Option<()> {
        if self.rest > 0 {
            self.rest -= 1;
            return None;
        }
        if self.tried == TRIAL.0 {
            let rest = if self.fitted < TRIAL.1 { REST_LINES } else { 0 };
            (self.tried, self.fitted, self.rest) = (0, 0, rest);
        }
        self.tried += 1;
        for turn in 0..self.shapes.len() {
            let at = (self.last + turn) % self.shapes.len();
            if self.shapes[at].read(line, reader).is_some() {
                self.last = at;
                self.fitted += 1;
                return Some(());
            }
        }
        None
    }

    /// Takes the shape of a line that fitted none, if it has one.
    #[inline]
    pub(crate) fn learn(&mut self, line: &[u8], owner: &mut impl Owner) {
        if self.rest > 0 || line.len() > LINE_MAX {
            return;
        }
        let Some(shape) = Shape::of(line, owner) else { return };
        if self.shapes.len() < SHAPES {
            self.shapes.push(shape);
            return;
        }
        self.shapes[self.next] = shape;
        self.next = (self.next + 1) % SHAPES;
    }
}

impl Shape {
    #[inline]
    fn read<R: Reader>(&self, line: &[u8], reader: &mut R) -> Option<()> {
        let (mut at, mut lead_from) = (0, 0);
        for step in &self.steps[..self.compared] {
            let lead = &self.leads[lead_from..step.lead_end as usize];
            lead_from = step.lead_end as usize;
            if !line.get(at..)?.starts_with(lead) {
                return None;
            }
            at += lead.len();
            let value = scalar_at(line, at)?;
            if step.depth > 0 && !keeps_braces(line, &value)
                || R::LOOKS_INTO_NUMBERS && !is_plain(line, &value)
            {
                return None;
            }
            at = value.next;
            if !reader.value(step, value) {
                return Some(());
            }
        }
        let rest = &self.leads[lead_from..];
        (!self.whole || line.get(at..)?.starts_with(rest)).then_some(())
    }

    fn of(line: &[u8], owner: &mut impl Owner) -> Option<Shape> {
        let mut learner =
            Learner { line, shape: Shape::default(), from: 0, keys: Vec::new(), owner };
        let end = learner.object(next_token(line, 0)?)?;
        let Learner { mut shape, from, owner, .. } = learner;
        shape.leads.extend_from_slice(&line[from..end]);
        (shape.compared, shape.whole) = match owner.extent(&shape.steps) {
            Extent::Nothing => return None,
            Extent::Steps(count) => (count, false),
            Extent::Whole => (shape.steps.len(), true),
        };
        Some(shape)
    }
}

/// The value at `at`, unless it is an object or a mistake.
#[inline]
fn scalar_at(line: &[u8], at: usize) -> Option<Value> {
    if line.get(at) == Some(&b'"') {
        let (next, escaped) = short_string_end(line, at + 1)?;
        return Some(Value { kind: Kind::String { escaped }, from: at + 1, to: next - 1, next });
    }
    value_at(line, at).ok().filter(|value| value.kind != Kind::Object)
}

/// Whether a value of an inner object is nothing to who looks for that object's end by its braces
/// alone, as the general walk does before it looks inside.
fn keeps_braces(line: &[u8], value: &Value) -> bool {
    let bytes = &line[value.from..value.to];
    match value.kind {
        Kind::String { .. } => true,
        // Its strings end where they end for whoever counts braces, too.
        Kind::Array => !bytes.iter().any(|byte| matches!(byte, b'{' | b'}')),
        _ => !bytes.iter().any(|byte| matches!(byte, b'{' | b'}' | b'"')),
    }
}

/// Whether a value is no number, or one without quotes and opening brackets.
fn is_plain(line: &[u8], value: &Value) -> bool {
    let mut bytes = line[value.from..value.to].iter();
    value.kind != Kind::Number || !bytes.any(|byte| matches!(byte, b'"' | b'[' | b'{'))
}

/// [`string_end`] for strings that are short most of the time: eight bytes at once.
#[inline]
fn short_string_end(line: &[u8], from: usize) -> Option<(usize, bool)> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = from;
    for _ in 0..3 {
        let Some(&bytes) = line.get(at..).and_then(|rest| rest.first_chunk::<8>()) else { break };
        let word = u64::from_le_bytes(bytes);
        // A byte becomes zero where it is what is looked for; the lowest zero is told exactly.
        let (quote, slash) = (word ^ (ONES * b'"' as u64), word ^ (ONES * b'\\' as u64));
        let zeros = (quote.wrapping_sub(ONES) & !quote) | (slash.wrapping_sub(ONES) & !slash);
        let found = zeros & (ONES << 7);
        if found != 0 {
            let hit = at + (found.trailing_zeros() / 8) as usize;
            if line[hit] == b'"' {
                return Some((hit + 1, false));
            }
            return string_end(line, hit);
        }
        at += 8;
    }
    string_end(line, at)
}

/// Reads a line whose shape is wanted.
struct Learner<'l, O> {
    line: &'l [u8],
    shape: Shape,
    /// Where the lead begins that is being read.
    from: usize,
    keys: Vec<&'l [u8]>,
    owner: &'l mut O,
}

impl<O: Owner> Learner<'_, O> {
    /// Reads the object whose brace is at `at`. One past its end; `None` = no shape.
    fn object(&mut self, at: usize) -> Option<usize> {
        let line = self.line;
        if line[at] != b'{' || self.keys.len() > DEPTH_MAX {
            return None;
        }
        let mut at = next_token(line, at + 1)?;
        if line[at] == b'}' {
            return Some(at + 1);
        }
        loop {
            if line[at] != b'"' {
                return None;
            }
            let (key_end, escaped) = string_end(line, at + 1)?;
            let colon = next_token(line, key_end).filter(|&at| line[at] == b':' && !escaped)?;
            let from = next_token(line, colon + 1)?;
            self.keys.push(&line[at + 1..key_end - 1]);
            let next = match line[from] {
                b'{' => {
                    self.owner.object(&self.keys);
                    self.object(from)?
                }
                _ => self.scalar(from)?,
            };
            self.keys.pop();
            at = next_token(line, next)?;
            match line[at] {
                b'}' => return Some(at + 1),
                b',' => at = next_token(line, at + 1)?,
                _ => return None,
            }
        }
    }

    fn scalar(&mut self, from: usize) -> Option<usize> {
        let value = scalar_at(self.line, from)?;
        let is_inner = self.keys.len() > 1;
        if self.shape.steps.len() == STEPS_MAX || is_inner && !keeps_braces(self.line, &value) {
            return None;
        }
        self.shape.leads.extend_from_slice(&self.line[self.from..from]);
        let tag = self.owner.tag(&self.keys);
        let depth = self.keys.len() as u32 - 1;
        let lead_end = self.shape.leads.len() as u32;
        self.shape.steps.push(Step { lead_end, depth, tag });
        self.from = value.next;
        Some(value.next)
    }
}
