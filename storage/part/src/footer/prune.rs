//! Deciding what not to read: pages by stream and time, pages by text.

use std::ops::Range;

use base::Bitmap;

use crate::codec::Decompressor;
use crate::columns::kind;
use crate::footer::{Column, Footer, Trigrams};
use crate::sketch::{self, Needle, all_pages, ids, trigrams};
use crate::{Error, Fetched, RangeRead};

impl Footer {
    /// Pages of `group` (bit `i` = page `i`) that may hold rows of `streams` with
    /// `time.start <= ts < time.end`.
    pub fn candidates(&self, group: usize, streams: &Bitmap, time: Range<i64>) -> u64 {
        let inside = |min_ns: i64, max_ns: i64| min_ns < time.end && max_ns >= time.start;
        let pages = self.pages(group);
        let mut found = 0u64;
        let (mut from, mut page) = (0, 0);
        for run in self.runs(group) {
            if streams.get(run.stream as usize) && inside(run.min_ns, run.max_ns) {
                // Pages that hold rows from..run.end; both tables ascend.
                while pages[page].end <= from {
                    page += 1;
                }
                for (at, entry) in pages.iter().enumerate().skip(page) {
                    if inside(entry.min_ns, entry.max_ns) {
                        found |= 1 << at;
                    }
                    if entry.end >= run.end {
                        break;
                    }
                }
            }
            from = run.end;
        }
        found
    }

    /// Which pages of `candidates` may hold a line that contains one needle of each group of
    /// `needles`. Reads the sketches it needs through `reader`: at most one request for id filters
    /// and one for the trigram table.
    pub fn page_mask<E: From<Error>>(
        &self,
        group: usize,
        candidates: u64,
        needles: &[Vec<Needle<'_>>],
        reader: &dyn RangeRead<Error = E>,
    ) -> Result<u64, E> {
        let pages = self.pages(group).len();
        let candidates = candidates & all_pages(pages);
        if candidates == 0 || needles.is_empty() {
            return Ok(candidates);
        }
        let folds = self.parts[group].trigrams.map_or(u64::MAX, |trigrams| trigrams.folds);
        let mut masks: Vec<Vec<u64>> =
            needles.iter().map(|any| vec![candidates; any.len()]).collect();
        self.ask_ids(group, needles, folds, &mut masks, reader)?;
        let alive = |masks: &[Vec<u64>]| {
            // No needle at all says nothing.
            let any = |any: &Vec<u64>| any.iter().copied().reduce(|a, b| a | b).unwrap_or(u64::MAX);
            masks.iter().fold(candidates, |all, one| all & any(one))
        };
        let Some(trigrams) = self.parts[group].trigrams else { return Ok(alive(&masks)) };
        if alive(&masks) != 0 && needles.iter().flatten().any(trigrams::serves) {
            let table = self.table(group, trigrams, reader)?;
            let table = sketch::trigrams::Table::open(table, pages, trigrams.frame.offset)?;
            ask_trigrams(&table, trigrams.folds, needles, &mut masks);
        }
        Ok(alive(&masks))
    }

    /// Whether text can be looked for in the sketches of `group` without decompressing any.
    pub fn holds_sketches(&self, group: usize) -> bool {
        self.parts[group].trigrams.is_none() || self.tables[group].get().is_some()
    }

    /// Pages of `group` without the escape `\u` in any line: a value that a parser finds in one of
    /// them reads as it is written, but for `"`, `\`, `/`, `'` and control characters.
    pub fn plain_pages(&self, group: usize) -> u64 {
        let escapes = self.parts[group].escapes.unwrap_or(u64::MAX);
        all_pages(self.pages(group).len()) & !escapes
    }

    /// Whether a stream of `streams` has a label of this name.
    pub fn has_label(&self, streams: &Bitmap, name: &str) -> bool {
        let Some(name) = self.symbols.find(name) else { return false };
        let named = |&(label, _): &(u32, u32)| label == name;
        streams.iter().any(|stream| self.pairs_of(stream).iter().any(named))
    }

    /// Whether `group` has a metadata column of this name.
    pub fn has_metadata(&self, group: usize, name: &str) -> bool {
        let named =
            |column: &Column| column.kind == kind::METADATA && self.symbol(column.name) == name;
        self.columns(group).iter().any(named)
    }

    fn ask_ids<E: From<Error>>(
        &self,
        group: usize,
        needles: &[Vec<Needle<'_>>],
        folds: u64,
        masks: &mut [Vec<u64>],
        reader: &dyn RangeRead<Error = E>,
    ) -> Result<(), E> {
        let Some(table) = self.parts[group].ids else { return Ok(()) };
        let pages = self.pages(group).len();
        let longest = &self.longest[table.longest as usize..table.longest as usize + pages];
        let mut probes = Vec::new();
        let mut owners = Vec::new();
        for (all, any) in needles.iter().enumerate() {
            for (one, needle) in any.iter().enumerate() {
                ids::probes(needle, &mut probes);
                owners.resize(probes.len(), (all, one));
            }
        }
        let row = |probe: &ids::Probe| {
            let bytes = ids::row_bytes(pages) as u64;
            let start = table.offset + u64::from(probe.block(table.blocks)) * bytes;
            start..start + bytes
        };
        let fetched = match table.blocks {
            0 => Fetched::default(),
            _ => Fetched::read(reader, probes.iter().map(row).collect())?,
        };
        for (probe, (all, one)) in probes.iter().zip(owners) {
            let bytes = match table.blocks {
                0 => None,
                _ => Some(fetched.get(row(probe))?),
            };
            let mut found = probe.pages(bytes, longest, table.offset)?;
            if needles[all][one].folds() {
                found |= folds;
            }
            masks[all][one] &= found;
        }
        Ok(())
    }

    /// The trigram table of `group`: read once, then held.
    fn table<E: From<Error>>(
        &self,
        group: usize,
        trigrams: Trigrams,
        reader: &dyn RangeRead<Error = E>,
    ) -> Result<&[u8], E> {
        if let Some(table) = self.tables[group].get() {
            return Ok(table);
        }
        let frame = trigrams.frame;
        let fetched = Fetched::read(reader, vec![frame.range()])?;
        let mut raw = Vec::new();
        Decompressor::default().frame(&frame, fetched.get(frame.range())?, &mut raw)?;
        Ok(self.tables[group].get_or_init(|| raw.into()))
    }
}

fn ask_trigrams(
    table: &sketch::trigrams::Table<'_>,
    folds: u64,
    needles: &[Vec<Needle<'_>>],
    masks: &mut [Vec<u64>],
) {
    for (needles, masks) in needles.iter().zip(masks) {
        for (needle, mask) in needles.iter().zip(masks) {
            let folds = if needle.folds() { folds } else { 0 };
            *mask &= table.pages(needle) | folds;
        }
    }
}
