//! Lines in, templates out.
//!
//! Lines of one level with the same text between their words are compared word by word. A line that
//! is near enough to one seen before becomes one with it: words that differ are `<_>` from then on,
//! as is every word with a digit. Near enough is decided phrase by phrase (words with single spaces
//! between), because in a record the message tells lines apart, not its fields: half of a phrase must
//! be the same, while a value that stands alone may be any.

use std::cmp::Reverse;

use base::HashMap;
use base::hash::hash64;

use super::tokens::{Kind, LINE_BYTES, WILD, Word, Words, is_name, joins};
use super::{
    MAX_LEVEL_BYTES, MAX_STREAMS, MAX_TEMPLATES, MAX_TEMPLATES_BYTES, MAX_TEXT_BYTES, Template,
};

/// Groups held at most; above it those of the fewest rows go, half of all.
const MAX_GROUPS: usize = 2048;
/// Groups of one shape; above it what is left of the phrase rule is that something is the same.
const MAX_GROUPS_OF_SHAPE: usize = 32;

/// Learns templates. The same lines in the same order give the same templates.
#[derive(Debug, Default)]
pub struct Miner {
    groups: Vec<Group>,
    /// Groups by the hash of level and shape, the one found last first.
    by_shape: HashMap<u64, Vec<u32>>,
    words: Words,
}

/// Lines that are one template.
#[derive(Debug)]
struct Group {
    shape: u64,
    level: Box<str>,
    /// Of its first line.
    text: Box<str>,
    words: Box<[Word]>,
    is_cut: bool,
    rows: u64,
    /// Ascending; too many = any.
    streams: Vec<u32>,
    of_any_stream: bool,
}

impl Miner {
    /// Looks at a line that stands for `rows` rows like it of `stream`. Lines that are not UTF-8
    /// cannot be written in a query, so they make no template.
    pub fn line(&mut self, stream: u32, level: &[u8], line: &[u8], rows: u64) {
        let (Some(line), Ok(level)) = (head(line), std::str::from_utf8(level)) else { return };
        self.words.read_line(line);
        self.add(level, line, rows, &[stream]);
    }

    /// Takes in what another one found; its streams have the numbers of this one's.
    pub fn template(&mut self, template: &Template) {
        if template.text.len() > MAX_TEXT_BYTES {
            return;
        }
        self.words.read_template(&template.text);
        self.add(&template.level, &template.text, template.rows, &template.streams);
    }

    fn add(&mut self, level: &str, text: &str, rows: u64, streams: &[u32]) {
        let level = if level.len() > MAX_LEVEL_BYTES { "" } else { level };
        if self.words.list.is_empty() {
            return;
        }
        let shape = self.words.shape ^ hash64(level.as_bytes()) ^ u64::from(self.words.is_cut);
        let number = self.find(shape, text).unwrap_or_else(|| self.insert(shape, level, text));
        let group = &mut self.groups[number as usize];
        group.widen(text, &self.words.list);
        group.rows = group.rows.saturating_add(rows);
        group.add_streams(streams);
        if self.groups.len() > MAX_GROUPS {
            self.drop_small();
        }
    }

    /// The nearest group.
    fn find(&mut self, shape: u64, text: &str) -> Option<u32> {
        let of_shape = self.by_shape.get_mut(&shape)?;
        let words = &self.words.list;
        let is_full = of_shape.len() >= MAX_GROUPS_OF_SHAPE;
        let (mut best, mut most) = (None, 0);
        for (at, &number) in of_shape.iter().enumerate() {
            let group = &self.groups[number as usize];
            let Some(near) = group.nearness(text, words, is_full) else { continue };
            if best.is_none() || near.same > most {
                (best, most) = (Some(at), near.same);
            }
            if near.differ == 0 {
                break;
            }
        }
        let best = best?;
        of_shape[..=best].rotate_right(1);
        Some(of_shape[0])
    }

    fn insert(&mut self, shape: u64, level: &str, text: &str) -> u32 {
        let number = self.groups.len() as u32;
        self.groups.push(Group {
            shape,
            level: level.into(),
            text: text[..self.words.end].into(),
            words: self.words.list.as_slice().into(),
            is_cut: self.words.is_cut,
            rows: 0,
            streams: Vec::new(),
            of_any_stream: false,
        });
        self.by_shape.entry(shape).or_default().push(number);
        number
    }

    /// Forgets the half of the groups with the fewest rows.
    fn drop_small(&mut self) {
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        order.sort_by_key(|&at| (Reverse(self.groups[at].rows), at));
        let mut keep = vec![false; self.groups.len()];
        order[..MAX_GROUPS / 2].iter().for_each(|&at| keep[at] = true);
        let mut kept = keep.into_iter();
        self.groups.retain(|_| kept.next() == Some(true));
        self.by_shape.clear();
        for (number, group) in self.groups.iter().enumerate() {
            self.by_shape.entry(group.shape).or_default().push(number as u32);
        }
    }

    /// The templates, those of the most rows first: at most [`MAX_TEMPLATES`] and
    /// [`MAX_TEMPLATES_BYTES`]. Text that would match nearly every line is none.
    pub fn finish(self) -> Vec<Template> {
        let mut templates: Vec<Template> = Vec::with_capacity(self.groups.len());
        for group in self.groups {
            let Some(text) = group.render() else { continue };
            let Group { level, rows, streams, of_any_stream, .. } = group;
            let streams = if of_any_stream { Vec::new() } else { streams };
            templates.push(Template { level: level.into(), text, rows, streams });
        }
        templates.sort_by(|a, b| (&a.text, &a.level).cmp(&(&b.text, &b.level)));
        templates.dedup_by(|next, first| {
            let is_same = (&next.text, &next.level) == (&first.text, &first.level);
            if is_same {
                first.take_in(next);
            }
            is_same
        });
        templates.sort_by_key(|template| Reverse(template.rows));
        let mut bytes = 0;
        let fits = templates.iter().take(MAX_TEMPLATES).take_while(|template| {
            bytes += template.text.len();
            bytes <= MAX_TEMPLATES_BYTES
        });
        let most = fits.count();
        templates.truncate(most);
        templates
    }
}

impl Template {
    fn take_in(&mut self, more: &mut Template) {
        self.rows = self.rows.saturating_add(more.rows);
        if self.streams.is_empty() || more.streams.is_empty() {
            self.streams.clear();
            return;
        }
        self.streams.append(&mut more.streams);
        self.streams.sort_unstable();
        self.streams.dedup();
        if self.streams.len() > MAX_STREAMS {
            self.streams.clear();
        }
    }
}

/// As much of a line as is looked at, and a little more where it goes on.
fn head(line: &[u8]) -> Option<&str> {
    let head = &line[..line.len().min(LINE_BYTES + 4)];
    match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        // A character that is cut.
        Err(error) if error.error_len().is_none() && head.len() < line.len() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

/// How alike a line and a group are.
#[derive(Clone, Copy, Debug, Default)]
struct Nearness {
    same: u32,
    differ: u32,
}

/// A phrase so far.
#[derive(Clone, Copy, Debug, Default)]
struct Phrase {
    words: u32,
    same: u32,
    differ: u32,
}

impl Phrase {
    /// Whether enough of it is the same in both.
    fn holds(self) -> bool {
        self.words < 2 || self.differ == 0 || (self.same > 0 && self.same >= self.differ)
    }
}

impl Group {
    /// How near a line of the same shape is; `None` if it is another template's. `is_loose`: phrases
    /// do not matter.
    fn nearness(&self, text: &str, words: &[Word], is_loose: bool) -> Option<Nearness> {
        if words.len() != self.words.len() {
            return None; // two shapes with one hash
        }
        let (mut near, mut phrase) = (Nearness::default(), Phrase::default());
        let mut end = 0;
        for (own, word) in self.words.iter().zip(words) {
            if self.text.get(end..usize::from(own.from)) != Some(" ") {
                if !is_loose && !phrase.holds() {
                    return None;
                }
                phrase = Phrase::default();
            }
            end = usize::from(own.to);
            phrase.words += 1;
            if own.kind == Kind::Wild {
                continue;
            }
            let is_same = word.kind != Kind::Wild && own.of(&self.text) == word.of(text);
            if !is_same && own.kind == Kind::Key {
                return None;
            }
            phrase.same += u32::from(is_same);
            phrase.differ += u32::from(!is_same);
            near.same += u32::from(is_same);
            near.differ += u32::from(!is_same);
        }
        let holds = is_loose || phrase.holds();
        (holds && (near.same > 0 || near.differ == 0)).then_some(near)
    }

    /// Makes what differs in a line of this group `<_>`.
    fn widen(&mut self, text: &str, words: &[Word]) {
        for (own, word) in self.words.iter_mut().zip(words) {
            if own.kind != Kind::Wild
                && (word.kind == Kind::Wild || own.of(&self.text) != word.of(text))
            {
                own.kind = Kind::Wild;
            }
        }
    }

    fn add_streams(&mut self, streams: &[u32]) {
        self.of_any_stream |= streams.is_empty();
        for &stream in streams {
            if self.of_any_stream || self.streams.last() == Some(&stream) {
                continue;
            }
            if let Err(at) = self.streams.binary_search(&stream) {
                self.streams.insert(at, stream);
            }
            self.of_any_stream = self.streams.len() > MAX_STREAMS;
        }
    }

    /// The text of the template; none if nothing is in it that tells lines apart.
    fn render(&self) -> Option<String> {
        let mut out = String::with_capacity(self.text.len() + 8);
        let (mut end, mut was_wild, mut says) = (0, false, false);
        for (at, word) in self.words.iter().enumerate() {
            let between = &self.text[end..usize::from(word.from)];
            end = usize::from(word.to);
            let own = word.of(&self.text);
            let next = self.words.get(at + 1).map_or(self.text.len(), |next| next.from.into());
            let is_capture =
                between.ends_with('<') && self.text[end..next].starts_with('>') && is_name(own);
            let is_wild = word.kind == Kind::Wild || is_capture;
            if is_wild && was_wild && joins(between) {
                continue;
            }
            out.push_str(between);
            out.push_str(if is_wild { WILD } else { own });
            says |= !is_wild && own.chars().any(char::is_alphabetic);
            was_wild = is_wild;
        }
        out.push_str(&self.text[end..]);
        if self.is_cut {
            out.push_str(WILD);
        }
        (says && out.len() <= MAX_TEXT_BYTES).then_some(out)
    }
}
