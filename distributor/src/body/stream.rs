//! Zstandard and LZ4 frames, by the libraries' readers.

use std::io::Read;

use super::{Buffer, Caps, Decompressed};
use crate::error::Error;

/// Output grows by at least and at most this much: what is taken from the budget ahead of need.
const STEP: (usize, usize) = (64 << 10, 4 << 20);
/// Memory that a Zstandard frame may ask of its reader, as a power of two: 8 MiB, which every reader
/// has to offer and usual writers stay within.
const WINDOW_LOG_MAX: u32 = 23;

pub(super) fn zstd(
    body: &[u8],
    caps: &mut Caps<'_>,
    out: &mut Buffer,
) -> Result<Decompressed, Error> {
    out.len = 0;
    let mut reader = match zstd::stream::read::Decoder::with_buffer(body) {
        Ok(reader) => reader,
        Err(error) => return Ok(Decompressed { cut: Some(error.to_string()) }),
    };
    if let Err(error) = reader.window_log_max(WINDOW_LOG_MAX) {
        return Ok(Decompressed { cut: Some(error.to_string()) });
    }
    read(reader, caps, out)
}

pub(super) fn lz4(
    body: &[u8],
    caps: &mut Caps<'_>,
    out: &mut Buffer,
) -> Result<Decompressed, Error> {
    out.len = 0;
    read(lz4_flex::frame::FrameDecoder::new(body), caps, out)
}

fn read(
    mut reader: impl Read,
    caps: &mut Caps<'_>,
    out: &mut Buffer,
) -> Result<Decompressed, Error> {
    loop {
        // One byte more than allowed tells a body that is too large from one that just fits.
        let step = out.len.clamp(STEP.0, STEP.1);
        let end = (out.len + step).min(caps.max_bytes.saturating_add(1));
        caps.take(end.min(caps.max_bytes))?;
        if out.bytes.len() < end {
            out.bytes.resize(end, 0);
        }
        while out.len < end {
            match reader.read(&mut out.bytes[out.len..end]) {
                Ok(0) => return Ok(Decompressed { cut: None }),
                Ok(read) => out.len += read,
                Err(error) => return Ok(Decompressed { cut: Some(error.to_string()) }),
            }
            caps.check(out.len)?;
        }
    }
}
