//! Segment files: their names, header and record frames.
//!
//! A header says which store and segment this is, and up to where its predecessor had been synced
//! when it was closed: bytes past that were never acked, whatever they look like, and damage before
//! that is damage and not a torn write. A frame names its own segment and offset, so that bytes
//! that belong elsewhere can never be taken for a record.

use base::{StoreId, UnixNanos};
use ulid::Ulid;

use crate::record::{MAX_PAYLOAD_BYTES, u32_at, u64_at, u128_at};

/// Bytes of a segment header.
pub(crate) const HEADER_BYTES: usize = 64;
/// Bytes of a record frame before its payload.
pub(crate) const FRAME_BYTES: usize = 32;

const SEGMENT_MAGIC: &[u8; 8] = b"RLWALSEG";
const SEGMENT_VERSION: u16 = 1;
pub(crate) const FRAME_MAGIC: [u8; 4] = [0xf1, b'R', b'L', 0x1f];
const SUFFIX: &str = ".wal";

/// What stands at the start of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The store it belongs to.
    pub store: StoreId,
    /// Its number, counting up from 1.
    pub sequence: u64,
    /// The segment written before it; 0 = none known.
    pub previous: u64,
    /// Up to where `previous` holds acked records.
    pub previous_end: u64,
    /// When it was begun, as its process saw the time: how old its records are at most. 0: unknown.
    pub begun: UnixNanos,
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Bytes of the payload.
    pub payload_bytes: usize,
    /// CRC-32C of the payload.
    pub payload_crc: u32,
}

/// The file name of a segment.
pub(crate) fn name(sequence: u64) -> String {
    format!("{sequence:016}{SUFFIX}")
}

/// The segment of a file name; `None` for other files.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

impl Header {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(SEGMENT_MAGIC);
        out.extend_from_slice(&SEGMENT_VERSION.to_le_bytes());
        out.extend_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
        out.extend_from_slice(&self.store.0.0.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.previous.to_le_bytes());
        out.extend_from_slice(&self.previous_end.to_le_bytes());
        out.extend_from_slice(&self.begun.0.to_le_bytes());
        out.resize(from + HEADER_BYTES - 4, 0);
        let crc = crc32c::crc32c(&out[from..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, &'static str> {
        if bytes.len() < HEADER_BYTES {
            return Err("the segment header is short");
        }
        let bytes = &bytes[..HEADER_BYTES];
        if &bytes[..8] != SEGMENT_MAGIC {
            return Err("this is not a segment");
        }
        let (covered, crc) = bytes.split_at(HEADER_BYTES - 4);
        if crc32c::crc32c(covered) != u32_at(crc) {
            return Err("the checksum of the segment header is wrong");
        }
        if u16::from_le_bytes([bytes[8], bytes[9]]) != SEGMENT_VERSION {
            return Err("the segment has a version this process does not know");
        }
        Ok(Header {
            store: StoreId(Ulid(u128_at(&bytes[12..]))),
            sequence: u64_at(&bytes[28..]),
            previous: u64_at(&bytes[36..]),
            previous_end: u64_at(&bytes[44..]),
            begun: UnixNanos(u64_at(&bytes[52..]) as i64),
        })
    }
}

impl Frame {
    /// Writes the frame of `payload`, which lies at `offset + FRAME_BYTES` of `segment`, to `out`.
    pub(crate) fn encode(payload: &[u8], segment: u64, offset: u64, out: &mut [u8]) {
        assert!(payload.len() <= MAX_PAYLOAD_BYTES && out.len() == FRAME_BYTES);
        out[..4].copy_from_slice(&FRAME_MAGIC);
        out[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        out[8..16].copy_from_slice(&segment.to_le_bytes());
        out[16..24].copy_from_slice(&offset.to_le_bytes());
        out[24..28].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
        let crc = crc32c::crc32c(&out[..28]);
        out[28..].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the frame that should lie at `offset` of `segment`.
    pub(crate) fn decode(bytes: &[u8], segment: u64, offset: u64) -> Option<Frame> {
        let bytes = bytes.get(..FRAME_BYTES)?;
        let sound = bytes[..4] == FRAME_MAGIC
            && crc32c::crc32c(&bytes[..28]) == u32_at(&bytes[28..])
            && u64_at(&bytes[8..]) == segment
            && u64_at(&bytes[16..]) == offset;
        let payload_bytes = u32_at(&bytes[4..]) as usize;
        if !sound || payload_bytes > MAX_PAYLOAD_BYTES {
            return None;
        }
        Some(Frame { payload_bytes, payload_crc: u32_at(&bytes[24..]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_no_flipped_bit_passes() {
        let (store, begun) = (StoreId(Ulid(5)), UnixNanos(77));
        let header = Header { store, sequence: 9, previous: 8, previous_end: 1_000, begun };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        assert_eq!(bytes.len(), HEADER_BYTES);
        assert_eq!(Header::decode(&bytes), Ok(header));
        for at in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(Header::decode(&bad).is_err(), "bit {at}");
        }
    }

    #[test]
    fn a_frame_is_only_one_where_it_was_written() {
        let mut frame = [0; FRAME_BYTES];
        Frame::encode(b"payload", 3, 64, &mut frame);
        assert_eq!(Frame::decode(&frame, 3, 64).unwrap().payload_bytes, 7);
        assert_eq!(Frame::decode(&frame, 3, 65), None);
        assert_eq!(Frame::decode(&frame, 4, 64), None);
        assert_eq!(parse_name(&name(12)), Some(12));
        for other in ["store", "12.wal", "000000000000001x.wal", "0000000000000012.tmp"] {
            assert_eq!(parse_name(other), None);
        }
    }
}
