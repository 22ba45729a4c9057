//! Text that a line must hold because of a filter on a label that only the line can bring.
//!
//! `| json | x="v"` selects no line without the bytes `v`: a parser takes values out of the line as
//! they stand there. Three things get in between, and none of them is forgotten here:
//! - an escape. `\u` may stand for anything, so a line that holds it is never dropped; the short
//!   ones stand for quotes, slashes and control characters, so text is cut there.
//! - a bad byte of a JSON string reads as a space, one of a regular expression's value as U+FFFD:
//!   text is cut there too.
//! - a label of this name that the stream or its metadata has: then the filter looks at that one,
//!   and the rows of this stream are left alone.
//!
//! A row that cannot have the label is dropped by the filter whatever error the parser would have
//! found in it, so no error is lost (contract 6.11).

use base::{Bitmap, HashSet, PageView};

use super::names::{EXTRACTED_SUFFIX, NameId};
use super::needles::Group;
use super::pipeline::{Made, NameList, Op, Pipeline, Rooms, Runs};
use super::search::Literals;
use crate::plan::Needle;

/// The escape that may stand for any character.
const ESCAPE: &[u8] = br"\u";
/// Rows after which it is known whether looking for the text pays.
const TRIAL_ROWS: usize = 2048;
/// It pays if at most one row in this many is left.
const PAYS: usize = 4;
/// Pages that are not looked at after it did not.
const REST_PAGES: u32 = 120;

/// A line holds one of `group` or [`ESCAPE`], unless its row has a label of `names` from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelText {
    /// The labels whose value or key the text is.
    pub names: Vec<NameId>,
    /// Any of these.
    pub group: Group,
}

impl LabelText {
    /// For a row that passes one of several filters.
    pub(crate) fn any(sides: Vec<Vec<LabelText>>) -> Option<LabelText> {
        let mut all = LabelText { names: Vec::new(), group: Vec::new() };
        for side in sides {
            let best = side.into_iter().max_by_key(|text| shortest(&text.group))?;
            all.names.extend(best.names);
            all.group.extend(best.group);
        }
        all.names.sort_unstable();
        all.names.dedup();
        let mut seen = HashSet::default();
        all.group.retain(|needle| seen.insert((needle.bytes.clone(), needle.ignore_case)));
        Some(all)
    }
}

fn shortest(group: &Group) -> usize {
    group.iter().map(|needle| needle.bytes.len()).min().unwrap_or(0)
}

/// The groups of what a value holds, as a line holds it. Nothing is known of a value that may be
/// empty: nobody has to write it.
pub(crate) fn as_written(groups: &[Group]) -> Vec<Group> {
    let mut written = Vec::new();
    for group in groups {
        if let [needle] = &group[..] {
            written.extend(pieces(needle).map(|piece| vec![piece]));
            continue;
        }
        let longest = |needle: &Needle| pieces(needle).max_by_key(|piece| piece.bytes.len());
        written.extend(group.iter().map(longest).collect::<Option<Group>>());
    }
    written
}

/// What of a needle stands in the line byte by byte.
fn pieces(needle: &Needle) -> impl Iterator<Item = Needle> + '_ {
    let bytes = &needle.bytes[..];
    let mut at = 0;
    let runs = std::iter::from_fn(move || {
        let from = at;
        if from > bytes.len() {
            return None;
        }
        let mut to = from;
        while to < bytes.len() && !is_rewritten(bytes[to]) {
            to += 1;
        }
        at = to + 1;
        Some(&bytes[from..to])
    });
    let whole = |run: &&[u8]| !run.is_empty();
    runs.filter(whole).map(|run| Needle { bytes: run.to_vec(), ..needle.clone() })
}

/// Whether a parser may give this byte for another one in the line. All bytes beyond ASCII are
/// taken to be: U+FFFD stands for whatever was no UTF-8.
fn is_rewritten(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7f || matches!(byte, b'"' | b'\'' | b'\\' | b'/')
}

/// The name as keys of JSON and logfmt bring it: only of a name without `_` is it known what the
/// key was.
pub(crate) fn key_text(name: &str) -> Option<Group> {
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let needle = Needle { bytes: name.as_bytes().to_vec(), ignore_case: false };
    plain.then(|| vec![needle])
}

impl Pipeline {
    /// Text that the stored lines of selected rows hold whose labels come from the line.
    pub(crate) fn label_texts(&self, names: &NameList) -> Vec<LabelText> {
        let name = |id: NameId| names.names()[id as usize].as_str();
        let (mut texts, mut parsed, mut keyed) = (Vec::new(), false, true);
        for op in &self.ops {
            if op.changes_line() || op.made() == Made::Changed {
                break;
            }
            match op {
                Op::LabelFilter(filter) if parsed => texts.extend(filter.texts(keyed, &name)),
                Op::Unwrap(unwrap) if parsed && keyed => {
                    let known = name(unwrap.name);
                    let group = key_text(known).filter(|_| !known.ends_with(EXTRACTED_SUFFIX));
                    let names = vec![unwrap.name];
                    texts.extend(group.map(|group| LabelText { names, group }));
                }
                op if op.is_parser() => {
                    parsed = true;
                    keyed &= matches!(op, Op::Json | Op::Logfmt(_));
                }
                _ => {}
            }
        }
        texts
    }

    /// Looks for `texts`, which are this pipeline's, before the first parser.
    pub(crate) fn prefilter(mut self, texts: &[LabelText]) -> Pipeline {
        let Some(parser) = self.ops.iter().position(Op::is_parser) else {
            return self;
        };
        let filters = texts.iter().enumerate();
        let filters = filters.filter_map(|(trial, text)| Prefilter::new(text, trial));
        self.ops.splice(parser..parser, filters.map(Op::Prefilter));
        self
    }
}

/// Drops rows before a parser sees them.
#[derive(Clone, Debug)]
pub(crate) struct Prefilter {
    names: Vec<NameId>,
    search: Literals,
    /// Index of its [`Trial`] in [`Rooms::trials`].
    trial: usize,
}

/// How a worker's last pages went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trial {
    seen: usize,
    kept: usize,
    rest: u32,
}

impl Prefilter {
    pub(crate) fn new(text: &LabelText, trial: usize) -> Option<Prefilter> {
        if text.group.iter().any(|needle| needle.bytes.len() < 2) {
            return None; // hardly a line is without it
        }
        let mut literals: Vec<Vec<u8>> =
            text.group.iter().map(|needle| needle.bytes.clone()).collect();
        literals.push(ESCAPE.to_vec());
        let search = match text.group.iter().any(|needle| needle.ignore_case) {
            true => Literals::ignore_case(&literals),
            false => Literals::new(&literals),
        };
        (!search.matches_all()).then(|| Prefilter { names: text.names.clone(), search, trial })
    }

    /// Drops the rows of `selected` that cannot have the label.
    pub(crate) fn apply(
        &self,
        page: &PageView<'_>,
        runs: &Runs<'_>,
        rooms: &mut Rooms,
        selected: &mut Bitmap,
    ) {
        if rooms.trials.len() <= self.trial {
            rooms.trials.resize(self.trial + 1, Trial::default());
        }
        let trial = &mut rooms.trials[self.trial];
        if rooms.plain || trial.rest > 0 {
            trial.rest = trial.rest.saturating_sub(1);
            return;
        }
        let hits = rooms.line.hits(selected.len());
        self.search.scan(page.lines, selected, hits);
        let before = selected.count();
        for (from, to, stream) in runs.iter() {
            runs.enter(stream, &mut rooms.columns, &mut rooms.names);
            let scope = &rooms.columns.scope;
            let owned = |&name: &NameId| scope.base(name).is_some() || scope.meta(name).is_some();
            if self.names.iter().any(owned) {
                hits.set_range(from, to);
            }
        }
        selected.and(hits);
        trial.seen += before;
        trial.kept += selected.count();
        if trial.seen >= TRIAL_ROWS {
            let pays = trial.kept * PAYS <= trial.seen;
            *trial = Trial { rest: if pays { 0 } else { REST_PAGES }, ..Trial::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_parser_may_rewrite_is_no_text_of_the_line() {
        let groups = |texts: &[&[&str]]| -> Vec<Group> {
            let needle =
                |text: &&str| Needle { bytes: text.as_bytes().to_vec(), ignore_case: false };
            texts.iter().map(|any| any.iter().map(needle).collect()).collect()
        };
        for (value, want) in [
            (&[&["abc"][..]][..], &[&["abc"][..]][..]),
            (&[&["a b/c"]], &[&["a"], &["b"], &["c"]]),
            (&[&["say \"hi\""]], &[&["say"], &["hi"]]),
            (&[&["žluť-x"]], &[&["lu"], &["-x"]]),
            (&[&["a bcd", "ef"]], &[&["bcd", "ef"]]),
            (&[&["a", "/"]], &[]),
            (&[&[" "]], &[]),
        ] {
            assert_eq!(as_written(&groups(value)), groups(want), "{value:?}");
        }
        assert_eq!(key_text("statusCode"), Some(groups(&[&["statusCode"]]).remove(0)));
        assert_eq!(key_text("status_code"), None);
    }
}
