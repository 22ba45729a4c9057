//! Line filters: `|=`, `!=`, `|~`, `!~`, `|>`, `!>` with chains of `or` (contract 6.1).
//!
//! Takes the lines of a page and a bitmap, leaves a bitmap. Nothing to merge.

use base::{Bitmap, PageView};

use super::ip::IpFilter;
use super::line_pattern::LinePattern;
use super::needles::{self, Group};
use super::search::{Literals, Pattern};
use crate::plan::Needle;
use crate::syntax::{self, LineOp, LineOperand};

/// A compiled line filter.
#[derive(Clone, Debug)]
pub(crate) struct LineFilter {
    /// Keeps lines that match rather than those that do not.
    keep: bool,
    /// All text operands of `|=` and `!=` together.
    literals: Option<Literals>,
    others: Vec<Operand>,
    groups: Vec<Group>,
}

#[derive(Clone, Debug)]
enum Operand {
    Pattern(Pattern),
    Ip(IpFilter),
    Line(LinePattern),
}

impl Operand {
    fn is_match(&self, line: &[u8]) -> bool {
        match self {
            Operand::Pattern(pattern) => pattern.is_match(line),
            Operand::Ip(filter) => filter.is_match(line),
            Operand::Line(pattern) => pattern.is_match(line),
        }
    }
}

/// Scratch bitmaps of a worker.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    hits: Bitmap,
    candidates: Bitmap,
}

impl Scratch {
    /// An empty bitmap for `rows` rows.
    pub(crate) fn hits(&mut self, rows: usize) -> &mut Bitmap {
        self.hits.reset_none(rows);
        &mut self.hits
    }
}

impl LineFilter {
    /// Compiles a filter. The error is Loki's reason, without the name of the stage.
    pub(crate) fn new(filter: &syntax::LineFilter) -> Result<LineFilter, String> {
        let keep = matches!(filter.op, LineOp::Contains | LineOp::Regex | LineOp::Pattern);
        let mut texts = Vec::new();
        let mut others = Vec::new();
        // Per operand what a line that matches it holds.
        let mut required: Vec<Vec<Group>> = Vec::new();
        for operand in &filter.operands {
            match operand {
                LineOperand::Ip(_)
                    if !matches!(filter.op, LineOp::Contains | LineOp::NotContains) =>
                {
                    return Err("ip: invalid operation".to_owned());
                }
                LineOperand::Ip(pattern) => {
                    others.push(Operand::Ip(IpFilter::new(pattern)?));
                    required.push(Vec::new());
                }
                LineOperand::Text(text) => match filter.op {
                    LineOp::Contains | LineOp::NotContains => {
                        required.push(vec![vec![exactly(text)]]);
                        texts.push(text.clone());
                    }
                    LineOp::Regex | LineOp::NotRegex => {
                        let source = String::from_utf8_lossy(text);
                        let pattern = syntax::goregex::translate(&source)?;
                        required.push(needles::of_pattern(&pattern).groups);
                        others.push(Operand::Pattern(Pattern::new(&pattern)?));
                    }
                    LineOp::Pattern | LineOp::NotPattern => {
                        let pattern = LinePattern::new(text)?;
                        required.push(pattern.literals().map(|l| vec![exactly(l)]).collect());
                        others.push(Operand::Line(pattern));
                    }
                },
            }
        }
        let groups = if keep { either(required) } else { Vec::new() };
        texts.sort_unstable();
        texts.dedup(); // a generated query may repeat itself a thousand times
        let literals = (!texts.is_empty()).then(|| Literals::new(&texts));
        Ok(LineFilter { keep, literals, others, groups })
    }

    /// What every line that is kept holds: an AND of ORs.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// How soon this filter should run: what drops most for least comes first.
    pub(crate) fn rank(&self) -> u8 {
        match (self.keep, self.others.is_empty()) {
            (true, true) => 0,
            (true, false) if !self.groups.is_empty() => 1,
            (false, true) => 2,
            _ => 3,
        }
    }

    /// Whether one line is kept.
    #[cfg(test)]
    pub(crate) fn keeps(&self, line: &[u8]) -> bool {
        let hit = self.literals.as_ref().is_some_and(|literals| literals.is_match(line))
            || self.others.iter().any(|operand| operand.is_match(line));
        hit == self.keep
    }

    /// Drops the rows of `selected` whose line is not kept.
    pub(crate) fn apply(&self, page: &PageView<'_>, selected: &mut Bitmap, scratch: &mut Scratch) {
        let Scratch { hits, candidates } = scratch;
        hits.reset_none(selected.len());
        if let Some(literals) = &self.literals {
            literals.scan(page.lines, selected, hits);
        }
        for operand in &self.others {
            if let Operand::Pattern(pattern) = operand {
                pattern.scan(page.lines, selected, hits, candidates);
                continue;
            }
            for row in selected.iter() {
                if !hits.get(row) && operand.is_match(page.lines.get(row)) {
                    hits.set(row);
                }
            }
        }
        if self.keep {
            selected.and(hits);
        } else {
            selected.and_not(hits);
        }
    }
}

fn exactly(text: &[u8]) -> Needle {
    Needle { bytes: text.to_vec(), ignore_case: false }
}

/// A line matches one of the operands: one group of each of them, joined.
fn either(mut operands: Vec<Vec<Group>>) -> Vec<Group> {
    for groups in &mut operands {
        groups.retain(|group| group.iter().all(|needle| !needle.bytes.is_empty()));
    }
    if let [only] = &mut operands[..] {
        return std::mem::take(only);
    }
    let mut joined = Group::new();
    for groups in operands {
        let longest = groups
            .into_iter()
            .max_by_key(|group| group.iter().map(|needle| needle.bytes.len()).min());
        let Some(group) = longest else {
            return Vec::new();
        };
        joined.extend(group);
    }
    vec![joined]
}

#[cfg(test)]
mod tests;
