//! What the end of a part says about it.
//!
//! The last bytes of a part are the footer's sections and a trailer of fixed size
//! (`docs/formats/part.md`). Opening decodes them once into the plain tables below; nothing of the
//! part is trusted before its checksum was verified, and no size in it is before it was compared
//! with what is there. What is not here, because it grows with the rows: column bytes and sketches.

mod decode;
mod encode;
mod prune;
mod survey;
mod texts;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use base::{Bitmap, Day, Labels, TenantId};

use crate::Error;
use crate::codec::Frame;
use crate::sketch::ids::Longest;
use crate::templates::{self, Template};
use crate::wire::Cursor;

pub(crate) use encode::{Draft, DraftGroup, encode};
pub use survey::{Piece, Survey, What};

/// Ends every part.
pub(crate) const MAGIC: [u8; 8] = *b"RUNEPART";
/// The version written, and the newest that is read.
pub const VERSION: u16 = 1;
/// Bytes of the trailer.
pub const TRAILER_BYTES: usize = 32;

/// Section kinds of the footer.
pub(crate) mod section {
    /// Whose rows, how many, when.
    pub(crate) const SUMMARY: u8 = 1;
    /// Every distinct text of labels and metadata names.
    pub(crate) const SYMBOLS: u8 = 2;
    /// The stream table.
    pub(crate) const STREAMS: u8 = 3;
    /// Row groups: pages, columns, runs, sketches.
    pub(crate) const DIRECTORY: u8 = 4;
    /// What the lines look like. A part may be without it, and does not need to be understood.
    pub(crate) const TEMPLATES: u8 = 5;
    /// Pairs of metadata of each run. A part may be without it, and does not need to be understood.
    pub(crate) const PAIRS: u8 = 6;
    /// The only version of each so far. A reader skips kinds it does not know, and refuses versions
    /// of known kinds that it does not know.
    pub(crate) const VERSION: u16 = 1;
}

/// The opened footer: everything but column bytes and sketches. Share it as `Arc<Footer>`.
#[derive(Debug)]
pub struct Footer {
    tenant: TenantId,
    day: Day,
    part_bytes: u64,
    rows: u64,
    line_bytes: u64,
    min_ns: i64,
    max_ns: i64,
    symbols: Symbols,
    /// End of each stream's pairs in `pairs`.
    pair_ends: Vec<u32>,
    /// Name and value symbols of all streams.
    pairs: Vec<(u32, u32)>,
    streams: Vec<Stream>,
    groups: Vec<Group>,
    parts: Vec<GroupParts>,
    runs: Vec<Run>,
    /// Pairs of metadata of the rows of each run; `None` = the part does not say.
    run_pairs: Option<Vec<u64>>,
    pages: Vec<Page>,
    /// Line frames, one per page.
    frames: Vec<Frame>,
    columns: Vec<Column>,
    longest: Vec<Longest>,
    /// Made from `pairs` when somebody asks.
    labels: OnceLock<Arc<[Labels]>>,
    /// Trigram tables per row group, decompressed when somebody asks.
    tables: Vec<OnceLock<Box<[u8]>>>,
    /// Raw bytes of the section, decoded when somebody asks.
    templates: Option<Box<[u8]>>,
}

/// Distinct texts in ascending order.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    text: String,
    ends: Vec<u32>,
}

impl Symbols {
    pub(crate) fn get(&self, symbol: u32) -> &str {
        let at = symbol as usize;
        let from = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.text[from..self.ends[at] as usize]
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn find(&self, text: &str) -> Option<u32> {
        let (mut low, mut high) = (0, self.len() as u32);
        while low < high {
            let middle = u32::midpoint(low, high);
            match self.get(middle).cmp(text) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}

/// One stream of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Number of rows.
    pub rows: u64,
    /// Bytes of its lines.
    pub line_bytes: u64,
    /// Oldest row, nanoseconds.
    pub min_ns: i64,
    /// Newest row, nanoseconds.
    pub max_ns: i64,
}

/// A row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Number of rows.
    pub rows: u32,
    /// Bytes of its lines.
    pub line_bytes: u64,
    /// Oldest row, nanoseconds.
    pub min_ns: i64,
    /// Newest row, nanoseconds.
    pub max_ns: i64,
}

/// Consecutive rows of one stream in a row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Index into the stream table.
    pub stream: u32,
    /// One past its last row, counted in the row group.
    pub end: u32,
    /// Bytes of its lines.
    pub line_bytes: u64,
    /// Oldest row, nanoseconds.
    pub min_ns: i64,
    /// Newest row, nanoseconds.
    pub max_ns: i64,
}

/// A page of a row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// One past its last row, counted in the row group.
    pub end: u32,
    /// Bytes of its lines.
    pub line_bytes: u32,
    /// Oldest row, nanoseconds.
    pub min_ns: i64,
    /// Newest row, nanoseconds.
    pub max_ns: i64,
}

/// A small column of a row group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) kind: u8,
    /// Symbol of the metadata key; for columns without a name, 0.
    pub(crate) name: u32,
    pub(crate) frame: Frame,
}

/// Where a row group's pieces lie in the footer's tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupParts {
    pages: Range<u32>,
    runs: Range<u32>,
    columns: Range<u32>,
    trigrams: Option<Trigrams>,
    ids: Option<Ids>,
    /// Pages with an escape that can stand for any character; `None` = not known.
    escapes: Option<u64>,
}

/// Where the trigram table of a row group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trigrams {
    pub(crate) frame: Frame,
    /// Pages with a letter that folds to an ASCII one; see [`crate::Needle`].
    pub(crate) folds: u64,
}

/// Where the id filters of a row group are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) offset: u64,
    /// Filter blocks per page; 0 = the row group has no entries.
    pub(crate) blocks: u32,
    /// Index of the first page's entry in `Footer::longest`.
    pub(crate) longest: u32,
}

impl Footer {
    /// Whose rows.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The UTC day all rows fall into.
    pub fn day(&self) -> Day {
        self.day
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of all lines.
    pub fn line_bytes(&self) -> u64 {
        self.line_bytes
    }

    /// Size of the whole part.
    pub fn part_bytes(&self) -> u64 {
        self.part_bytes
    }

    /// Oldest and newest row, nanoseconds.
    pub fn time_range(&self) -> (i64, i64) {
        (self.min_ns, self.max_ns)
    }

    /// Memory this takes, with what it decodes when it is asked, for caches that count.
    pub fn memory_bytes(&self) -> usize {
        let labels: usize = self.pairs.len() * 48 + self.streams.len() * 64;
        let tables = self.parts.iter().filter_map(|parts| parts.trigrams);
        let tables: usize = tables.map(|table| table.frame.raw as usize + 16).sum();
        size_of::<Footer>()
            + self.symbols.text.len()
            + self.symbols.ends.len() * 4
            + self.pairs.len() * 8
            + self.pair_ends.len() * 4
            + self.streams.len() * size_of::<Stream>()
            + self.groups.len() * (size_of::<Group>() + size_of::<GroupParts>())
            + self.runs.len() * size_of::<Run>()
            + self.run_pairs.as_ref().map_or(0, |pairs| pairs.len() * 8)
            + self.pages.len() * (size_of::<Page>() + size_of::<Frame>())
            + self.columns.len() * size_of::<Column>()
            + self.longest.len() * size_of::<Longest>()
            + self.templates.as_ref().map_or(0, |raw| raw.len())
            + labels
            + tables
    }

    /// Labels of the streams in ascending order; `Run::stream` indexes this.
    pub fn labels(&self) -> &Arc<[Labels]> {
        self.labels.get_or_init(|| {
            let labels = |stream: usize| {
                let pairs = self.pairs_of(stream).iter();
                Labels::from_sorted(
                    pairs.map(|&(name, value)| (self.symbols.get(name), self.symbols.get(value))),
                )
            };
            (0..self.streams.len()).map(labels).collect()
        })
    }

    fn pairs_of(&self, stream: usize) -> &[(u32, u32)] {
        let from = if stream == 0 { 0 } else { self.pair_ends[stream - 1] as usize };
        &self.pairs[from..self.pair_ends[stream] as usize]
    }

    /// The streams, same order as [`Footer::labels`].
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// Removes from `selected` (one bit per stream) the streams whose value of `name` (empty when
    /// they have none) does not pass. `passes` is asked once per distinct value.
    pub fn select(&self, selected: &mut Bitmap, name: &str, passes: &mut dyn FnMut(&str) -> bool) {
        assert_eq!(selected.len(), self.streams.len(), "one bit per stream");
        let absent = passes("");
        let Some(name) = self.symbols.find(name) else {
            if !absent {
                selected.reset_none(self.streams.len());
            }
            return;
        };
        let mut known: Vec<Option<bool>> = vec![None; self.symbols.len()];
        for stream in 0..self.streams.len() {
            if !selected.get(stream) {
                continue;
            }
            let pairs = self.pairs_of(stream);
            let keep = match pairs.binary_search_by_key(&name, |pair| pair.0) {
                Err(_) => absent,
                Ok(at) => {
                    let value = pairs[at].1;
                    *known[value as usize].get_or_insert_with(|| passes(self.symbols.get(value)))
                }
            };
            if !keep {
                selected.clear(stream);
            }
        }
    }

    /// What the lines look like, the most frequent first; `None` if nobody looked when the part was
    /// written. Decodes every time.
    pub fn templates(&self) -> Result<Option<Vec<Template>>, Error> {
        let Some(raw) = &self.templates else { return Ok(None) };
        let cursor = Cursor::new(raw, "templates", self.part_bytes);
        templates::get(cursor, self.streams.len()).map(Some)
    }

    /// The row groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Stream runs of row group `group`.
    pub fn runs(&self, group: usize) -> &[Run] {
        let range = &self.parts[group].runs;
        &self.runs[range.start as usize..range.end as usize]
    }

    /// Pairs of metadata of the rows of each run of row group `group`, in the order of
    /// [`Footer::runs`]; `None` if the part does not say.
    pub fn run_pairs(&self, group: usize) -> Option<&[u64]> {
        let range = &self.parts[group].runs;
        Some(&self.run_pairs.as_ref()?[range.start as usize..range.end as usize])
    }

    /// Pages of row group `group`.
    pub fn pages(&self, group: usize) -> &[Page] {
        let range = &self.parts[group].pages;
        &self.pages[range.start as usize..range.end as usize]
    }

    /// Line frames of row group `group`, one per page.
    pub(crate) fn frames(&self, group: usize) -> &[Frame] {
        let range = &self.parts[group].pages;
        &self.frames[range.start as usize..range.end as usize]
    }

    /// The trigram table of row group `group`.
    pub(crate) fn trigrams(&self, group: usize) -> Option<Trigrams> {
        self.parts[group].trigrams
    }

    /// The id filters of row group `group`, and the longest entries of its pages.
    pub(crate) fn ids(&self, group: usize) -> Option<(Ids, &[Longest])> {
        let table = self.parts[group].ids?;
        let pages = self.pages(group).len();
        let from = table.longest as usize;
        Some((table, &self.longest[from..from + pages]))
    }

    pub(crate) fn columns(&self, group: usize) -> &[Column] {
        let range = &self.parts[group].columns;
        &self.columns[range.start as usize..range.end as usize]
    }

    pub(crate) fn symbol(&self, symbol: u32) -> &str {
        self.symbols.get(symbol)
    }
}
