//! Rows in, part out: sorting, dropping duplicates.

use base::{Day, HashMap, Labels, PageView, StreamKey, TenantId};
use bytes::Bytes;

use crate::rowhash::Instant;
use crate::write::{Mapping, Piece, Writer};
use crate::{Error, Options};

/// How often [`seal_telling`] tells.
const TELL_BYTES: u64 = 1 << 20;

/// Pages that share a stream table, in arrival order.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// Labels of the streams; `Run::stream` of the pages indexes this.
    pub streams: &'a [Labels],
    /// The pages, oldest arrival first, with line bytes and all metadata.
    pub pages: Vec<PageView<'a>>,
}

/// What a catalog says about a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Size of the part.
    pub part_bytes: u64,
    /// Footer and trailer: the bytes to read from the end to open the part.
    pub footer_bytes: u32,
    /// Footer, trailer and the trigram tables before them: one read serves most pruning.
    pub tail_bytes: u32,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of all lines.
    pub line_bytes: u64,
    /// Bytes of all lines, and of the distinct metadata values of each row group.
    pub raw_bytes: u64,
    /// Oldest row, nanoseconds.
    pub min_ns: i64,
    /// Newest row, nanoseconds.
    pub max_ns: i64,
    /// Number of streams.
    pub streams: u32,
    /// Smallest and greatest key of a stream.
    pub keys: (StreamKey, StreamKey),
}

/// A complete part in memory. Its summary's fields are its own.
#[derive(Clone, Debug)]
pub struct Image {
    /// The part. Offsets in it are relative to its first byte.
    pub bytes: Bytes,
    /// What a catalog says about it.
    pub summary: Summary,
}

impl std::ops::Deref for Image {
    type Target = Summary;

    fn deref(&self) -> &Summary {
        &self.summary
    }
}

/// Sorts the rows of `sources` by (stream labels, timestamp), rows of one instant in the order of
/// sources, pages and rows, drops exact duplicates and writes a part.
///
/// Returns `None` when there are no rows. All rows must fall into `day`; the caller cut them so.
pub fn seal(
    tenant: &TenantId,
    day: Day,
    sources: &[Source<'_>],
    options: &Options,
) -> Result<Option<Image>, Error> {
    seal_telling(tenant, day, sources, options, &mut |_| {})
}

/// As [`seal`]; calls `tell` with the line bytes that were read since it was called last, every
/// [`TELL_BYTES`] or so.
pub fn seal_telling(
    tenant: &TenantId,
    day: Day,
    sources: &[Source<'_>],
    options: &Options,
    tell: &mut dyn FnMut(u64),
) -> Result<Option<Image>, Error> {
    let mut untold = 0;
    let mut count = |bytes: u64| {
        untold += bytes;
        if untold >= TELL_BYTES {
            tell(std::mem::take(&mut untold));
        }
    };
    let pages: Vec<&PageView<'_>> = sources.iter().flat_map(|source| &source.pages).collect();
    let (labels, fragments) = fragments(sources);
    let mut writer = Writer::new(tenant, day, labels, options)?;
    let line_bytes = pages.iter().map(|page| page.lines.joined().len() as u64).sum();
    writer.output().reserve_for(line_bytes);
    let mut mappings = vec![Mapping::default(); pages.len()];
    let mut order = Order::default();
    for of_stream in fragments.chunk_by(|a, b| a.stream == b.stream) {
        let bytes = |fragment: &Fragment| fragment.line_bytes(pages[fragment.page as usize]);
        writer.begin_stream(of_stream.iter().map(bytes).sum())?;
        if ascends(of_stream, &pages) {
            for fragment in of_stream {
                let page = fragment.page as usize;
                writer.append(&fragment.piece(pages[page]), &mut mappings[page])?;
                count(fragment.line_bytes(pages[page]));
            }
        } else {
            order.sort(of_stream, &pages);
            for fragment in &order.pieces {
                let page = fragment.page as usize;
                writer.append(&fragment.piece(pages[page]), &mut mappings[page])?;
                count(fragment.line_bytes(pages[page]));
            }
        }
    }
    let summary = writer.finish()?;
    let bytes = Bytes::from(writer.output().take());
    Ok(summary.map(|summary| Image { bytes, summary }))
}

/// Rows `from..to` of one page and stream.
#[derive(Clone, Copy, Debug)]
struct Fragment {
    stream: u32,
    page: u32,
    from: u32,
    to: u32,
}

impl Fragment {
    fn piece<'a, 'v>(&self, page: &'a PageView<'v>) -> Piece<'a, 'v> {
        Piece { page, from: self.from as usize, to: self.to as usize, stream: self.stream }
    }

    fn line_bytes(&self, page: &PageView<'_>) -> u64 {
        page.lines.slice(self.from as usize, self.to as usize).joined().len() as u64
    }
}

/// The streams that have rows, ascending, and their runs: by stream, then by arrival.
fn fragments(sources: &[Source<'_>]) -> (Vec<Labels>, Vec<Fragment>) {
    let mut numbers: HashMap<Labels, u32> = HashMap::default();
    let mut fragments = Vec::new();
    let mut page_number = 0;
    for source in sources {
        let mut known: Vec<Option<u32>> = vec![None; source.streams.len()];
        for page in &source.pages {
            let mut from = 0;
            for run in page.runs {
                let stream = *known[run.stream as usize].get_or_insert_with(|| {
                    let next = numbers.len() as u32;
                    let labels = source.streams[run.stream as usize].clone();
                    *numbers.entry(labels).or_insert(next)
                });
                fragments.push(Fragment { stream, page: page_number, from, to: run.end });
                from = run.end;
            }
            assert_eq!(from as usize, page.len(), "runs cover the page");
            page_number += 1;
        }
    }
    let mut sorted: Vec<(Labels, u32)> = numbers.into_iter().collect();
    sorted.sort_unstable();
    let mut rank = vec![0; sorted.len()];
    for (at, (_, number)) in sorted.iter().enumerate() {
        rank[*number as usize] = at as u32;
    }
    for fragment in &mut fragments {
        fragment.stream = rank[fragment.stream as usize];
    }
    // Stable: fragments of a stream stay in arrival order.
    fragments.sort_by_key(|fragment| fragment.stream);
    (sorted.into_iter().map(|(labels, _)| labels).collect(), fragments)
}

/// Whether the timestamps of the fragments strictly ascend: then they are in order and no row can
/// be there twice.
fn ascends(fragments: &[Fragment], pages: &[&PageView<'_>]) -> bool {
    let mut last = None;
    for fragment in fragments {
        let ts_ns = &pages[fragment.page as usize].ts_ns;
        let ts_ns = &ts_ns[fragment.from as usize..fragment.to as usize];
        if last.is_some_and(|last| last >= ts_ns[0]) || !ts_ns.is_sorted_by(|a, b| a < b) {
            return false;
        }
        last = ts_ns.last().copied();
    }
    true
}

/// Sorts the rows of one stream; keeps its buffers.
#[derive(Default)]
struct Order {
    rows: Vec<Row>,
    /// The result, in order.
    pieces: Vec<Fragment>,
    instant: Instant,
}

#[derive(Clone, Copy)]
struct Row {
    ts_ns: i64,
    page: u32,
    row: u32,
}

impl Order {
    fn sort(&mut self, fragments: &[Fragment], pages: &[&PageView<'_>]) {
        self.rows.clear();
        for fragment in fragments {
            let (page, ts_ns) = (fragment.page, &pages[fragment.page as usize].ts_ns);
            let rows = fragment.from..fragment.to;
            self.rows.extend(rows.map(|row| Row { ts_ns: ts_ns[row as usize], page, row }));
        }
        // Stable, and it finds ascending runs: nearly sorted rows cost little more than a look.
        self.rows.sort_by_key(|row| row.ts_ns);
        self.pieces.clear();
        let stream = fragments[0].stream;
        for instant in self.rows.chunk_by(|a, b| a.ts_ns == b.ts_ns) {
            self.instant.clear();
            for row in instant {
                let page = pages[row.page as usize];
                if instant.len() > 1 && !self.instant.insert(page, row.row as usize) {
                    continue;
                }
                match self.pieces.last_mut() {
                    Some(last) if last.page == row.page && last.to == row.row => last.to += 1,
                    _ => self.pieces.push(Fragment {
                        stream,
                        page: row.page,
                        from: row.row,
                        to: row.row + 1,
                    }),
                }
            }
        }
    }
}
