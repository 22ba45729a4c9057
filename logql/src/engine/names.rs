//! Label names as small numbers, and how keys of lines become label names.
//!
//! Each worker numbers names for itself. The names a leaf mentions come first, so their numbers
//! are the same in every worker and operators hold them ready. A *closed* table knows no others:
//! what the query does not need is not extracted. An *open* one takes in every name it meets.

use base::hash::hash64;
use base::rows::Strings;
use hashbrown::HashTable;

/// The number of a label name; [`NONE`] = a name that nobody needs.
pub(crate) type NameId = u32;

/// No name.
pub(crate) const NONE: NameId = u32::MAX;
/// `__error__`; always present.
pub(crate) const ERROR: NameId = 0;
/// `__error_details__`; always present.
pub(crate) const ERROR_DETAILS: NameId = 1;

/// Its text, used all over.
pub(crate) const ERROR_NAME: &str = "__error__";
/// Its text.
pub(crate) const ERROR_DETAILS_NAME: &str = "__error_details__";
/// What a name that is already taken gets at its end (contract 5).
pub(crate) const EXTRACTED_SUFFIX: &str = "_extracted";

/// Whether a parsed label may get this name because its own is taken. Then it hides a label of the
/// stream that has the name, which no other parsed label does.
pub(crate) fn may_be_yielded_to(name: &[u8]) -> bool {
    name.ends_with(EXTRACTED_SUFFIX.as_bytes())
}

/// An open table starts anew above this many names: lines may bring arbitrary keys (P6).
const NAMES_MAX: usize = 1 << 16;
/// A key cache starts anew above this many keys, for the same reason.
const KEYS_MAX: usize = 1 << 14;
/// Either starts anew above this many bytes.
const BYTES_MAX: usize = 32 << 20;
/// Objects under keys that are longer than this together are skipped like arrays: every name in there
/// begins with them. Loki has no such bound.
const PREFIX_BYTES_MAX: usize = 1 << 10;

/// Numbers names.
#[derive(Debug)]
pub(crate) struct Names {
    open: bool,
    fixed: usize,
    texts: Strings,
    index: HashTable<NameId>,
    /// Number of `<name>_extracted`; `NONE` = not needed; [`UNKNOWN`] = not asked yet.
    extracted: Vec<NameId>,
}

const UNKNOWN: NameId = u32::MAX - 1;

impl Names {
    /// A table that begins with `fixed` (whose first two are the error names).
    pub(crate) fn new(fixed: &[String], open: bool) -> Names {
        assert!(fixed.len() >= 2 && fixed[0] == ERROR_NAME && fixed[1] == ERROR_DETAILS_NAME);
        let mut names = Names {
            open: true,
            fixed: fixed.len(),
            texts: Strings::default(),
            index: HashTable::new(),
            extracted: Vec::new(),
        };
        for name in fixed {
            names.lookup(name.as_bytes());
        }
        assert_eq!(names.texts.len(), fixed.len(), "fixed names are distinct");
        names.open = open;
        names
    }

    /// Number of names.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether unknown names are taken in.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// The number of `name`.
    pub(crate) fn lookup(&mut self, name: &[u8]) -> NameId {
        let hash = hash64(name);
        let texts = &mut self.texts;
        if let Some(&id) = self.index.find(hash, |&id| texts.get(id as usize) == name) {
            return id;
        }
        if !self.open {
            return NONE;
        }
        let id = texts.len() as NameId;
        texts.push(name);
        self.index.insert_unique(hash, id, |&id| hash64(texts.get(id as usize)));
        self.extracted.push(UNKNOWN);
        id
    }

    /// The text of a name. Names come from labels, metadata keys and sanitised keys: all UTF-8.
    pub(crate) fn text(&self, id: NameId) -> &str {
        std::str::from_utf8(self.texts.get(id as usize)).expect("only UTF-8 names are taken in")
    }

    /// [`may_be_yielded_to`] of a number.
    pub(crate) fn may_be_yielded_to(&self, id: NameId) -> bool {
        may_be_yielded_to(self.texts.get(id as usize))
    }

    /// The number of the name that `id` yields to when it is taken.
    pub(crate) fn extracted(&mut self, id: NameId) -> NameId {
        let known = self.extracted[id as usize];
        if known != UNKNOWN {
            return known;
        }
        let name = [self.texts.get(id as usize), EXTRACTED_SUFFIX.as_bytes()].concat();
        let found = self.lookup(&name);
        self.extracted[id as usize] = found;
        found
    }

    /// Whether some known name begins with `prefix`.
    fn some_begins_with(&self, prefix: &[u8]) -> bool {
        (0..self.texts.len()).any(|id| self.texts.get(id).starts_with(prefix))
    }

    /// Forgets all but the fixed names when there are too many. True = numbers became invalid.
    pub(crate) fn trim(&mut self) -> bool {
        let few = self.texts.len() <= NAMES_MAX.max(self.fixed * 2);
        if few && self.texts.bytes.len() <= BYTES_MAX {
            return false;
        }
        let kept: Vec<String> =
            (0..self.fixed as NameId).map(|id| self.text(id).to_owned()).collect();
        *self = Names::new(&kept, self.open);
        true
    }
}

/// What a key means where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyMeaning {
    /// Label name of a value under this key.
    pub name: NameId,
    /// Prefix of the keys of an object under this key; [`NONE`] = nothing in there is needed.
    pub prefix: u32,
}

/// Remembers what each raw key means, by the prefix it stands under (0 = top level).
#[derive(Debug, Default)]
pub(crate) struct Keys {
    index: HashTable<u32>,
    raw: Strings,
    parents: Vec<u32>,
    meanings: Vec<KeyMeaning>,
    prefixes: Strings,
    /// The keys of the last line in order: the next line most often has the same.
    trail: Vec<u32>,
    step: usize,
    scratch: Vec<u8>,
}

impl Keys {
    /// To be called before each page. True = the cache started anew.
    pub(crate) fn trim(&mut self, force: bool) -> bool {
        let bytes = self.raw.bytes.len() + self.prefixes.bytes.len();
        let anew = force || self.raw.len() > KEYS_MAX || bytes > BYTES_MAX;
        if anew {
            *self = Keys::default();
        }
        anew
    }

    /// To be called before each line.
    #[inline]
    pub(crate) fn begin_line(&mut self) {
        self.step = 0;
    }

    /// What `raw` means under prefix `parent`.
    #[inline]
    pub(crate) fn meaning(&mut self, names: &mut Names, parent: u32, raw: &[u8]) -> KeyMeaning {
        let step = self.step;
        self.step += 1;
        if let Some(&guess) = self.trail.get(step) {
            let guess = guess as usize;
            if self.parents[guess] == parent && self.raw.get(guess) == raw {
                return self.meanings[guess];
            }
        }
        let key = self.find(names, parent, raw);
        if step < self.trail.len() {
            self.trail[step] = key;
        } else if step < 256 {
            self.trail.resize(step + 1, key);
        }
        self.meanings[key as usize]
    }

    fn find(&mut self, names: &mut Names, parent: u32, raw: &[u8]) -> u32 {
        let hash = hash64(raw) ^ u64::from(parent).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let found = self.index.find(hash, |&key| {
            self.parents[key as usize] == parent && self.raw.get(key as usize) == raw
        });
        if let Some(&key) = found {
            return key;
        }
        if self.prefixes.is_empty() {
            self.prefixes.push(b"");
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(self.prefixes.get(parent as usize));
        push_sanitized(&mut self.scratch, raw);
        let name = if self.scratch.is_empty() { NONE } else { names.lookup(&self.scratch) };
        let leads = self.scratch.len() <= PREFIX_BYTES_MAX
            && (names.is_open() || names.some_begins_with(&self.scratch));
        let prefix = if leads {
            self.prefixes.push(&self.scratch);
            self.prefixes.len() as u32 - 1
        } else {
            NONE
        };
        let key = self.raw.len() as u32;
        self.raw.push(raw);
        self.parents.push(parent);
        self.meanings.push(KeyMeaning { name, prefix });
        let (raws, parents) = (&self.raw, &self.parents);
        self.index.insert_unique(hash, key, |&key| {
            let key = key as usize;
            hash64(raws.get(key)) ^ u64::from(parents[key]).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        key
    }
}

/// Appends `key` as a label name (contract 5): white space around it goes, a leading digit of the
/// whole name gets `_` before it, every character outside `[a-zA-Z0-9_]` becomes one `_`. Parts of
/// a nested key are joined by `_`; blank parts are left out.
pub(crate) fn push_sanitized(out: &mut Vec<u8>, key: &[u8]) {
    let text = String::from_utf8_lossy(key);
    let valid = matches!(text, std::borrow::Cow::Borrowed(_));
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return;
    }
    if !out.is_empty() || trimmed.as_bytes()[0].is_ascii_digit() {
        out.push(b'_');
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if valid {
        out.extend(
            trimmed.chars().map(|c| if c.is_ascii() && plain(c as u8) { c as u8 } else { b'_' }),
        );
        return;
    }
    // Go sees one replacement character per bad byte; `from_utf8_lossy` may join several.
    let (start, end) = trimmed_range(key);
    for chunk in key[start..end].utf8_chunks() {
        out.extend(
            chunk
                .valid()
                .chars()
                .map(|c| if c.is_ascii() && plain(c as u8) { c as u8 } else { b'_' }),
        );
        out.extend(chunk.invalid().iter().map(|_| b'_'));
    }
}

fn trimmed_range(key: &[u8]) -> (usize, usize) {
    let mut start = 0;
    let mut end = key.len();
    while start < end && key[start].is_ascii_whitespace() {
        start += 1;
    }
    while end > start && key[end - 1].is_ascii_whitespace() {
        end -= 1;
    }
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(more: &[&str]) -> Vec<String> {
        let names = [ERROR_NAME, ERROR_DETAILS_NAME].into_iter().chain(more.iter().copied());
        names.map(str::to_owned).collect()
    }

    #[test]
    fn keys_are_sanitised_as_contracted() {
        for (key, want) in [
            ("plain_1", "plain_1"),
            ("weird-key", "weird_key"),
            ("9lives", "_9lives"),
            (" spa ce ", "spa_ce"),
            ("Ünï", "_n_"),
            ("a--b", "a__b"),
            ("  ", ""),
            ("_", "_"),
        ] {
            let mut out = Vec::new();
            push_sanitized(&mut out, key.as_bytes());
            assert_eq!(out, want.as_bytes(), "{key}");
        }
        let mut nested = b"a".to_vec();
        push_sanitized(&mut nested, b"7b");
        push_sanitized(&mut nested, b" ");
        push_sanitized(&mut nested, b"\xff\xfec");
        assert_eq!(nested, b"a_7b___c");
    }

    #[test]
    fn a_closed_table_knows_only_what_is_needed() {
        let mut names = Names::new(&fixed(&["a_b", "x_extracted", "x"]), false);
        let mut keys = Keys::default();
        let a = keys.meaning(&mut names, 0, b"a");
        assert_eq!(a.name, NONE);
        assert_ne!(a.prefix, NONE, "a_b begins with a");
        assert_eq!(keys.meaning(&mut names, a.prefix, b"b").name, 2);
        assert_eq!(
            keys.meaning(&mut names, a.prefix, b"c"),
            KeyMeaning { name: NONE, prefix: NONE }
        );
        let x = keys.meaning(&mut names, 0, b"x");
        assert_eq!(names.extracted(x.name), 3);
        assert_eq!(names.extracted(2), NONE);
    }

    #[test]
    fn long_keys_are_neither_repeated_nor_kept() {
        let mut names = Names::new(&fixed(&[]), true);
        let mut keys = Keys::default();
        let long = keys.meaning(&mut names, 0, &[b'k'; PREFIX_BYTES_MAX + 1]);
        assert!(long.name != NONE && long.prefix == NONE, "a name, but nobody's prefix");
        let half = keys.meaning(&mut names, 0, &[b'k'; PREFIX_BYTES_MAX / 2]);
        let whole = keys.meaning(&mut names, half.prefix, &[b'k'; PREFIX_BYTES_MAX / 2]);
        assert!(half.prefix != NONE && whole.prefix == NONE);
        for number in 0..32 {
            assert!(!keys.trim(names.trim()), "{number}");
            let key = format!("{}{number}", "k".repeat(1 << 20));
            keys.meaning(&mut names, 0, key.as_bytes());
        }
        assert!(names.trim());
        assert!(keys.trim(false), "by its own bytes");
    }

    #[test]
    fn an_open_table_takes_names_in_and_starts_anew_when_there_are_too_many() {
        let mut names = Names::new(&fixed(&[]), true);
        let mut keys = Keys::default();
        keys.begin_line();
        let k8s = keys.meaning(&mut names, 0, b"k8s");
        let pod = keys.meaning(&mut names, k8s.prefix, b"pod-name");
        assert_eq!(names.text(pod.name), "k8s_pod_name");
        keys.begin_line();
        assert_eq!(keys.meaning(&mut names, 0, b"k8s"), k8s);
        assert!(!names.trim());
        for number in 0..NAMES_MAX {
            names.lookup(format!("n{number}").as_bytes());
        }
        assert!(names.trim());
        assert_eq!(names.len(), 2);
    }
}
