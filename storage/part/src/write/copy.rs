//! Pages taken over from another part as they are stored.

use base::PageView;

use crate::codec::{Codec, Frame};
use crate::error::Error;
use crate::footer::Page;
use crate::sketch::{ids, trigrams};
use crate::write::{Mapping, SHARE, Writer};

/// A page of another part, all of one stream.
pub(crate) struct Copied<'a> {
    /// In the part that is written.
    pub(crate) stream: u32,
    pub(crate) rows: u32,
    /// Line bytes and times; its `end` is that of the other part.
    pub(crate) page: Page,
    /// The line frame there, and its bytes.
    pub(crate) frame: Frame,
    pub(crate) stored: &'a [u8],
    /// Chunks of the page in the timestamp and length columns.
    pub(crate) times: &'a [u8],
    pub(crate) lengths: &'a [u8],
    /// Only metadata is looked at.
    pub(crate) columns: &'a PageView<'a>,
    pub(crate) trigrams: &'a trigrams::Table<'a>,
    /// Number of the page in the table.
    pub(crate) source: usize,
    /// It has a letter that folds to an ASCII one.
    pub(crate) folds: bool,
    /// It may have an escape that can stand for any character.
    pub(crate) escapes: bool,
    pub(crate) ids: ids::Filter<'a>,
}

impl Writer {
    /// Whether the next page of the stream may be copied: what is open is a page already, or
    /// nothing. Else the two are better written as one.
    pub(crate) fn is_at_page(&self) -> bool {
        let open = self.group.open_bytes();
        open == 0 || open >= self.options.own_page_bytes / SHARE
    }

    /// Whether a page is worth copying: not small, and compressed as this part is.
    pub(crate) fn takes(&self, page: &Page, frame: &Frame) -> bool {
        page.line_bytes as usize >= self.options.own_page_bytes / 2
            && page.line_bytes as usize <= self.options.page_bytes
            && (frame.codec == self.options.codec || frame.codec == Codec::None)
    }

    /// Appends a page whose rows sort at or after all before, as it is stored. `false` if it does
    /// not fit into any row group: then its rows must be appended.
    pub(crate) fn copy(
        &mut self,
        copied: &Copied<'_>,
        mapping: &mut Mapping,
    ) -> Result<bool, Error> {
        self.close_page()?;
        if !self.group.has_room_for(copied, &self.options) {
            self.close_group()?;
        }
        if !self.group.has_room_for(copied, &self.options) {
            return Ok(false);
        }
        if crc32c::crc32c(copied.stored) != copied.frame.crc {
            return Err(Error::corrupt("frame checksum", copied.frame.offset));
        }
        mapping.enter(self.epoch, copied.columns);
        let page = self.group.page_count();
        self.trigrams.copy(page, copied.trigrams, copied.source);
        self.ids.copy(&copied.ids);
        if copied.folds {
            self.fold_mask |= 1 << page;
        }
        if copied.escapes {
            self.escape_mask |= 1 << page;
        }
        let frame = self.out.copy(&copied.frame, copied.stored);
        self.group.push_copied(copied, frame, mapping);
        Ok(true)
    }
}
