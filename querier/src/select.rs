//! One leaf over all its sources at one view: the handshake (R1) and the overlaps (R2).

use std::sync::Arc;

use base::shutdown::Shutdown;
use base::{ErrorKind, TenantId, UnixNanos, task};
use logql::engine::Partial;
use logql::engine::overlap::{Overlaps, StreamRange};
use logql::plan::Leaf as PlanLeaf;
use metrics::counter;
use rpc::ingester::{ReadStats, SelectAnswer, SelectRequest};
use rpc::stats::{self, QueryStats};
use store::{PartRecord, Requests, Snapshot};

use crate::error::Error;
use crate::known::Known;
use crate::metrics::{CORRUPT, REPEATS};
use crate::peers::{Gone, Versioned};
use crate::querier::Querier;
use crate::rounds::{Numbered, Rounds};
use crate::scan::{Opened, Scanned};

/// Times a query starts over before it gives up. Each needs a flush or a removal between reading
/// the catalog and asking; parts are removed hours after the commit that says so, and ingesters
/// keep flushed rows for a minute, so that more than two in a row mean something is broken.
pub(crate) const MAX_ATTEMPTS: u32 = 8;
/// Times ingesters are asked at one view. A second is normal, a third needs rows that arrived out
/// of order in between; a push between any two cannot hold a query up for ever.
const MAX_ASKS: u32 = 16;

/// A leaf of a plan and for whom it is evaluated.
#[derive(Clone, Copy)]
pub struct Leaf<'a> {
    /// The leaf.
    pub leaf: &'a Arc<PlanLeaf>,
    /// Whose rows.
    pub tenant: &'a TenantId,
    /// Counts what is read of parts.
    pub requests: &'a Requests,
}

/// A leaf's merged result.
pub struct Selection {
    /// The result.
    pub partial: Partial,
    /// What it cost, repeats included.
    pub stats: QueryStats,
    /// What the user should know about it.
    pub warnings: Vec<String>,
}

/// Why an attempt does not count.
enum Again {
    /// An ingester dropped rows of a later commit.
    Behind,
    /// A store left the ring since it was looked at, or can be done without only since then.
    Removed,
    /// A part was removed and deleted; what the store said.
    PartGone(Error),
}

impl Querier {
    /// Evaluates one leaf, first by what is `known`, then by what is newer until its sources fit together.
    pub(crate) async fn select_leaf(
        &self,
        leaf: Leaf<'_>,
        mut known: Known,
    ) -> Result<Selection, Error> {
        let cancel = Shutdown::new();
        let _stop_when_dropped = cancel.clone().drop_guard();
        let mut stats = QueryStats::default();
        // Whoever was silent once is not asked again for this job.
        let mut gone = Gone::default();
        for _ in 0..MAX_ATTEMPTS {
            match self.attempt(leaf, &known, &mut gone, &cancel, &mut stats).await? {
                Ok(partial) => {
                    stats.parts.requests = leaf.requests.count();
                    stats.reads_metadata =
                        leaf.leaf.needs().metadata.is_some_and(|names| !names.is_empty());
                    let warnings = warnings(&known.log, leaf);
                    return Ok(Selection { partial, stats, warnings });
                }
                Err(Again::Behind) => {
                    counter!(REPEATS, "reason" => "behind").increment(1);
                    known = self.look().await?;
                }
                Err(Again::Removed) => {
                    counter!(REPEATS, "reason" => "removed").increment(1);
                    known = self.look().await?;
                }
                Err(Again::PartGone(error)) => {
                    known = self.look_without_part(&known, error).await?;
                }
            }
        }
        Err(Error::Unstable { attempts: MAX_ATTEMPTS })
    }

    /// What is newer, after a part that the log of `known` names was not found (C4). Without a commit
    /// that could have removed it, it is lost.
    pub(crate) async fn look_without_part(
        &self,
        known: &Known,
        error: Error,
    ) -> Result<Known, Error> {
        let newer = self.look().await?;
        if newer.log.version() == known.log.version() {
            counter!(CORRUPT).increment(1);
            return Err(error);
        }
        counter!(REPEATS, "reason" => "part_gone").increment(1);
        Ok(newer)
    }

    async fn attempt(
        &self,
        leaf: Leaf<'_>,
        known: &Known,
        gone: &mut Gone,
        cancel: &Shutdown,
        stats: &mut QueryStats,
    ) -> Result<Result<Partial, Again>, Error> {
        let records = parts_in_range(leaf, &known.log)?;
        let rounds = Rounds::new(records, leaf.leaf.direction());
        stats.parts.parts += rounds.parts() as u64;
        let (ranges, mut held) = match self.part_ranges(leaf, &rounds, cancel).await {
            Ok(opened) => opened,
            Err(error) => return again_or_fail(error),
        };
        let asked = match self.ask_ingesters(leaf, known, gone, &ranges, cancel).await? {
            Ok(asked) => asked,
            Err(again) => return Ok(Err(again)),
        };
        let mut partials = Vec::with_capacity(asked.answers.len());
        let ingester = &mut stats.ingester;
        ingester.reached = ingester.reached.max(asked.answers.len() as u64);
        ingester.calls += asked.calls;
        stats::add(&mut ingester.read, &asked.read);
        for answer in asked.answers {
            ingester.streams += answer.ranges.len() as u64;
            partials.push(answer.partial);
        }
        let mut merged = merge(leaf.leaf.empty(), partials).await?;
        for round in rounds.iter() {
            // What the ingesters and the rounds before have may be enough for a log query.
            let bound = merged.threshold();
            if rounds.is_beyond(round, bound) {
                break;
            }
            let scanned = self.scan_round(leaf, round, held.take(), &asked.overlaps, bound, cancel);
            let scanned = match scanned.await {
                Ok(scanned) => scanned,
                Err(error) => return again_or_fail(error),
            };
            stats.parts.take_in(&scanned.stats);
            merged = merge(merged, scanned.partials).await?;
        }
        Ok(Ok(merged))
    }

    /// What the parts cover, for metric queries: an overlap may be between any two of them. Parts
    /// that fit one round stay open for the scan.
    async fn part_ranges(
        &self,
        leaf: Leaf<'_>,
        rounds: &Rounds,
        cancel: &Shutdown,
    ) -> Result<(Vec<Vec<StreamRange>>, Option<Opened>), Error> {
        let mut ranges = Vec::new();
        // Every row of a log query carries its hash: nothing has to be sent apart.
        if leaf.leaf.is_log() {
            return Ok((ranges, None));
        }
        for round in rounds.iter() {
            let mut opened = self.open_parts(leaf, round, cancel).await?;
            ranges.append(&mut opened.ranges);
            if rounds.is_one() {
                return Ok((ranges, Some(opened)));
            }
        }
        Ok((ranges, None))
    }

    async fn scan_round(
        &self,
        leaf: Leaf<'_>,
        round: &[Numbered],
        held: Option<Opened>,
        overlaps: &Arc<Overlaps>,
        bound: Option<i64>,
        cancel: &Shutdown,
    ) -> Result<Scanned, Error> {
        let opened = match held {
            Some(opened) => opened,
            None => self.open_parts(leaf, round, cancel).await?,
        };
        self.scan_parts(leaf, opened, overlaps, bound, cancel).await
    }

    /// Asks all ingesters until they sent every overlap as rows. Overlaps between parts are known
    /// from the start.
    async fn ask_ingesters(
        &self,
        leaf: Leaf<'_>,
        known: &Known,
        gone: &mut Gone,
        part_ranges: &[Vec<StreamRange>],
        cancel: &Shutdown,
    ) -> Result<Result<Asked, Again>, Error> {
        let part_ranges: Vec<&[StreamRange]> = part_ranges.iter().map(Vec::as_slice).collect();
        let mut overlaps = Overlaps::between(&part_ranges);
        let mut calls = 0;
        let mut read = ReadStats::default();
        for _ in 0..MAX_ASKS {
            let sent = Arc::new(overlaps.clone());
            let request = SelectRequest {
                tenant: leaf.tenant.clone(),
                leaf: leaf.leaf.clone(),
                view: known.log.version(),
                asked: Vec::new(),
                overlaps: sent.clone(),
                store: None,
                cancel: cancel.clone(),
            };
            let ask = self.peers.ask(gone, &known.ring, |peer, store, asked| {
                let request = SelectRequest { asked, store: Some(store), ..request.clone() };
                Box::pin(async move { peer.api.select(request).await })
            });
            let mut answers = Vec::new();
            let Some(all) = ask.await? else { return Ok(Err(Again::Removed)) };
            for answer in all {
                calls += 1;
                match answer {
                    SelectAnswer::Behind { .. } => return Ok(Err(Again::Behind)),
                    SelectAnswer::Rows { ranges, partial, stats: more, .. } => {
                        stats::add(&mut read, &more);
                        answers.push(HeadAnswer { ranges, partial });
                    }
                }
            }
            if !leaf.leaf.is_log() {
                let mut sources = part_ranges.clone();
                sources.extend(answers.iter().map(|answer| answer.ranges.as_slice()));
                let now = Overlaps::between(&sources);
                if !overlaps.contains_all(&now) {
                    overlaps.union(&now);
                    continue;
                }
            }
            return Ok(Ok(Asked { answers, overlaps: sent, calls, read }));
        }
        Ok(Err(Again::Behind))
    }
}

impl Versioned for SelectAnswer {
    fn ring(&self) -> u64 {
        match self {
            SelectAnswer::Rows { ring, .. } => *ring,
            SelectAnswer::Behind { .. } => 0,
        }
    }
}

/// What one ingester answered last.
struct HeadAnswer {
    ranges: Vec<StreamRange>,
    partial: Partial,
}

/// What all ingesters answered last, and what asking all the times cost.
struct Asked {
    answers: Vec<HeadAnswer>,
    /// What every source sends as rows.
    overlaps: Arc<Overlaps>,
    calls: u64,
    read: ReadStats,
}

/// Merges off the threads that serve connections: a partial may hold millions of samples.
async fn merge(merged: Partial, partials: Vec<Partial>) -> Result<Partial, Error> {
    if partials.is_empty() {
        return Ok(merged);
    }
    let mut merged = merged;
    let job = task::blocking("querier.merge", move || {
        for partial in partials {
            merged.merge(partial)?;
        }
        Ok(merged)
    });
    job.await.unwrap_or_else(|died| Err(Error::Internal(format!("a merge died: {died}"))))
}

/// The parts of `view` that may hold rows of the leaf. Fails if the catalog is known to miss some.
fn parts_in_range(leaf: Leaf<'_>, view: &Snapshot) -> Result<Vec<Arc<PartRecord>>, Error> {
    let range = leaf.leaf.range();
    if range.from_ns >= range.to_ns {
        return Ok(Vec::new());
    }
    let (first, last) = (UnixNanos(range.from_ns), UnixNanos(range.to_ns - 1));
    check_damage(view, leaf.tenant, first, last)?;
    Ok(view.parts(leaf.tenant, first, last))
}

/// A short answer is never given silently: what the catalog lost in this range fails the query.
/// Damage whose tenant and day are unknown would take every tenant down: it is a warning in the
/// answer instead ([`warnings`]).
pub(crate) fn check_damage(
    view: &Snapshot,
    tenant: &TenantId,
    first: UnixNanos,
    last: UnixNanos,
) -> Result<(), Error> {
    for damage in view.damage(tenant, first, last) {
        if damage.scope.is_some() {
            counter!(CORRUPT).increment(1);
            let (object, problem) = (damage.object.clone(), damage.problem.clone());
            return Err(Error::Damaged { object, problem });
        }
    }
    Ok(())
}

/// Stored objects that could not be read and may have named parts of this range.
fn warnings(view: &Snapshot, leaf: Leaf<'_>) -> Vec<String> {
    let range = leaf.leaf.range();
    let damage = view.damage(leaf.tenant, UnixNanos(range.from_ns), UnixNanos(range.to_ns));
    let text = |damage: &catalog::Damage| {
        let (object, problem) = (&damage.object, &damage.problem);
        format!("{object} is damaged: {problem}; rows may be missing")
    };
    damage.into_iter().filter(|damage| damage.scope.is_none()).map(text).collect()
}

/// A part that is gone means that the catalog has moved on (C4).
fn again_or_fail<T>(error: Error) -> Result<Result<T, Again>, Error> {
    match error.kind() {
        ErrorKind::NotFound => Ok(Err(Again::PartGone(error))),
        ErrorKind::Corrupt => {
            counter!(CORRUPT).increment(1);
            Err(error)
        }
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests;
