//! One step of a tail: what came to the ingesters since its cursor.
//!
//! Each ingester is asked for itself, by the place where it was asked last: one that is silent holds
//! nobody up, and is asked again from its place in the next step. One that has been restarted, or has
//! batches that another one has given, is asked by the batches the tail was given.
//!
//! **Invariant:** with the answer of an ingester the cursor says of each of its batches that it was
//! given, or that it was there before the tail began. What an ingester flushed before it ended,
//! without having given it, is read from the parts ([`missed`]).

use std::sync::Arc;

use base::shutdown::Shutdown;
use base::{ErrorKind, StoreId};
use catalog::IdSet;
use futures::future::join_all;
use logql::engine::Partial;
use rpc::ingester::Peer;
use rpc::members::View;
use rpc::tail::{After, Cursor, Rows, TailAnswer, TailJob, TailRequest, Tailed};
use ulid::Ulid;

use self::missed::Ended;
use crate::error::Error;
use crate::querier::Querier;

mod missed;

/// Times one ingester is asked in one step: by its place, by batches, and at newer views.
const MAX_ASKS: u32 = 8;

/// What one ingester said.
#[allow(clippy::large_enum_variant)] // one per ingester and step
enum Said {
    Rows {
        rows: Rows,
        /// Whether another process was asked the last time.
        is_new: bool,
    },
    /// Nothing, and why.
    Silent(String),
}

impl Querier {
    pub(crate) async fn tail_step(&self, job: TailJob) -> Result<Tailed, Error> {
        let cancel = Shutdown::new();
        let _stop_when_dropped = cancel.clone().drop_guard();
        // Read before anybody is asked: what it claims was in a head when the last step asked, or
        // is in one now.
        self.catalog.follow().await?;
        let (leaf, tenant) = (job.leaf.clone(), job.tenant.clone());
        let request = |after| {
            let (tenant, leaf, cancel) = (tenant.clone(), leaf.clone(), cancel.clone());
            TailRequest { tenant, leaf, after, cancel }
        };
        let begins = job.cursor.is_none();
        let mut cursor = job.cursor.clone().unwrap_or_default();
        let seen = Arc::new(std::mem::take(&mut cursor.seen));
        // Commits up to the view claim exactly these of them: others are still asked for.
        let (view, claimed) =
            self.catalog.read(|known| (known.version(), known.table().claimed_of(&seen)));
        if begins {
            cursor.view = view;
        }
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
        let mut ended = left(&mut cursor, &members);
        silent.extend(members.nameless().iter().map(|of| format!("{}: {}", of.address, of.why)));
        for ((store, peer), said) in members.peers().zip(answers) {
            let name = store.to_string();
            match said? {
                Said::Rows { rows, is_new } => {
                    if is_new {
                        let place = cursor.places.iter().find(|place| place.ingester == name);
                        let since = place.map_or(cursor.view, |place| place.view);
                        ended.push(Ended { store, since });
                    }
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
        partials.extend(self.missed(&job, &ended, &mut seen, &cancel).await?);
        if silent.is_empty() && view > cursor.view {
            // Nobody can have them again: a restarted ingester knows these commits.
            seen = seen.difference(&claimed);
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
        // Who joined since the tail began may have ended once already.
        let mut is_new = matches!(after, After::Batches { .. });
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
                (Ok(TailAnswer::Rows(rows)), _) => return Ok(Said::Rows { rows, is_new }),
                (Ok(TailAnswer::Stranger), _) => {
                    is_new = true;
                    by_batches(since)
                }
                (Ok(TailAnswer::Behind { .. }), After::Place { .. }) => {
                    return Err(Error::TailBehind { of: format!("ingester {}", peer.address) });
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
}

/// Takes the places of ingesters that are members no more out of the cursor.
fn left(cursor: &mut Cursor, members: &View) -> Vec<Ended> {
    let mut ended = Vec::new();
    cursor.places.retain(|place| {
        let is_member = members.peers().any(|(store, _)| store.to_string() == place.ingester);
        if let (false, Ok(store)) = (is_member, Ulid::from_string(&place.ingester)) {
            ended.push(Ended { store: StoreId(store), since: place.view });
        }
        is_member
    });
    ended
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
