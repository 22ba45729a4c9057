//! Which bytes of a page are letters, and which may stand in an id: one bit per byte.
//!
//! Both sketches ask for runs of such bytes. Found on bits, runs that are too short to count cost
//! nothing, and the bytes between them are looked at once.

use wide::i8x16;

/// Bytes that one word of bits stands for.
pub(super) const BLOCK: usize = 64;

/// The classes of the bytes of one page. Reused.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    /// ASCII letters: bit `i` of word `w` is byte `64 * w + i`. Past the end there are zeros.
    pub(super) letters: Vec<u64>,
    /// ASCII letters, digits and hyphens.
    pub(super) ids: Vec<u64>,
}

impl Classes {
    /// Looks at the bytes of a page.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        self.letters.clear();
        self.ids.clear();
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for block in blocks {
            self.push(block);
        }
        if !rest.is_empty() {
            let mut block = [0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            self.push(&block);
        }
    }

    #[inline]
    fn push(&mut self, block: &[u8; BLOCK]) {
        let (letters, ids) = classify(block);
        self.letters.push(letters);
        self.ids.push(ids);
    }
}

/// Letters and id bytes of a block.
#[inline]
fn classify(block: &[u8; BLOCK]) -> (u64, u64) {
    let (mut letters, mut ids) = (0, 0);
    for (at, bytes) in block.as_chunks::<16>().0.iter().enumerate() {
        let bytes = i8x16::from(bytes.map(|byte| byte as i8));
        let letter = among(bytes | i8x16::splat(0x20), b'a', 26);
        let id = letter | among(bytes, b'0', 10) | among(bytes, b'-', 1);
        letters |= u64::from(letter.to_bitmask()) << (16 * at);
        ids |= u64::from(id.to_bitmask()) << (16 * at);
    }
    (letters, ids)
}

/// Which bytes are one of the `count` from `first` on: those are shifted to the lowest signed ones.
#[inline]
fn among(bytes: i8x16, first: u8, count: i8) -> i8x16 {
    let shifted = bytes + i8x16::splat(i8::MIN.wrapping_sub(first as i8));
    shifted.simd_lt(i8x16::splat(i8::MIN + count))
}

/// A word of bits with the one after it behind it.
#[inline]
pub(super) fn pair(word: u64, next: u64) -> u128 {
    u128::from(word) | u128::from(next) << BLOCK
}

/// Takes the lowest run of ones out of `bits`: its first bit and one past its last.
#[inline]
pub(super) fn take_run(bits: &mut u64) -> (usize, usize) {
    let first = bits.trailing_zeros();
    // The carry runs through the ones and sets the zero behind them; no zero: it is lost.
    let carried = bits.wrapping_add(1 << first);
    let end = carried.trailing_zeros();
    *bits &= carried;
    (first as usize, end as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_byte_has_its_class_at_every_place() {
        for byte in 0..=255u8 {
            for at in [0, 7, 8, 15, 16, 31, 47, 48, 63] {
                for other in [0, b'a', b'5', b'-', 0xff] {
                    let mut block = [other; BLOCK];
                    block[at] = byte;
                    let want = plain(&block);
                    assert_eq!(classify(&block), want, "{byte} at {at} among {other}");
                }
            }
        }
    }

    fn plain(block: &[u8]) -> (u64, u64) {
        let bits = |is: &dyn Fn(u8) -> bool| {
            let set = block.iter().enumerate().filter(|&(_, &byte)| is(byte));
            set.fold(0u64, |bits, (at, _)| bits | 1 << at)
        };
        let id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (bits(&|byte| byte.is_ascii_alphabetic()), bits(&id))
    }

    proptest! {
        #[test]
        fn all_blocks_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut classes = Classes::default();
            classes.read(b"an earlier page");
            classes.read(&bytes);
            prop_assert_eq!(classes.letters.len(), bytes.len().div_ceil(BLOCK));
            for (at, block) in bytes.chunks(BLOCK).enumerate() {
                prop_assert_eq!((classes.letters[at], classes.ids[at]), plain(block));
            }
        }

        #[test]
        fn runs_of_ones_are_taken_from_the_lowest(bits in any::<u64>(), more in any::<u64>()) {
            for mut left in [bits, bits & more, bits | more, u64::MAX, u64::MAX << (more % 64)] {
                let whole = left;
                let (mut back, mut last) = (0u64, None);
                while left != 0 {
                    let (from, to) = take_run(&mut left);
                    prop_assert!(from < to && last.is_none_or(|last| last < from));
                    last = Some(to);
                    (from..to).for_each(|bit| back |= 1 << bit);
                }
                prop_assert_eq!(back, whole);
            }
        }
    }
}
