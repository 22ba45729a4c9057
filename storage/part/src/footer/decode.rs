//! Reading the footer. Everything here may be damaged or hostile.

use std::sync::OnceLock;

use base::{Day, TenantId};

use crate::Error;
use crate::codec::{Codec, Decompressor, Frame};
use crate::columns::{self, REQUIRED};
use crate::footer::{
    Column, Footer, Group, GroupParts, Ids, MAGIC, Page, Run, Stream, Symbols, TRAILER_BYTES,
    Trigrams, VERSION, section,
};
use crate::options::{MAX_GROUP_PAGES, MAX_GROUP_ROWS};
use crate::sketch::{self, ids};
use crate::wire::Cursor;

/// A footer larger than this is damage: 64 M streams or pages are not in one part.
const MAX_FOOTER_RAW: u64 = 1 << 30;

impl Footer {
    /// Opens a part of `part_bytes` bytes from its last bytes.
    ///
    /// [`Error::Short`] says how many are needed when `tail` is too short; 64 KiB usually do, and
    /// [`crate::Image::footer_bytes`] always does.
    pub fn open(tail: &[u8], part_bytes: u64) -> Result<Footer, Error> {
        let trailer = Trailer::read(tail, part_bytes)?;
        let need = trailer.sections + TRAILER_BYTES as u64;
        if (tail.len() as u64) < need {
            return Err(Error::Short { need, have: tail.len() as u64 });
        }
        let end = tail.len() - TRAILER_BYTES;
        let sections = &tail[end - trailer.sections as usize..end];
        let start = part_bytes - need;
        let mut raw = Sections::default();
        raw.read(sections, start)?;

        let mut footer = empty(part_bytes)?;
        footer.get_summary(raw.cursor(section::SUMMARY)?)?;
        footer.symbols = get_symbols(raw.cursor(section::SYMBOLS)?)?;
        footer.get_streams(raw.cursor(section::STREAMS)?)?;
        footer.get_directory(raw.cursor(section::DIRECTORY)?, start)?;
        footer.check_sums(start)?;
        if let Some(pairs) = raw.take(section::PAIRS) {
            footer.get_pairs(Cursor::new(&pairs, "footer pairs", start))?;
        }
        footer.templates = raw.take(section::TEMPLATES).map(Vec::into_boxed_slice);
        Ok(footer)
    }

    pub(super) fn get_summary(&mut self, mut cursor: Cursor<'_>) -> Result<(), Error> {
        let tenant = std::str::from_utf8(cursor.bytes()?).map_err(|_| cursor.corrupt())?;
        self.tenant = TenantId::new(tenant).map_err(|_| cursor.corrupt())?;
        let day = i32::try_from(cursor.zigzag()?).map_err(|_| cursor.corrupt())?;
        self.day = Day(day);
        self.rows = cursor.varint()?;
        self.line_bytes = cursor.varint()?;
        self.min_ns = cursor.zigzag()?;
        self.max_ns = later(&mut cursor, self.min_ns)?;
        Ok(())
    }

    pub(super) fn get_streams(&mut self, mut cursor: Cursor<'_>) -> Result<(), Error> {
        let count = cursor.count(5)?;
        self.streams.reserve_exact(count);
        self.pair_ends.reserve_exact(count);
        let symbols = self.symbols.len() as u64;
        for stream in 0..count {
            let from = self.pairs.len();
            for _ in 0..cursor.count(2)? {
                let (name, value) = (cursor.varint()?, cursor.varint()?);
                let ascends =
                    self.pairs[from..].last().is_none_or(|&(last, _)| u64::from(last) < name);
                if name >= symbols || value >= symbols || !ascends {
                    return Err(cursor.corrupt());
                }
                self.pairs.push((name as u32, value as u32));
            }
            self.pair_ends.push(self.pairs.len() as u32);
            // Symbols ascend by text, so comparing them compares labels.
            if stream > 0 && self.pairs_of(stream - 1) >= self.pairs_of(stream) {
                return Err(cursor.corrupt());
            }
            let (rows, line_bytes) = (cursor.varint()?, cursor.varint()?);
            let min_ns = later(&mut cursor, self.min_ns)?;
            let max_ns = later(&mut cursor, min_ns)?;
            self.streams.push(Stream { rows, line_bytes, min_ns, max_ns });
        }
        Ok(())
    }

    pub(super) fn get_directory(
        &mut self,
        mut cursor: Cursor<'_>,
        limit: u64,
    ) -> Result<(), Error> {
        let count = cursor.count(16)?;
        for _ in 0..count {
            let rows = cursor.varint32()?;
            if rows == 0 || rows as usize > MAX_GROUP_ROWS {
                return Err(cursor.corrupt());
            }
            let min_ns = cursor.zigzag()?;
            let mut group = Group { rows, line_bytes: 0, min_ns, max_ns: min_ns };
            let mut parts = GroupParts::default();
            let pages = self.pages.len();
            self.get_pages(&mut cursor, &mut group, limit)?;
            parts.pages = pages as u32..self.pages.len() as u32;
            let runs = self.runs.len();
            self.get_runs(&mut cursor, &group)?;
            parts.runs = runs as u32..self.runs.len() as u32;
            let columns = self.columns.len();
            self.get_columns(&mut cursor, limit)?;
            parts.columns = columns as u32..self.columns.len() as u32;
            self.get_sketches(&mut cursor, &mut parts, limit)?;
            self.groups.push(group);
            self.parts.push(parts);
            self.tables.push(OnceLock::new());
        }
        Ok(())
    }

    fn get_pages(
        &mut self,
        cursor: &mut Cursor<'_>,
        group: &mut Group,
        limit: u64,
    ) -> Result<(), Error> {
        let count = cursor.count(10)?;
        if count == 0 || count > MAX_GROUP_PAGES {
            return Err(cursor.corrupt());
        }
        let mut offset = cursor.varint()?;
        let mut row = 0u64;
        for _ in 0..count {
            let rows = cursor.varint()?;
            row = row.saturating_add(rows);
            if rows == 0 || row > u64::from(group.rows) {
                return Err(cursor.corrupt());
            }
            let frame = Frame::get_size(cursor, offset, limit)?;
            let min_ns = later(cursor, group.min_ns)?;
            let max_ns = later(cursor, min_ns)?;
            offset += u64::from(frame.stored);
            group.line_bytes += u64::from(frame.raw);
            group.max_ns = group.max_ns.max(max_ns);
            self.pages.push(Page { end: row as u32, line_bytes: frame.raw, min_ns, max_ns });
            self.frames.push(frame);
        }
        if row == u64::from(group.rows) { Ok(()) } else { Err(cursor.corrupt()) }
    }

    fn get_runs(&mut self, cursor: &mut Cursor<'_>, group: &Group) -> Result<(), Error> {
        let count = cursor.count(5)?;
        let (mut row, mut next) = (0u64, 0u64);
        for _ in 0..count {
            let stream = next.saturating_add(cursor.varint()?);
            let rows = cursor.varint()?;
            row = row.saturating_add(rows);
            let line_bytes = cursor.varint()?;
            let min_ns = later(cursor, group.min_ns)?;
            let max_ns = later(cursor, min_ns)?;
            let fits = row <= u64::from(group.rows) && max_ns <= group.max_ns;
            if stream >= self.streams.len() as u64 || rows == 0 || !fits {
                return Err(cursor.corrupt());
            }
            let (stream, end) = (stream as u32, row as u32);
            self.runs.push(Run { stream, end, line_bytes, min_ns, max_ns });
            next = u64::from(stream) + 1;
        }
        if row == u64::from(group.rows) { Ok(()) } else { Err(cursor.corrupt()) }
    }

    fn get_columns(&mut self, cursor: &mut Cursor<'_>, limit: u64) -> Result<(), Error> {
        let from = self.columns.len();
        for _ in 0..cursor.count(3)? {
            let (kind, flags) = (cursor.u8()?, cursor.u8()?);
            let piece = cursor.bytes()?;
            match kind {
                columns::kind::TIMES | columns::kind::LENGTHS | columns::kind::METADATA => {}
                _ if flags & REQUIRED != 0 => return Err(Error::Column { kind }),
                _ => continue,
            }
            let mut piece = Cursor::new(piece, "column directory", limit);
            let name = piece.varint()?;
            let frame = Frame::get(&mut piece, limit)?;
            if kind == columns::kind::METADATA && name >= self.symbols.len() as u64 {
                return Err(cursor.corrupt());
            }
            self.columns.push(Column { kind, name: name as u32, frame });
        }
        // Timestamps, lengths, then metadata by name: readers rely on it.
        let columns = &self.columns[from..];
        let kinds = columns.iter().take(2).map(|column| column.kind);
        let ordered = kinds.eq([columns::kind::TIMES, columns::kind::LENGTHS])
            && columns[2..].iter().all(|column| column.kind == columns::kind::METADATA)
            && columns[2..].windows(2).all(|pair| pair[0].name < pair[1].name);
        if ordered { Ok(()) } else { Err(cursor.corrupt()) }
    }

    fn get_sketches(
        &mut self,
        cursor: &mut Cursor<'_>,
        parts: &mut GroupParts,
        limit: u64,
    ) -> Result<(), Error> {
        let pages = parts.pages.len();
        for _ in 0..cursor.count(3)? {
            let (kind, version) = (cursor.u8()?, cursor.u8()?);
            let mut piece = Cursor::new(cursor.bytes()?, "sketch directory", limit);
            match (kind, version) {
                (sketch::kind::TRIGRAMS, sketch::kind::VERSION) => {
                    let frame = Frame::get(&mut piece, limit)?;
                    parts.trigrams = Some(Trigrams { frame, folds: piece.u64()? });
                }
                (sketch::kind::IDS, sketch::kind::VERSION) => {
                    let offset = piece.varint()?;
                    let blocks = piece.varint32()?;
                    let bytes = u64::from(blocks) * ids::row_bytes(pages) as u64;
                    if offset.checked_add(bytes).is_none_or(|end| end > limit) {
                        return Err(piece.corrupt());
                    }
                    let longest = self.longest.len() as u32;
                    for _ in 0..pages {
                        let (plain, hyphened) = (piece.u16()?, piece.u16()?);
                        self.longest.push(ids::Longest { plain, hyphened });
                    }
                    parts.ids = Some(Ids { offset, blocks, longest });
                }
                (sketch::kind::ESCAPES, sketch::kind::VERSION) => {
                    parts.escapes = Some(piece.u64()?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn get_pairs(&mut self, mut cursor: Cursor<'_>) -> Result<(), Error> {
        let mut pairs = Vec::with_capacity(self.runs.len());
        for group in 0..self.groups.len() {
            // Timestamps and lengths, then one column per name.
            let names = self.columns(group).len() as u64 - 2;
            let mut from = 0;
            for run in self.runs(group) {
                let count = cursor.varint()?;
                if count > names * u64::from(run.end - std::mem::replace(&mut from, run.end)) {
                    return Err(cursor.corrupt());
                }
                pairs.push(count);
            }
        }
        cursor.finish()?;
        self.run_pairs = Some(pairs);
        Ok(())
    }

    /// The same sums from streams, runs and pages: at seal they agreed.
    pub(super) fn check_sums(&self, offset: u64) -> Result<(), Error> {
        let mut streams = vec![(0u64, 0u64); self.streams.len()];
        for run_from in 0..self.groups.len() {
            let mut row = 0;
            for run in self.runs(run_from) {
                let sums = &mut streams[run.stream as usize];
                sums.0 += u64::from(run.end - row);
                sums.1 = sums.1.saturating_add(run.line_bytes);
                row = run.end;
            }
        }
        let told = self.streams.iter().map(|stream| (stream.rows, stream.line_bytes));
        let rows: u64 = self.groups.iter().map(|group| u64::from(group.rows)).sum();
        let line_bytes: u64 = self.groups.iter().map(|group| group.line_bytes).sum();
        let of_runs = streams.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let agrees = told.eq(streams.iter().copied())
            && (rows, line_bytes) == (self.rows, self.line_bytes)
            && of_runs == line_bytes;
        if agrees { Ok(()) } else { Err(Error::corrupt("footer sums", offset)) }
    }
}

pub(super) fn empty(part_bytes: u64) -> Result<Footer, Error> {
    let tenant = TenantId::new("x").map_err(|_| Error::corrupt("tenant", 0))?;
    Ok(Footer {
        tenant,
        day: Day(0),
        part_bytes,
        rows: 0,
        line_bytes: 0,
        min_ns: 0,
        max_ns: 0,
        symbols: Symbols::default(),
        pair_ends: Vec::new(),
        pairs: Vec::new(),
        streams: Vec::new(),
        groups: Vec::new(),
        parts: Vec::new(),
        runs: Vec::new(),
        run_pairs: None,
        pages: Vec::new(),
        frames: Vec::new(),
        columns: Vec::new(),
        longest: Vec::new(),
        labels: OnceLock::new(),
        tables: Vec::new(),
        templates: None,
    })
}

/// An instant written as its distance from an earlier one.
fn later(cursor: &mut Cursor<'_>, from: i64) -> Result<i64, Error> {
    let distance = cursor.varint()?;
    from.checked_add_unsigned(distance).ok_or_else(|| cursor.corrupt())
}

pub(super) fn get_symbols(mut cursor: Cursor<'_>) -> Result<Symbols, Error> {
    let count = cursor.count(1)?;
    let mut ends = Vec::with_capacity(count);
    let mut end = 0u64;
    for _ in 0..count {
        end = end.saturating_add(cursor.varint()?);
        if end > cursor.remaining() as u64 {
            return Err(cursor.corrupt());
        }
        ends.push(end as u32);
    }
    let text = std::str::from_utf8(cursor.take(end as usize)?).map_err(|_| cursor.corrupt())?;
    if ends.iter().any(|&end| !text.is_char_boundary(end as usize)) {
        return Err(cursor.corrupt());
    }
    let symbols = Symbols { text: text.to_owned(), ends };
    let ascends = (1..count as u32).all(|at| symbols.get(at - 1) < symbols.get(at));
    if ascends { Ok(symbols) } else { Err(cursor.corrupt()) }
}

struct Trailer {
    /// Bytes of all sections.
    sections: u64,
}

impl Trailer {
    fn read(tail: &[u8], part_bytes: u64) -> Result<Trailer, Error> {
        let Some(at) = tail.len().checked_sub(TRAILER_BYTES) else {
            let (need, have) = (TRAILER_BYTES as u64, tail.len() as u64);
            return Err(match part_bytes < need {
                true => Error::corrupt("no room for a trailer", 0),
                false => Error::Short { need, have },
            });
        };
        if (tail.len() as u64) > part_bytes {
            return Err(Error::corrupt("tail longer than the part", 0));
        }
        let offset = part_bytes - TRAILER_BYTES as u64;
        let trailer = &tail[at..];
        if trailer[24..] != MAGIC {
            return Err(Error::corrupt("trailer magic", offset + 24));
        }
        let mut cursor = Cursor::new(trailer, "trailer", offset);
        let sections = u64::from(cursor.u32()?);
        let _tail_bytes = cursor.u32()?;
        let told = cursor.u64()?;
        let version = cursor.u16()?;
        let _flags = cursor.u16()?;
        if cursor.u32()? != crc32c::crc32c(&trailer[..20]) {
            return Err(Error::corrupt("trailer checksum", offset));
        }
        if version == 0 || version > VERSION {
            return Err(Error::Version { found: version, known: VERSION });
        }
        if told != part_bytes {
            return Err(Error::corrupt("part size", offset + 8));
        }
        if sections > offset {
            return Err(Error::corrupt("footer size", offset));
        }
        Ok(Trailer { sections })
    }
}

/// Decompressed sections by kind.
#[derive(Default)]
pub(super) struct Sections {
    raw: Vec<(u8, Vec<u8>)>,
    start: u64,
}

impl Sections {
    pub(super) fn read(&mut self, bytes: &[u8], start: u64) -> Result<(), Error> {
        self.start = start;
        let mut decompressor = Decompressor::default();
        let mut cursor = Cursor::new(bytes, "footer section", start);
        let mut total = 0;
        while cursor.remaining() > 0 {
            let header = &bytes[cursor.position()..];
            let offset = start + cursor.position() as u64;
            let (kind, codec) = (cursor.u8()?, cursor.u8()?);
            let version = cursor.u16()?;
            let (stored, raw, told) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
            let body = cursor.take(stored as usize)?;
            let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), body);
            let Some(codec) = Codec::from_tag(codec) else { return Err(cursor.corrupt()) };
            if crc != told {
                return Err(Error::corrupt("footer checksum", offset));
            }
            let frame = Frame { offset, stored, raw, codec, crc: crc32c::crc32c(body) };
            total += u64::from(raw);
            if !frame.plausible() || total > MAX_FOOTER_RAW {
                return Err(cursor.corrupt());
            }
            let mut out = Vec::new();
            decompressor.frame(&frame, body, &mut out)?;
            let is_known = (section::SUMMARY..=section::DIRECTORY).contains(&kind);
            if is_known && version != section::VERSION {
                return Err(Error::Version { found: version, known: section::VERSION });
            }
            // Others can be done without: those of a later version are as those of no version.
            if is_known || version == section::VERSION {
                self.raw.push((kind, out));
            }
        }
        Ok(())
    }

    /// The raw bytes of a section that may be missing.
    pub(super) fn take(&mut self, kind: u8) -> Option<Vec<u8>> {
        let at = self.raw.iter().position(|(found, _)| *found == kind)?;
        Some(self.raw.swap_remove(at).1)
    }

    /// Takes in the sections of `other`.
    pub(super) fn append(&mut self, mut other: Sections) {
        self.raw.append(&mut other.raw);
    }

    pub(super) fn cursor(&self, kind: u8) -> Result<Cursor<'_>, Error> {
        let found = self.raw.iter().find(|(found, _)| *found == kind);
        let Some((_, raw)) = found else {
            return Err(Error::corrupt("footer section missing", self.start));
        };
        let what = match kind {
            section::SUMMARY => "footer summary",
            section::SYMBOLS => "footer symbols",
            section::STREAMS => "footer streams",
            _ => "footer directory",
        };
        Ok(Cursor::new(raw, what, self.start))
    }
}
