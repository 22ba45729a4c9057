//! The part: one immutable columnar object with rows of one tenant and one UTC day.
//!
//! Owns the format (`docs/formats/part.md` draws every byte), sealing rows into a part, merging
//! parts, and decoding pages of a part into [`base::PageView`]s. Does not own where the bytes live:
//! they come through [`RangeRead`], and no function here touches a file, a socket or a clock.
//!
//! A part in object storage and a sealed unit in memory are the same image. Its life:
//! 1. [`seal`] sorts rows by (stream labels, timestamp), drops exact duplicates, cuts row groups and
//!    pages, compresses, sketches, and appends the footer. [`merge`] does the same from parts.
//! 2. [`Footer::open`] reads the last bytes: streams, directory, where sketches are.
//! 3. [`Footer::select`] finds streams, [`Footer::candidates`] pages by stream and time,
//!    [`Footer::page_mask`] pages by text.
//! 4. [`Footer::column_ranges`] and [`Footer::line_ranges`] say what to read, [`Fetched`] holds it,
//!    [`GroupReader`] decodes it into reused buffers.
//!
//! **Invariant:** rows of a part are sorted by (stream labels, timestamp), no two are equal; every
//! stored byte is under a checksum that is verified before it is used; a sketch never hides a row
//! that contains the needle; offsets are relative to the part, so that a part may lie anywhere in a
//! bundle object.

mod codec;
mod columns;
mod error;
mod footer;
#[doc(hidden)]
pub mod fuzz;
mod merge;
mod options;
mod pack;
mod read;
mod rowhash;
mod seal;
mod sketch;
mod templates;
mod wire;
mod write;

pub use codec::Codec;
pub use error::Error;
pub use footer::{Footer, Group, Page, Piece, Run, Stream, Survey, TRAILER_BYTES, VERSION, What};
pub use merge::{Copies, Input, Merge, merge};
pub use options::{MAX_GROUP_PAGES, MAX_GROUP_ROWS, OWN_PAGE_BYTES, Options, PAGE_BYTES};
pub use read::{Columns, DecodedPage, Fetched, GroupReader, RangeRead, read_joined};
pub use seal::{Image, Source, Summary, seal, seal_telling};
pub use sketch::Needle;
pub use templates::{LEVEL, MAX_TEMPLATES, MAX_TEMPLATES_BYTES, Miner, Sampler, Template};
