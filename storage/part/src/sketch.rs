//! Skip sketches: which pages cannot contain a text (protocols.md S1-S3).
//!
//! Two kinds, both over ASCII-lower-cased bytes, both asked for up to 64 pages of a row group at
//! once: [`trigrams`] serve words, [`ids`] serve tokens with digits. A kind only ever removes pages
//! that cannot match; a needle it can say nothing about keeps all.

pub(crate) mod classes;
pub(crate) mod ids;
pub(crate) mod trigrams;

/// Sketch kinds in the directory. A reader ignores kinds and versions it does not know.
pub(crate) mod kind {
    /// Letter trigrams, transposed.
    pub(crate) const TRIGRAMS: u8 = 1;
    /// Split-block filters over ids, interleaved.
    pub(crate) const IDS: u8 = 2;
    /// Pages with an escape that can stand for any character: see [`super::escapes_any`].
    pub(crate) const ESCAPES: u8 = 3;
    /// The only version of each so far.
    pub(crate) const VERSION: u8 = 1;
}

/// Text that a line must contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needle<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Letter case does not matter, with Unicode's simple folds (`k` finds the Kelvin sign).
    pub ignore_case: bool,
}

impl Needle<'_> {
    /// Whether a line with a non-ASCII letter may match where the needle has an ASCII one: `k`
    /// folds to U+212A (Kelvin sign) and `s` to U+017F (long s), and no other ASCII letter does.
    pub(crate) fn folds(&self) -> bool {
        self.ignore_case && self.bytes.iter().any(|byte| b"kKsS".contains(byte))
    }
}

/// Finds the two letters that fold to ASCII ones.
#[derive(Debug)]
pub(crate) struct Folds {
    kelvin: memchr::memmem::Finder<'static>,
    long_s: memchr::memmem::Finder<'static>,
}

impl Folds {
    pub(crate) fn new() -> Folds {
        Folds {
            kelvin: memchr::memmem::Finder::new("\u{212a}"),
            long_s: memchr::memmem::Finder::new("\u{17f}"),
        }
    }

    pub(crate) fn found_in(&self, bytes: &[u8]) -> bool {
        self.kelvin.find(bytes).is_some() || self.long_s.find(bytes).is_some()
    }
}

/// Whether `bytes` hold `\u`, the one escape of JSON and logfmt that can stand for a letter or a
/// digit: in a page without it a value reads as it is written, but for what the short escapes
/// stand for.
pub(crate) fn escapes_any(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, br"\u").is_some()
}

/// All pages of a row group with `pages` pages.
pub(crate) fn all_pages(pages: usize) -> u64 {
    if pages >= 64 { u64::MAX } else { (1 << pages) - 1 }
}
