//! Writing a part: sorted rows in, bytes out. Seal and merge both end here.

mod copy;
mod group;
mod output;

use base::{Day, Labels, PageView, StreamKey, TenantId};

use crate::codec::{Compressor, Frame};
use crate::footer::{self, Draft, DraftGroup, Run, Stream};
use crate::options::{MAX_GROUP_PAGES, MAX_GROUP_ROWS};
use crate::sketch::classes::Classes;
use crate::sketch::{self, Folds, ids, trigrams};
use crate::templates::{Sampler, Template};
use crate::{Error, Options, Summary};

pub(crate) use copy::Copied;
use group::{GroupBuilder, Scratch};
pub(crate) use group::{Mapping, page_runs};
pub(crate) use output::Output;

/// A page with less than this part of a stream's own page is none: it takes the next rows too.
const SHARE: usize = 4;

/// Takes rows in order and cuts them into pages and row groups.
pub(crate) struct Writer {
    options: Options,
    out: Output,
    compressor: Compressor,
    draft: Draft,
    group: GroupBuilder,
    /// Line bytes the open page is filled up to.
    page_limit: usize,
    /// The stream that is appended has pages of its own.
    is_alone: bool,
    /// Counts row groups, so that a [`Mapping`] knows when it is stale.
    epoch: u64,
    classes: Classes,
    trigrams: trigrams::Builder,
    ids: ids::Builder,
    folds: Folds,
    /// Pages of the group with a folding letter.
    fold_mask: u64,
    /// Pages of the group with an escape that can stand for any character.
    escape_mask: u64,
    /// Trigram frames of all groups, which follow the last group; offsets in the draft are relative
    /// to these until then.
    trigram_bytes: Vec<u8>,
    /// Distinct metadata values of all groups.
    metadata_bytes: u64,
    /// Reused for the raw bytes of a column.
    raw: Vec<u8>,
    scratch: Scratch,
    sampler: Sampler,
    /// Lines are looked at: templates of them are not known yet.
    samples: bool,
}

/// Rows `from..to` of a page, all of stream `stream`.
pub(crate) struct Piece<'a, 'v> {
    pub(crate) page: &'a PageView<'v>,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) stream: u32,
}

impl Writer {
    /// `labels` ascend, and every stream gets a row.
    pub(crate) fn new(
        tenant: &TenantId,
        day: Day,
        labels: Vec<Labels>,
        options: &Options,
    ) -> Result<Writer, Error> {
        assert!(options.group_rows > 0 && options.group_rows <= MAX_GROUP_ROWS);
        assert!(options.group_pages > 0 && options.group_pages <= MAX_GROUP_PAGES);
        assert!(labels.windows(2).all(|pair| pair[0] < pair[1]), "streams ascend");
        let none = Stream { rows: 0, line_bytes: 0, min_ns: i64::MAX, max_ns: i64::MIN };
        let streams = vec![none; labels.len()];
        Ok(Writer {
            options: *options,
            out: Output::default(),
            compressor: Compressor::new(options.codec)?,
            draft: Draft {
                tenant: tenant.clone(),
                day,
                labels,
                streams,
                groups: Vec::new(),
                templates: Vec::new(),
            },
            group: GroupBuilder::default(),
            page_limit: options.page_bytes,
            is_alone: false,
            epoch: 1,
            classes: Classes::default(),
            trigrams: trigrams::Builder::new(),
            ids: ids::Builder::default(),
            folds: Folds::new(),
            fold_mask: 0,
            escape_mask: 0,
            trigram_bytes: Vec::new(),
            metadata_bytes: 0,
            raw: Vec::new(),
            scratch: Scratch::default(),
            sampler: Sampler::default(),
            samples: true,
        })
    }

    /// Templates of rows that will be written, whose lines need not be looked at then.
    pub(crate) fn know(&mut self, templates: &[Template]) {
        self.samples = false;
        templates.iter().for_each(|template| self.sampler.template(template));
    }

    /// The rows that follow are of the next stream, with about `line_bytes` of lines in all.
    ///
    /// A large stream begins and ends at a page boundary, in pages of equal size: a merge with later
    /// rows of it copies them. What is left of a page before it may be too small for a page; then
    /// they share.
    pub(crate) fn begin_stream(&mut self, line_bytes: u64) -> Result<(), Error> {
        let own = self.options.own_page_bytes;
        let was_alone = self.is_alone;
        self.is_alone = line_bytes >= own as u64;
        self.page_limit = self.options.page_bytes;
        if (was_alone || self.is_alone) && self.group.open_bytes() >= own / SHARE {
            self.close_page()?;
        }
        if self.is_alone {
            let full = self.page_limit as u64;
            let even = line_bytes.div_ceil(line_bytes.div_ceil(full));
            // A page ends before the line that does not fit: without slack these add up to one more.
            self.page_limit = (even + even / 32).min(full) as usize;
        }
        Ok(())
    }

    /// Appends rows that sort at or after all before. `mapping` belongs to the dictionaries of the
    /// piece's page and remembers how their codes translate.
    pub(crate) fn append(
        &mut self,
        piece: &Piece<'_, '_>,
        mapping: &mut Mapping,
    ) -> Result<(), Error> {
        let mut from = piece.from;
        while from < piece.to {
            mapping.enter(self.epoch, piece.page);
            let to = self.group.room(piece, from, self.page_limit, &self.options);
            if to == from {
                self.close_page()?;
                if self.group.is_full(piece.page, &self.options) {
                    self.close_group()?;
                }
                continue;
            }
            self.group.push(piece, from, to, mapping);
            from = to;
        }
        Ok(())
    }

    fn close_page(&mut self) -> Result<(), Error> {
        let lines = self.group.open_lines();
        if lines.is_empty() {
            return Ok(());
        }
        let page = self.group.page_count();
        self.classes.read(lines.joined());
        self.trigrams.page(page, lines.joined(), &self.classes);
        self.ids.page(lines, &self.classes);
        if self.folds.found_in(lines.joined()) {
            self.fold_mask |= 1 << page;
        }
        if sketch::escapes_any(lines.joined()) {
            self.escape_mask |= 1 << page;
        }
        if self.samples {
            self.group.sample(&mut self.sampler, &mut self.scratch);
        }
        let frame = self.out.lines(&mut self.compressor, lines.joined())?;
        self.group.close_page(frame, &mut self.scratch);
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), Error> {
        self.close_page()?;
        if self.group.is_empty() {
            return Ok(());
        }
        let mut columns = Vec::new();
        for column in [crate::columns::kind::TIMES, crate::columns::kind::LENGTHS] {
            self.raw.clear();
            self.group.put_column(column, &mut self.raw);
            let frame = self.out.frame(&mut self.compressor, &self.raw)?;
            columns.push((column, crate::columns::REQUIRED, None, frame));
        }
        for column in self.group.take_metadata() {
            self.raw.clear();
            self.group.put_metadata(&column, &mut self.raw, &mut self.scratch);
            let frame = self.out.frame(&mut self.compressor, &self.raw)?;
            let name = Some(column.name.to_string());
            let (kind, flags) = (crate::columns::kind::METADATA, crate::columns::REQUIRED);
            columns.push((kind, flags, name, frame));
        }
        self.draft_group(columns)?;
        self.metadata_bytes += self.group.metadata_bytes() as u64;
        self.group.clear();
        self.fold_mask = 0;
        self.escape_mask = 0;
        self.epoch += 1;
        Ok(())
    }

    fn draft_group(&mut self, columns: Vec<(u8, u8, Option<String>, Frame)>) -> Result<(), Error> {
        let pages = self.group.take_pages();
        let (runs, run_pairs) = (self.group.take_runs(), self.group.take_run_pairs());
        self.trigrams.finish(pages.len(), &mut self.raw);
        let trigrams = self.compressor.frame(&self.raw, &mut self.trigram_bytes)?;
        let ids_offset = self.out.len();
        let line_bytes = pages.iter().map(|(page, _)| u64::from(page.line_bytes)).sum();
        let (ids_blocks, longest) = self.ids.finish(line_bytes, self.out.open());
        for (run, rows) in with_rows(&runs) {
            let stream = &mut self.draft.streams[run.stream as usize];
            assert!(stream.rows == 0 || stream.max_ns <= run.min_ns, "rows sorted by time");
            stream.rows += rows;
            stream.line_bytes += run.line_bytes;
            stream.min_ns = stream.min_ns.min(run.min_ns);
            stream.max_ns = stream.max_ns.max(run.max_ns);
        }
        let last = self.draft.groups.last().and_then(|group| group.runs.last());
        assert!(last.is_none_or(|last| last.stream <= runs[0].stream), "rows sorted by stream");
        self.draft.groups.push(DraftGroup {
            rows: pages.last().map_or(0, |(page, _)| page.end),
            min_ns: runs.iter().map(|run| run.min_ns).min().unwrap_or(0),
            pages,
            runs,
            run_pairs,
            columns,
            trigrams,
            folds: self.fold_mask,
            escapes: self.escape_mask,
            ids_offset,
            ids_blocks,
            longest,
        });
        Ok(())
    }

    /// Writes what is left, the sketches and the footer. `None` when there were no rows.
    pub(crate) fn finish(&mut self) -> Result<Option<Summary>, Error> {
        self.close_group()?;
        if self.draft.groups.is_empty() {
            return Ok(None);
        }
        let tail_start = self.out.len();
        self.out.open().append(&mut self.trigram_bytes);
        for group in &mut self.draft.groups {
            group.trigrams.offset += tail_start;
        }
        self.draft.templates = std::mem::take(&mut self.sampler).finish();
        let footer_bytes =
            footer::encode(&self.draft, self.options.codec, tail_start, &mut self.out)?;
        let totals = self.draft.totals();
        let keys = self.draft.labels.iter().map(Labels::key);
        let none = StreamKey(0);
        let keys = (keys.clone().min().unwrap_or(none), keys.max().unwrap_or(none));
        Ok(Some(Summary {
            part_bytes: self.out.len(),
            tail_bytes: (self.out.len() - tail_start) as u32,
            footer_bytes,
            rows: totals.rows,
            line_bytes: totals.line_bytes,
            raw_bytes: totals.line_bytes + self.metadata_bytes,
            min_ns: totals.min_ns,
            max_ns: totals.max_ns,
            streams: self.draft.streams.len() as u32,
            keys,
        }))
    }

    /// The bytes written since the last time. Before [`Writer::finish`] only row groups that are
    /// closed and pages count.
    pub(crate) fn output(&mut self) -> &mut Output {
        &mut self.out
    }
}

/// Runs with their row counts.
fn with_rows(runs: &[Run]) -> impl Iterator<Item = (&Run, u64)> {
    let mut from = 0;
    runs.iter().map(move |run| (run, u64::from(run.end - std::mem::replace(&mut from, run.end))))
}
