//! Exact duplicates among the rows of one stream and instant.

use base::hash::hash128;
use base::{HashSet, PageView};

/// Up to this many rows a list is searched, above it a set.
const FEW: usize = 16;

/// The rows of one instant seen so far, by the 128-bit hash of line and metadata (two different
/// rows are taken for one with a chance of 2^-128 each: never).
#[derive(Debug, Default)]
pub(crate) struct Instant {
    few: Vec<u128>,
    many: HashSet<u128>,
    buffer: Vec<u8>,
}

impl Instant {
    /// Starts another instant.
    pub(crate) fn clear(&mut self) {
        self.few.clear();
        self.many.clear();
    }

    /// Takes a row; whether it is new.
    pub(crate) fn insert(&mut self, page: &PageView<'_>, row: usize) -> bool {
        let hash = self.hash(page, row);
        if self.few.len() < FEW {
            if self.few.contains(&hash) {
                return false;
            }
            self.few.push(hash);
            return true;
        }
        if self.many.is_empty() {
            self.many.extend(&self.few);
        }
        self.many.insert(hash)
    }

    fn hash(&mut self, page: &PageView<'_>, row: usize) -> u128 {
        let line = hash128(page.lines.get(row));
        self.buffer.clear();
        for column in page.metadata {
            let Some(value) = column.get(row) else { continue };
            // Lengths keep ("ab", "c") and ("a", "bc") apart.
            for piece in [column.name.as_bytes(), value] {
                self.buffer.extend_from_slice(&(piece.len() as u32).to_le_bytes());
                self.buffer.extend_from_slice(piece);
            }
        }
        if self.buffer.is_empty() {
            return line;
        }
        self.buffer.extend_from_slice(&line.to_le_bytes());
        hash128(&self.buffer)
    }
}
