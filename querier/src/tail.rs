//! One step of a tail: what came to the ingesters since its cursor.
//!
//! Each ingester is asked for itself, by the place where it was asked last: one that is silent holds
//! nobody up, and is asked again from its place in the next step. One that has been restarted, or has
//! batches that another one has given, is asked by the batches the tail was given.
//!
//! **Invariant:** with the answer of an ingester the cursor says of each of its batches that it was
//! given, or that it was there before the tail began.

use std::sync::Arc;

use base::ErrorKind;
use base::shutdown::Shutdown;
use catalog::{ClaimState, IdSet};
use futures::future::join_all;
use logql::engine::Partial;
use rpc::ingester::Peer;
use rpc::tail::{After, Cursor, Rows, TailAnswer, TailJob, TailRequest, Tailed};
use ulid::Ulid;

use crate::error::Error;
use crate::querier::Querier;

/// Times one ingester is asked in one step: by its place, by batches, and at newer views.
const MAX_ASKS: u32 = 8;

/// What one ingester said.
#[allow(clippy::large_enum_variant)] // one per ingester and step
enum Said {
    Rows(Rows),
    /// Nothing, and why.
    Silent(String),
}

impl Querier {
    pub(crate) async fn tail_step(&self, job: TailJob) -> Result<Tailed, Error> {
        let cancel = Shutdown::new();
        let _stop_when_dropped = cancel.clone().drop_guard();
        // Read before anybody is asked: what it claims was in a head when the last step asked, or
        // is in one now.
        let view = self.catalog.follow().await?.version();
        let (leaf, tenant) = (job.leaf.clone(), job.tenant.clone());
        let request = |after| {
            let (tenant, leaf, cancel) = (tenant.clone(), leaf.clone(), cancel.clone());
            TailRequest { tenant, leaf, after, cancel }
        };
        let begins = job.cursor.is_none();
        let mut cursor = job.cursor.unwrap_or_else(|| Cursor { view, ..Cursor::default() });
        let seen = Arc::new(std::mem::take(&mut cursor.seen));
        let mut members = self.members.view();
        if !members.nameless().is_empty() {
            members = self.members.look(None).await;
        }
        let asks = members.peers().map(|(store, peer)| {
            let name = store.to_string();
            let place = cursor.places.iter().find(|place| place.ingester == name);
            let after = match place {
                Some(place) if !place.process.is_nil() => {
                    After::Place { process: place.process, order: place.order }
                }
                None if !begins => After::Batches { seen: seen.clone(), view: cursor.view },
                // Whoever was silent when the tail began joins it now.
                Some(_) | None => After::Now { view },
            };
            let since = place.map_or(cursor.view, |place| place.view);
            self.ask_one(peer, after, since, &seen, &request)
        });
        let answers = join_all(asks).await;
        let mut seen = Arc::unwrap_or_clone(seen);
        let (mut partials, mut silent, mut is_all) = (Vec::new(), Vec::new(), true);
        silent.extend(members.nameless().iter().map(|of| format!("{}: {}", of.address, of.why)));
        for ((store, peer), said) in members.peers().zip(answers) {
            let name = store.to_string();
            match said? {
                Said::Rows(rows) => {
                    seen.extend(&rows.batches);
                    is_all &= rows.is_all;
                    cursor.put(&name, rows.process, rows.place, view);
                    partials.push(rows.partial);
                }
                Said::Silent(why) => {
                    if begins {
                        cursor.put(&name, Ulid::nil(), 0, view);
                    }
                    silent.push(format!("{}: {why}", peer.address));
                }
            }
        }
        if silent.is_empty() && view > cursor.view {
            // Nobody can have them again: a restarted ingester knows these commits.
            seen = self.unclaimed(&seen);
            cursor.view = view;
        }
        cursor.seen = seen;
        let partial = merged(leaf.empty(), partials).await?;
        Ok(Tailed { partial, cursor, is_all, silent })
    }

    /// Asks one ingester, first `after` the cursor's place. `since`: the commit known when it was
    /// asked in the step before.
    async fn ask_one(
        &self,
        peer: &Peer,
        after: After,
        since: u64,
        seen: &Arc<IdSet>,
        request: &impl Fn(After) -> TailRequest,
    ) -> Result<Said, Error> {
        let mut after = after;
        for _ in 0..MAX_ASKS {
            let by_batches = |view| After::Batches { seen: seen.clone(), view };
            after = match (peer.api.tail(request(after.clone())).await, after) {
                // Another one has given some of them.
                (Ok(TailAnswer::Rows(rows)), After::Place { .. })
                    if !rows.batches.intersection(seen).is_empty() =>
                {
                    by_batches(since)
                }
                (Ok(TailAnswer::Rows(rows)), _) => return Ok(Said::Rows(rows)),
                (Ok(TailAnswer::Stranger), _) => by_batches(since),
                (Ok(TailAnswer::Behind { .. }), After::Place { .. }) => {
                    return Err(Error::TailBehind { ingester: peer.address.clone() });
                }
                (Ok(TailAnswer::Behind { floor }), After::Now { .. }) => {
                    After::Now { view: self.catalog.follow_to(floor).await?.version() }
                }
                (Ok(TailAnswer::Behind { floor }), After::Batches { .. }) => {
                    by_batches(self.catalog.follow_to(floor).await?.version())
                }
                (Err(error), _)
                    if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) =>
                {
                    return Ok(Said::Silent(error.to_string()));
                }
                (Err(error), _) => return Err(error.into()),
            };
        }
        Err(Error::Unstable { attempts: MAX_ASKS })
    }

    fn unclaimed(&self, ids: &IdSet) -> IdSet {
        let mut left = IdSet::default();
        for (incarnation, owner, ranges) in ids.iter() {
            for (first, last) in ranges.iter() {
                for sequence in first..=last {
                    let id = base::BatchId { incarnation, owner, sequence };
                    if self.catalog.claim_state(&id) == ClaimState::Free {
                        left.insert(&id);
                    }
                }
            }
        }
        left
    }
}

/// Merges off the threads that serve connections.
async fn merged(empty: Partial, partials: Vec<Partial>) -> Result<Partial, Error> {
    let job = base::task::blocking("querier.tail", move || {
        let mut merged = empty;
        for partial in partials {
            merged.merge(partial)?;
        }
        Ok(merged)
    });
    job.await.unwrap_or_else(|died| Err(Error::Internal(format!("a merge died: {died}"))))
}
