//! Filters taken over from another part.
//!
//! A page that is copied keeps its filter: its hashes are not known any more. The block of a hash is
//! `hash * blocks >> 32`, so the hashes of one block of a filter of another size lie in a few
//! neighbouring blocks of this one: the union of those never hides an entry. From a size to a
//! multiple of it, which is what [`super::Builder`] writes, it is a repetition and exact.

use super::{BLOCK_BYTES, Longest, checked, row_bytes};
use crate::Error;

/// The filters of a row group, checked.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    /// Block 0 of all pages, block 1 of all pages, ...
    bytes: Vec<u8>,
    pages: usize,
    blocks: u32,
}

impl Filters {
    /// Reads `blocks` rows of `pages` blocks from `stored`, which lies at `offset` of the part.
    pub(crate) fn read(
        &mut self,
        stored: &[u8],
        pages: usize,
        blocks: u32,
        offset: u64,
    ) -> Result<(), Error> {
        self.bytes.clear();
        (self.pages, self.blocks) = (pages, blocks);
        if stored.len() != blocks as usize * row_bytes(pages) {
            return Err(Error::corrupt("id filter cut off", offset));
        }
        for row in stored.chunks_exact(row_bytes(pages)) {
            self.bytes.extend_from_slice(checked(row, pages, offset)?);
        }
        Ok(())
    }

    /// The filter of `page`.
    pub(crate) fn page(&self, page: usize, longest: Longest) -> Filter<'_> {
        assert!(page < self.pages, "a page of the row group");
        Filter { all: self, page, longest }
    }
}

/// The filter of one page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter<'a> {
    all: &'a Filters,
    page: usize,
    pub(crate) longest: Longest,
}

impl Filter<'_> {
    pub(crate) fn blocks(&self) -> u32 {
        self.all.blocks
    }

    /// Appends its blocks one after the other.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        for block in 0..self.all.blocks as usize {
            let at = (block * self.all.pages + self.page) * BLOCK_BYTES;
            out.extend_from_slice(&self.all.bytes[at..at + BLOCK_BYTES]);
        }
    }
}

/// Adds block `block` of a filter of `to` blocks to `out`, from `own`, a filter of `from` blocks.
pub(crate) fn add_block(own: &[u8], from: u32, block: u32, to: u32, out: &mut [u8]) {
    if from == 0 {
        return;
    }
    // The upper halves of the hashes that fall into the block, first and last.
    let start = |block: u64| (block << 32).div_ceil(u64::from(to));
    let (first, last) = (start(u64::from(block)), start(u64::from(block) + 1) - 1);
    let of = |half: u64| ((half * u64::from(from)) >> 32) as usize;
    for block in of(first)..=of(last) {
        let source = &own[block * BLOCK_BYTES..(block + 1) * BLOCK_BYTES];
        out.iter_mut().zip(source).for_each(|(byte, bits)| *byte |= bits);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{bit_of, block_of};
    use super::*;
    use proptest::prelude::*;

    fn put(hash: u64, blocks: u32, filter: &mut [u8]) {
        let at = block_of(hash, blocks) as usize * BLOCK_BYTES;
        for word in 0..8 {
            let bit = bit_of(hash, word).to_le_bytes();
            let bytes = &mut filter[at + word * 4..at + word * 4 + 4];
            bytes.iter_mut().zip(bit).for_each(|(byte, bit)| *byte |= bit);
        }
    }

    proptest! {
        #[test]
        fn a_filter_of_another_size_has_every_entry_and_of_a_multiple_no_other_bit(
            hashes in prop::collection::vec(any::<u64>(), 0..200),
            from in 1u32..90,
            to in 1u32..200,
            times in 1u32..5,
        ) {
            let filter = |blocks: u32| {
                let mut filter = vec![0; blocks as usize * BLOCK_BYTES];
                hashes.iter().for_each(|&hash| put(hash, blocks, &mut filter));
                filter
            };
            let own = filter(from);
            let spread = |to: u32| {
                let mut out = vec![0; to as usize * BLOCK_BYTES];
                for (block, out) in out.chunks_exact_mut(BLOCK_BYTES).enumerate() {
                    add_block(&own, from, block as u32, to, out);
                }
                out
            };
            let (want, other) = (filter(to), spread(to));
            prop_assert!(want.iter().zip(&other).all(|(want, have)| want & have == *want));
            let repeated = own.chunks_exact(BLOCK_BYTES).flat_map(|b| b.repeat(times as usize));
            prop_assert_eq!(spread(from * times), repeated.collect::<Vec<u8>>());
        }
    }
}
