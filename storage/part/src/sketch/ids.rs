//! S2: which pages hold an id (request ids, trace ids, UUIDs, long numbers).
//!
//! Of every line the maximal runs of ASCII alphanumerics (A), and the maximal runs of
//! alphanumerics and hyphens that have a hyphen (H), are entries if they have a digit and at least
//! twelve characters; lower-cased, hashed, and put into a split-block filter per page. All filters
//! of a row group have the same number of blocks, and block `i` of all pages lies together with a
//! checksum: one small read answers for the whole row group.
//!
//! A page also keeps the length of its longest A and H entry. A run at the edge of a needle may go
//! on in the line; then the line's run is longer than the needle's. So the needle is absent if its
//! hash is and no entry of the page is longer than it. A run with another character on both sides
//! within the needle must be there as it is.

mod copy;

use base::hash::hash64;

pub(crate) use copy::{Filter, Filters};

use crate::Error;
use crate::sketch::Needle;
use crate::sketch::classes::{BLOCK, Classes, pair, take_run};

/// Shorter runs are common words and small numbers.
const MIN_RUN: usize = 12;
/// Longer runs are blobs; they are not entries, but count for the longest.
const MAX_RUN: usize = 256;
/// Fewest filter bits per entry of the fullest page: 0.4 % false positives, and 0.1 % at half as
/// many again. A page that is searched in vain costs more than all filters of its row group.
const BITS_PER_ENTRY: usize = 12;
/// All filters of a row group take at most this part of its line bytes.
const SHARE: u64 = 48;
/// A filter block: eight words, one bit of each per entry.
const BLOCK_BYTES: usize = 32;
/// Odd multipliers that pick the bit of each word of a block (those of Parquet's filters).
const SALT: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// The longest entries of a page; saturates, above any run that is probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Longest {
    pub(crate) plain: u16,
    pub(crate) hyphened: u16,
}

/// What a byte may be in a run; 0 ends it.
const LETTER: u8 = 1;
const DIGIT: u8 = 2;
const HYPHEN: u8 = 4;

static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'-' => HYPHEN,
            letter if letter.is_ascii_alphabetic() => LETTER,
            _ => 0,
        };
        byte += 1;
    }
    class
};

fn class(byte: u8) -> u8 {
    CLASS[usize::from(byte)]
}

/// A run that can be an entry: at least twelve bytes, with a digit.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: usize,
    to: usize,
    /// An H run, otherwise an A run.
    hyphened: bool,
}

/// Calls `found` for every entry of `line`, however long.
#[inline]
fn entries(line: &[u8], mut found: impl FnMut(Run)) {
    let mut start = 0;
    // A long run that begins at or after `start` covers the byte eleven further on, or begins
    // after it: most bytes are never looked at.
    while start + MIN_RUN <= line.len() {
        let probe = start + MIN_RUN - 1;
        let mut classes = class(line[probe]);
        if classes == 0 {
            start = probe + 1;
            continue;
        }
        let (mut from, mut to) = (probe, probe + 1);
        while from > start && class(line[from - 1]) != 0 {
            from -= 1;
            classes |= class(line[from]);
        }
        while to < line.len() && class(line[to]) != 0 {
            classes |= class(line[to]);
            to += 1;
        }
        start = to + 1;
        if to - from < MIN_RUN || classes & DIGIT == 0 {
            continue;
        }
        let hyphened = classes & HYPHEN != 0;
        found(Run { from, to, hyphened });
        if hyphened {
            plain_entries(line, from, to, &mut found);
        }
    }
}

/// The A runs inside an H run.
fn plain_entries(line: &[u8], from: usize, to: usize, found: &mut impl FnMut(Run)) {
    let mut at = from;
    for piece in line[from..to].split(|&byte| byte == b'-') {
        if piece.len() >= MIN_RUN && piece.iter().any(u8::is_ascii_digit) {
            found(Run { from: at, to: at + piece.len(), hyphened: false });
        }
        at += piece.len() + 1;
    }
}

/// Calls `found` for every run of [`MIN_RUN`] or more bits of `ids` that no line start cuts.
#[inline]
fn long_runs(ids: &[u64], starts: &[u64], mut found: impl FnMut(usize, usize)) {
    // Bit i of a step: bytes i and i + 1 are of one run.
    let step = |index: usize| {
        let next = |words: &[u64]| words.get(index + 1).copied().unwrap_or(0);
        let word = ids.get(index).copied().unwrap_or(0);
        let start = starts.get(index).copied().unwrap_or(0);
        word & (word >> 1 | next(ids) << 63) & !(start >> 1 | next(starts) << 63)
    };
    let mut steps = step(0);
    let mut open = None;
    for index in 0..ids.len() {
        let next = step(index + 1);
        let one = pair(std::mem::replace(&mut steps, next), next);
        let two = one & one >> 1;
        let four = two & two >> 2;
        let eight = four & four >> 4;
        // Eleven steps: twelve bytes of one run begin here.
        let mut begins = (eight & four >> (MIN_RUN - 1 - 4)) as u64;
        let base = index * BLOCK;
        while begins != 0 || open.is_some() {
            let from = match open.take() {
                Some(from) if begins & 1 == 0 => {
                    found(from, base + MIN_RUN - 1);
                    continue;
                }
                from => from,
            };
            let (first, end) = take_run(&mut begins);
            let from = from.unwrap_or(base + first);
            if end == BLOCK {
                open = Some(from);
                break;
            }
            found(from, base + end + MIN_RUN - 1);
        }
    }
    assert!(open.is_none(), "a run ends within the page");
}

/// The hash of a run of at most [`MAX_RUN`] bytes, whatever its letter case.
fn hash_run(run: &[u8]) -> u64 {
    let mut lower = [0; MAX_RUN];
    let lower = &mut lower[..run.len()];
    lower.copy_from_slice(run);
    lower.make_ascii_lowercase();
    hash64(lower)
}

fn block_of(hash: u64, blocks: u32) -> u32 {
    (((hash >> 32) * u64::from(blocks)) >> 32) as u32
}

fn bit_of(hash: u64, word: usize) -> u32 {
    1 << ((hash as u32).wrapping_mul(SALT[word]) >> 27)
}

/// The numbers of blocks that are written are powers of two and three halves of them: few, so that
/// filters of copied pages mostly fit those of their neighbours as they are or by repetition.
fn step_down(blocks: usize) -> usize {
    let power = 1 << blocks.ilog2();
    if blocks >= power + power / 2 { power + power / 2 } else { power }
}

/// See [`step_down`].
fn step_up(blocks: usize) -> usize {
    match step_down(blocks) {
        same if same == blocks => blocks,
        less if less.is_power_of_two() && less > 1 => less + less / 2,
        less => less.next_power_of_two(),
    }
}

/// Collects the ids of a row group.
#[derive(Default)]
pub(crate) struct Builder {
    /// Entries of the pages so far, distinct per page.
    hashes: Vec<u64>,
    /// End of each page in `hashes`.
    ends: Vec<usize>,
    longest: Vec<Longest>,
    /// Page, blocks and place in `copied_bytes` of filters that were taken over.
    copied: Vec<(usize, u32, usize)>,
    copied_bytes: Vec<u8>,
    /// Where lines of the page begin, one bit per byte.
    starts: Vec<u64>,
}

impl Builder {
    /// Adds the next page, whose joined lines have `classes`.
    pub(crate) fn page(&mut self, lines: base::StrView<'_>, classes: &Classes) {
        let bytes = lines.joined();
        assert_eq!(classes.ids.len(), bytes.len().div_ceil(BLOCK), "the classes of the lines");
        let from = self.hashes.len();
        let mut longest = Longest::default();
        let hashes = &mut self.hashes;
        let mut take = |from: usize, to: usize, hyphened: bool| {
            let length = to - from;
            let longest = if hyphened { &mut longest.hyphened } else { &mut longest.plain };
            *longest = (*longest).max(length.min(u16::MAX.into()) as u16);
            if length <= MAX_RUN {
                hashes.push(hash_run(&bytes[from..to]));
            }
        };
        self.starts.clear();
        self.starts.resize(classes.ids.len() + 1, 0);
        for end in lines.ends {
            let start = (end - lines.start) as usize;
            self.starts[start / BLOCK] |= 1 << (start % BLOCK);
        }
        long_runs(&classes.ids, &self.starts, |from, to| {
            let run = &bytes[from..to];
            if !run.iter().any(u8::is_ascii_digit) {
                return;
            }
            let hyphened = memchr::memchr(b'-', run).is_some();
            take(from, to, hyphened);
            if hyphened {
                plain_entries(bytes, from, to, &mut |run| take(run.from, run.to, false));
            }
        });
        let page = &mut self.hashes[from..];
        page.sort_unstable();
        let mut kept = from;
        for index in from..self.hashes.len() {
            if kept == from || self.hashes[kept - 1] != self.hashes[index] {
                self.hashes[kept] = self.hashes[index];
                kept += 1;
            }
        }
        self.hashes.truncate(kept);
        self.ends.push(kept);
        self.longest.push(longest);
    }

    /// Adds the next page with the filter it has in another part.
    pub(crate) fn copy(&mut self, filter: &Filter<'_>) {
        self.copied.push((self.ends.len(), filter.blocks(), self.copied_bytes.len()));
        filter.put(&mut self.copied_bytes);
        self.ends.push(self.hashes.len());
        self.longest.push(filter.longest);
    }

    /// Blocks per page for a row group with `line_bytes` of lines.
    fn blocks(&self, line_bytes: u64) -> usize {
        let mut from = 0;
        let sizes = self.ends.iter().map(|&end| end - std::mem::replace(&mut from, end));
        let fullest = sizes.max().unwrap_or(0);
        let blocks = match (fullest * BITS_PER_ENTRY).div_ceil(BLOCK_BYTES * 8) {
            0 => 0,
            blocks => step_up(blocks),
        };
        let of_copied = self.copied.iter().map(|&(_, blocks, _)| blocks as usize).max();
        let blocks = blocks.max(of_copied.unwrap_or(0));
        let allowed = (line_bytes / SHARE) as usize / (BLOCK_BYTES * self.ends.len().max(1));
        match blocks <= allowed.max(1) {
            true => blocks,
            false => step_down(allowed.max(1)),
        }
    }

    /// Appends the filters to `out` and starts over. `line_bytes` of the row group bound their
    /// size. Gives the number of blocks per page and the longest entries.
    pub(crate) fn finish(&mut self, line_bytes: u64, out: &mut Vec<u8>) -> (u32, Vec<Longest>) {
        let pages = self.ends.len();
        let blocks = self.blocks(line_bytes);
        let row_bytes = row_bytes(pages);
        let start = out.len();
        out.resize(start + blocks * row_bytes, 0);
        let mut from = 0;
        for (page, &end) in self.ends.iter().enumerate() {
            for &hash in &self.hashes[from..end] {
                let block = block_of(hash, blocks as u32) as usize;
                let at = start + block * row_bytes + page * BLOCK_BYTES;
                for word in 0..8 {
                    let bit = bit_of(hash, word).to_le_bytes();
                    let bytes = &mut out[at + word * 4..at + word * 4 + 4];
                    bytes.iter_mut().zip(bit).for_each(|(byte, bit)| *byte |= bit);
                }
            }
            from = end;
        }
        for &(page, own, at) in &self.copied {
            let own_bytes = &self.copied_bytes[at..at + own as usize * BLOCK_BYTES];
            for block in 0..blocks {
                let at = start + block * row_bytes + page * BLOCK_BYTES;
                let out = &mut out[at..at + BLOCK_BYTES];
                copy::add_block(own_bytes, own, block as u32, blocks as u32, out);
            }
        }
        for row in out[start..].chunks_exact_mut(row_bytes) {
            let (filter, crc) = row.split_at_mut(row_bytes - 4);
            crc.copy_from_slice(&crc32c::crc32c(filter).to_le_bytes());
        }
        self.hashes.clear();
        self.ends.clear();
        self.copied.clear();
        self.copied_bytes.clear();
        (blocks as u32, std::mem::take(&mut self.longest))
    }
}

/// Bytes of one block of all pages with its checksum.
pub(crate) fn row_bytes(pages: usize) -> usize {
    pages * BLOCK_BYTES + 4
}

/// A run of a needle that decides about pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    hash: u64,
    length: usize,
    /// The run ends inside the needle on both sides.
    bounded: bool,
    hyphened: bool,
}

impl Probe {
    /// Which block of `blocks` to read.
    pub(crate) fn block(&self, blocks: u32) -> u32 {
        block_of(self.hash, blocks)
    }

    /// Which pages may hold the run, by block [`Probe::block`] of all pages (`None` when the row
    /// group has no entries at all, so no filter).
    pub(crate) fn pages(
        &self,
        row: Option<&[u8]>,
        longest: &[Longest],
        offset: u64,
    ) -> Result<u64, Error> {
        let filter = match row {
            Some(row) => Some(checked(row, longest.len(), offset)?),
            None => None,
        };
        let mut pages = 0u64;
        for (page, longest) in longest.iter().enumerate() {
            let longest = if self.hyphened { longest.hyphened } else { longest.plain };
            let longer = usize::from(longest) > self.length;
            let maybe = filter.is_some_and(|filter| {
                let block = &filter[page * BLOCK_BYTES..(page + 1) * BLOCK_BYTES];
                self.in_block(block)
            });
            if maybe || (longer && !self.bounded) {
                pages |= 1 << page;
            }
        }
        Ok(pages)
    }

    fn in_block(&self, block: &[u8]) -> bool {
        block.chunks_exact(4).enumerate().all(|(word, bytes)| {
            let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            bits & bit_of(self.hash, word) != 0
        })
    }
}

/// The blocks of `row` without their checksum, if it is right.
pub(crate) fn checked(row: &[u8], pages: usize, offset: u64) -> Result<&[u8], Error> {
    if row.len() != row_bytes(pages) {
        return Err(Error::corrupt("id filter cut off", offset));
    }
    let (filter, crc) = row.split_at(row.len() - 4);
    if crc32c::crc32c(filter).to_le_bytes() != crc {
        return Err(Error::corrupt("id filter checksum", offset));
    }
    Ok(filter)
}

/// The runs of `needle` that filters can be asked about; each must be there.
pub(crate) fn probes(needle: &Needle<'_>, out: &mut Vec<Probe>) {
    let bytes = needle.bytes;
    // Only an ASCII neighbour is what it seems: others may fold to a letter and lengthen the run.
    let bounded = |from: usize, to: usize| {
        from > 0 && to < bytes.len() && bytes[from - 1].is_ascii() && bytes[to].is_ascii()
    };
    entries(bytes, |Run { from, to, hyphened }| {
        let length = to - from;
        if length <= MAX_RUN {
            let hash = hash_run(&bytes[from..to]);
            out.push(Probe { hash, length, bounded: bounded(from, to), hyphened });
        }
    });
}

#[cfg(test)]
mod tests {
    use base::rows::Strings;
    use proptest::prelude::*;

    use super::*;

    /// Distinct hashes and the longest entries of a page, line by line.
    fn plain(lines: &Strings) -> (Vec<u64>, Longest) {
        let (mut hashes, mut longest) = (Vec::new(), Longest::default());
        for index in 0..lines.len() {
            let line = lines.get(index);
            entries(line, |run| {
                let length = run.to - run.from;
                let longest = if run.hyphened { &mut longest.hyphened } else { &mut longest.plain };
                *longest = (*longest).max(length as u16);
                if length <= MAX_RUN {
                    hashes.push(hash_run(&line[run.from..run.to]));
                }
            });
        }
        hashes.sort_unstable();
        hashes.dedup();
        (hashes, longest)
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            3 => "[0-9a-fA-F]{10,14}",
            2 => "[0-9a-f]{4}-[0-9A-F]{4}-[0-9a-z]{4,14}",
            1 => "[a-z-]{10,14}",
            1 => "[0-9a-zA-Z-]{60,300}",
            2 => "[ -~]{0,3}",
            1 => ".{0,4}",
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes())
    }

    #[test]
    fn numbers_of_blocks_are_powers_of_two_and_those_halfway() {
        let steps = |step: fn(usize) -> usize| (1..=13).map(step).collect::<Vec<_>>();
        assert_eq!(steps(step_up), [1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 12, 12, 16]);
        assert_eq!(steps(step_down), [1, 2, 3, 4, 4, 6, 6, 8, 8, 8, 8, 12, 12]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn entries_of_a_page_are_those_of_its_lines(
            lines in prop::collection::vec(line(), 1..20),
            skipped in 0usize..3,
        ) {
            let mut strings = Strings::default();
            lines.iter().for_each(|line| strings.push(line));
            let want = plain(&strings);
            let mut all = Strings::default();
            lines[..skipped.min(lines.len())].iter().chain(&lines).for_each(|line| all.push(line));
            // A view that begins within its arena.
            let view = all.view().slice(skipped.min(lines.len()), all.len());
            let (mut builder, mut classes) = (Builder::default(), Classes::default());
            classes.read(view.joined());
            builder.page(view, &classes);
            prop_assert_eq!((builder.hashes, builder.longest), (want.0, vec![want.1]));
        }
    }
}
