//! A row group whose rows only count: what its directory says, and no more than it does not.

use base::Bitmap;
use logql::engine::{Flow, RunEntry, RunTaken, Worker};
use part::{Footer, Run};

use super::Pass;
use crate::scan::{ScanError, ScanStats, Scratch};

impl Pass<'_> {
    /// Gives runs to the worker by their directory entries. Of the others it reads timestamps and
    /// what the leaf [needs](logql::plan::Leaf::needs), and whole rows only on pages where another
    /// source covers the same instants of a stream (R2).
    pub(super) fn count(
        &self,
        worker: &mut Worker,
        scratch: &mut Scratch,
        stats: &mut ScanStats,
    ) -> Result<Flow, ScanError> {
        stats.groups += 1;
        self.enter_source(worker, scratch)?;
        let footer = &*self.unit.scan.footer;
        let group = self.unit.group;
        let by_stream_alone = !self.has_metadata(footer);
        let mut left = Bitmap::none(self.unit.streams.len());
        let pairs = footer.run_pairs(group);
        let has_metadata = footer.metadata_names(group).next().is_some();
        let mut from = 0;
        for (at, run) in footer.runs(group).iter().enumerate() {
            if self.unit.streams.get(run.stream as usize) {
                let pairs = pairs.map(|pairs| pairs[at]).or((!has_metadata).then_some(0));
                let entry = entry(run, from, pairs);
                let taken = match by_stream_alone {
                    true => worker.count_run(entry),
                    false => RunTaken::Unread,
                };
                match taken {
                    RunTaken::Counted => {
                        stats.rows += entry.rows;
                        stats.line_bytes += entry.line_bytes;
                    }
                    RunTaken::Outside => {}
                    RunTaken::Unread => left.set(run.stream as usize),
                }
            }
            from = run.end;
        }
        if !left.is_none() {
            self.read(&left, worker, scratch, stats)?;
        }
        worker.end_runs()?;
        Ok(Flow::Continue)
    }

    /// Whether some metadata of the group could decide about a series.
    fn has_metadata(&self, footer: &Footer) -> bool {
        let mut names = footer.metadata_names(self.unit.group);
        match &self.leaf.needs().metadata {
            None => names.next().is_some(),
            Some(needed) => names.any(|name| needed.iter().any(|needed| needed == name)),
        }
    }

    /// The rows of the streams in `left`.
    fn read(
        &self,
        left: &Bitmap,
        worker: &mut Worker,
        scratch: &mut Scratch,
        stats: &mut ScanStats,
    ) -> Result<(), ScanError> {
        let (footer, group) = (&*self.unit.scan.footer, self.unit.group);
        let range = self.leaf.range();
        let pages = footer.candidates(group, left, range.from_ns..range.to_ns);
        stats.pages_considered += u64::from(pages.count_ones());
        let whole = pages & self.shared_pages(left, scratch);
        let needs = self.leaf.needs();
        self.feed(pages & !whole, &needs, worker, scratch, stats)?;
        if whole != 0 {
            let needs = self.leaf.needs_with(&scratch.overlaps);
            self.feed(whole, &needs, worker, scratch, stats)?;
        }
        Ok(())
    }

    /// Pages with rows of `streams` at instants that another source covers too.
    fn shared_pages(&self, streams: &Bitmap, scratch: &Scratch) -> u64 {
        if scratch.overlaps.is_empty() {
            return 0;
        }
        let (footer, group) = (&*self.unit.scan.footer, self.unit.group);
        let pages = footer.pages(group);
        let mut shared = 0;
        let (mut from, mut first) = (0, 0);
        for run in footer.runs(group) {
            while pages[first].end <= from {
                first += 1;
            }
            from = run.end;
            if !streams.get(run.stream as usize) {
                continue;
            }
            let key = self.unit.scan.source.streams[run.stream as usize].key();
            for (page, entry) in pages.iter().enumerate().skip(first) {
                let (min_ns, max_ns) = (run.min_ns.max(entry.min_ns), run.max_ns.min(entry.max_ns));
                if min_ns <= max_ns && scratch.overlaps.touches(key, min_ns, max_ns) {
                    shared |= 1 << page;
                }
                if entry.end >= run.end {
                    break;
                }
            }
        }
        shared
    }
}

fn entry(run: &Run, from: u32, pairs: Option<u64>) -> RunEntry {
    let Run { stream, end, line_bytes, min_ns, max_ns } = *run;
    RunEntry { stream, rows: u64::from(end - from), line_bytes, pairs, min_ns, max_ns }
}
