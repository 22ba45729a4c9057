//! The first level word in free text.

use aho_corasick::packed::{Config, Searcher};

use super::Level;

/// Longer words before those they begin with.
const WORDS: [(&[u8], Level); 9] = [
    (b"trace", Level::Trace),
    (b"debug", Level::Debug),
    (b"info", Level::Info),
    (b"warning", Level::Warn),
    (b"warn", Level::Warn),
    (b"error", Level::Error),
    (b"err", Level::Error),
    (b"critical", Level::Critical),
    (b"fatal", Level::Fatal),
];

/// Bytes by which a word is first found; more would be too many letter cases for one search.
const PREFIX: usize = 3;

/// Searches level words in any letter case.
#[derive(Debug)]
pub(super) struct Words {
    /// Finds the beginnings of words; `None` where the processor has no instructions for it.
    prefixes: Option<Searcher>,
}

impl Words {
    pub(super) fn new() -> Words {
        let mut prefixes: Vec<[u8; PREFIX]> = Vec::new();
        for (word, _) in WORDS {
            for case in 0..1 << PREFIX {
                let mut prefix = [word[0], word[1], word[2]];
                for (index, byte) in prefix.iter_mut().enumerate() {
                    if case >> index & 1 == 1 {
                        byte.make_ascii_uppercase();
                    }
                }
                prefixes.push(prefix);
            }
        }
        prefixes.sort_unstable();
        prefixes.dedup();
        Words { prefixes: Config::new().builder().extend(prefixes).build() }
    }

    /// As on a processor without vector instructions.
    #[cfg(test)]
    pub(super) fn slow() -> Words {
        Words { prefixes: None }
    }

    /// The first level word that stands by itself.
    pub(super) fn find(&self, text: &[u8]) -> Level {
        let mut at = 0;
        while let Some(found) = self.next_prefix(text, at) {
            if let Some(level) = word_at(text, found) {
                return level;
            }
            at = found + 1;
        }
        Level::Unknown
    }

    fn next_prefix(&self, text: &[u8], at: usize) -> Option<usize> {
        match &self.prefixes {
            Some(prefixes) => {
                let span = aho_corasick::Span { start: at, end: text.len() };
                prefixes.find_in(text, span).map(|found| found.start())
            }
            None => {
                let rest = text.get(at..)?.windows(PREFIX);
                let begins = |window: &[u8]| {
                    WORDS.iter().any(|(word, _)| word[..PREFIX].eq_ignore_ascii_case(window))
                };
                rest.into_iter().position(begins).map(|found| at + found)
            }
        }
    }
}

fn word_at(text: &[u8], at: usize) -> Option<Level> {
    if at > 0 && !opens(text[at - 1]) {
        return None;
    }
    let rest = &text[at..];
    let (word, level) = WORDS.iter().find(|(word, _)| {
        rest.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word))
    })?;
    rest.get(word.len()).is_none_or(|&byte| closes(byte)).then_some(*level)
}

/// What may stand before a word. A colon or a letter make it part of another.
fn opens(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b"[({<\"'`|,;=".contains(&byte)
}

/// What may stand after a word.
fn closes(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b"])}>\"'`|,;:!?".contains(&byte)
}
