//! Literals that every match of an expression must hold.
//!
//! Used to search a page before an expression runs, and to ask a part's sketches. Sound, not
//! complete: what is not understood requires nothing.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::plan::Needle;
use crate::syntax::goregex;

/// Any of these must be there.
pub(crate) type Group = Vec<Needle>;

/// Above this many alternatives a group no longer helps.
const GROUP_MAX: usize = 64;

/// What is known of an expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Required {
    /// All of these groups, each by one of its needles.
    pub groups: Vec<Group>,
    /// The most selective group.
    pub best: Option<Group>,
    /// A text matches exactly if it holds a needle of `best`.
    pub exact: bool,
    /// Every text matches.
    pub everything: bool,
    /// Every text but the empty one counts as a match: Loki reads `.+` so, line feeds included.
    pub anything: bool,
}

/// What a match of `pattern` (anywhere in a text) requires.
pub(crate) fn of_pattern(pattern: &str) -> Required {
    let mut builder = regex_syntax::ParserBuilder::new();
    builder.utf8(false).nest_limit(goregex::NEST_LIMIT + 4);
    let parser = builder.build().parse(pattern);
    let Ok(hir) = parser else {
        return Required::default();
    };
    let hir = strip_ends(&hir);
    if matches!(hir.kind(), HirKind::Empty) {
        return Required { everything: true, ..Required::default() };
    }
    if is_anything(&hir) {
        return Required { anything: true, ..Required::default() };
    }
    if let Some(group) = alternatives(&hir) {
        let groups = vec![group.clone()];
        return Required { groups, best: Some(group), exact: true, ..Required::default() };
    }
    let groups = required(&hir);
    let best = groups.iter().max_by_key(|group| selectivity(group)).cloned();
    Required { groups, best, ..Required::default() }
}

/// The shortest needle decides; of equals the group with fewer needles.
fn selectivity(group: &Group) -> (usize, std::cmp::Reverse<usize>) {
    let shortest = group.iter().map(|needle| needle.bytes.len()).min().unwrap_or(0);
    (shortest, std::cmp::Reverse(group.len()))
}

/// Without what may match nothing at either end: a search anywhere does not need it.
fn strip_ends(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Concat(parts) => {
            let optional =
                |part: &&Hir| matches!(part.kind(), HirKind::Repetition(repeat) if repeat.min == 0);
            let front = parts.iter().take_while(optional).count();
            let back = parts[front..].iter().rev().take_while(optional).count();
            Hir::concat(parts[front..parts.len() - back].to_vec())
        }
        HirKind::Capture(capture) => strip_ends(&capture.sub),
        HirKind::Repetition(repeat) if repeat.min == 0 => Hir::empty(),
        _ => hir.clone(),
    }
}

/// Whether this is `.+`, or alternatives of it and literals.
fn is_anything(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => is_anything(&capture.sub),
        HirKind::Repetition(repeat) => {
            let any = Hir::dot(regex_syntax::hir::Dot::AnyCharExceptLF);
            repeat.min == 1 && repeat.max.is_none() && *repeat.sub == any
        }
        HirKind::Alternation(branches) => {
            branches.iter().any(is_anything)
                && branches
                    .iter()
                    .all(|branch| is_anything(branch) || alternatives(branch).is_some())
        }
        _ => false,
    }
}

/// The expression as a list of literals, if that is all it is.
fn alternatives(hir: &Hir) -> Option<Group> {
    match hir.kind() {
        HirKind::Capture(capture) => alternatives(&capture.sub),
        HirKind::Alternation(branches) if branches.len() <= GROUP_MAX => {
            let mut group = Group::new();
            for branch in branches {
                group.extend(alternatives(branch)?);
            }
            let folded = group.iter().filter(|needle| needle.ignore_case).count();
            let mixed = folded != 0 && folded != group.len();
            (group.len() <= GROUP_MAX && !mixed).then_some(group)
        }
        _ => {
            let mut run = Run::default();
            run.push(hir).then(|| run.needle()).flatten().map(|needle| vec![needle])
        }
    }
}

/// A literal being put together from neighbours. Letters may be fixed or of either case.
#[derive(Default)]
struct Run {
    bytes: Vec<u8>,
    folded: bool,
    /// An ASCII letter stands in it whose case matters.
    cased: bool,
}

impl Run {
    /// Takes in `hir` if it is literal. False = it is not, or its letters differ in kind.
    fn push(&mut self, hir: &Hir) -> bool {
        match hir.kind() {
            HirKind::Literal(literal) => {
                let letters = literal.0.iter().any(u8::is_ascii_alphabetic);
                if letters && self.folded {
                    return false;
                }
                self.cased |= letters;
                self.bytes.extend_from_slice(&literal.0);
                true
            }
            HirKind::Class(class) => match either_case(class) {
                Some(letter) if !self.cased => {
                    self.folded = true;
                    self.bytes.push(letter);
                    true
                }
                _ => false,
            },
            HirKind::Capture(capture) => self.push(&capture.sub),
            HirKind::Concat(parts) => parts.iter().all(|part| self.push(part)),
            HirKind::Empty => true,
            _ => false,
        }
    }

    fn needle(&self) -> Option<Needle> {
        let needle = Needle { bytes: self.bytes.clone(), ignore_case: self.folded };
        (!self.bytes.is_empty()).then_some(needle)
    }
}

/// The lower-case letter of a class that is exactly one ASCII letter in both cases. `k` and `s`
/// have a third form in Unicode and are no such class there.
fn either_case(class: &Class) -> Option<u8> {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => {
            class.iter().map(|r| (u32::from(r.start()), u32::from(r.end()))).collect()
        }
        Class::Bytes(class) => {
            class.iter().map(|r| (u32::from(r.start()), u32::from(r.end()))).collect()
        }
    };
    let [(upper, upper_end), (lower, lower_end)] = ranges[..] else {
        return None;
    };
    let upper_letter = u8::try_from(upper).ok().filter(u8::is_ascii_uppercase)?;
    let pair = upper == upper_end && lower == lower_end && lower == upper + 32;
    pair.then(|| upper_letter.to_ascii_lowercase())
}

/// The groups a match of `hir` requires.
fn required(hir: &Hir) -> Vec<Group> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Vec::new(),
        HirKind::Literal(_) | HirKind::Class(_) => {
            let mut run = Run::default();
            let literal = run.push(hir);
            run.needle().filter(|_| literal).map(|needle| vec![needle]).into_iter().collect()
        }
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repeat) if repeat.min > 0 => required(&repeat.sub),
        HirKind::Repetition(_) => Vec::new(),
        HirKind::Concat(parts) => required_in_row(parts),
        HirKind::Alternation(branches) => {
            let mut group = Group::new();
            for branch in branches {
                let Some(best) = required(branch).into_iter().max_by_key(selectivity) else {
                    return Vec::new();
                };
                group.extend(best);
            }
            if group.len() > GROUP_MAX { Vec::new() } else { vec![group] }
        }
    }
}

fn required_in_row(parts: &[Hir]) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut run = Run::default();
    for part in flatten(parts) {
        let literal = matches!(part.kind(), HirKind::Literal(_) | HirKind::Class(_));
        if matches!(part.kind(), HirKind::Look(_) | HirKind::Empty) {
            continue; // takes no room: its neighbours touch
        }
        if literal && run.push(part) {
            continue;
        }
        groups.extend(run.needle().map(|needle| vec![needle]));
        run = Run::default();
        if !(literal && run.push(part)) {
            run = Run::default();
            groups.extend(required(part));
        }
    }
    groups.extend(run.needle().map(|needle| vec![needle]));
    groups
}

/// Captures and nested sequences opened up, so that neighbours meet.
fn flatten(parts: &[Hir]) -> Vec<&Hir> {
    let mut flat = Vec::new();
    for part in parts {
        match part.kind() {
            HirKind::Concat(inner) => flat.extend(flatten(inner)),
            HirKind::Capture(capture) => flat.extend(flatten(std::slice::from_ref(&capture.sub))),
            _ => flat.push(part),
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(pattern: &str) -> String {
        let found = of_pattern(pattern);
        let group = |group: &Group| {
            let needles: Vec<String> = group
                .iter()
                .map(|n| {
                    let text = String::from_utf8_lossy(&n.bytes).into_owned();
                    if n.ignore_case { format!("{text}/i") } else { text }
                })
                .collect();
            needles.join("|")
        };
        let groups: Vec<String> = found.groups.iter().map(group).collect();
        let mark = match (found.exact, found.everything, found.anything) {
            (true, _, _) => " exact",
            (_, true, _) => "everything",
            (_, _, true) => "anything",
            _ => "",
        };
        format!("{}{mark}", groups.join(" & "))
    }

    #[test]
    fn required_literals_are_found() {
        for (pattern, want) in [
            ("timeout", "timeout exact"),
            ("(?i)timeout", "timeout/i exact"),
            ("(?i)task", "ta/i"),
            ("error.*timeout", "error & timeout"),
            (".*error.*", "error exact"),
            ("foo|bar", "foo|bar exact"),
            ("(foo|bar)baz", "foo|bar & baz"),
            ("foo|.*", ""),
            ("status=5..", "status=5"),
            ("^(INFO|error)", "INFO|error"),
            ("took (1\\.5s|3s)", "took  & 1.5s|3s"),
            ("skip(ped)?", "skip exact"),
            ("[1-9]\\d{3}\\.\\d+ ms", ". &  ms"),
            ("(?m)^Caused by", "Caused by"),
            ("a+b", "a & b"),
            ("x*", "everything"),
            (".*", "everything"),
            ("", "everything"),
            ("^$", ""),
            (".+", "anything"),
            ("(.+?)|foo", "anything"),
            ("a.+", "a"),
        ] {
            assert_eq!(show(pattern), want, "{pattern}");
        }
    }
}
