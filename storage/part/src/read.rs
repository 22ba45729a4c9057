//! What to read of a row group, and how it becomes pages.

use std::ops::Range;

use base::{DictView, PageView, Run, StrView};
use bytes::Bytes;

use crate::codec::Decompressor;
use crate::columns::{self, Chunks, kind};
use crate::footer::Column;
use crate::wire::Cursor;
use crate::write::page_runs;
use crate::{Error, Footer};

/// Where a part's bytes come from. Blocking; offsets are relative to the part.
pub trait RangeRead: Send + Sync {
    /// What can go wrong.
    type Error: From<Error>;
    /// Reads all `ranges`, which ascend; each answer has exactly the length of its range. It is the
    /// reader who knows which are near enough to be read as one ([`read_joined`]).
    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Self::Error>;

    /// Whether a read costs little more than its bytes: a file or memory rather than a request.
    /// Then less is read at once, and buffers stay small.
    fn is_near(&self) -> bool {
        false
    }
}

/// A part in memory.
impl RangeRead for Bytes {
    type Error = Error;

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let slice = |range: &Range<u64>| {
            if range.start > range.end || range.end > self.len() as u64 {
                return Err(Error::corrupt("range outside the part", range.start));
            }
            Ok(self.slice(range.start as usize..range.end as usize))
        };
        ranges.iter().map(slice).collect()
    }
}

/// Columns to decode; timestamps and streams always are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Columns<'a> {
    /// Line bytes; without them only lengths are known.
    pub line_bytes: bool,
    /// Lengths of lines, which come with line bytes anyway. Without either, pages have no lines.
    pub lengths: bool,
    /// Structured-metadata keys; `None` = all.
    pub metadata: Option<&'a [String]>,
}

/// Two ranges of a file closer than this are read as one: a call costs more than these bytes.
const COALESCE_BYTES: u64 = 32 * 1024;

/// Reads `ranges` with one call of `read` for those that are near each other.
///
/// # Errors
/// That of `read`, which must give as many bytes as it is asked for.
pub fn read_joined<E>(
    ranges: &[Range<u64>],
    mut read: impl FnMut(Range<u64>) -> Result<Bytes, E>,
) -> Result<Vec<Bytes>, E> {
    let mut pieces = Vec::with_capacity(ranges.len());
    let mut rest = ranges;
    while let Some(first) = rest.first() {
        let mut joined = first.clone();
        let near = rest.iter().take_while(|next| {
            let near = joined.start <= next.start
                && next.start <= joined.end.saturating_add(COALESCE_BYTES);
            if near {
                joined.end = joined.end.max(next.end);
            }
            near
        });
        let (together, others) = rest.split_at(near.count());
        let start = joined.start;
        let bytes = read(joined)?;
        let place = |at: u64| (at - start) as usize;
        pieces.extend(together.iter().map(|r| bytes.slice(place(r.start)..place(r.end))));
        rest = others;
    }
    Ok(pieces)
}

/// Ranges of a part and their bytes.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// Ascending, apart from each other.
    ranges: Vec<Range<u64>>,
    bytes: Vec<Bytes>,
}

impl Fetched {
    /// Reads `ranges` (any order, may touch or overlap).
    pub fn read<E: From<Error>>(
        reader: &dyn RangeRead<Error = E>,
        mut ranges: Vec<Range<u64>>,
    ) -> Result<Fetched, E> {
        ranges.retain(|range| range.start < range.end);
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.dedup_by(|next, last| {
            let shared = next.start < last.end;
            if shared {
                last.end = last.end.max(next.end);
            }
            shared
        });
        if ranges.is_empty() {
            return Ok(Fetched::default());
        }
        let bytes = reader.read_ranges(&ranges)?;
        let fits = bytes.len() == ranges.len()
            && ranges.iter().zip(&bytes).all(|(r, b)| r.end - r.start == b.len() as u64);
        if !fits {
            return Err(Error::corrupt("part cut off", ranges[0].start).into());
        }
        Ok(Fetched { ranges, bytes })
    }

    /// The bytes of `range`, which must lie within one that was read.
    pub(crate) fn get(&self, range: Range<u64>) -> Result<&[u8], Error> {
        if range.start == range.end {
            return Ok(&[]);
        }
        let at = self.ranges.partition_point(|held| held.end <= range.start);
        match self.ranges.get(at) {
            Some(held) if held.start <= range.start && range.end <= held.end => {
                let from = (range.start - held.start) as usize;
                Ok(&self.bytes[at][from..from + (range.end - range.start) as usize])
            }
            _ => Err(Error::corrupt("range was not read", range.start)),
        }
    }

    /// Bytes held.
    pub fn byte_count(&self) -> u64 {
        self.bytes.iter().map(|bytes| bytes.len() as u64).sum()
    }
}

impl Footer {
    /// Adds the ranges of the small columns of row group `group`.
    pub fn column_ranges(&self, group: usize, columns: &Columns<'_>, out: &mut Vec<Range<u64>>) {
        let wanted = self.columns(group).iter().filter(|column| self.wants(columns, column));
        out.extend(wanted.map(|column| column.frame.range()));
    }

    /// Adds the ranges of the line pages in `pages` (bit `i` = page `i` of the group).
    pub fn line_ranges(&self, group: usize, pages: u64, out: &mut Vec<Range<u64>>) {
        for (page, frame) in self.frames(group).iter().enumerate() {
            if pages >> page & 1 == 1 {
                out.push(frame.range());
            }
        }
    }

    fn wants(&self, columns: &Columns<'_>, column: &Column) -> bool {
        match column.kind {
            kind::LENGTHS => columns.line_bytes || columns.lengths,
            kind::METADATA => {
                let name = self.symbol(column.name);
                columns.metadata.is_none_or(|names| names.iter().any(|wanted| wanted == name))
            }
            _ => true,
        }
    }

    /// The structured-metadata keys of row group `group`, sorted.
    pub fn metadata_names(&self, group: usize) -> impl Iterator<Item = &str> {
        let columns = self.columns(group).iter();
        columns
            .filter(|column| column.kind == kind::METADATA)
            .map(|column| self.symbol(column.name))
    }
}

/// Decodes row groups into buffers that are reused. One per thread.
#[derive(Default)]
pub struct GroupReader {
    decompressor: Decompressor,
    group: usize,
    times: RawColumn,
    lengths: RawColumn,
    has_lengths: bool,
    /// The first `metadata_count` are of this group.
    metadata: Vec<MetaColumn>,
    metadata_count: usize,
    runs: Vec<Run>,
    ts_ns: Vec<i64>,
    ends: Vec<u32>,
    lines: Vec<u8>,
    jumps: Vec<i64>,
}

/// A decompressed small column.
#[derive(Default)]
struct RawColumn {
    raw: Vec<u8>,
    chunks: Chunks,
}

#[derive(Default)]
struct MetaColumn {
    column: RawColumn,
    /// Symbol of the key.
    name: u32,
    /// Where the distinct values lie in `column.raw`.
    start: u32,
    ends: Vec<u32>,
    /// Codes of the page decoded last.
    codes: Vec<u32>,
}

/// One decoded page; its buffers belong to the [`GroupReader`].
pub struct DecodedPage<'a> {
    runs: &'a [Run],
    ts_ns: &'a [i64],
    lines: StrView<'a>,
    metadata: Vec<DictView<'a>>,
}

impl DecodedPage<'_> {
    /// The page as operators take it.
    pub fn view(&self) -> PageView<'_> {
        PageView { runs: self.runs, ts_ns: self.ts_ns, lines: self.lines, metadata: &self.metadata }
    }
}

impl GroupReader {
    /// Memory that the buffers take, about.
    pub fn memory_bytes(&self) -> usize {
        let column = |column: &RawColumn| column.raw.capacity();
        let metadata = self
            .metadata
            .iter()
            .map(|meta| column(&meta.column) + (meta.ends.capacity() + meta.codes.capacity()) * 4);
        column(&self.times)
            + column(&self.lengths)
            + metadata.sum::<usize>()
            + (self.ts_ns.capacity() + self.jumps.capacity()) * 8
            + self.ends.capacity() * 4
            + self.lines.capacity()
    }

    /// Enters row group `group`: checks and decompresses the small columns from `fetched`.
    pub fn group(
        &mut self,
        footer: &Footer,
        group: usize,
        columns: &Columns<'_>,
        fetched: &Fetched,
    ) -> Result<(), Error> {
        self.group = group;
        self.metadata_count = 0;
        self.has_lengths = columns.line_bytes || columns.lengths;
        let pages = footer.pages(group).len();
        for column in footer.columns(group) {
            if !footer.wants(columns, column) {
                continue;
            }
            let stored = fetched.get(column.frame.range())?;
            let offset = column.frame.offset;
            let target = match column.kind {
                kind::TIMES => &mut self.times,
                kind::LENGTHS => &mut self.lengths,
                _ => {
                    if self.metadata.len() == self.metadata_count {
                        self.metadata.push(MetaColumn::default());
                    }
                    self.metadata_count += 1;
                    &mut self.metadata[self.metadata_count - 1].column
                }
            };
            self.decompressor.frame(&column.frame, stored, &mut target.raw)?;
            let mut cursor = Cursor::new(&target.raw, "column", offset);
            if column.kind == kind::METADATA {
                let meta = &mut self.metadata[self.metadata_count - 1];
                let mut cursor = Cursor::new(&meta.column.raw, "metadata column", offset);
                meta.name = column.name;
                meta.start = columns::get_values(&mut cursor, &mut meta.ends)?;
                meta.column.chunks.read(&mut cursor, pages, offset)?;
            } else {
                target.chunks.read(&mut cursor, pages, offset)?;
            }
        }
        Ok(())
    }

    /// Decodes page `page` of the group entered last. Line bytes come from `fetched`; without it
    /// only lengths are known.
    pub fn page<'a>(
        &'a mut self,
        footer: &'a Footer,
        page: usize,
        fetched: Option<&Fetched>,
    ) -> Result<DecodedPage<'a>, Error> {
        self.decode(footer, page, fetched)?;
        Ok(self.current(footer))
    }

    /// The line bytes of page `page` of any row group, joined. Nothing else of the group is needed.
    pub fn lines(
        &mut self,
        footer: &Footer,
        group: usize,
        page: usize,
        fetched: &Fetched,
    ) -> Result<&[u8], Error> {
        let frame = footer.frames(group)[page];
        self.decompressor.frame(&frame, fetched.get(frame.range())?, &mut self.lines)?;
        Ok(&self.lines)
    }

    /// Decodes the rest of a page of the group entered last, whose lines are those that
    /// [`GroupReader::lines`] gave last.
    pub fn page_of_lines<'a>(
        &'a mut self,
        footer: &'a Footer,
        page: usize,
    ) -> Result<DecodedPage<'a>, Error> {
        let lines = std::mem::take(&mut self.lines);
        let decoded = self.decode_columns(footer, page);
        self.lines = lines;
        decoded?;
        assert_eq!(self.lines.len(), footer.pages(self.group)[page].line_bytes as usize);
        Ok(self.current(footer))
    }

    /// Decodes page `page` of the group entered last into the buffers.
    pub(crate) fn decode(
        &mut self,
        footer: &Footer,
        page: usize,
        fetched: Option<&Fetched>,
    ) -> Result<(), Error> {
        self.decode_columns(footer, page)?;
        match fetched {
            Some(fetched) => self.decode_lines(footer, page, fetched),
            None => Ok(()),
        }
    }

    /// Everything of a page but its line bytes.
    pub(crate) fn decode_columns(&mut self, footer: &Footer, page: usize) -> Result<(), Error> {
        let pages = footer.pages(self.group);
        let entry = pages[page];
        let from = if page == 0 { 0 } else { pages[page - 1].end };
        let rows = (entry.end - from) as usize;
        page_runs(footer.runs(self.group), from..entry.end, &mut self.runs);

        let chunk = self.times.chunks.get(&self.times.raw, page, "timestamps");
        columns::get_times(chunk, rows, &self.runs, &mut self.jumps, &mut self.ts_ns)?;
        self.ends.clear();
        if self.has_lengths {
            let chunk = self.lengths.chunks.get(&self.lengths.raw, page, "line lengths");
            columns::get_ends(chunk, rows, entry.line_bytes, &mut self.ends)?;
        }
        self.lines.clear();
        self.decode_codes(page, rows)
    }

    /// The line bytes of page `page`, of which everything else is decoded.
    pub(crate) fn decode_lines(
        &mut self,
        footer: &Footer,
        page: usize,
        fetched: &Fetched,
    ) -> Result<(), Error> {
        let frame = footer.frames(self.group)[page];
        let stored = fetched.get(frame.range())?;
        self.decompressor.frame(&frame, stored, &mut self.lines)
    }

    /// Only the metadata codes of page `page`, which has `rows` rows.
    pub(crate) fn decode_codes(&mut self, page: usize, rows: usize) -> Result<(), Error> {
        for meta in &mut self.metadata[..self.metadata_count] {
            let chunk = meta.column.chunks.get(&meta.column.raw, page, "metadata codes");
            columns::get_codes(chunk, rows, meta.ends.len() as u32, &mut meta.codes)?;
        }
        Ok(())
    }

    /// The chunks of page `page` in the timestamp and length columns, as they are stored.
    pub(crate) fn chunks(&self, page: usize) -> (&[u8], &[u8]) {
        (
            self.times.chunks.bytes(&self.times.raw, page),
            self.lengths.chunks.bytes(&self.lengths.raw, page),
        )
    }

    /// The metadata columns with the codes decoded last.
    pub(crate) fn metadata<'a>(&'a self, footer: &'a Footer) -> Vec<DictView<'a>> {
        let view = |meta: &'a MetaColumn| DictView {
            name: footer.symbol(meta.name),
            codes: &meta.codes,
            values: StrView { start: meta.start, ends: &meta.ends, bytes: &meta.column.raw },
        };
        self.metadata[..self.metadata_count].iter().map(view).collect()
    }

    /// Timestamps of the page decoded last.
    pub(crate) fn ts_ns(&self) -> &[i64] {
        &self.ts_ns
    }

    /// The page decoded last.
    pub(crate) fn current<'a>(&'a self, footer: &'a Footer) -> DecodedPage<'a> {
        DecodedPage {
            runs: &self.runs,
            ts_ns: &self.ts_ns,
            lines: StrView { start: 0, ends: &self.ends, bytes: &self.lines },
            metadata: self.metadata(footer),
        }
    }
}
