//! Fuzz targets: plain functions, replayed by the tests and run by `cargo xtask fuzz`.

use bytes::Bytes;

use crate::columns;
use crate::footer::{MAGIC, TRAILER_BYTES};
use crate::sketch::trigrams;
use crate::templates;
use crate::wire::Cursor;
use crate::{Columns, Fetched, Footer, GroupReader, Miner, Needle, RangeRead, Survey, Template};

/// Any bytes as a part, as they are and with right checksums: opening gives a footer or an error.
pub fn fuzz_footer(data: &[u8]) {
    open(data);
    let mut part = data.to_vec();
    reseal(&mut part);
    open(&part);
}

fn open(data: &[u8]) {
    if let Ok(footer) = Footer::open(data, data.len() as u64) {
        assert_eq!(footer.labels().len(), footer.streams().len());
        if let Ok(Some(templates)) = footer.templates() {
            let streams = footer.streams().len() as u32;
            assert!(templates.iter().flat_map(|t| &t.streams).all(|&stream| stream < streams));
        }
        for group in 0..footer.groups().len() {
            assert!(!footer.pages(group).is_empty());
            let mut ranges = Vec::new();
            footer.line_ranges(group, u64::MAX, &mut ranges);
            footer.column_ranges(group, &Columns::default(), &mut ranges);
            assert!(ranges.iter().all(|range| range.end <= data.len() as u64));
        }
    }
}

/// Any bytes as a part, as they are and with right checksums: every page decodes or is an error,
/// every sketch answers or is an error.
pub fn fuzz_group(data: &[u8]) {
    read_groups(data);
    let mut part = data.to_vec();
    reseal(&mut part);
    read_groups(&part);
}

fn read_groups(data: &[u8]) {
    let Ok(footer) = Footer::open(data, data.len() as u64) else { return };
    let part = Bytes::copy_from_slice(data);
    let mut reader = GroupReader::default();
    for group in 0..footer.groups().len() {
        let _ = read_group(&footer, &part, group, &mut reader);
        let needle = Needle { bytes: b"needle 0123456789ab-0123456789ab", ignore_case: true };
        let _ = footer.page_mask(group, u64::MAX, &[vec![needle]], &part);
    }
}

fn read_group(
    footer: &Footer,
    part: &Bytes,
    group: usize,
    reader: &mut GroupReader,
) -> Result<(), crate::Error> {
    let columns = Columns { line_bytes: true, lengths: true, metadata: None };
    let mut ranges = Vec::new();
    footer.column_ranges(group, &columns, &mut ranges);
    footer.line_ranges(group, u64::MAX, &mut ranges);
    let part: &dyn RangeRead<Error = crate::Error> = part;
    let fetched = Fetched::read(part, ranges)?;
    reader.group(footer, group, &columns, &fetched)?;
    for page in 0..footer.pages(group).len() {
        let decoded = reader.page(footer, page, Some(&fetched))?;
        let view = decoded.view();
        for row in 0..view.len() {
            std::hint::black_box(view.lines.get(row));
            for column in view.metadata {
                std::hint::black_box(column.get(row));
            }
        }
    }
    Ok(())
}

/// Any bytes as a part taken apart, as they are and with right checksums: what opens and reads whole
/// is sound, what does not open is not.
pub fn fuzz_survey(data: &[u8]) {
    survey(data);
    let mut part = data.to_vec();
    reseal(&mut part);
    survey(&part);
}

fn survey(part: &[u8]) {
    let opens = Footer::open(part, part.len() as u64).is_ok();
    let Ok(survey) = Survey::of(part) else {
        assert!(!opens, "a part that opens cannot be taken apart");
        return;
    };
    assert!(opens || !survey.is_sound(), "a part that does not open is called sound");
    assert!(survey.footer.labels().len() == survey.footer.streams().len());
    let bytes = Bytes::copy_from_slice(part);
    for group in 0..survey.footer.groups().len() {
        let _ = read_group(&survey.footer, &bytes, group, &mut GroupReader::default());
    }
}

/// Makes the checksums of trailer and sections right, so that mutations reach what is behind them.
fn reseal(part: &mut [u8]) {
    let Some(trailer) = part.len().checked_sub(TRAILER_BYTES) else { return };
    let size = u32::from_le_bytes([
        part[trailer],
        part[trailer + 1],
        part[trailer + 2],
        part[trailer + 3],
    ]);
    let mut at = trailer.saturating_sub(size as usize);
    while at + 16 <= trailer {
        let header = &part[at..at + 12];
        let stored = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let Some(end) = (at + 16).checked_add(stored).filter(|&end| end <= trailer) else { break };
        let crc = crc32c::crc32c_append(crc32c::crc32c(header), &part[at + 16..end]);
        part[at + 12..at + 16].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
    let size = (part.len() as u64).to_le_bytes();
    part[trailer + 8..trailer + 16].copy_from_slice(&size);
    let crc = crc32c::crc32c(&part[trailer..trailer + 20]).to_le_bytes();
    part[trailer + 20..trailer + 24].copy_from_slice(&crc);
    part[trailer + 24..].copy_from_slice(&MAGIC);
}

/// Any bytes as the raw bytes of columns and sketches, behind every checksum.
pub fn fuzz_columns(data: &[u8]) {
    let Some((&[rows, runs, pages], raw)) = data.split_first_chunk::<3>() else { return };
    let rows = usize::from(rows) * 3 + 1;
    let pages = usize::from(pages) % 64 + 1;
    let count = (usize::from(runs) % 4 + 1).min(rows);
    let end = |run: usize| if run + 1 == count { rows } else { run + 1 } as u32;
    let runs: Vec<base::Run> =
        (0..count).map(|run| base::Run { stream: run as u32, end: end(run) }).collect();
    let cursor = || Cursor::new(raw, "fuzz", 0);
    let _ = columns::get_times(cursor(), rows, &runs, &mut Vec::new(), &mut Vec::new());
    let _ = columns::get_ends(cursor(), rows, rows as u32, &mut Vec::new());
    let _ = columns::get_codes(cursor(), rows, 7, &mut Vec::new());
    let mut values = cursor();
    let mut chunks = columns::Chunks::default();
    if columns::get_values(&mut values, &mut Vec::new()).is_ok()
        && chunks.read(&mut values, pages, 0).is_ok()
    {
        for page in 0..pages {
            let chunk = chunks.get(raw, page, "fuzz");
            let _ = columns::get_codes(chunk, rows, 7, &mut Vec::new());
        }
    }
    if let Ok(table) = trigrams::Table::open(raw, pages, 0) {
        table.pages(&Needle { bytes: b"needle", ignore_case: false });
    }
}

/// Any bytes as lines, as templates and as a section of templates: what is found can be written, and
/// read back.
pub fn fuzz_templates(data: &[u8]) {
    let mut miner = Miner::default();
    for (row, line) in data.split(|&byte| byte == 0).enumerate() {
        let (stream, level) = (row as u32 % 5, &line[..line.len().min(row % 3)]);
        miner.line(stream, level, line, row as u64);
        if let Ok(text) = std::str::from_utf8(line) {
            let (level, text) = (String::new(), text.to_owned());
            miner.template(&Template { level, text, rows: u64::MAX, streams: vec![1, 4] });
        }
    }
    let found = miner.finish();
    let mut bytes = Vec::new();
    templates::put(&found, &mut bytes);
    let read = templates::get(Cursor::new(&bytes, "fuzz", 0), 5).expect("it was written so");
    assert_eq!(read, found);
    let _ = templates::get(Cursor::new(data, "fuzz", 0), 5);
}
