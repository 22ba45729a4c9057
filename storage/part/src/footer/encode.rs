//! Writing the footer.

use std::collections::BTreeMap;

use base::{Day, Labels, TenantId};

use crate::codec::{Compressor, Frame};
use crate::footer::texts::Texts;
use crate::footer::{MAGIC, Page, Run, Stream, TRAILER_BYTES, VERSION, section};
use crate::sketch::{self, ids::Longest};
use crate::templates::{self, Template};
use crate::wire::{put_bytes, put_varint, put_zigzag};
use crate::write::Output;
use crate::{Codec, Error};

/// Everything the footer says, gathered while a part is written.
pub(crate) struct Draft {
    pub(crate) tenant: TenantId,
    pub(crate) day: Day,
    /// Ascending.
    pub(crate) labels: Vec<Labels>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) groups: Vec<DraftGroup>,
    pub(crate) templates: Vec<Template>,
}

/// A finished row group.
pub(crate) struct DraftGroup {
    pub(crate) rows: u32,
    pub(crate) min_ns: i64,
    pub(crate) pages: Vec<(Page, Frame)>,
    pub(crate) runs: Vec<Run>,
    /// Pairs of metadata of the rows of each run.
    pub(crate) run_pairs: Vec<u64>,
    /// Kind, flags, name, frame.
    pub(crate) columns: Vec<(u8, u8, Option<String>, Frame)>,
    pub(crate) trigrams: Frame,
    pub(crate) folds: u64,
    pub(crate) escapes: u64,
    pub(crate) ids_offset: u64,
    pub(crate) ids_blocks: u32,
    pub(crate) longest: Vec<Longest>,
}

/// Sums over all streams.
pub(crate) struct Totals {
    pub(crate) rows: u64,
    pub(crate) line_bytes: u64,
    pub(crate) min_ns: i64,
    pub(crate) max_ns: i64,
}

impl Draft {
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals { rows: 0, line_bytes: 0, min_ns: i64::MAX, max_ns: i64::MIN };
        for stream in &self.streams {
            totals.rows += stream.rows;
            totals.line_bytes += stream.line_bytes;
            totals.min_ns = totals.min_ns.min(stream.min_ns);
            totals.max_ns = totals.max_ns.max(stream.max_ns);
        }
        totals
    }
}

/// Appends footer and trailer to `output`, the part so far; trigram tables begin at `tail_start`.
/// Gives the bytes of footer and trailer.
pub(crate) fn encode(
    draft: &Draft,
    codec: Codec,
    tail_start: u64,
    output: &mut Output,
) -> Result<u32, Error> {
    let before = output.taken();
    let out = output.open();
    assert_eq!(draft.labels.len(), draft.streams.len(), "one entry per stream");
    assert!(draft.streams.iter().all(|stream| stream.rows > 0), "streams without rows");
    let mut compressor = Compressor::new(codec)?;
    let symbols = Symbols::new(draft);
    let totals = draft.totals();
    let start = out.len();

    let mut raw = Vec::new();
    put_summary(draft, &totals, &mut raw);
    put_section(section::SUMMARY, &raw, &mut compressor, out)?;
    raw.clear();
    symbols.put(&mut raw);
    put_section(section::SYMBOLS, &raw, &mut compressor, out)?;
    raw.clear();
    put_streams(draft, &symbols, &totals, &mut raw);
    put_section(section::STREAMS, &raw, &mut compressor, out)?;
    raw.clear();
    put_directory(draft, &symbols, &mut raw);
    put_section(section::DIRECTORY, &raw, &mut compressor, out)?;
    raw.clear();
    templates::put(&draft.templates, &mut raw);
    put_section(section::TEMPLATES, &raw, &mut compressor, out)?;
    raw.clear();
    put_pairs(draft, &mut raw);
    put_section(section::PAIRS, &raw, &mut compressor, out)?;

    let sections = (out.len() - start) as u32;
    let part_bytes = before + (out.len() + TRAILER_BYTES) as u64;
    let tail_bytes = (part_bytes - tail_start) as u32;
    let trailer = out.len();
    out.extend_from_slice(&sections.to_le_bytes());
    out.extend_from_slice(&tail_bytes.to_le_bytes());
    out.extend_from_slice(&part_bytes.to_le_bytes());
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    let crc = crc32c::crc32c(&out[trailer..]);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&MAGIC);
    assert_eq!(out.len() - trailer, TRAILER_BYTES);
    Ok(sections + TRAILER_BYTES as u32)
}

/// A section: kind (u8), codec (u8), version (u16), stored bytes (u32), raw bytes (u32), crc32c of
/// those twelve bytes and the stored bytes (u32), the stored bytes.
fn put_section(
    kind: u8,
    raw: &[u8],
    compressor: &mut Compressor,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut stored = Vec::new();
    let frame = compressor.frame(raw, &mut stored)?;
    let start = out.len();
    out.extend_from_slice(&[kind, frame.codec.tag()]);
    out.extend_from_slice(&section::VERSION.to_le_bytes());
    out.extend_from_slice(&frame.stored.to_le_bytes());
    out.extend_from_slice(&frame.raw.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start..]), &stored);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&stored);
    Ok(())
}

fn put_summary(draft: &Draft, totals: &Totals, out: &mut Vec<u8>) {
    put_bytes(out, draft.tenant.as_str().as_bytes());
    put_zigzag(out, i64::from(draft.day.0));
    put_varint(out, totals.rows);
    put_varint(out, totals.line_bytes);
    put_zigzag(out, totals.min_ns);
    put_varint(out, totals.max_ns.wrapping_sub(totals.min_ns) as u64);
}

/// Distinct texts in ascending order, and where each is.
struct Symbols<'a> {
    texts: Vec<&'a str>,
    /// Where the texts of streams are: names and values in turn, stream after stream.
    of_streams: Vec<u32>,
    /// Where the names of metadata columns are.
    columns: BTreeMap<&'a str, u32>,
}

impl<'a> Symbols<'a> {
    fn new(draft: &'a Draft) -> Symbols<'a> {
        let (mut texts, mut of_streams) = (Texts::default(), Vec::new());
        for labels in &draft.labels {
            texts.number_labels(labels, &mut of_streams);
        }
        let columns = draft.groups.iter().flat_map(|group| &group.columns);
        let names = columns.filter_map(|column| column.2.as_deref());
        let mut columns: BTreeMap<&str, u32> =
            names.map(|name| (name, texts.number(name))).collect();
        let (texts, places) = texts.sorted();
        let numbers = of_streams.iter_mut().chain(columns.values_mut());
        numbers.for_each(|number| *number = places[*number as usize]);
        Symbols { texts, of_streams, columns }
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.texts.len() as u64);
        for text in &self.texts {
            put_varint(out, text.len() as u64);
        }
        for text in &self.texts {
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn put_streams(draft: &Draft, symbols: &Symbols<'_>, totals: &Totals, out: &mut Vec<u8>) {
    put_varint(out, draft.streams.len() as u64);
    let mut texts = symbols.of_streams.iter();
    for (labels, stream) in draft.labels.iter().zip(&draft.streams) {
        put_varint(out, labels.len() as u64);
        for &text in texts.by_ref().take(2 * labels.len()) {
            put_varint(out, text.into());
        }
        put_varint(out, stream.rows);
        put_varint(out, stream.line_bytes);
        put_times(out, stream.min_ns, stream.max_ns, totals.min_ns);
    }
}

/// Oldest as its distance from `base`, newest as its distance from the oldest.
fn put_times(out: &mut Vec<u8>, min_ns: i64, max_ns: i64, base: i64) {
    put_varint(out, min_ns.wrapping_sub(base) as u64);
    put_varint(out, max_ns.wrapping_sub(min_ns) as u64);
}

fn put_directory(draft: &Draft, symbols: &Symbols<'_>, out: &mut Vec<u8>) {
    put_varint(out, draft.groups.len() as u64);
    for group in &draft.groups {
        put_varint(out, u64::from(group.rows));
        put_zigzag(out, group.min_ns);
        put_pages(group, out);
        put_runs(group, out);
        put_varint(out, group.columns.len() as u64);
        for (kind, flags, name, frame) in &group.columns {
            out.extend_from_slice(&[*kind, *flags]);
            let mut piece = Vec::new();
            put_varint(&mut piece, name.as_deref().map_or(0, |name| symbols.columns[name].into()));
            frame.put(&mut piece);
            put_bytes(out, &piece);
        }
        put_sketches(group, out);
    }
}

fn put_pages(group: &DraftGroup, out: &mut Vec<u8>) {
    put_varint(out, group.pages.len() as u64);
    put_varint(out, group.pages[0].1.offset);
    let (mut row, mut offset) = (0, group.pages[0].1.offset);
    for (page, frame) in &group.pages {
        assert_eq!(frame.offset, offset, "line pages of a row group lie together");
        assert_eq!(frame.raw, page.line_bytes, "a line frame is the page's lines");
        put_varint(out, u64::from(page.end - row));
        frame.put_size(out);
        put_times(out, page.min_ns, page.max_ns, group.min_ns);
        row = page.end;
        offset += u64::from(frame.stored);
    }
    assert_eq!(row, group.rows, "pages cover the rows");
}

fn put_runs(group: &DraftGroup, out: &mut Vec<u8>) {
    put_varint(out, group.runs.len() as u64);
    let (mut row, mut next) = (0, 0);
    for run in &group.runs {
        assert!(run.stream >= next, "runs of a row group ascend by stream");
        put_varint(out, u64::from(run.stream - next));
        put_varint(out, u64::from(run.end - row));
        put_varint(out, run.line_bytes);
        put_times(out, run.min_ns, run.max_ns, group.min_ns);
        row = run.end;
        next = run.stream + 1;
    }
    assert_eq!(row, group.rows, "runs cover the rows");
}

fn put_pairs(draft: &Draft, out: &mut Vec<u8>) {
    for group in &draft.groups {
        assert_eq!(group.run_pairs.len(), group.runs.len(), "one count per run");
        group.run_pairs.iter().for_each(|&pairs| put_varint(out, pairs));
    }
}

fn put_sketches(group: &DraftGroup, out: &mut Vec<u8>) {
    put_varint(out, 3);
    let mut piece = Vec::new();
    group.trigrams.put(&mut piece);
    piece.extend_from_slice(&group.folds.to_le_bytes());
    out.extend_from_slice(&[sketch::kind::TRIGRAMS, sketch::kind::VERSION]);
    put_bytes(out, &piece);
    piece.clear();
    put_varint(&mut piece, group.ids_offset);
    put_varint(&mut piece, u64::from(group.ids_blocks));
    for longest in &group.longest {
        piece.extend_from_slice(&longest.plain.to_le_bytes());
        piece.extend_from_slice(&longest.hyphened.to_le_bytes());
    }
    out.extend_from_slice(&[sketch::kind::IDS, sketch::kind::VERSION]);
    put_bytes(out, &piece);
    out.extend_from_slice(&[sketch::kind::ESCAPES, sketch::kind::VERSION]);
    put_bytes(out, &group.escapes.to_le_bytes());
}
