//! Bit-packed integers in blocks of 128 with a frame of reference.
//!
//! A block is: the smallest value (varint), the width in bits of the largest difference to it
//! (u8, 0-64), and the differences, `width` bits each, lowest bit first, padded to whole bytes.
//! The number of values is known from elsewhere; the last block holds what is left.

use crate::Error;
use crate::wire::{Cursor, put_varint};

/// Values of a full block: a width is shared by few enough values that an outlier costs little.
pub(crate) const BLOCK: usize = 128;

/// Appends `values`.
pub(crate) fn put_packed(out: &mut Vec<u8>, values: &[u64]) {
    for block in values.chunks(BLOCK) {
        let (mut low, mut high) = (u64::MAX, 0);
        for &value in block {
            low = low.min(value);
            high = high.max(value);
        }
        let width = 64 - (high - low).leading_zeros();
        put_varint(out, low);
        out.push(width as u8);
        put_bits(out, block, low, width);
    }
}

fn put_bits(out: &mut Vec<u8>, block: &[u64], low: u64, width: u32) {
    if width == 0 {
        return;
    }
    let end = out.len() + (block.len() * width as usize).div_ceil(8);
    let (mut word, mut filled) = (0u128, 0);
    for &value in block {
        word |= u128::from(value - low) << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&(word as u64).to_le_bytes());
            word >>= 64;
            filled -= 64;
        }
    }
    out.extend_from_slice(&(word as u64).to_le_bytes());
    out.truncate(end);
}

/// Reads `count` values back, block by block.
pub(crate) struct Unpack<'a> {
    cursor: Cursor<'a>,
    left: usize,
    /// A block's packed bytes with room for an eight-byte read at the last of them.
    bytes: [u8; BLOCK * 8 + 8],
    /// The block decoded last.
    pub(crate) values: [u64; BLOCK],
}

impl<'a> Unpack<'a> {
    pub(crate) fn new(cursor: Cursor<'a>, count: usize) -> Unpack<'a> {
        Unpack { cursor, left: count, bytes: [0; BLOCK * 8 + 8], values: [0; BLOCK] }
    }

    /// Decodes the next block into `values`; says how many there are, 0 at the end.
    pub(crate) fn block(&mut self) -> Result<usize, Error> {
        let count = self.left.min(BLOCK);
        if count == 0 {
            return Ok(0);
        }
        let low = self.cursor.varint()?;
        let width = usize::from(self.cursor.u8()?);
        if width > 64 {
            return Err(self.cursor.corrupt());
        }
        let packed = self.cursor.take((count * width).div_ceil(8))?;
        self.bytes[..packed.len()].copy_from_slice(packed);
        match width {
            0 => self.values[..count].fill(low),
            1..=56 => self.narrow(count, width, low),
            _ => self.wide(count, width, low),
        }
        self.left -= count;
        Ok(count)
    }

    /// What follows the values. Call after [`Unpack::block`] said 0.
    pub(crate) fn rest(self) -> Cursor<'a> {
        self.cursor
    }

    fn narrow(&mut self, count: usize, width: usize, low: u64) {
        let mask = (1u64 << width) - 1;
        let mut bit = 0;
        for value in &mut self.values[..count] {
            let word = eight(&self.bytes, bit / 8) >> (bit % 8);
            *value = low.wrapping_add(word & mask);
            bit += width;
        }
    }

    /// Over 56 bits a value may touch nine bytes.
    fn wide(&mut self, count: usize, width: usize, low: u64) {
        let mask = u64::MAX >> (64 - width);
        for (index, value) in self.values[..count].iter_mut().enumerate() {
            let bit = index * width;
            let mut word = eight(&self.bytes, bit / 8) >> (bit % 8);
            if !bit.is_multiple_of(8) {
                word |= u64::from(self.bytes[bit / 8 + 8]) << (64 - bit % 8);
            }
            *value = low.wrapping_add(word & mask);
        }
    }
}

#[inline]
fn eight(bytes: &[u8; BLOCK * 8 + 8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unpack(bytes: &[u8], count: usize) -> Result<Vec<u64>, Error> {
        let mut unpack = Unpack::new(Cursor::new(bytes, "test", 0), count);
        let mut out = Vec::new();
        loop {
            let count = unpack.block()?;
            if count == 0 {
                unpack.rest().finish()?;
                return Ok(out);
            }
            out.extend_from_slice(&unpack.values[..count]);
        }
    }

    proptest! {
        #[test]
        fn packed_values_come_back(
            width in 0u32..=64,
            raw in prop::collection::vec(any::<u64>(), 0..400),
            base in any::<u64>(),
        ) {
            let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
            let values: Vec<u64> = raw.iter().map(|v| (v & mask).saturating_add(base)).collect();
            let mut out = Vec::new();
            put_packed(&mut out, &values);
            prop_assert_eq!(unpack(&out, values.len()).unwrap(), values);
        }

        #[test]
        fn any_bytes_give_values_or_an_error(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            count in 0usize..300,
        ) {
            let _ = unpack(&bytes, count);
        }
    }
}
