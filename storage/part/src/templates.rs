//! Templates: what the lines of a part look like, with `<_>` where they differ.
//!
//! A template is a line filter `|>` that was learned from a sample of the lines. It says nothing
//! about how many lines it matches: whoever wants to know asks the rows. So templates may be missing
//! and may overlap, and nothing is wrong with an answer but that it could say more.
//!
//! [`Miner`] learns them from lines, and folds those of several parts into one list. [`section`] is
//! how they are stored; `docs/adr/0024-patterns.md` says why it is so.

mod miner;
mod sample;
mod section;
mod tokens;

pub use miner::Miner;
pub use sample::Sampler;
pub(crate) use section::{get, put};

/// Most templates of a part, and that one [`Miner`] gives.
pub const MAX_TEMPLATES: usize = 1024;
/// Most bytes of all their texts.
pub const MAX_TEMPLATES_BYTES: usize = 128 << 10;
/// Longest text of a template that is read.
pub(crate) const MAX_TEXT_BYTES: usize = 4 << 10;
/// Longest level that is kept apart from others.
pub(crate) const MAX_LEVEL_BYTES: usize = 64;
/// Streams that a template names; one of more streams may be of any.
pub(crate) const MAX_STREAMS: usize = 64;
/// The structured metadata that holds a row's level.
pub const LEVEL: &str = "detected_level";

/// What some lines look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The [`LEVEL`] of the lines it was learned from; empty = they have none.
    pub level: String,
    /// What the line filter `|>` takes: literal text, and `<_>` for at least one byte.
    pub text: String,
    /// About how many rows it was learned from: which of two templates matters more.
    pub rows: u64,
    /// Streams with such lines, ascending; none = it may be any.
    pub streams: Vec<u32>,
}

#[cfg(test)]
mod tests;
