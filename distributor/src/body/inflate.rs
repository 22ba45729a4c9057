//! gzip and raw deflate, with the error texts of Go's readers.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Buffer, Caps, Decompressed};
use crate::error::Error;

const UNEXPECTED_EOF: &str = "unexpected EOF";
const INVALID_HEADER: &str = "gzip: invalid header";
const INVALID_CHECKSUM: &str = "gzip: invalid checksum";

/// Output grows by at least this much.
const MIN_STEP: usize = 64 << 10;
/// Output grows by at most this much: what is taken from the budget ahead of need.
const MAX_STEP: usize = 4 << 20;

/// gzip members one after the other.
pub(super) fn gzip(
    body: &[u8],
    caps: &mut Caps<'_>,
    out: &mut Buffer,
) -> Result<Decompressed, Error> {
    out.len = 0;
    let mut at = match header(body) {
        Ok(length) => length,
        // Go reads the first header before it looks at the body's type: nothing else counts.
        Err(text) => return Err(Error::new(400, text)),
    };
    loop {
        let from = out.len;
        match inflate(&body[at..], at, caps, out)? {
            Ok(read) => at += read,
            Err(text) => return Ok(Decompressed { cut: Some(text) }),
        }
        let Some(trailer) = body.get(at..at + 8) else {
            return Ok(Decompressed { cut: Some(UNEXPECTED_EOF.to_owned()) });
        };
        let mut crc = Crc::new();
        crc.update(&out.bytes[from..out.len]);
        let word = |at: usize| {
            u32::from_le_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]])
        };
        if word(0) != crc.sum() || word(4) != (out.len - from) as u32 {
            return Ok(Decompressed { cut: Some(INVALID_CHECKSUM.to_owned()) });
        }
        at += 8;
        if at == body.len() {
            return Ok(Decompressed { cut: None });
        }
        match header(&body[at..]) {
            Ok(length) => at += length,
            Err(text) => return Ok(Decompressed { cut: Some(text.to_owned()) }),
        }
    }
}

/// A raw deflate stream; what follows it is not looked at.
pub(super) fn deflate(
    body: &[u8],
    caps: &mut Caps<'_>,
    out: &mut Buffer,
) -> Result<Decompressed, Error> {
    out.len = 0;
    let cut = inflate(body, 0, caps, out)?.err();
    Ok(Decompressed { cut })
}

/// Length of the gzip header at the start of `body`.
fn header(body: &[u8]) -> Result<usize, &'static str> {
    if body.is_empty() {
        return Err("EOF");
    }
    let Some(fixed) = body.first_chunk::<10>() else {
        return Err(UNEXPECTED_EOF);
    };
    let flags = fixed[3];
    if fixed[..3] != [0x1f, 0x8b, 8] {
        return Err(INVALID_HEADER);
    }
    let mut at = 10;
    if flags & 4 != 0 {
        let length = body.get(at..at + 2).ok_or(UNEXPECTED_EOF)?;
        at += 2 + usize::from(u16::from_le_bytes([length[0], length[1]]));
        if at > body.len() {
            return Err(UNEXPECTED_EOF);
        }
    }
    // Name and comment end with a zero byte; Go takes at most 511 bytes.
    for flag in [8, 16] {
        if flags & flag != 0 {
            let rest = &body[at..];
            let end = memchr::memchr(0, &rest[..rest.len().min(512)]);
            at += end.ok_or(if rest.len() < 512 { UNEXPECTED_EOF } else { INVALID_HEADER })? + 1;
        }
    }
    if flags & 2 != 0 {
        let stored = body.get(at..at + 2).ok_or(UNEXPECTED_EOF)?;
        let mut crc = Crc::new();
        crc.update(&body[..at]);
        if u16::from_le_bytes([stored[0], stored[1]]) != crc.sum() as u16 {
            return Err(INVALID_HEADER);
        }
        at += 2;
    }
    Ok(at)
}

/// Appends what the deflate stream `body` holds to `out`. Inside: the number of bytes read, or
/// what is wrong with the stream, which begins at `offset` of the body.
fn inflate(
    body: &[u8],
    offset: usize,
    caps: &mut Caps<'_>,
    out: &mut Buffer,
) -> Result<Result<usize, String>, Error> {
    let mut state = Decompress::new(false);
    loop {
        // One byte more than allowed tells a body that is too large from one that just fits.
        let step = out.len.clamp(MIN_STEP, MAX_STEP);
        let end = (out.len + step).min(caps.max_bytes.saturating_add(1));
        caps.take(end.min(caps.max_bytes))?;
        if out.bytes.len() < end {
            out.bytes.resize(end, 0);
        }
        let read = state.total_in() as usize;
        let before = state.total_out();
        let target = &mut out.bytes[out.len..end];
        let status = state.decompress(&body[read..], target, FlushDecompress::None);
        let written = (state.total_out() - before) as usize;
        out.len += written;
        caps.check(out.len)?;
        match status {
            Ok(Status::StreamEnd) => return Ok(Ok(state.total_in() as usize)),
            Ok(_) if state.total_in() as usize == read && written == 0 => {
                return Ok(Err(UNEXPECTED_EOF.to_owned()));
            }
            Ok(_) => {}
            Err(_) => {
                let at = offset + state.total_in() as usize;
                return Ok(Err(format!("flate: corrupt input before offset {at}")));
            }
        }
    }
}
