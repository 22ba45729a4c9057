//! What came after a place: the rows that a tail has not been given yet.
//!
//! Every batch gets a place, counted up by this process, under the lock of its day and together with
//! the moment its rows become visible. So whoever reads the next place first and locks the days then
//! finds all batches before it, and answers those and no others.
//!
//! A tail that names a place of another process, which this one cannot judge, is asked for the batches
//! it was given. After a restart those that no commit claims are replayed and are here again.
//!
//! **Invariant:** a batch with a place below [`Rows::place`] is in this answer, in an earlier one, or
//! the answer is `Behind`.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{BatchId, Labels, RowsBuilder};
use catalog::IdSet;
use logql::engine::overlap::Overlaps;
use logql::plan::Leaf;
use rpc::ingester::{IngesterError, SelectAnswer, SelectRequest};
use rpc::tail::{After, Rows, TailAnswer, TailRequest};

use crate::core::Core;
use crate::day::{Claimed, DayRows, DaySnapshot, Unit, UnitRows};
use crate::head::{Arrival, Page, Snapshot};
use crate::select::Select;

/// Selected rows of one answer, about: a tail that has to catch up asks again at once.
const ANSWER_BYTES: usize = 4 << 20;

/// A head or a unit with batches that are asked for.
struct Source {
    rows: Held,
    /// In order of arrival.
    wanted: Vec<(BatchId, Arrival, Range<u64>)>,
}

enum Held {
    /// Pages, in order of arrival.
    Pages(Snapshot),
    /// A unit whose rows are sorted: they go together.
    Sealed(Arc<Unit>),
}

impl Core {
    /// The rows of batches that came after what `request` names.
    pub(crate) async fn tail(
        self: &Arc<Self>,
        request: TailRequest,
    ) -> Result<TailAnswer, IngesterError> {
        let next = self.next_order.load(Ordering::SeqCst);
        let days = self.days(Some(&request.tenant));
        let from = match &request.after {
            After::Place { process, .. } if *process != self.process => {
                return Ok(TailAnswer::Stranger);
            }
            After::Place { order, .. } => *order,
            After::Now { .. } | After::Batches { .. } => 0,
        };
        if let After::Now { view } | After::Batches { view, .. } = &request.after {
            self.follow_to(*view).await?;
            self.mend(&days).await;
        }
        let is_wanted = |id: &BatchId, order: u64| match &request.after {
            After::Batches { seen, .. } => order < next && !seen.contains(id),
            After::Place { .. } | After::Now { .. } => (from..next).contains(&order),
        };
        let mut sources = Vec::new();
        for day in &days {
            held(day, &request.after, &is_wanted, &mut sources);
        }
        // After the rows were looked at: what was dropped before has raised them.
        match &request.after {
            After::Place { order, .. } => {
                let floor = self.tail_floor.load(Ordering::SeqCst);
                if *order < floor {
                    return Ok(TailAnswer::Behind { floor: self.floor() });
                }
            }
            After::Now { view } | After::Batches { view, .. } => {
                let floor = self.floor();
                if *view < floor {
                    return Ok(TailAnswer::Behind { floor });
                }
            }
        }
        let mut rows = Rows {
            process: self.process,
            place: next,
            batches: IdSet::default(),
            partial: request.leaf.empty(),
            is_all: true,
        };
        if matches!(request.after, After::Now { .. }) {
            let ids = sources.iter().flat_map(|source| source.wanted.iter().map(|(id, ..)| id));
            rows.batches = ids.collect();
            return Ok(TailAnswer::Rows(rows));
        }
        let taken = take(sources, &request.leaf, next);
        (rows.place, rows.is_all) = (taken.place, taken.place == next);
        rows.batches = taken.batches.iter().collect();
        if !taken.snapshots.is_empty() {
            let select = SelectRequest {
                tenant: request.tenant.clone(),
                leaf: Arc::clone(&request.leaf),
                view: 0,
                asked: Vec::new(),
                overlaps: Arc::new(Overlaps::none()),
                store: None,
                cancel: request.cancel.clone(),
            };
            if let SelectAnswer::Rows { partial, .. } =
                Select::new(&select, taken.snapshots).run(0).await?
            {
                rows.partial = partial;
            }
        }
        Ok(TailAnswer::Rows(rows))
    }

    /// `unit` goes, but for the batches that `is_kept`: tails that were not given it are behind.
    pub(crate) fn tail_past(&self, unit: &Unit, is_kept: impl Fn(&BatchId) -> bool) {
        let batches = unit.batches.iter().zip(&unit.arrivals);
        let gone = batches.filter(|(id, _)| !is_kept(id)).map(|(_, arrival)| arrival.order + 1);
        if let Some(floor) = gone.max() {
            self.tail_floor.fetch_max(floor, Ordering::SeqCst);
        }
    }
}

/// The wanted batches of a day, by where their rows are.
fn held(
    day: &DayRows,
    after: &After,
    is_wanted: &dyn Fn(&BatchId, u64) -> bool,
    out: &mut Vec<Source>,
) {
    let mut state = day.lock();
    for unit in &state.units {
        // A tail by places is given what was flushed meanwhile too.
        let is_held = match (unit.claimed, after) {
            (Claimed::No | Claimed::Partly, _) | (_, After::Place { .. }) => true,
            (Claimed::By { commit, .. }, After::Now { view } | After::Batches { view, .. }) => {
                *view < commit
            }
        };
        let unit = &unit.unit;
        let wanted = match is_held {
            true => wanted(&unit.batches, &unit.arrivals, is_wanted),
            false => Vec::new(),
        };
        if !wanted.is_empty() {
            let rows = match &unit.rows {
                UnitRows::Raw(snapshot) => Held::Pages(snapshot.clone()),
                UnitRows::Sealed { .. } => Held::Sealed(Arc::clone(unit)),
            };
            out.push(Source { rows, wanted });
        }
    }
    let wanted = wanted(state.head.batches(), state.head.arrivals(), is_wanted);
    if !wanted.is_empty() {
        out.push(Source { rows: Held::Pages(state.head.snapshot()), wanted });
    }
}

fn wanted(
    batches: &[BatchId],
    arrivals: &[Arrival],
    is_wanted: &dyn Fn(&BatchId, u64) -> bool,
) -> Vec<(BatchId, Arrival, Range<u64>)> {
    let mut wanted = Vec::new();
    for (at, (id, arrival)) in batches.iter().zip(arrivals).enumerate() {
        if is_wanted(id, arrival.order) {
            let end = arrivals.get(at + 1).map_or(u64::MAX, |next| next.first_row);
            wanted.push((*id, *arrival, arrival.first_row..end));
        }
    }
    wanted
}

/// What goes into one answer.
struct Taken {
    batches: Vec<BatchId>,
    snapshots: Vec<DaySnapshot>,
    /// Every wanted batch before it is taken.
    place: u64,
}

/// Takes batches in order of arrival until their selected rows are enough for one answer.
fn take(sources: Vec<Source>, leaf: &Leaf, next: u64) -> Taken {
    let mut order: Vec<(u64, usize, usize)> = Vec::new();
    for (at, source) in sources.iter().enumerate() {
        order.extend(source.wanted.iter().enumerate().map(|(n, batch)| (batch.1.order, at, n)));
    }
    order.sort_unstable();
    let mut copies: Vec<Copied> = sources.iter().map(|source| Copied::new(source, leaf)).collect();
    let mut taken = Taken { batches: Vec::new(), snapshots: Vec::new(), place: next };
    let mut bytes = 0;
    for (place, at, number) in order {
        if bytes >= ANSWER_BYTES {
            taken.place = place;
            break;
        }
        let (id, _, rows) = &sources[at].wanted[number];
        taken.batches.push(*id);
        bytes += copies[at].add(&sources[at], rows.clone());
    }
    for (copied, source) in copies.into_iter().zip(&sources) {
        taken.snapshots.extend(copied.finish(source));
    }
    taken
}

/// Selected rows of one source, copied out of its pages.
struct Copied {
    selects: Vec<bool>,
    rows: RowsBuilder,
    is_taken: bool,
}

impl Copied {
    fn new(source: &Source, leaf: &Leaf) -> Copied {
        let streams: &[Labels] = match &source.rows {
            Held::Pages(snapshot) => &snapshot.streams,
            Held::Sealed(_) => &[],
        };
        let selects = streams.iter().map(|labels| leaf.selects(labels)).collect();
        Copied { selects, rows: RowsBuilder::default(), is_taken: false }
    }

    /// Takes rows with these numbers; returns how many bytes they are.
    fn add(&mut self, source: &Source, wanted: Range<u64>) -> usize {
        let snapshot = match &source.rows {
            Held::Pages(snapshot) => snapshot,
            Held::Sealed(unit) => {
                let bytes = if self.is_taken { 0 } else { unit.raw_bytes as usize };
                self.is_taken = true;
                return bytes;
            }
        };
        let before = self.rows.raw_bytes();
        let first = snapshot.pages.partition_point(|page| page.first_row <= wanted.start);
        for page in &snapshot.pages[first.saturating_sub(1)..] {
            if page.first_row >= wanted.end {
                break;
            }
            self.copy(page, &wanted);
        }
        self.is_taken |= !self.rows.is_empty();
        self.rows.raw_bytes() - before
    }

    fn copy(&mut self, page: &Page, wanted: &Range<u64>) {
        let (metadata, mut at) = (page.rows.metadata_views(), 0);
        let view = page.rows.page(&metadata);
        let last = (wanted.end - page.first_row).min(page.rows.len() as u64) as usize;
        let skip = wanted.start.saturating_sub(page.first_row) as usize;
        for run in &page.rows.runs {
            let (from, to) = (at.max(skip), (run.end as usize).min(last));
            if from < to && self.selects[run.stream as usize] {
                self.rows.append(&view, from, to, |stream| stream);
            }
            at = run.end as usize;
        }
    }

    fn finish(self, source: &Source) -> Option<DaySnapshot> {
        if !self.is_taken {
            return None;
        }
        Some(match &source.rows {
            Held::Sealed(unit) => DaySnapshot { head: None, units: vec![Arc::clone(unit)] },
            Held::Pages(whole) => {
                let pages = vec![Arc::new(Page::new(0, self.rows.finish()))];
                let order = source.wanted.first().map_or(0, |(_, arrival, _)| arrival.order);
                let snapshot = Snapshot { pages, ..whole.clone() };
                DaySnapshot { head: Some((order, snapshot)), units: Vec::new() }
            }
        })
    }
}

#[cfg(test)]
mod tests;
