//! `| regexp "(?P<name>..)"`: named groups of the first match become labels (contract 6.4).
//!
//! A line without a match gets no labels and no error. A group that takes no part is empty.

use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

use super::columns::Text;
use super::names::{EXTRACTED_SUFFIX, NONE, NameId};
use super::pipeline::{NameList, RunRows};
use super::search;
use crate::syntax::goregex;

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) struct Regexp {
    regex: Regex,
    /// Groups with a name, in order.
    groups: Vec<(usize, NameId)>,
    captures: Captures,
}

impl Regexp {
    /// Compiles. The error is Go's.
    pub(crate) fn new(expression: &str, names: &mut NameList) -> Result<Regexp, String> {
        let regex = search::build(&goregex::translate(expression)?)?;
        let mut groups = Vec::new();
        let named = goregex::capture_names(expression)?;
        let info = regex.group_info().clone();
        let own = info.pattern_names(regex_automata::PatternID::ZERO).enumerate();
        let own = own.filter(|(_, name)| name.is_some());
        for ((group, _), name) in own.zip(named) {
            let mut label = Vec::new();
            super::names::push_sanitized(&mut label, name.as_bytes());
            let label = String::from_utf8_lossy(&label).into_owned();
            names.number(&format!("{label}{EXTRACTED_SUFFIX}"));
            groups.push((group, names.number(&label)));
        }
        let captures = regex.create_captures();
        Ok(Regexp { regex, groups, captures })
    }

    /// Extracts from the lines of a run.
    pub(crate) fn extract(&self, mut run: RunRows<'_, '_, '_>) {
        let mut captures = self.captures.clone();
        while let Some(row) = run.next_row() {
            let RunRows { page, columns, names, .. } = &mut run;
            let (from, to) = page.lines.span(row);
            self.regex.captures(&page.lines.bytes[from..to], &mut captures);
            if !captures.is_match() {
                continue;
            }
            columns.parsed.begin(row);
            for &(group, name) in &self.groups {
                let text = captures
                    .get_group(group)
                    .map_or(Text::EMPTY, |span| Text::line(from + span.start, from + span.end));
                let taken = columns.taken(page, row, name);
                let name = if taken { names.extracted(name) } else { name };
                if name != NONE {
                    columns.parsed.add(row, name, text);
                }
            }
        }
    }
}
