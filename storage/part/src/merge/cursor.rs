//! Walks one part that is merged: page by page where they are copied, row by row where not.

use std::sync::Arc;

use base::{Labels, PageView, StrView};

use crate::codec::Decompressor;
use crate::merge::Input;
use crate::read::{Columns, Fetched, GroupReader, RangeRead};
use crate::rowhash::Instant;
use crate::sketch::{ids, trigrams};
use crate::write::{Copied, Mapping, Piece, Writer, page_runs};
use crate::{Error, Footer};

/// Stands at a row of a part.
pub(super) struct Cursor<E> {
    footer: Arc<Footer>,
    source: Arc<dyn RangeRead<Error = E>>,
    reader: GroupReader,
    /// Line frames from `page` on, some of them.
    lines: Fetched,
    /// One past the last page in `lines`.
    lines_end: usize,
    /// Stored bytes to read at once.
    ahead: u64,
    /// Stream of the merged part for each stream of this one.
    streams: Vec<u32>,
    mapping: Mapping,
    sketches: Sketches,
    group: usize,
    page: usize,
    /// Runs of the page.
    runs: Vec<base::Run>,
    /// Row in the page, run in the page.
    row: usize,
    run: usize,
    /// How much of the page is decoded.
    decoded: Decoded,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Decoded {
    Nothing,
    Columns,
    All,
}

/// Sketches of the row group, read when its first page is copied.
#[derive(Default)]
struct Sketches {
    group: Option<usize>,
    trigrams: Vec<u8>,
    ids: ids::Filters,
    decompressor: Decompressor,
}

impl<E: From<Error>> Cursor<E> {
    pub(super) fn new(input: &Input<E>, labels: &[Labels], ahead: u64) -> Result<Cursor<E>, E> {
        let find = |own: &Labels| labels.binary_search(own).expect("in the union") as u32;
        let mut cursor = Cursor {
            footer: Arc::clone(&input.footer),
            source: Arc::clone(&input.reader),
            reader: GroupReader::default(),
            lines: Fetched::default(),
            lines_end: 0,
            ahead,
            streams: input.footer.labels().iter().map(find).collect(),
            mapping: Mapping::default(),
            sketches: Sketches::default(),
            group: 0,
            page: 0,
            runs: Vec::new(),
            row: 0,
            run: 0,
            decoded: Decoded::Nothing,
        };
        cursor.enter()?;
        Ok(cursor)
    }

    /// Goes to the first row of the page at which the cursor stands.
    fn enter(&mut self) -> Result<(), E> {
        (self.row, self.run, self.decoded) = (0, 0, Decoded::Nothing);
        if self.group == self.footer.groups().len() {
            return Ok(());
        }
        if self.page == 0 {
            let columns = Columns { line_bytes: true, lengths: true, metadata: None };
            let mut ranges = Vec::new();
            self.footer.column_ranges(self.group, &columns, &mut ranges);
            let fetched = Fetched::read(&*self.source, ranges)?;
            self.reader.group(&self.footer, self.group, &columns, &fetched)?;
            self.mapping.reset();
            self.lines_end = 0;
        }
        let pages = self.footer.pages(self.group);
        let from = if self.page == 0 { 0 } else { pages[self.page - 1].end };
        page_runs(self.footer.runs(self.group), from..pages[self.page].end, &mut self.runs);
        if self.runs.len() > 1 {
            // The first row is not the oldest; nor will the page be copied.
            self.decode_columns()?;
        }
        Ok(())
    }

    /// The stream of the merged part in which the cursor stands; `None` at the end.
    pub(super) fn stream(&self) -> Option<u32> {
        if self.group == self.footer.groups().len() {
            return None;
        }
        Some(self.streams[self.runs[self.run].stream as usize])
    }

    /// Line bytes that the part has of the stream in which the cursor stands.
    pub(super) fn stream_bytes(&self) -> u64 {
        self.footer.streams()[self.runs[self.run].stream as usize].line_bytes
    }

    /// The instant at which the cursor stands.
    pub(super) fn ts_ns(&self) -> i64 {
        match self.decoded {
            // Rows of one stream ascend.
            Decoded::Nothing => self.footer.pages(self.group)[self.page].min_ns,
            Decoded::Columns | Decoded::All => self.reader.ts_ns()[self.row],
        }
    }

    /// Whether the cursor stands at a page that can be copied: of one stream, not small, all of it
    /// before `until`, and compressed as `writer` would.
    pub(super) fn is_page(&self, writer: &Writer, until: Option<i64>) -> bool {
        let page = &self.footer.pages(self.group)[self.page];
        let frame = &self.footer.frames(self.group)[self.page];
        self.row == 0
            && self.runs.len() == 1
            && until.is_none_or(|until| page.max_ns < until)
            && writer.takes(page, frame)
            && self.footer.trigrams(self.group).is_some()
            && self.footer.ids(self.group).is_some()
    }

    /// Copies the page and goes to the next; gives its line bytes. `None`: it fits nowhere.
    pub(super) fn copy_page(&mut self, writer: &mut Writer) -> Result<Option<u64>, E> {
        self.read_lines()?;
        self.read_sketches()?;
        let (footer, group) = (&*self.footer, self.group);
        let rows = self.runs[0].end;
        self.reader.decode_codes(self.page, rows as usize)?;
        let (Some(trigrams), Some((ids, longest))) = (footer.trigrams(group), footer.ids(group))
        else {
            return Ok(None);
        };
        let page = footer.pages(group)[self.page];
        let frame = footer.frames(group)[self.page];
        let metadata = self.reader.metadata(footer);
        let (times, lengths) = self.reader.chunks(self.page);
        let lines = StrView::default();
        let copied = Copied {
            stream: self.streams[self.runs[0].stream as usize],
            rows,
            page,
            frame,
            stored: self.lines.get(frame.range())?,
            times,
            lengths,
            columns: &PageView { runs: &[], ts_ns: &[], lines, metadata: &metadata },
            trigrams: &trigrams::Table::open(
                &self.sketches.trigrams,
                footer.pages(group).len(),
                trigrams.frame.offset,
            )?,
            source: self.page,
            folds: trigrams.folds >> self.page & 1 == 1,
            escapes: footer.plain_pages(group) >> self.page & 1 == 0,
            ids: self.sketches.ids.page(self.page, longest[self.page]),
        };
        debug_assert!(ids.blocks == copied.ids.blocks());
        if !writer.copy(&copied, &mut self.mapping)? {
            return Ok(None);
        }
        drop(metadata);
        self.move_to(rows as usize)?;
        Ok(Some(u64::from(page.line_bytes)))
    }

    /// Decodes the whole page, if it is not yet.
    pub(super) fn decode(&mut self) -> Result<(), E> {
        self.decode_columns()?;
        if self.decoded < Decoded::All {
            self.read_lines()?;
            self.reader.decode_lines(&self.footer, self.page, &self.lines)?;
            self.decoded = Decoded::All;
        }
        Ok(())
    }

    fn decode_columns(&mut self) -> Result<(), E> {
        if self.decoded < Decoded::Columns {
            self.reader.decode_columns(&self.footer, self.page)?;
            self.decoded = Decoded::Columns;
        }
        Ok(())
    }

    /// Reads the line frame of the page, and some after it.
    fn read_lines(&mut self) -> Result<(), E> {
        if self.page < self.lines_end {
            return Ok(());
        }
        let frames = &self.footer.frames(self.group)[self.page..];
        let (mut bytes, mut count) = (0, 0);
        for frame in frames {
            bytes += u64::from(frame.stored);
            if count > 0 && bytes > self.ahead {
                break;
            }
            count += 1;
        }
        let ranges = frames[..count].iter().map(crate::codec::Frame::range).collect();
        self.lines = Fetched::default();
        self.lines = Fetched::read(&*self.source, ranges)?;
        self.lines_end = self.page + count;
        Ok(())
    }

    fn read_sketches(&mut self) -> Result<(), E> {
        let (footer, group) = (&*self.footer, self.group);
        if self.sketches.group == Some(group) {
            return Ok(());
        }
        let (Some(trigrams), Some((ids, _))) = (footer.trigrams(group), footer.ids(group)) else {
            return Ok(());
        };
        let pages = footer.pages(group).len();
        let bytes = u64::from(ids.blocks) * ids::row_bytes(pages) as u64;
        let (table, filters) = (trigrams.frame.range(), ids.offset..ids.offset + bytes);
        let fetched = Fetched::read(&*self.source, vec![table.clone(), filters.clone()])?;
        let sketches = &mut self.sketches;
        sketches.decompressor.frame(
            &trigrams.frame,
            fetched.get(table)?,
            &mut sketches.trigrams,
        )?;
        sketches.ids.read(fetched.get(filters)?, pages, ids.blocks, ids.offset)?;
        sketches.group = Some(group);
        Ok(())
    }

    /// One past the last row of this run and page for which `holds`, which is true for earlier
    /// rows if it is for a later one. The page is decoded.
    pub(super) fn reach(&self, holds: impl Fn(i64) -> bool) -> usize {
        let end = self.runs[self.run].end as usize;
        let ts_ns = &self.reader.ts_ns()[self.row..end];
        self.row + ts_ns.partition_point(|&ts_ns| holds(ts_ns))
    }

    /// Appends rows up to `to` of this page, all of one run, and moves there. The page is decoded.
    pub(super) fn append(&mut self, to: usize, writer: &mut Writer) -> Result<(), E> {
        let decoded = self.reader.current(&self.footer);
        let stream = self.streams[self.runs[self.run].stream as usize];
        let piece = Piece { page: &decoded.view(), from: self.row, to, stream };
        writer.append(&piece, &mut self.mapping)?;
        drop(decoded);
        self.move_to(to)
    }

    /// Appends the row at which the cursor stands. The page is decoded.
    pub(super) fn append_one(&mut self, writer: &mut Writer) -> Result<(), E> {
        self.append(self.row + 1, writer)
    }

    /// The page is decoded.
    pub(super) fn insert_into(&self, instant: &mut Instant) -> bool {
        instant.insert(&self.reader.current(&self.footer).view(), self.row)
    }

    pub(super) fn skip(&mut self) -> Result<(), E> {
        self.move_to(self.row + 1)
    }

    fn move_to(&mut self, row: usize) -> Result<(), E> {
        self.row = row;
        let last = self.runs[self.runs.len() - 1].end as usize;
        if row < last {
            if row == self.runs[self.run].end as usize {
                self.run += 1;
            }
            return Ok(());
        }
        self.page += 1;
        if self.page == self.footer.pages(self.group).len() {
            self.page = 0;
            self.group += 1;
        }
        self.enter()
    }
}
