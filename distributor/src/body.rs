//! Undoing the content encoding of a push body, within its caps.
//!
//! Nothing is allocated on the word of a client: a snappy length is checked against the cap, the
//! shared budget and what the format can expand to; gzip and deflate grow step by step.

mod inflate;
mod snappy;
mod stream;

use rpc::http::BodyError;
use rpc::http::body::Hold;

use crate::error::Error;

/// How a body was compressed, after `Content-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is. `snappy` means this too: protobuf has its own snappy inside.
    Identity,
    /// gzip, any number of members.
    Gzip,
    /// Raw deflate without a zlib header (as Go's `compress/flate`).
    Deflate,
    /// Zstandard, any number of frames.
    Zstd,
    /// LZ4 frames.
    Lz4,
}

impl Encoding {
    /// Number of encodings.
    pub(crate) const COUNT: usize = 5;

    /// As [`Encoding::of_header`], of a push in OTLP.
    pub fn of_otlp_header(value: &str) -> Result<Encoding, Error> {
        match value {
            "" => Ok(Encoding::Identity),
            "gzip" => Ok(Encoding::Gzip),
            "zstd" => Ok(Encoding::Zstd),
            "lz4" => Ok(Encoding::Lz4),
            other => {
                let supported = "only gzip, lz4 and zstd are supported";
                let text = format!("unsupported content encoding {other}: {supported}");
                Err(Error::new(400, text))
            }
        }
    }

    /// Reads a `Content-Encoding` header; empty when there is none.
    pub fn of_header(value: &str) -> Result<Encoding, Error> {
        match value {
            "" | "snappy" => Ok(Encoding::Identity),
            "gzip" => Ok(Encoding::Gzip),
            "deflate" => Ok(Encoding::Deflate),
            other => {
                let other = base::quote::quote(other);
                Err(Error::new(400, format!("Content-Encoding {other} not supported")))
            }
        }
    }
}

/// Bytes kept for the next body; a larger buffer is freed.
const MAX_KEPT_BYTES: usize = 16 << 20;

/// A buffer that is reused. Only `len` of its bytes count: the rest is kept initialised so that
/// it need not be cleared for the next body.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Room for exactly `len` bytes, to be overwritten.
    fn exactly(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len {
            self.bytes.resize(len, 0);
        }
        self.len = len;
        &mut self.bytes[..len]
    }

    /// What `write` writes.
    pub(crate) fn filled<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let done = write(&mut self.bytes);
        self.len = self.bytes.len();
        done
    }

    /// Frees what is too large to keep.
    pub(crate) fn trim(&mut self) {
        self.len = 0;
        if self.bytes.capacity() > MAX_KEPT_BYTES {
            self.bytes = Vec::new();
        }
    }
}

/// Caps of one body.
pub(crate) struct Caps<'a> {
    /// Largest size after decompression.
    max_bytes: usize,
    /// Output the budget was asked for.
    taken: usize,
    /// The body's share of the budget; grows with what is decompressed.
    hold: &'a mut Hold,
}

impl<'a> Caps<'a> {
    pub(crate) fn new(max_bytes: usize, hold: &'a mut Hold) -> Caps<'a> {
        Caps { max_bytes, taken: 0, hold }
    }

    fn check(&self, bytes: usize) -> Result<(), Error> {
        if bytes > self.max_bytes {
            return Err(too_large(BodyError::TooLarge { bytes, limit: self.max_bytes }));
        }
        Ok(())
    }

    /// Takes budget for `total` bytes of output in all.
    fn take(&mut self, total: usize) -> Result<(), Error> {
        self.check(total)?;
        if total > self.taken {
            // Rows are a second copy, held until they are appended.
            self.hold.grow((total - self.taken).saturating_mul(2)).map_err(too_large)?;
            self.taken = total;
        }
        Ok(())
    }
}

/// A cap or the budget was hit.
pub(crate) fn too_large(error: BodyError) -> Error {
    Error::new(error.status(), error.to_string())
}

/// What [`decompress`] gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decompressed {
    /// What Go's reader says where the body broke off; what was read before it is in the buffer.
    pub(crate) cut: Option<String>,
}

/// Undoes `encoding` (not [`Encoding::Identity`]) into `out`. The error is that of a cap, or of a
/// gzip header, which Go reads before anything else.
pub(crate) fn decompress(
    encoding: Encoding,
    body: &[u8],
    caps: &mut Caps<'_>,
    out: &mut Buffer,
) -> Result<Decompressed, Error> {
    match encoding {
        Encoding::Gzip => inflate::gzip(body, caps, out),
        Encoding::Deflate => inflate::deflate(body, caps, out),
        Encoding::Zstd => stream::zstd(body, caps, out),
        Encoding::Lz4 => stream::lz4(body, caps, out),
        Encoding::Identity => unreachable!("nothing to undo"),
    }
}

pub(crate) use snappy::decompress as decompress_snappy;

/// What a byte of deflate can become: 258 bytes take two bits.
const MAX_DEFLATE_EXPANSION: usize = 1032;
/// What a byte of an LZ4 block can become: a longer match.
const MAX_LZ4_EXPANSION: usize = 256;

/// The most that `body` can become when `encoding`, and the snappy inside, are undone. Known without
/// undoing them; `usize::MAX` if there is no telling.
pub(crate) fn most_bytes(encoding: Encoding, is_snappy: bool, body: &[u8]) -> usize {
    let expansion = match encoding {
        Encoding::Identity if is_snappy => return snappy::most_bytes(body),
        Encoding::Identity => 1,
        Encoding::Gzip | Encoding::Deflate => MAX_DEFLATE_EXPANSION,
        Encoding::Lz4 => MAX_LZ4_EXPANSION,
        Encoding::Zstd => usize::MAX,
    };
    let inside = if is_snappy { snappy::MAX_EXPANSION } else { 1 };
    body.len().saturating_mul(expansion).saturating_mul(inside)
}

#[cfg(test)]
mod tests;
