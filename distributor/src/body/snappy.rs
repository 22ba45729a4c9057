//! The snappy block format.

use super::{Buffer, Caps};
use crate::error::Error;

const CORRUPT: &str = "snappy: corrupt input";

/// The most a snappy block can expand: a copy of 64 bytes takes three.
pub(super) const MAX_EXPANSION: usize = 22;

/// What the block says of its length; what is no block becomes nothing.
pub(super) fn most_bytes(body: &[u8]) -> usize {
    snap::raw::decompress_len(body).unwrap_or(0)
}

/// Undoes one block into `out`.
pub(crate) fn decompress(body: &[u8], caps: &mut Caps<'_>, out: &mut Buffer) -> Result<(), Error> {
    let corrupt = || Error::new(400, CORRUPT);
    let length = snap::raw::decompress_len(body).map_err(|_| corrupt())?;
    if length > body.len().saturating_mul(MAX_EXPANSION) {
        return Err(corrupt());
    }
    caps.take(length)?;
    let target = out.exactly(length);
    match snap::raw::Decoder::new().decompress(body, target) {
        Ok(written) if written == length => Ok(()),
        _ => Err(corrupt()),
    }
}
