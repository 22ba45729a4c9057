//! Compression of frames.

/// How the bytes of a frame are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As they are.
    None,
    /// lz4 block.
    Lz4,
    /// One zstd frame; written at level 1.
    Zstd,
}
