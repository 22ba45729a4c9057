//! A line as words and what stands between them.

use super::MAX_TEXT_BYTES;

/// Bytes of a line that are looked at; a template of a longer line ends with `<_>`.
pub(super) const LINE_BYTES: usize = 1024;
/// Words of a line that are looked at.
const LINE_WORDS: usize = 96;
/// Text that stands for any.
pub(super) const WILD: &str = "<_>";

/// What a word is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// May be the same in every line of a template.
    Plain,
    /// Names the value that follows: lines with another are no lines of the template.
    Key,
    /// Differs.
    Wild,
}

/// Bytes `from..to` of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) from: u16,
    pub(super) to: u16,
    pub(super) kind: Kind,
}

impl Word {
    pub(super) fn of(self, text: &str) -> &str {
        &text[usize::from(self.from)..usize::from(self.to)]
    }
}

/// The words of the line read last; reused.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) list: Vec<Word>,
    /// Equal for lines with equal text between their words.
    pub(super) shape: u64,
    /// How much of the line the words and what stands between them are.
    pub(super) end: usize,
    /// The line goes on after `end`, with a word.
    pub(super) is_cut: bool,
}

const WORD: u8 = 0;
const DIGIT: u8 = 1;
const BETWEEN: u8 = 2;

/// All delimiters are ASCII, so that every word begins and ends between characters.
const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [WORD; 256];
    let between = b" \t\r\n\"'`=:,;{}[]()<>|&?\\";
    let mut at = 0;
    while at < between.len() {
        classes[between[at] as usize] = BETWEEN;
        at += 1;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        classes[digit as usize] = DIGIT;
        digit += 1;
    }
    classes
}

/// Odd, with bits everywhere.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Words {
    /// Reads a line.
    pub(super) fn read_line(&mut self, line: &str) {
        self.read(line, false);
    }

    /// Reads a template: `<_>` is a word that differs.
    pub(super) fn read_template(&mut self, text: &str) {
        self.read(text, true);
    }

    fn read(&mut self, text: &str, is_template: bool) {
        let most =
            if is_template { (MAX_TEXT_BYTES, MAX_TEXT_BYTES) } else { (LINE_BYTES, LINE_WORDS) };
        let (end, words) = (text.len().min(most.0), most.1);
        let bytes = text.as_bytes();
        self.list.clear();
        (self.shape, self.is_cut) = (0, false);
        let mut at = 0;
        loop {
            at = self.between(bytes, at, end, is_template);
            self.end = at;
            if at >= bytes.len() {
                return;
            }
            if at >= end || self.list.len() >= words {
                self.is_cut = true;
                return;
            }
            let from = at;
            let mut seen = 0;
            if is_template && bytes[at..].starts_with(WILD.as_bytes()) {
                at += WILD.len();
                seen = DIGIT;
            } else {
                while at < end && CLASSES[usize::from(bytes[at])] != BETWEEN {
                    seen |= CLASSES[usize::from(bytes[at])];
                    at += 1;
                }
                if at == end && at < bytes.len() && CLASSES[usize::from(bytes[at])] != BETWEEN {
                    self.is_cut = true; // before the word that does not end here
                    return;
                }
            }
            let kind = match seen {
                _ if is_key(&bytes[at..]) && !bytes[from..at].starts_with(b"<") => Kind::Key,
                // Paths are told apart no more than numbers.
                WORD if bytes[from] != b'/' => Kind::Plain,
                _ => Kind::Wild,
            };
            self.list.push(Word { from: from as u16, to: at as u16, kind });
            self.shape = (self.shape.rotate_left(7) ^ 0x100).wrapping_mul(FACTOR);
        }
    }

    /// Where the next word begins.
    fn between(&mut self, bytes: &[u8], mut at: usize, end: usize, is_template: bool) -> usize {
        while at < end && CLASSES[usize::from(bytes[at])] == BETWEEN {
            if is_template && bytes[at..].starts_with(WILD.as_bytes()) {
                break;
            }
            self.shape = (self.shape.rotate_left(7) ^ u64::from(bytes[at])).wrapping_mul(FACTOR);
            at += 1;
        }
        at
    }
}

/// Whether what follows a word makes it the name of a value: `x=1`, `"x":1`, `\"x\":1`.
fn is_key(rest: &[u8]) -> bool {
    match rest {
        [b'=', next, ..] => *next != b'=',
        [b'"', b':', ..] | [b'\\', b'"', b':', ..] => true,
        _ => false,
    }
}

/// Whether numbers on both sides of `between` are one value: times, addresses, lists.
pub(super) fn joins(between: &str) -> bool {
    matches!(between, ":" | "," | "::")
}

/// Whether `<name>` would be read as a capture.
pub(super) fn is_name(word: &str) -> bool {
    let is_word = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    word.bytes().all(is_word) && !word.starts_with(|first: char| first.is_ascii_digit())
}
