//! What a part is made of and which of it is sound, for people: a damaged part too, as far as its
//! bytes still say something. Queries never read a part this way.

use crate::Error;
use crate::codec::{Codec, Decompressor, Frame};
use crate::columns::kind;
use crate::footer::decode::{Sections, empty, get_symbols};
use crate::footer::{Footer, MAGIC, Stream, TRAILER_BYTES, VERSION, section};
use crate::sketch::ids;
use crate::wire::Cursor;

/// Most streams that a directory is believed to name when the stream table is lost.
const MAX_LOST_STREAMS: usize = 1 << 16;

/// A part taken apart.
#[derive(Debug)]
pub struct Survey {
    /// Version in the trailer.
    pub version: u16,
    /// What of the footer could be read; see `summary` and `streams`.
    pub footer: Footer,
    /// Tenant, day, rows and times of the footer are what was written.
    pub summary: bool,
    /// Labels and rows of the footer's streams are what was written.
    pub streams: bool,
    /// Everything that has a checksum, in the order of the part.
    pub pieces: Vec<Piece>,
    /// What is wrong beside the pieces.
    pub problems: Vec<Error>,
}

/// A checksummed byte range.
#[derive(Debug)]
pub struct Piece {
    /// What it holds.
    pub what: What,
    /// First byte, from the start of the part.
    pub offset: u64,
    /// Bytes in the part.
    pub stored_bytes: u64,
    /// Bytes after decompression.
    pub raw_bytes: u64,
    /// How it is compressed.
    pub codec: Codec,
    /// Why it cannot be used.
    pub problem: Option<Error>,
}

/// What a piece holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A section of the footer.
    Section(&'static str),
    /// A section of a kind that this program does not know.
    UnknownSection(u8),
    /// Lines of a page.
    Lines {
        /// Row group.
        group: usize,
        /// Page of the group.
        page: usize,
    },
    /// Timestamps of a row group.
    Times(usize),
    /// Line lengths of a row group.
    Lengths(usize),
    /// A metadata column of a row group.
    Metadata(usize, String),
    /// The trigram table of a row group.
    Trigrams(usize),
    /// The id filters of a row group.
    Ids(usize),
}

impl Survey {
    /// Takes `part` apart. An error means that it has no trailer that says where anything is.
    pub fn of(part: &[u8]) -> Result<Survey, Error> {
        let part_bytes = part.len() as u64;
        let footer = empty(part_bytes)?;
        let (problems, pieces) = (Vec::new(), Vec::new());
        let (summary, streams) = (false, false);
        let mut survey = Survey { version: 0, footer, summary, streams, pieces, problems };
        let sections_at = survey.trailer(part)?;
        let end = part.len() - TRAILER_BYTES;
        let sections = survey.sections(&part[sections_at..end], sections_at as u64);
        survey.footer(&sections, sections_at as u64);
        survey.frames(part);
        survey.pieces.sort_by_key(|piece| piece.offset);
        Ok(survey)
    }

    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.pieces.iter().all(|piece| piece.problem.is_none())
    }

    /// Length of the part whose trailer ends at `end` of `bytes`, if a sound one does.
    pub fn part_ending_at(bytes: &[u8], end: usize) -> Option<usize> {
        let trailer = bytes.get(end.checked_sub(TRAILER_BYTES)?..end)?;
        let crc = crc32c::crc32c(&trailer[..20]).to_le_bytes();
        if trailer[24..] != MAGIC || trailer[20..24] != crc {
            return None;
        }
        let told = u64::from_le_bytes(trailer[8..16].try_into().expect("eight bytes"));
        let told = usize::try_from(told).ok()?;
        (TRAILER_BYTES..=end).contains(&told).then_some(told)
    }

    /// Reads the trailer; gives where the sections begin.
    fn trailer(&mut self, part: &[u8]) -> Result<usize, Error> {
        let Some(at) = part.len().checked_sub(TRAILER_BYTES) else {
            return Err(Error::corrupt("no room for a trailer", 0));
        };
        let (trailer, offset) = (&part[at..], at as u64);
        if trailer[24..] != MAGIC {
            return Err(Error::corrupt("trailer magic", offset + 24));
        }
        let mut cursor = Cursor::new(trailer, "trailer", offset);
        let sections = cursor.u32()? as usize;
        let _tail_bytes = cursor.u32()?;
        let told = cursor.u64()?;
        self.version = cursor.u16()?;
        let _flags = cursor.u16()?;
        if cursor.u32()? != crc32c::crc32c(&trailer[..20]) {
            self.problems.push(Error::corrupt("trailer checksum", offset));
        }
        if self.version == 0 || self.version > VERSION {
            return Err(Error::Version { found: self.version, known: VERSION });
        }
        if told != part.len() as u64 {
            self.problems.push(Error::corrupt("part size", offset + 8));
        }
        at.checked_sub(sections).ok_or(Error::corrupt("footer size", offset))
    }

    /// Decompresses every section that is sound.
    fn sections(&mut self, bytes: &[u8], start: u64) -> Sections {
        let mut sound = Sections::default();
        let mut at = 0;
        while at < bytes.len() {
            let offset = start + at as u64;
            let header = bytes.get(at..at + 16);
            let stored = header.map(|h| u32::from_le_bytes([h[4], h[5], h[6], h[7]]) as usize);
            let end = stored.and_then(|stored| (at + 16).checked_add(stored));
            let (Some(header), Some(end)) = (header, end.filter(|&end| end <= bytes.len())) else {
                self.problems.push(Error::corrupt("footer section", offset));
                break;
            };
            let mut one = Sections::default();
            let problem = one.read(&bytes[at..end], offset).err();
            sound.append(one);
            let what = match header[0] {
                section::SUMMARY => What::Section("summary"),
                section::SYMBOLS => What::Section("symbols"),
                section::STREAMS => What::Section("streams"),
                section::DIRECTORY => What::Section("directory"),
                section::TEMPLATES => What::Section("templates"),
                section::PAIRS => What::Section("pairs"),
                kind => What::UnknownSection(kind),
            };
            let raw = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
            self.pieces.push(Piece {
                what,
                offset,
                stored_bytes: (end - at) as u64,
                raw_bytes: u64::from(raw),
                codec: Codec::from_tag(header[1]).unwrap_or(Codec::None),
                problem,
            });
            at = end;
        }
        sound
    }

    /// Decodes what sound sections there are, each as far as what it needs is there.
    fn footer(&mut self, sections: &Sections, limit: u64) {
        let read = |kind| sections.cursor(kind);
        let summary = read(section::SUMMARY).and_then(|cursor| self.footer.get_summary(cursor));
        let symbols = read(section::SYMBOLS).and_then(get_symbols);
        let symbols = symbols.map(|symbols| self.footer.symbols = symbols);
        let streams = match (&summary, &symbols) {
            (Ok(()), Ok(())) => {
                read(section::STREAMS).and_then(|cursor| self.footer.get_streams(cursor))
            }
            _ => Err(Error::corrupt("streams need summary and symbols", limit)),
        };
        (self.summary, self.streams) = (summary.is_ok(), streams.is_ok());
        let all = self.summary && self.streams && symbols.is_ok();
        if !self.streams {
            self.lose_streams();
        }
        // Metadata columns are named by symbols.
        let directory = symbols.and_then(|()| {
            let cursor = read(section::DIRECTORY)?;
            self.footer.get_directory(cursor, limit)
        });
        let complete = directory.is_ok() && all;
        // What a section that is broken itself takes with it is not said again.
        let broken = self.pieces.iter().any(|piece| piece.problem.is_some());
        for problem in [summary, streams, directory].into_iter().filter_map(Result::err) {
            if !broken {
                self.problems.push(problem);
            }
        }
        if complete && let Err(problem) = self.footer.check_sums(limit) {
            self.problems.push(problem);
        }
        if complete
            && let Ok(pairs) = sections.cursor(section::PAIRS)
            && let Err(problem) = self.footer.get_pairs(pairs)
        {
            self.problems.push(problem);
        }
        if !self.streams {
            self.count_lost_streams();
        }
    }

    /// Lets the directory name streams that nobody knows the labels of.
    fn lose_streams(&mut self) {
        let none = Stream { rows: 0, line_bytes: 0, min_ns: 0, max_ns: 0 };
        self.footer.pairs = Vec::new();
        self.footer.streams = vec![none; MAX_LOST_STREAMS];
        self.footer.pair_ends = vec![0; MAX_LOST_STREAMS];
        self.footer.labels = std::sync::OnceLock::new();
    }

    fn count_lost_streams(&mut self) {
        let named = self.footer.runs.iter().map(|run| run.stream as usize + 1).max().unwrap_or(0);
        self.footer.streams.truncate(named);
        self.footer.pair_ends.truncate(named);
    }

    /// Checks every frame that the directory names.
    fn frames(&mut self, part: &[u8]) {
        let mut decompressor = Decompressor::default();
        let mut raw = Vec::new();
        let mut check = |frame: &Frame| {
            let range = frame.range();
            let stored = part.get(range.start as usize..range.end as usize).unwrap_or_default();
            decompressor.frame(frame, stored, &mut raw).err()
        };
        let mut pieces = Vec::new();
        for group in 0..self.footer.groups.len() {
            for (page, frame) in self.footer.frames(group).iter().enumerate() {
                pieces.push(Piece::of(What::Lines { group, page }, frame, check(frame)));
            }
            for column in self.footer.columns(group) {
                let what = match column.kind {
                    kind::TIMES => What::Times(group),
                    kind::LENGTHS => What::Lengths(group),
                    _ => What::Metadata(group, self.footer.symbol(column.name).to_owned()),
                };
                pieces.push(Piece::of(what, &column.frame, check(&column.frame)));
            }
            if let Some(trigrams) = self.footer.parts[group].trigrams {
                let problem = check(&trigrams.frame);
                pieces.push(Piece::of(What::Trigrams(group), &trigrams.frame, problem));
            }
            pieces.extend(self.ids(part, group));
        }
        self.pieces.extend(pieces);
    }

    fn ids(&self, part: &[u8], group: usize) -> Option<Piece> {
        // A group without ids has no filters.
        let entry = self.footer.parts[group].ids.as_ref().filter(|ids| ids.blocks > 0)?;
        let pages = self.footer.pages(group).len();
        let row_bytes = ids::row_bytes(pages) as u64;
        let mut problem = None;
        for block in 0..u64::from(entry.blocks) {
            let offset = entry.offset + block * row_bytes;
            let row = part.get(offset as usize..(offset + row_bytes) as usize);
            let checked = ids::checked(row.unwrap_or_default(), pages, offset);
            problem = problem.or(checked.err());
        }
        let stored_bytes = u64::from(entry.blocks) * row_bytes;
        Some(Piece {
            what: What::Ids(group),
            offset: entry.offset,
            stored_bytes,
            raw_bytes: stored_bytes,
            codec: Codec::None,
            problem,
        })
    }
}

impl Piece {
    fn of(what: What, frame: &Frame, problem: Option<Error>) -> Piece {
        Piece {
            what,
            offset: frame.offset,
            stored_bytes: u64::from(frame.stored),
            raw_bytes: u64::from(frame.raw),
            codec: frame.codec,
            problem,
        }
    }
}
