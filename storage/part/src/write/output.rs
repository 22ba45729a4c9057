//! The bytes of a part that is being written; its beginning may be gone already.

use crate::Error;
use crate::codec::{Compressor, Frame};

/// Appends bytes and knows where in the part they lie.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// What was not taken yet.
    bytes: Vec<u8>,
    taken: u64,
}

impl Output {
    /// Bytes of the part so far.
    pub(crate) fn len(&self) -> u64 {
        self.taken + self.bytes.len() as u64
    }

    /// Bytes of the part before [`Output::open`].
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// The end of the part, to append to it.
    pub(crate) fn open(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Makes room for a part of about `line_bytes` of lines.
    pub(crate) fn reserve_for(&mut self, line_bytes: u64) {
        /// What zstd leaves of common logs, sketches included. A part that needs more grows.
        const LEFT: u64 = 4;
        const MAX: u64 = 64 << 20;
        self.bytes.reserve((line_bytes / LEFT).min(MAX) as usize);
    }

    /// Takes all bytes out.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.taken = self.len();
        std::mem::take(&mut self.bytes)
    }

    /// Appends `raw` as a frame.
    pub(crate) fn frame(
        &mut self,
        compressor: &mut Compressor,
        raw: &[u8],
    ) -> Result<Frame, Error> {
        let offset = self.len();
        let frame = compressor.frame(raw, &mut self.bytes)?;
        Ok(Frame { offset, ..frame })
    }

    /// Appends the lines of a page as a frame.
    pub(crate) fn lines(
        &mut self,
        compressor: &mut Compressor,
        raw: &[u8],
    ) -> Result<Frame, Error> {
        let offset = self.len();
        let frame = compressor.lines(raw, &mut self.bytes)?;
        Ok(Frame { offset, ..frame })
    }

    /// Appends the stored bytes of a frame of another part.
    pub(crate) fn copy(&mut self, frame: &Frame, stored: &[u8]) -> Frame {
        let offset = self.len();
        self.bytes.extend_from_slice(stored);
        Frame { offset, ..*frame }
    }
}
