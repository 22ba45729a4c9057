//! Fields as bytes: the few encodings that states, commands and Raft's messages are made of.
//!
//! A `uvarint` is LEB128 of at most ten bytes; ULIDs are 16 bytes, big endian. The reader trusts
//! nothing: a count is checked against the bytes that are left before anything is allocated.

use base::{StoreId, TenantId};
use ulid::Ulid;

use crate::error::Error;

/// Collects fields.
#[derive(Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    /// One byte, 0 or 1.
    pub fn flag(&mut self, value: bool) {
        self.out.push(u8::from(value));
    }

    /// Four bytes, little endian.
    pub fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// LEB128.
    pub fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// A `uvarint`.
    pub fn count(&mut self, count: usize) {
        self.uvarint(count as u64);
    }

    /// 16 bytes.
    pub fn ulid(&mut self, value: Ulid) {
        self.out.extend_from_slice(&value.to_bytes());
    }

    /// 16 bytes.
    pub fn store(&mut self, store: StoreId) {
        self.ulid(store.0);
    }

    /// A count and 16 bytes each.
    pub fn stores<'a>(&mut self, stores: impl ExactSizeIterator<Item = &'a StoreId>) {
        self.count(stores.len());
        stores.for_each(|&store| self.store(store));
    }

    /// A length and the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// A length and the bytes.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }
}

/// Reads fields.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    object: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`, which are an `object` (a word for error texts).
    pub fn new(object: &'static str, bytes: &'a [u8]) -> Reader<'a> {
        Reader { object, rest: bytes }
    }

    fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], Error> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(Error::Truncated { object: self.object, field });
        };
        self.rest = rest;
        Ok(taken)
    }

    /// One byte.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, Error> {
        Ok(self.take(1, field)?[0])
    }

    /// One byte, 0 or 1.
    pub fn flag(&mut self, field: &'static str) -> Result<bool, Error> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.bad(field, "neither 0 nor 1")),
        }
    }

    /// Four bytes, little endian.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, Error> {
        let bytes = self.take(4, field)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// LEB128 in its shortest form.
    pub fn uvarint(&mut self, field: &'static str) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let is_shortest = shift == 0 || bits != 0;
                return if is_shortest { Ok(value) } else { Err(self.bad(field, "padded number")) };
            }
        }
        Err(self.bad(field, "the number is over 64 bits"))
    }

    /// A `uvarint` of at most `limit`.
    pub fn number(&mut self, field: &'static str, limit: u64) -> Result<u64, Error> {
        let found = self.uvarint(field)?;
        if found > limit {
            return Err(Error::Cap { object: self.object, field, found, limit });
        }
        Ok(found)
    }

    /// A number of things that take at least `min_bytes` each, at most `limit`.
    pub fn count(
        &mut self,
        field: &'static str,
        min_bytes: usize,
        limit: usize,
    ) -> Result<usize, Error> {
        let fit = self.rest.len() / min_bytes.max(1);
        Ok(self.number(field, fit.min(limit) as u64)? as usize)
    }

    /// 16 bytes.
    pub fn ulid(&mut self, field: &'static str) -> Result<Ulid, Error> {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(self.take(16, field)?);
        Ok(Ulid::from_bytes(bytes))
    }

    /// 16 bytes.
    pub fn store(&mut self, field: &'static str) -> Result<StoreId, Error> {
        Ok(StoreId(self.ulid(field)?))
    }

    /// At most `limit` stores, strictly ascending.
    pub fn stores(&mut self, field: &'static str, limit: usize) -> Result<Vec<StoreId>, Error> {
        let count = self.count(field, 16, limit)?;
        let mut stores = Vec::with_capacity(count);
        for _ in 0..count {
            let store = self.store(field)?;
            if stores.last().is_some_and(|&last| last >= store) {
                return Err(self.bad(field, "not in ascending order"));
            }
            stores.push(store);
        }
        Ok(stores)
    }

    /// A length of at most `limit`, and the bytes.
    pub fn bytes(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], Error> {
        let len = self.number(field, limit as u64)?;
        self.take(len as usize, field)
    }

    /// A length of at most `limit`, and UTF-8.
    pub fn text(&mut self, field: &'static str, limit: usize) -> Result<&'a str, Error> {
        let bytes = self.bytes(field, limit)?;
        std::str::from_utf8(bytes).map_err(|_| self.bad(field, "not UTF-8"))
    }

    /// A tenant id.
    pub fn tenant(&mut self) -> Result<TenantId, Error> {
        let text = self.text("tenant", base::tenant::MAX_TENANT_ID_BYTES)?;
        TenantId::new(text).map_err(|_| self.bad("tenant", "not a tenant id"))
    }

    /// Fails if bytes are left.
    pub fn end(&self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.bad("end", "bytes after it")) }
    }

    /// That `field` makes no sense.
    pub fn bad(&self, field: &'static str, problem: &'static str) -> Error {
        Error::Field { object: self.object, field, problem }
    }

    /// Fails unless the next number is the one version that is known.
    pub fn version(&mut self, known: u64) -> Result<(), Error> {
        self.version_of(&[known]).map(|_| ())
    }

    /// The next number, if it is one of the versions that are known.
    pub fn version_of(&mut self, known: &[u64]) -> Result<u64, Error> {
        let version = self.uvarint("version")?;
        match known.contains(&version) {
            true => Ok(version),
            false => Err(Error::Version { object: self.object, version }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_at_their_ends_and_padded_ones_are_refused() {
        let numbers = [0, 1, 127, 128, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        let mut writer = Writer::default();
        numbers.iter().for_each(|&n| writer.uvarint(n));
        let bytes = writer.finish();
        let mut reader = Reader::new("numbers", &bytes);
        for n in numbers {
            assert_eq!(reader.uvarint("n"), Ok(n));
        }
        reader.end().unwrap();
        for bad in [&[0x80, 0][..], &[0xff; 10], &[0xff; 9], &[]] {
            assert!(Reader::new("numbers", bad).uvarint("n").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn counts_never_allocate_for_bytes_that_are_not_there() {
        let mut writer = Writer::default();
        writer.count(1 << 40);
        let bytes = writer.finish();
        let stores = Reader::new("list", &bytes).stores("stores", usize::MAX);
        assert!(matches!(stores, Err(Error::Cap { limit: 0, .. })));
    }
}
