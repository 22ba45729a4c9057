//! How a part is cut and compressed, and the limits of the format.

use crate::codec::Codec;

/// Most rows of a row group.
pub const MAX_GROUP_ROWS: usize = 64 * 1024;
/// Most pages of a row group: a page set is one 64-bit word everywhere.
pub const MAX_GROUP_PAGES: usize = 64;
/// Line bytes a page is filled up to; only a single longer line makes a longer page.
pub const PAGE_BYTES: usize = 256 * 1024;
/// A stream with this many line bytes in a part has pages of its own, so that a later merge can copy
/// them as they are; smaller ones share pages. Half of it would double the pages of many middling
/// streams, twice of it leaves a third more bytes to be compressed again.
pub const OWN_PAGE_BYTES: usize = 64 * 1024;
/// Metadata (distinct values) after which a row group is closed, so that a reader's memory is
/// bounded whatever senders put into metadata.
pub const GROUP_METADATA_BYTES: usize = 16 * 1024 * 1024;
/// Rows times metadata columns after which a row group is closed (4 bytes each when decoded).
pub const GROUP_CELLS: usize = 16 * 1024 * 1024;
/// The longest frame before compression; guards a reader against absurd sizes.
pub const MAX_FRAME_RAW: usize = 1 << 30;

/// How to write a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Codec of line pages and columns. A frame that does not shrink is stored as it is.
    pub codec: Codec,
    /// Line bytes a page is filled up to.
    pub page_bytes: usize,
    /// Line bytes from which a stream has pages of its own.
    pub own_page_bytes: usize,
    /// Most rows of a row group, at most [`MAX_GROUP_ROWS`].
    pub group_rows: usize,
    /// Most pages of a row group, at most [`MAX_GROUP_PAGES`].
    pub group_pages: usize,
}

impl Options {
    /// For sealed units in memory: cheap to write and to read.
    pub fn sealed() -> Options {
        Options {
            codec: Codec::Lz4,
            page_bytes: PAGE_BYTES,
            own_page_bytes: OWN_PAGE_BYTES,
            group_rows: MAX_GROUP_ROWS,
            group_pages: MAX_GROUP_PAGES,
        }
    }

    /// For parts in object storage (`docs/adr/0001-part-format.md` has the measurement).
    pub fn flushed() -> Options {
        Options { codec: Codec::Zstd, ..Options::sealed() }
    }
}
