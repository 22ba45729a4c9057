//! Frames: compressed, checksummed byte ranges of a part.

use zstd::zstd_safe::CParameter;

use crate::Error;
use crate::options::MAX_FRAME_RAW;
use crate::wire::{Cursor, put_varint};

/// How the bytes of a frame are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As they are.
    None,
    /// lz4 block.
    Lz4,
    /// One zstd frame; written at level 1, of lines with a table of 4,096 places.
    Zstd,
}

impl Codec {
    /// The tag in the format.
    pub(crate) fn tag(self) -> u8 {
        match self {
            Codec::None => 0,
            Codec::Lz4 => 1,
            Codec::Zstd => 2,
        }
    }

    pub(crate) fn from_tag(tag: u8) -> Option<Codec> {
        match tag {
            0 => Some(Codec::None),
            1 => Some(Codec::Lz4),
            2 => Some(Codec::Zstd),
            _ => None,
        }
    }
}

/// Where a frame lies and how to check and decompress it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// From the start of the part.
    pub(crate) offset: u64,
    /// Bytes in the part.
    pub(crate) stored: u32,
    /// Bytes after decompression.
    pub(crate) raw: u32,
    pub(crate) codec: Codec,
    /// crc32c of the stored bytes.
    pub(crate) crc: u32,
}

impl Frame {
    pub(crate) fn range(&self) -> std::ops::Range<u64> {
        self.offset..self.offset + u64::from(self.stored)
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.offset);
        self.put_size(out);
    }

    /// Everything but the offset, for frames that lie one after the other.
    pub(crate) fn put_size(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.stored));
        put_varint(out, u64::from(self.raw));
        out.push(self.codec.tag());
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    /// Reads what [`Frame::put`] wrote; the frame must end at or before `limit`.
    pub(crate) fn get(cursor: &mut Cursor<'_>, limit: u64) -> Result<Frame, Error> {
        let offset = cursor.varint()?;
        Frame::get_size(cursor, offset, limit)
    }

    pub(crate) fn get_size(
        cursor: &mut Cursor<'_>,
        offset: u64,
        limit: u64,
    ) -> Result<Frame, Error> {
        let stored = cursor.varint32()?;
        let raw = cursor.varint32()?;
        let Some(codec) = Codec::from_tag(cursor.u8()?) else { return Err(cursor.corrupt()) };
        let crc = cursor.u32()?;
        let frame = Frame { offset, stored, raw, codec, crc };
        let end = offset.checked_add(u64::from(stored));
        if end.is_none_or(|end| end > limit) || !frame.plausible() {
            return Err(cursor.corrupt());
        }
        Ok(frame)
    }

    /// Whether the sizes can belong to each other: bounds what a damaged or hostile directory can
    /// make a reader allocate.
    pub(crate) fn plausible(&self) -> bool {
        let (stored, raw) = (u64::from(self.stored), u64::from(self.raw));
        raw <= MAX_FRAME_RAW as u64
            && match self.codec {
                Codec::None => raw == stored,
                // A literal or match length grows by at most 255 per byte.
                Codec::Lz4 => raw <= stored.saturating_mul(255) + 64,
                // A block of at most 128 KiB takes at least three bytes.
                Codec::Zstd => raw <= stored.saturating_mul(128 * 1024 / 3),
            }
    }
}

/// What zstd is told of lines beyond its level: shorter matches are chance and cost a sequence each;
/// of templates the newest match is the best one, and so small a table stays in the nearest cache.
const OF_LINES: [CParameter; 2] = [CParameter::MinMatch(7), CParameter::HashLog(12)];
/// Of everything else: what the level says.
const OF_OTHERS: [CParameter; 2] = [CParameter::MinMatch(0), CParameter::HashLog(0)];

/// Writes frames; keeps the codecs' tables.
pub(crate) struct Compressor {
    codec: Codec,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    lz4: lz4_flex::block::CompressTable,
    scratch: Vec<u8>,
}

impl Compressor {
    pub(crate) fn new(codec: Codec) -> Result<Compressor, Error> {
        let zstd = match codec {
            Codec::Zstd => Some(zstd::bulk::Compressor::new(1).map_err(codec_error)?),
            Codec::None | Codec::Lz4 => None,
        };
        let lz4 = lz4_flex::block::CompressTable::large();
        Ok(Compressor { codec, zstd, lz4, scratch: Vec::new() })
    }

    /// Appends `raw` as a frame to `out`, which is the part from its start.
    pub(crate) fn frame(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<Frame, Error> {
        self.put(raw, OF_OTHERS, out)
    }

    /// [`Compressor::frame`] for lines.
    pub(crate) fn lines(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<Frame, Error> {
        self.put(raw, OF_LINES, out)
    }

    fn put(
        &mut self,
        raw: &[u8],
        parameters: [CParameter; 2],
        out: &mut Vec<u8>,
    ) -> Result<Frame, Error> {
        if let Some(zstd) = &mut self.zstd {
            for parameter in parameters {
                zstd.set_parameter(parameter).map_err(codec_error)?;
            }
        }
        if raw.len() > MAX_FRAME_RAW {
            let (found, limit) = (raw.len() as u64, MAX_FRAME_RAW as u64);
            return Err(Error::TooLarge { what: "a frame", found, limit });
        }
        let offset = out.len() as u64;
        let size = self.compress(raw)?;
        let worth = size < raw.len() - raw.len() / 16;
        let codec = if worth { self.codec } else { Codec::None };
        let stored = if worth { &self.scratch[..size] } else { raw };
        out.extend_from_slice(stored);
        Ok(Frame {
            offset,
            stored: stored.len() as u32,
            raw: raw.len() as u32,
            codec,
            crc: crc32c::crc32c(stored),
        })
    }

    /// Compresses to the front of `scratch`; gives the size, which saves nothing if it is not
    /// smaller than `raw`.
    fn compress(&mut self, raw: &[u8]) -> Result<usize, Error> {
        match self.codec {
            Codec::None => Ok(raw.len()),
            Codec::Lz4 => {
                let room = lz4_flex::block::get_maximum_output_size(raw.len());
                if self.scratch.len() < room {
                    self.scratch.resize(room, 0);
                }
                let out = &mut self.scratch[..];
                lz4_flex::block::compress_into_with_table(raw, out, &mut self.lz4)
                    .map_err(codec_error)
            }
            Codec::Zstd => {
                self.scratch.clear();
                self.scratch.reserve(zstd::zstd_safe::compress_bound(raw.len()));
                let zstd = self.zstd.as_mut().expect("made in new for this codec");
                zstd.compress_to_buffer(raw, &mut self.scratch).map_err(codec_error)
            }
        }
    }
}

/// Reads frames; keeps the codecs' tables.
#[derive(Default)]
pub(crate) struct Decompressor {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl Decompressor {
    /// Checks `stored` against `frame` and decompresses it into `out`, replacing what it held.
    pub(crate) fn frame(
        &mut self,
        frame: &Frame,
        stored: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if stored.len() != frame.stored as usize {
            return Err(Error::corrupt("frame cut off", frame.offset));
        }
        if crc32c::crc32c(stored) != frame.crc {
            return Err(Error::corrupt("frame checksum", frame.offset));
        }
        let damaged = || Error::corrupt("compressed frame", frame.offset);
        let raw = frame.raw as usize;
        match frame.codec {
            Codec::None => {
                out.clear();
                out.extend_from_slice(stored);
            }
            Codec::Lz4 => {
                out.resize(raw, 0);
                let size = lz4_flex::block::decompress_into(stored, out).map_err(|_| damaged())?;
                out.truncate(size);
            }
            Codec::Zstd => {
                out.clear();
                out.reserve(raw);
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => none.insert(zstd::bulk::Decompressor::new().map_err(codec_error)?),
                };
                zstd.decompress_to_buffer(stored, out).map_err(|_| damaged())?;
            }
        }
        if out.len() == raw { Ok(()) } else { Err(damaged()) }
    }
}

fn codec_error(error: impl std::fmt::Display) -> Error {
    Error::Codec(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn frames_come_back_and_damage_is_seen(
            piece in prop::collection::vec(any::<u8>(), 0..200),
            times in 0usize..20,
            flip in any::<prop::sample::Index>(),
        ) {
            let raw = piece.repeat(times);
            for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
                let mut out = b"before".to_vec();
                let frame = Compressor::new(codec).unwrap().frame(&raw, &mut out).unwrap();
                prop_assert!(frame.plausible());
                let mut stored = out[6..].to_vec();
                let mut back = b"old".to_vec();
                Decompressor::default().frame(&frame, &stored, &mut back).unwrap();
                prop_assert_eq!(&back, &raw);
                if !stored.is_empty() {
                    let at = flip.index(stored.len());
                    stored[at] ^= 0x10;
                    let error = Decompressor::default().frame(&frame, &stored, &mut back);
                    let seen = matches!(error, Err(Error::Corrupt { offset: 6, .. }));
                    prop_assert!(seen);
                }
            }
        }
    }
}
