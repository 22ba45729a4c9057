//! Measures sealing, merging, decoding and pruning over push requests that `bench/gen.py` wrote.
//!
//! `cargo run --release -p runelog-part --example measure -- DIR [REQUESTS]`
//!
//! Times are CPU time of this thread; raw bytes are line bytes.

extern crate runelog_part as part;

use std::ops::Range;
use std::sync::Arc;

use base::{Bitmap, Day, Labels, Rows, RowsBuilder, TenantId, UnixNanos};
use bytes::Bytes;
use part::{
    Codec, Columns, Error, Fetched, Footer, GroupReader, Image, Input, Needle, Options, RangeRead,
    Source,
};

const UNIT_BYTES: usize = 16 << 20;
const PAGE_BYTES: usize = 256 << 10;
/// One opening is too short for the clock.
const OPENS: u64 = 300;
const NEEDLES: [(&str, bool); 8] = [
    ("7c9e6679-7425-40de-944b-e07fc1f90ae7", false),
    ("2f8d41b6-93ce-4d07-a5e1-6b0c7f29d834", false),
    ("4bf92f3577b34da6a3ce929d0e0e4736", false),
    ("quorum lease lost", false),
    ("error", false),
    ("timeout", true),
    ("connection refused", false),
    ("ms", false),
];

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: measure DIR [REQUESTS]")?;
    let most = args.next().map_or(Ok(usize::MAX), |n| n.parse())?;
    let mut loader = Loader::default();
    for file in files(&dir)?.into_iter().take(most) {
        let body = snap::raw::Decoder::new().decompress_vec(&std::fs::read(file)?)?;
        loader.request(&body)?;
    }
    let units = loader.finish();
    let rows: usize = units.iter().flatten().map(Rows::len).sum();
    let raw: usize = units.iter().flatten().map(|page| page.lines.bytes.len()).sum();
    println!("{rows} rows, {} MB of lines, {} streams", raw / 1_000_000, loader.streams.len());

    let day = Day::of(UnixNanos(units[0][0].ts_ns[0]));
    let tenant = TenantId::new("bench")?;
    let mut sealed = Vec::new();
    for (name, options) in [("zstd", Options::flushed()), ("lz4", Options::sealed())] {
        sealed.clear();
        let clock = Cpu::start();
        for unit in &units {
            let metadata: Vec<_> = unit.iter().map(Rows::metadata_views).collect();
            let pages = unit.iter().zip(&metadata).map(|(page, views)| page.page(views)).collect();
            let source = Source { streams: &loader.streams, pages };
            sealed.extend(part::seal(&tenant, day, &[source], &options)?);
        }
        report(&format!("seal {name}"), clock.ns(), raw);
    }
    sizes("sealed units", &sealed, raw)?;
    decode("sealed units", &sealed, raw)?;

    for codec in [Codec::Lz4, Codec::Zstd] {
        let mut inputs: Vec<Input<Error>> = Vec::new();
        for (footer, image) in open(&sealed)?.into_iter().zip(&sealed) {
            let reader = Arc::new(image.bytes.clone());
            inputs.push(Input { footer: Arc::new(footer), reader });
        }
        let options = Options { codec, ..Options::flushed() };
        let clock = Cpu::start();
        let merged = part::merge(&tenant, day, &inputs, &options)?.ok_or("no rows")?;
        let name = format!("merge {codec:?}");
        report(&name, clock.ns(), raw);
        let merged = [merged];
        sizes(&name, &merged, raw)?;
        decode(&name, &merged, raw)?;
        if codec == Codec::Zstd {
            prune(&merged[0])?;
        }
    }
    Ok(())
}

fn files(dir: &str) -> Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "pb") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// CPU time of this thread.
struct Cpu(u64);

impl Cpu {
    fn now() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
    }
    fn start() -> Cpu {
        Cpu(Cpu::now())
    }
    fn ns(&self) -> u64 {
        Cpu::now() - self.0
    }
}

fn report(what: &str, ns: u64, raw: usize) {
    println!(
        "{what}: {:.0} CPU-ms, {:.3} ns per raw byte",
        ns as f64 / 1e6,
        ns as f64 / raw as f64
    );
}

fn open(images: &[Image]) -> Result<Vec<Footer>> {
    let open = |image: &Image| Footer::open(&image.bytes, image.bytes.len() as u64);
    Ok(images.iter().map(open).collect::<std::result::Result<_, _>>()?)
}

fn sizes(what: &str, images: &[Image], raw: usize) -> Result<()> {
    let total: usize = images.iter().map(|image| image.bytes.len()).sum();
    let footer: usize = images.iter().map(|image| image.footer_bytes as usize).sum();
    let tail: usize = images.iter().map(|image| image.tail_bytes as usize).sum();
    let (mut lines, mut columns) = (0u64, 0u64);
    let footers = open(images)?;
    let clock = Cpu::start();
    for _ in 0..OPENS {
        open(images)?;
    }
    let open_ns = clock.ns() / OPENS;
    for footer in &footers {
        for group in 0..footer.groups().len() {
            let mut ranges = Vec::new();
            footer.line_ranges(group, u64::MAX, &mut ranges);
            lines += sum(&ranges);
            ranges.clear();
            footer.column_ranges(group, &Columns::default(), &mut ranges);
            columns += sum(&ranges);
        }
    }
    let part = |bytes: usize| format!("{:.3} %", bytes as f64 * 100.0 / raw as f64);
    println!(
        "{what}: {} parts, {} of raw; lines {}, columns {}, id filters {}, trigrams {}, footer {}; \
         open {} us",
        images.len(),
        part(total),
        part(lines as usize),
        part(columns as usize),
        part(total - tail - lines as usize - columns as usize),
        part(tail - footer),
        part(footer),
        open_ns / 1000 / images.len() as u64,
    );
    Ok(())
}

fn sum(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

fn decode(what: &str, images: &[Image], raw: usize) -> Result<()> {
    for (lines, name) in [(true, "with lines"), (false, "columns only")] {
        let mut reader = GroupReader::default();
        let clock = Cpu::start();
        let mut rows = 0;
        for (footer, image) in open(images)?.iter().zip(images) {
            for group in 0..footer.groups().len() {
                rows += decode_group(footer, &image.bytes, group, &mut reader, lines)?;
            }
        }
        report(&format!("decode {what} {name}, {rows} rows"), clock.ns(), raw);
    }
    Ok(())
}

fn decode_group(
    footer: &Footer,
    part: &Bytes,
    group: usize,
    reader: &mut GroupReader,
    lines: bool,
) -> std::result::Result<usize, Error> {
    let columns = Columns { line_bytes: lines, lengths: true, metadata: None };
    let mut ranges = Vec::new();
    footer.column_ranges(group, &columns, &mut ranges);
    if lines {
        footer.line_ranges(group, u64::MAX, &mut ranges);
    }
    let part: &dyn RangeRead<Error = Error> = part;
    let fetched = Fetched::read(part, ranges)?;
    reader.group(footer, group, &columns, &fetched)?;
    let mut rows = 0;
    for page in 0..footer.pages(group).len() {
        rows += reader.page(footer, page, lines.then_some(&fetched))?.view().len();
    }
    Ok(rows)
}

fn prune(image: &Image) -> Result<()> {
    let footer = Footer::open(&image.bytes, image.bytes.len() as u64)?;
    let all = Bitmap::all(footer.streams().len());
    for (text, ignore_case) in NEEDLES {
        let needles = [vec![Needle { bytes: text.as_bytes(), ignore_case }]];
        let (mut kept, mut pages) = (0, 0);
        let clock = Cpu::start();
        for group in 0..footer.groups().len() {
            let candidates = footer.candidates(group, &all, i64::MIN..i64::MAX);
            let mask: std::result::Result<u64, Error> =
                footer.page_mask(group, candidates, &needles, &image.bytes);
            kept += mask?.count_ones();
            pages += candidates.count_ones();
        }
        println!("prune {text:?}: {kept} of {pages} pages, {} us", clock.ns() / 1000);
    }
    Ok(())
}

/// Decodes push requests into pages and cuts them into units.
#[derive(Default)]
struct Loader {
    known: base::HashMap<String, u32>,
    streams: Vec<Labels>,
    builder: RowsBuilder,
    unit: Vec<Rows>,
    units: Vec<Vec<Rows>>,
}

impl Loader {
    fn request(&mut self, body: &[u8]) -> Result<()> {
        for stream in fields(body, 1) {
            let labels = std::str::from_utf8(fields(stream, 1).next().unwrap_or_default())?;
            let number = match self.known.get(labels) {
                Some(&number) => number,
                None => {
                    let number = self.streams.len() as u32;
                    self.streams.push(parse_labels(labels));
                    self.known.insert(labels.to_owned(), number);
                    number
                }
            };
            for entry in fields(stream, 2) {
                let ts = fields(entry, 1).next().unwrap_or_default();
                let ts_ns = number_of(ts, 1) as i64 * 1_000_000_000 + number_of(ts, 2) as i64;
                self.builder.push(number, ts_ns, fields(entry, 2).next().unwrap_or_default());
                for pair in fields(entry, 3) {
                    let name = std::str::from_utf8(fields(pair, 1).next().unwrap_or_default())?;
                    self.builder.metadata(name, fields(pair, 2).next().unwrap_or_default());
                }
            }
            self.cut();
        }
        Ok(())
    }

    fn cut(&mut self) {
        if self.builder.raw_bytes() >= PAGE_BYTES {
            self.unit.push(std::mem::take(&mut self.builder).finish());
        }
        if self.unit.iter().map(Rows::raw_bytes).sum::<usize>() >= UNIT_BYTES {
            self.units.push(std::mem::take(&mut self.unit));
        }
    }

    fn finish(&mut self) -> Vec<Vec<Rows>> {
        self.unit.push(std::mem::take(&mut self.builder).finish());
        self.units.push(std::mem::take(&mut self.unit));
        self.units.retain(|unit| unit.iter().any(|page| !page.is_empty()));
        std::mem::take(&mut self.units)
    }
}

/// `{a="b", c="d"}` without escapes.
fn parse_labels(text: &str) -> Labels {
    let pairs = text.trim_matches(['{', '}']).split(", ");
    Labels::from_pairs(pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name, value.trim_matches('"')))
    }))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The next field: its number, and its bytes or its value.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, &'a [u8], u64)> {
    let key = varint(bytes)?;
    let value = varint(bytes)?;
    if key & 7 == 0 {
        return Some((key >> 3, &[], value));
    }
    let (taken, rest) = bytes.split_at_checked(value as usize)?;
    *bytes = rest;
    Some((key >> 3, taken, 0))
}

/// All byte fields `number` of a message.
fn fields(mut bytes: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let (found, taken, _) = field(&mut bytes)?;
            if found == number {
                return Some(taken);
            }
        }
    })
}

fn number_of(mut bytes: &[u8], number: u64) -> u64 {
    while let Some((found, _, value)) = field(&mut bytes) {
        if found == number {
            return value;
        }
    }
    0
}
