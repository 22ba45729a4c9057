//! S1: which pages hold three given letters in a row.
//!
//! The raw frame: number of trigrams (u16), bytes per mask (u8), the trigrams in ascending order
//! (u16 each: five bits per letter, `a` = 0, first letter highest), their masks in the same order
//! (bit `i` = page `i` of the row group). Lookups work on these bytes as they are.

use crate::Error;
use crate::sketch::Needle;

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

/// Collects the trigrams of a row group.
pub(crate) struct Builder {
    /// One byte per code of the current page: a plain store is cheaper than setting a bit.
    seen: Box<[u8; CODES]>,
    /// Pages per code.
    masks: Box<[u64; CODES]>,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder { seen: Box::new([0; CODES]), masks: Box::new([0; CODES]) }
    }

    /// Adds the lines of page `page`, joined. A trigram across two lines is a false positive only.
    pub(crate) fn page(&mut self, page: usize, lines: &[u8]) {
        let seen = &mut *self.seen;
        // The pair before and the letter before it, so that no step waits for the sum of all.
        let (mut pair, mut last) = (usize::from(OTHER) << 5 | usize::from(OTHER), OTHER);
        for &byte in lines {
            let letter = CLASS[usize::from(byte)];
            seen[(pair << 5 | usize::from(letter)) & (CODES - 1)] = 1;
            pair = usize::from(last) << 5 | usize::from(letter);
            last = letter;
        }
        let bit = 1u64 << page;
        for (index, word) in self.seen.chunks_exact_mut(8).enumerate() {
            if *word == [0; 8] {
                continue;
            }
            for (low, seen) in word.iter_mut().enumerate() {
                if *seen != 0 {
                    self.masks[index * 8 + low] |= bit;
                    *seen = 0;
                }
            }
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
