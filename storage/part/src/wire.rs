//! Reading and writing the little-endian bytes of footers and columns.

use crate::Error;

/// Appends `value` in 7-bit groups, low group first, the high bit set on all but the last (LEB128).
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value` so that small magnitudes are short: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
#[inline]
pub(crate) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads bytes front to back; never past the end, never panics.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What is being read, for errors.
    what: &'static str,
    /// Where `bytes` begin in the part, for errors.
    offset: u64,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str, offset: u64) -> Cursor<'a> {
        Cursor { bytes, at: 0, what, offset }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn corrupt(&self) -> Error {
        Error::corrupt(self.what, self.offset + self.at as u64)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        if count > self.remaining() {
            return Err(self.corrupt());
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.at) else { return Err(self.corrupt()) };
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.corrupt());
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.corrupt())
    }

    pub(crate) fn zigzag(&mut self) -> Result<i64, Error> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A varint that fits `u32`.
    pub(crate) fn varint32(&mut self) -> Result<u32, Error> {
        u32::try_from(self.varint()?).map_err(|_| self.corrupt())
    }

    /// A number of items that take at least `least` bytes each in what remains, so that it is safe
    /// to reserve memory for them.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, Error> {
        let count = self.varint()?;
        if count > (self.remaining() / least.max(1)) as u64 {
            return Err(self.corrupt());
        }
        Ok(count as usize)
    }

    /// A length and that many bytes.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let count = self.count(1)?;
        self.take(count)
    }

    /// Fails unless everything was read.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        if self.remaining() == 0 { Ok(()) } else { Err(self.corrupt()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(values in prop::collection::vec((any::<u64>(), any::<i64>()), 0..50)) {
            let mut out = Vec::new();
            for &(plain, signed) in &values {
                put_varint(&mut out, plain);
                put_zigzag(&mut out, signed);
            }
            let mut cursor = Cursor::new(&out, "test", 0);
            for &(plain, signed) in &values {
                prop_assert_eq!(cursor.varint().unwrap(), plain);
                prop_assert_eq!(cursor.zigzag().unwrap(), signed);
            }
            prop_assert!(cursor.finish().is_ok());
        }
    }

    #[test]
    fn a_varint_over_64_bits_and_a_count_over_the_rest_are_errors() {
        let long = [0xff; 11];
        assert!(Cursor::new(&long, "test", 0).varint().is_err());
        let mut out = Vec::new();
        put_varint(&mut out, 1000);
        out.extend_from_slice(&[0; 10]);
        let error = Cursor::new(&out, "things", 7).count(1).unwrap_err();
        assert_eq!(error.to_string(), "part is damaged at byte 9: things");
    }
}
