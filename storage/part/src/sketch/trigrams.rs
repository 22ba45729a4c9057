//! S1: which pages hold three given letters in a row.
//!
//! The raw frame: number of trigrams (u16), bytes per mask (u8), the trigrams in ascending order
//! (u16 each: five bits per letter, `a` = 0, first letter highest), their masks in the same order
//! (bit `i` = page `i` of the row group). Lookups work on these bytes as they are.

use crate::Error;
use crate::sketch::Needle;
use crate::sketch::classes::{BLOCK, Classes, take_run};

/// Three codes of five bits.
const CODES: usize = 1 << 15;
/// The code of everything that is no letter.
const OTHER: u8 = 31;

/// Letter -> 0..26 whatever its case, everything else -> `OTHER`.
static CLASS: [u8; 256] = {
    let mut class = [OTHER; 256];
    let mut letter = 0;
    while letter < 26 {
        class[b'a' as usize + letter] = letter as u8;
        class[b'A' as usize + letter] = letter as u8;
        letter += 1;
    }
    class
};

/// Whether all three places of a code are letters.
fn is_letters(code: usize) -> bool {
    code & 31 < 26 && (code >> 5) & 31 < 26 && code >> 10 < 26
}

/// Trigrams that one piece of a word gives: a piece is eight letters, which fit into a register.
const PIECE: usize = 6;
/// The five bits of each letter of a piece with so many trigrams.
static PIECE_MASKS: [u64; PIECE + 1] = {
    let mut masks = [0; PIECE + 1];
    let mut count = 1;
    while count <= PIECE {
        masks[count] = 0x1f1f_1f1f_1f1f_1f1f >> ((PIECE - count) * 8);
        count += 1;
    }
    masks
};
/// Pieces remembered: as many as the first-level cache has room for beside a page.
const KNOWN: usize = 1 << 11;

/// Collects the trigrams of a row group.
pub(crate) struct Builder {
    /// One bit per code of the current page.
    seen: Box<[u64; CODES / 64]>,
    /// Pieces of words of the current page: log lines repeat their words.
    known: Box<[u64; KNOWN]>,
    /// Pages per code.
    masks: Box<[u64; CODES]>,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            seen: Box::new([0; CODES / 64]),
            known: Box::new([0; KNOWN]),
            masks: Box::new([0; CODES]),
        }
    }

    /// Adds the lines of page `page`, joined, with their classes. A trigram across two lines is a
    /// false positive only.
    pub(crate) fn page(&mut self, page: usize, lines: &[u8], classes: &Classes) {
        assert_eq!(classes.letters.len(), lines.len().div_ceil(BLOCK), "the classes of the lines");
        let letters = &classes.letters;
        for (index, &word) in letters.iter().enumerate() {
            let next = letters.get(index + 1).copied().unwrap_or(0);
            // Places where three letters begin.
            let mut starts = word & (word >> 1 | next << 63) & (word >> 2 | next << 62);
            while starts != 0 {
                let (from, to) = take_run(&mut starts);
                self.word(&lines[index * BLOCK + from..], to - from);
            }
        }
        let bit = 1u64 << page;
        for (index, word) in self.seen.iter_mut().enumerate() {
            let mut codes = std::mem::take(word);
            while codes != 0 {
                self.masks[index * 64 + codes.trailing_zeros() as usize] |= bit;
                codes &= codes - 1;
            }
        }
        self.known.fill(0);
    }

    /// Adds the first `count` trigrams of `text`, which begins with their letters.
    #[inline]
    fn word(&mut self, mut text: &[u8], mut count: usize) {
        loop {
            let trigrams = count.min(PIECE);
            let eight = text.first_chunk::<8>().map_or_else(|| padded(text), |eight| *eight);
            let piece = u64::from_le_bytes(eight) & PIECE_MASKS[trigrams];
            let place = piece.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - KNOWN.ilog2());
            let known = &mut self.known[place as usize % KNOWN];
            if *known != piece {
                *known = piece;
                self.piece(piece, trigrams);
            }
            count -= trigrams;
            if count == 0 {
                return;
            }
            text = &text[PIECE..];
        }
    }

    /// Adds the trigrams of a piece whose letters are 1 for `a` and so on.
    fn piece(&mut self, mut piece: u64, trigrams: usize) {
        /// `aaa` as three letters of 1.
        const FIRST: u64 = 1 << 10 | 1 << 5 | 1;
        for _ in 0..trigrams {
            let [first, second, third] = [piece & 31, piece >> 8 & 31, piece >> 16 & 31];
            let code = ((first << 10 | second << 5 | third) - FIRST) as usize;
            self.seen[code / 64 % (CODES / 64)] |= 1 << (code % 64);
            piece >>= 8;
        }
    }

    /// Adds page `page`, which is page `source` of the row group that `table` is of.
    pub(crate) fn copy(&mut self, page: usize, table: &Table<'_>, source: usize) {
        let (byte, bit) = (source / 8, source % 8);
        let codes = table.codes.chunks_exact(2);
        for (code, mask) in codes.zip(table.masks.chunks_exact(table.width)) {
            let set = u64::from(mask[byte] >> bit & 1);
            let code = usize::from(u16::from_le_bytes([code[0], code[1]]));
            self.masks[code & (CODES - 1)] |= set << page;
        }
    }

    /// Writes the raw frame for `pages` pages and starts over.
    pub(crate) fn finish(&mut self, pages: usize, out: &mut Vec<u8>) {
        out.clear();
        let width = pages.div_ceil(8);
        out.extend_from_slice(&[0, 0, width as u8]);
        let mut count = 0u16;
        for (code, mask) in self.masks.iter_mut().enumerate() {
            if is_letters(code) && *mask != 0 {
                out.extend_from_slice(&(code as u16).to_le_bytes());
                count += 1;
            } else {
                *mask = 0;
            }
        }
        out[..2].copy_from_slice(&count.to_le_bytes());
        for mask in self.masks.iter_mut().filter(|mask| **mask != 0) {
            out.extend_from_slice(&mask.to_le_bytes()[..width]);
            *mask = 0;
        }
    }
}

#[cold]
fn padded(text: &[u8]) -> [u8; 8] {
    let mut eight = [0; 8];
    eight[..text.len()].copy_from_slice(text);
    eight
}

/// Looks trigrams up in a raw frame.
pub(crate) struct Table<'a> {
    codes: &'a [u8],
    masks: &'a [u8],
    width: usize,
}

impl<'a> Table<'a> {
    pub(crate) fn open(raw: &'a [u8], pages: usize, offset: u64) -> Result<Table<'a>, Error> {
        let damaged = || Error::corrupt("trigram table", offset);
        let Some((&[low, high, width], rest)) = raw.split_first_chunk::<3>() else {
            return Err(damaged());
        };
        let count = usize::from(u16::from_le_bytes([low, high]));
        let width = usize::from(width);
        if width != pages.div_ceil(8) || rest.len() != count * (2 + width) {
            return Err(damaged());
        }
        let (codes, masks) = rest.split_at(count * 2);
        Ok(Table { codes, masks, width })
    }

    /// Pages that hold every letter trigram of `needle`; all pages when it has none.
    pub(crate) fn pages(&self, needle: &Needle<'_>) -> u64 {
        let mut pages = u64::MAX;
        let mut code = CODES - 1;
        for &byte in needle.bytes {
            code = (code << 5 | usize::from(CLASS[usize::from(byte)])) & (CODES - 1);
            if is_letters(code) {
                pages &= self.mask(code as u16);
            }
        }
        pages
    }

    fn mask(&self, code: u16) -> u64 {
        let (mut low, mut high) = (0, self.codes.len() / 2);
        while low < high {
            let middle = usize::midpoint(low, high);
            let found = u16::from_le_bytes([self.codes[middle * 2], self.codes[middle * 2 + 1]]);
            match found.cmp(&code) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let mut mask = [0; 8];
                    let at = middle * self.width;
                    mask[..self.width].copy_from_slice(&self.masks[at..at + self.width]);
                    return u64::from_le_bytes(mask);
                }
            }
        }
        0
    }
}

/// Whether the table can say anything about `needle`.
pub(crate) fn serves(needle: &Needle<'_>) -> bool {
    needle.bytes.windows(3).any(|three| three.iter().all(u8::is_ascii_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The raw frame of `pages`, byte by byte.
    fn plain(pages: &[Vec<u8>]) -> Vec<u8> {
        let mut masks = std::collections::BTreeMap::<u16, u64>::new();
        for (page, lines) in pages.iter().enumerate() {
            for three in lines.windows(3).filter(|three| three.iter().all(u8::is_ascii_alphabetic))
            {
                let fold =
                    |code, byte: &u8| code << 5 | u16::from(byte.to_ascii_lowercase() - b'a');
                *masks.entry(three.iter().fold(0, fold)).or_default() |= 1 << page;
            }
        }
        let width = pages.len().div_ceil(8);
        let mut out = (masks.len() as u16).to_le_bytes().to_vec();
        out.push(width as u8);
        masks.keys().for_each(|code| out.extend_from_slice(&code.to_le_bytes()));
        masks.values().for_each(|mask| out.extend_from_slice(&mask.to_le_bytes()[..width]));
        out
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => "(error|Timeout|connection refused|authentication|[a-zA-Z]{1,40})",
            2 => "[ -`{-~]{1,4}",
            1 => "[a-zA-Z]{60,200}",
            1 => ".{0,8}",
        ];
        let pieces = prop::collection::vec(piece, 0..60);
        pieces.prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn trigrams_are_those_found_byte_by_byte(
            groups in prop::collection::vec(prop::collection::vec(text(), 1..12), 1..3),
        ) {
            let (mut builder, mut classes) = (Builder::new(), Classes::default());
            let mut out = Vec::new();
            for pages in groups {
                for (page, lines) in pages.iter().enumerate() {
                    classes.read(lines);
                    builder.page(page, lines, &classes);
                }
                builder.finish(pages.len(), &mut out);
                prop_assert_eq!(&out, &plain(&pages));
            }
        }
    }
}
