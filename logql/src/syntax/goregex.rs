//! Go's RE2 syntax, in terms of `regex-syntax`.
//!
//! An expression is read by Go's rules, so what Go refuses fails with Go's text, and written anew
//! so that `regex-syntax` gives it Go's meaning: `\d`, `\w`, `\s` and `\b` are ASCII, `\Q..\E` is
//! text, a brace that counts nothing is text.
//!
//! Reference: the documentation of Go's `regexp/syntax`.

mod class;

use regex_syntax::hir::{Hir, HirKind, Look};

use class::Reader;

/// Deepest expression. Go allows 1,000 levels; compilers of expressions here recurse.
const MAX_HEIGHT: u32 = 250;
/// What `regex_syntax`'s nest limit must be at least to read every translation.
pub const NEST_LIMIT: u32 = 4 * MAX_HEIGHT;
/// Largest expression, in instructions, with counted repetitions written out.
const MAX_SIZE: u64 = 3_355_443;
/// Largest count, and largest product of nested counts.
const MAX_COUNT: i64 = 1_000;

/// Rewrites a Go expression into one `regex-syntax` reads with the same meaning
/// (flags: Unicode on, nothing else). The error is Go's text, with its `error parsing regexp: `.
pub fn translate(pattern: &str) -> Result<String, String> {
    Ok(Translator::run(pattern)?.out)
}

/// Names of the named capture groups in order; a name may be there twice.
pub fn capture_names(pattern: &str) -> Result<Vec<String>, String> {
    Ok(Translator::run(pattern)?.names)
}

/// Whether an expression, anchored on both sides, matches the empty text.
pub fn matches_empty(pattern: &str) -> bool {
    let mut reader = regex_syntax::ParserBuilder::new();
    reader.nest_limit(NEST_LIMIT).utf8(false);
    let hir = translate(pattern).ok().and_then(|read| reader.build().parse(&read).ok());
    hir.is_some_and(|hir| can_be_empty(&hir))
}

/// Whether an expression, not anchored, matches somewhere in `text`. The error is Go's.
pub fn is_match(pattern: &str, text: &str) -> Result<bool, String> {
    Ok(crate::engine::search::build(&translate(pattern)?)?.is_match(text))
}

/// Whether `hir` matches at the only place of an empty text.
fn can_be_empty(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty => true,
        HirKind::Literal(_) | HirKind::Class(_) => false,
        // Both ends are there, words are not.
        HirKind::Look(look) => !matches!(look, Look::WordAscii),
        HirKind::Repetition(repetition) => repetition.min == 0 || can_be_empty(&repetition.sub),
        HirKind::Capture(capture) => can_be_empty(&capture.sub),
        HirKind::Concat(parts) => parts.iter().all(can_be_empty),
        HirKind::Alternation(parts) => parts.iter().any(can_be_empty),
    }
}

fn fail<T>(what: &str, where_: &str) -> Result<T, String> {
    Err(format!("error parsing regexp: {what}: `{where_}`"))
}

/// `(?imsU)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags {
    set: [bool; 4],
}

const FLAGS: [char; 4] = ['i', 'm', 's', 'U'];

/// What limits look at.
#[derive(Clone, Copy, Debug, Default)]
struct Measure {
    height: u32,
    size: u64,
    /// Largest product of nested counts.
    count: i64,
}

impl Measure {
    const ATOM: Measure = Measure { height: 1, size: 1, count: 1 };
}

/// An open group, or the whole expression.
#[derive(Debug, Default)]
struct Group {
    captures: bool,
    /// To be restored behind the group.
    outer_flags: Flags,
    /// Of the branches before the last `|`.
    branches: u32,
    alternatives: Measure,
    /// Of the current branch.
    atoms: u32,
    branch: Measure,
    /// What a repetition would repeat.
    last: Option<Measure>,
}

impl Group {
    fn push(&mut self, atom: Measure) {
        if let Some(last) = self.last.replace(atom) {
            self.settle(last);
        }
    }

    /// Takes an atom that is not repeated any more into the branch.
    fn settle(&mut self, atom: Measure) {
        self.atoms += 1;
        self.branch = Measure {
            height: self.branch.height.max(atom.height),
            size: self.branch.size.saturating_add(atom.size),
            count: self.branch.count.max(atom.count),
        };
    }

    fn end_branch(&mut self) {
        if let Some(last) = self.last.take() {
            self.settle(last);
        }
        let branch = std::mem::take(&mut self.branch);
        let atoms = std::mem::take(&mut self.atoms);
        self.branches += 1;
        let height = branch.height + u32::from(atoms > 1);
        self.alternatives = Measure {
            height: self.alternatives.height.max(height),
            size: self.alternatives.size.saturating_add(branch.size.max(1)),
            count: self.alternatives.count.max(branch.count),
        };
    }

    fn end(&mut self) -> Measure {
        self.end_branch();
        let Measure { height, size, count } = self.alternatives;
        Measure {
            height: height + u32::from(self.branches > 1) + 1,
            size: size.saturating_add(if self.captures { 2 } else { 0 }),
            count: count.max(1),
        }
    }
}

struct Translator<'a> {
    whole: &'a str,
    reader: Reader<'a>,
    out: String,
    names: Vec<String>,
    groups: Vec<Group>,
    flags: Flags,
    /// Flags in force at the end of `out`.
    written_flags: Flags,
    /// The text from the repetition just read on; empty if something else was read since.
    last_repeat: &'a str,
}

impl<'a> Translator<'a> {
    fn run(pattern: &'a str) -> Result<Translator<'a>, String> {
        let mut translator = Translator {
            whole: pattern,
            reader: Reader { rest: pattern },
            out: String::with_capacity(pattern.len() + 16),
            names: Vec::new(),
            groups: vec![Group::default()],
            flags: Flags::default(),
            written_flags: Flags::default(),
            last_repeat: "",
        };
        while !translator.reader.rest.is_empty() {
            translator.step()?;
        }
        if translator.groups.len() > 1 {
            return fail("missing closing )", pattern);
        }
        let measure = translator.group().end();
        translator.check(measure)?;
        Ok(translator)
    }

    fn group(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the outermost group stays")
    }

    fn check(&self, measure: Measure) -> Result<(), String> {
        if measure.height > MAX_HEIGHT {
            return fail("expression nests too deeply", self.whole);
        }
        if measure.size > MAX_SIZE {
            return fail("expression too large", self.whole);
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        let last_repeat = std::mem::take(&mut self.last_repeat);
        let rest = self.reader.rest;
        let first = rest.chars().next().expect("the caller saw a character");
        match first {
            '(' if rest.starts_with("(?") => self.open_special()?,
            '(' => {
                self.reader.skip(1);
                self.open("(", true);
            }
            ')' => self.close()?,
            '|' => {
                self.reader.skip(1);
                self.group().end_branch();
                self.out.push('|');
            }
            '*' | '+' | '?' => {
                self.reader.skip(1);
                self.repeat(rest, last_repeat, None)?;
            }
            '{' => match self.reader.count() {
                Some((min, max)) => {
                    let written = &rest[..rest.len() - self.reader.rest.len()];
                    let ordered = max < 0 || min <= max;
                    if !(0..=MAX_COUNT).contains(&min) || max > MAX_COUNT || !ordered {
                        return fail("invalid repeat count", written);
                    }
                    self.repeat(rest, last_repeat, Some((min, max)))?;
                }
                None => {
                    self.reader.skip(1);
                    self.literal('{');
                }
            },
            '[' => {
                let text = self.reader.class()?;
                self.atom(&text);
            }
            '.' | '^' | '$' => {
                self.reader.skip(1);
                self.atom(&rest[..1]);
            }
            '\\' => self.escape()?,
            c => {
                self.reader.skip(c.len_utf8());
                self.literal(c);
            }
        }
        Ok(())
    }

    /// Makes the flags that were asked for count from here on.
    fn write_flags(&mut self) {
        if self.flags == self.written_flags {
            return;
        }
        let changed = |on: bool| {
            let pairs = self.flags.set.iter().zip(&self.written_flags.set).zip(FLAGS);
            let changed = pairs.filter(move |((now, was), _)| now != was && **now == on);
            changed.map(|(_, name)| name).collect::<String>()
        };
        let (on, off) = (changed(true), changed(false));
        self.out.push_str("(?");
        self.out.push_str(&on);
        if !off.is_empty() {
            self.out.push('-');
            self.out.push_str(&off);
        }
        self.out.push(')');
        self.written_flags = self.flags;
    }

    fn atom(&mut self, text: &str) {
        self.write_flags();
        self.out.push_str(text);
        self.group().push(Measure::ATOM);
    }

    fn literal(&mut self, c: char) {
        self.write_flags();
        if regex_syntax::is_meta_character(c) {
            self.out.push('\\');
        }
        self.out.push(c);
        self.group().push(Measure::ATOM);
    }

    fn open(&mut self, text: &str, captures: bool) {
        self.write_flags();
        self.out.push_str(text);
        let outer_flags = self.flags;
        self.groups.push(Group { captures, outer_flags, ..Group::default() });
    }

    fn close(&mut self) -> Result<(), String> {
        if self.groups.len() == 1 {
            return fail("unexpected )", self.whole);
        }
        self.reader.skip(1);
        let mut group = self.groups.pop().expect("checked above");
        let measure = group.end();
        self.check(measure)?;
        self.out.push(')');
        self.flags = group.outer_flags;
        self.written_flags = group.outer_flags;
        self.group().push(measure);
        Ok(())
    }

    /// A group that begins with `(?`, or a change of flags.
    fn open_special(&mut self) -> Result<(), String> {
        let rest = self.reader.rest;
        let named = match () {
            () if rest.len() > 4 && rest.starts_with("(?P<") => Some(4),
            () if rest.len() > 3 && rest.starts_with("(?<") => Some(3),
            () => None,
        };
        if let Some(from) = named {
            let Some(end) = rest.find('>') else { return fail("invalid named capture", rest) };
            let name = &rest[from.min(end)..end];
            if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                return fail("invalid named capture", &rest[..=end]);
            }
            self.reader.skip(end + 1);
            // Go lets a name stand twice and begin with a digit.
            let usable =
                !name.as_bytes()[0].is_ascii_digit() && !self.names.iter().any(|n| n == name);
            self.names.push(name.to_owned());
            let text = if usable { format!("(?P<{name}>") } else { "(".to_owned() };
            self.open(&text, true);
            return Ok(());
        }
        self.reader.skip(2);
        let mut flags = self.flags;
        let (mut on, mut any) = (true, false);
        loop {
            let next = self.reader.next();
            let index = FLAGS.iter().position(|flag| Some(*flag) == next);
            match (next, index) {
                (_, Some(index)) => {
                    flags.set[index] = on;
                    any = true;
                }
                (Some('-'), _) if on => {
                    on = false;
                    any = false;
                }
                (Some(end @ (':' | ')')), _) if on || any => {
                    if end == ':' {
                        self.open("(?:", false);
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => {
                    let read = rest.len() - self.reader.rest.len();
                    return fail("invalid or unsupported Perl syntax", &rest[..read]);
                }
            }
        }
    }

    /// A repetition that begins at `before` and is consumed but for a `?` behind it.
    fn repeat(
        &mut self,
        before: &'a str,
        last_repeat: &'a str,
        count: Option<(i64, i64)>,
    ) -> Result<(), String> {
        if self.reader.rest.starts_with('?') {
            self.reader.skip(1);
        }
        let after = self.reader.rest.len();
        if !last_repeat.is_empty() {
            let nested = &last_repeat[..last_repeat.len() - after];
            return fail("invalid nested repetition operator", nested);
        }
        let written = &before[..before.len() - after];
        let Some(repeated) = self.group().last else {
            return fail("missing argument to repetition operator", written);
        };
        let mut measure = Measure {
            height: repeated.height + 1,
            size: repeated.size.saturating_add(1),
            count: repeated.count,
        };
        if let Some((min, max)) = count {
            let most = if max < 0 { min } else { max };
            let times = u64::try_from(most.max(1)).unwrap_or(1);
            measure.size = repeated.size.saturating_mul(times).saturating_add(times);
            measure.count = match most {
                0 if max == 0 => 1,
                _ => repeated.count.saturating_mul(most.max(1)),
            };
            if (min >= 2 || max >= 2) && measure.count > MAX_COUNT {
                return fail("invalid repeat count", written);
            }
        }
        self.check(measure)?;
        self.group().last = Some(measure);
        self.out.push_str(written);
        self.last_repeat = before;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        let rest = self.reader.rest;
        match rest.as_bytes().get(1) {
            Some(b'A') => self.reader.skip(2),
            Some(b'z') => self.reader.skip(2),
            Some(kind @ (b'b' | b'B')) => {
                self.reader.skip(2);
                self.atom(if *kind == b'b' { r"(?-u:\b)" } else { r"(?-u:\B)" });
                return Ok(());
            }
            Some(b'C') => return fail("invalid escape sequence", r"\C"),
            Some(b'Q') => {
                let text = &rest[2..];
                let (text, length) = match text.find(r"\E") {
                    Some(end) => (&text[..end], end + 4),
                    None => (text, text.len() + 2),
                };
                self.reader.skip(length);
                text.chars().for_each(|c| self.literal(c));
                return Ok(());
            }
            _ => {
                if let Some(class) = self.reader.class_escape()? {
                    self.atom(&class);
                } else {
                    match char::from_u32(self.reader.escape()?) {
                        Some(c) => self.literal(c),
                        None => self.atom(class::NOTHING),
                    }
                }
                return Ok(());
            }
        }
        self.atom(&rest[..2]);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
