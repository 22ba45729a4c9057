//! The frame around every object of the catalog, and the few field encodings in it.
//!
//! Integers are little endian; a `uvarint` is LEB128 of at most ten bytes. Counts never cause an
//! allocation larger than the bytes that are there.

use base::{Day, TenantId};
use ulid::Ulid;

use crate::error::Error;

/// Magic, version, reserved, body length.
const HEADER_BYTES: usize = 4 + 2 + 2 + 4;
const CHECKSUM_BYTES: usize = 4;

/// The largest object of the catalog. A manifest needs about 5 bytes per tenant and day; a commit
/// about 130 bytes per part.
pub(crate) const MAX_OBJECT_BYTES: usize = 256 << 20;

/// What an object is.
pub(crate) struct Kind {
    /// For error texts.
    pub name: &'static str,
    /// First four bytes.
    pub magic: [u8; 4],
    /// Newest version that is known; it is also the one written.
    pub version: u16,
}

/// Puts header and checksum around a body.
pub(crate) fn seal(kind: &Kind, body: Writer) -> Vec<u8> {
    let body = body.finish();
    assert!(body.len() <= MAX_OBJECT_BYTES, "{} of {} bytes", kind.name, body.len());
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len() + CHECKSUM_BYTES);
    out.extend_from_slice(&kind.magic);
    out.extend_from_slice(&kind.version.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&body);
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Verifies header and checksum; returns a reader of the body.
pub(crate) fn open<'a>(kind: &Kind, bytes: &'a [u8]) -> Result<Reader<'a>, Error> {
    let object = kind.name;
    if bytes.len() < HEADER_BYTES + CHECKSUM_BYTES {
        return Err(Error::TooShort { object, len: bytes.len() });
    }
    let (framed, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
    let mut header = Reader { object, rest: framed };
    let magic = header.array::<4>("magic")?;
    if magic != kind.magic {
        return Err(Error::Magic { object, found: magic });
    }
    let version = u16::from_le_bytes(header.array("version")?);
    let _reserved = header.array::<2>("reserved")?;
    let body_len = u32::from_le_bytes(header.array("body length")?) as usize;
    let found = u32::from_le_bytes([checksum[0], checksum[1], checksum[2], checksum[3]]);
    let computed = crc32c::crc32c(framed);
    if found != computed {
        return Err(Error::Checksum { object, found, computed });
    }
    if version == 0 || version > kind.version {
        return Err(Error::Version { object, version });
    }
    if body_len > MAX_OBJECT_BYTES || body_len != header.rest.len() {
        return Err(Error::Truncated { object, field: "body" });
    }
    Ok(header)
}

/// `data` as a frame whose length and checksum are right, so that mutations reach the fields.
pub(crate) fn with_checksum(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    if out.len() < HEADER_BYTES + CHECKSUM_BYTES {
        return out;
    }
    let end = out.len() - CHECKSUM_BYTES;
    let body_len = (end - HEADER_BYTES) as u32;
    out[8..HEADER_BYTES].copy_from_slice(&body_len.to_le_bytes());
    let checksum = crc32c::crc32c(&out[..end]);
    out[end..].copy_from_slice(&checksum.to_le_bytes());
    out
}

/// Collects the fields of a body.
#[derive(Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u128(&mut self, value: u128) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Big endian, so that bytes order as ids do.
    pub fn ulid(&mut self, value: Ulid) {
        self.out.extend_from_slice(&value.to_bytes());
    }

    pub fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    pub fn count(&mut self, count: usize) {
        self.uvarint(count as u64);
    }

    /// Zigzag, then uvarint.
    pub fn day(&mut self, day: Day) {
        let value = day.0;
        self.uvarint(u64::from(((value << 1) ^ (value >> 31)) as u32));
    }

    /// Length, then the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}

/// Reads the fields of a body.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    object: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], Error> {
        if len > self.rest.len() {
            return Err(Error::Truncated { object: self.object, field });
        }
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, field)?);
        Ok(array)
    }

    pub fn u8(&mut self, field: &'static str) -> Result<u8, Error> {
        Ok(self.array::<1>(field)?[0])
    }

    pub fn u64(&mut self, field: &'static str) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    pub fn i64(&mut self, field: &'static str) -> Result<i64, Error> {
        Ok(i64::from_le_bytes(self.array(field)?))
    }

    pub fn u128(&mut self, field: &'static str) -> Result<u128, Error> {
        Ok(u128::from_le_bytes(self.array(field)?))
    }

    pub fn ulid(&mut self, field: &'static str) -> Result<Ulid, Error> {
        Ok(Ulid::from_bytes(self.array(field)?))
    }

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
                return Ok(value);
            }
        }
        Err(self.field(field, "the number is over 64 bits".to_owned()))
    }

    pub fn uvarint32(&mut self, field: &'static str) -> Result<u32, Error> {
        let value = self.uvarint(field)?;
        u32::try_from(value).map_err(|_| self.cap(field, value, u64::from(u32::MAX)))
    }

    /// A number of things that take at least `min_bytes` each: never more than can follow.
    pub fn count(&mut self, field: &'static str, min_bytes: usize) -> Result<usize, Error> {
        let value = self.uvarint(field)?;
        let limit = (self.rest.len() / min_bytes.max(1)) as u64;
        if value > limit {
            return Err(self.cap(field, value, limit));
        }
        Ok(value as usize)
    }

    pub fn day(&mut self, field: &'static str) -> Result<Day, Error> {
        let value = self.uvarint32(field)?;
        Ok(Day(((value >> 1) as i32) ^ -((value & 1) as i32)))
    }

    pub fn bytes(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], Error> {
        let len = self.uvarint(field)?;
        if len > limit as u64 {
            return Err(self.cap(field, len, limit as u64));
        }
        self.take(len as usize, field)
    }

    pub fn text(&mut self, field: &'static str, limit: usize) -> Result<&'a str, Error> {
        let bytes = self.bytes(field, limit)?;
        std::str::from_utf8(bytes).map_err(|error| self.field(field, error.to_string()))
    }

    pub fn tenant(&mut self) -> Result<TenantId, Error> {
        let text = self.text("tenant", base::tenant::MAX_TENANT_ID_BYTES)?;
        TenantId::new(text).map_err(|error| self.field("tenant", error.to_string()))
    }

    /// A length-prefixed body of its own.
    pub fn nested(&mut self, field: &'static str, limit: usize) -> Result<Reader<'a>, Error> {
        let rest = self.bytes(field, limit)?;
        Ok(Reader { object: self.object, rest })
    }

    /// What no field has read.
    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    pub fn field(&self, field: &'static str, problem: String) -> Error {
        Error::Field { object: self.object, field, problem }
    }

    fn cap(&self, field: &'static str, found: u64, limit: u64) -> Error {
        Error::Cap { object: self.object, field, found, limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { name: "thing", magic: *b"RLtt", version: 2 };

    #[test]
    fn every_flipped_bit_of_a_frame_is_noticed() {
        let mut body = Writer::default();
        body.text("twelve bytes");
        let sealed = seal(&KIND, body);
        assert!(open(&KIND, &sealed).is_ok());
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&KIND, &bytes).is_err(), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(open(&KIND, &sealed[..len]).is_err(), "length {len}");
        }
    }

    #[test]
    fn numbers_read_back_at_their_ends() {
        let numbers = [0, 1, 127, 128, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        let days = [0, -1, 1, i32::MIN, i32::MAX];
        let mut writer = Writer::default();
        numbers.iter().for_each(|&n| writer.uvarint(n));
        days.iter().for_each(|&d| writer.day(Day(d)));
        let bytes = writer.finish();
        let mut reader = Reader { object: "numbers", rest: &bytes };
        for n in numbers {
            assert_eq!(reader.uvarint("n"), Ok(n));
        }
        for d in days {
            assert_eq!(reader.day("d"), Ok(Day(d)));
        }
        assert!(reader.remaining().is_empty());
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let mut bytes = [0xff; 10];
        bytes[9] = 0x02;
        let mut reader = Reader { object: "numbers", rest: &bytes };
        assert!(matches!(reader.uvarint("n"), Err(Error::Field { .. })));
    }
}
