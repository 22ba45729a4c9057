//! The ingesters of a handshake: who is asked, who is gone (R1).
//!
//! All are asked with the same V and G. One that does not answer joins G, and all others are asked
//! again, because they may have rows to answer for in its place. With more than half of the copies
//! of a row gone there may be rows that nobody answers: then the query fails and names them.
//!
//! Who there is the newest view of the ring says. An ingester answers with the version that it
//! follows: if that is newer there may be somebody who was not asked, and all are asked again. So where
//! nobody is asked nobody would say that the view is old: that is no answer either. A newer view may lack
//! a store, or do without one, whose rows went into commits after V: then the log is read again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Clock, ErrorKind, HashMap, StoreId};
use futures::future::{BoxFuture, join_all};
use metrics::counter;
use ring::Instance;
use ring::reads::{self, Readable};
use rpc::ingester::{IngesterError, Peer};
use rpc::members::{Members, View};

use crate::error::Error;
use crate::known::MAX_OUTDATED;
use crate::metrics::SILENT;

/// Times one job may find that others are where it asks, before those it means count as gone. Any
/// number of them at a time: all may have lost their disks since somebody asked last.
const MAX_MISPLACED: u32 = 2;
/// How long after it was silent a store is taken for gone from the start, where it can be done
/// without: so one that hangs holds up one query and not each, nanoseconds.
const MARK_NS: u64 = 5_000_000_000;

/// How often it is looked whether the ring still hears from who has not answered.
const LISTEN: Duration = Duration::from_millis(250);
/// Why a store was not waited for.
const UNHEARD: &str = "the ring does not hear from it";

/// All ingesters that may hold rows in no commit.
pub struct Peers {
    members: Arc<dyn Members>,
    clock: Arc<dyn Clock>,
    /// Until when stores that were silent are passed over, monotonic nanoseconds.
    marks: Mutex<HashMap<StoreId, u64>>,
}

/// G of one job beyond what the ring says, and how its stores got there. Only grows, but for guesses
/// that are given back once.
#[derive(Default)]
pub struct Gone {
    silent: Vec<Silent>,
    /// Nobody is passed over any more.
    is_sure: bool,
    misplaced: u32,
    outdated: u32,
}

/// An ingester that does not answer.
struct Silent {
    store: StoreId,
    why: String,
    /// It was not asked for this job.
    is_guess: bool,
}

/// An answer that carries the version of the ring that the ingester follows.
pub trait Versioned {
    /// The version; 0 = it says nothing about rows.
    fn ring(&self) -> u64;
}

impl Peers {
    /// Those of `members`.
    pub fn new(members: Arc<dyn Members>, clock: Arc<dyn Clock>) -> Peers {
        Peers { members, clock, marks: Mutex::default() }
    }

    /// Calls all that are not gone, until all of them answer. `before` is the ring as it was before the
    /// log was read; `call` is given whom it calls, and all who are called with it. [`None`]: a store
    /// was removed since, or can be done without only since then: what it held is in commits that may
    /// come after V.
    pub async fn ask<'a, T: Versioned + Send>(
        &'a self,
        gone: &mut Gone,
        before: &View,
        call: impl Fn(Peer, StoreId, Vec<StoreId>) -> BoxFuture<'a, Result<T, IngesterError>>,
    ) -> Result<Option<Vec<T>>, Error> {
        let mut view = self.members.view();
        let mut has_looked = false;
        loop {
            if !view.nameless().is_empty() {
                view = self.members.look(None).await;
            }
            if has_lost(&view, before) {
                return Ok(None);
            }
            if !gone.is_sure {
                self.pass_over_silent(&view, gone);
            }
            if let Err(error) = check(&view, gone) {
                // Who was silent a moment ago may be back, now that another one is silent.
                if gone.give_back() {
                    continue;
                }
                return Err(error);
            }
            let stores = gone.stores(&view);
            if reads::check(before.state(), &stores) != Readable::Yes {
                return Ok(None);
            }
            let asked: Vec<(StoreId, &Peer)> =
                view.peers().filter(|(store, _)| !stores.contains(store)).collect();
            if asked.is_empty() {
                if std::mem::replace(&mut has_looked, true) {
                    return Err(unknown(&view, gone));
                }
                view = self.members.look(None).await;
                continue;
            }
            let all: Vec<StoreId> = asked.iter().map(|&(store, _)| store).collect();
            let calls = asked.iter().map(|&(store, peer)| call(peer.clone(), store, all.clone()));
            let mut answers = Vec::with_capacity(asked.len());
            let (mut is_complete, mut newest) = (true, view.version());
            let (mut doubted, may_doubt) = (Vec::new(), gone.misplaced < MAX_MISPLACED);
            let answered = self.answers(asked.iter().map(|asked| asked.0), gone, calls).await;
            for (&(store, peer), answer) in asked.iter().zip(answered) {
                match answer {
                    Ok(answer) => {
                        newest = newest.max(answer.ring());
                        answers.push(answer);
                    }
                    Err(error) => {
                        is_complete = false;
                        match may_doubt && is_misplaced(&error) {
                            true => doubted.push(store),
                            false => self.silence(store, &peer.address, error, gone)?,
                        }
                    }
                }
            }
            gone.misplaced += u32::from(!doubted.is_empty());
            if is_complete && newest <= view.version() {
                return Ok(Some(answers));
            }
            if newest > view.version() {
                gone.outdated += 1;
                view = self.members.reach(newest).await;
                if view.version() < newest && gone.outdated > MAX_OUTDATED {
                    return Err(Error::OldRing { known: view.version(), newest });
                }
            } else {
                join_all(doubted.into_iter().map(|store| self.members.look(Some(store)))).await;
                view = self.members.view();
            }
        }
    }

    /// A store whose call failed joins G, unless the query failed for another reason.
    fn silence(
        &self,
        store: StoreId,
        address: &str,
        error: IngesterError,
        gone: &mut Gone,
    ) -> Result<(), Error> {
        if !is_misplaced(&error) && !is_silence(&error) {
            return Err(error.into());
        }
        counter!(SILENT, "ingester" => address.to_owned()).increment(1);
        let until_ns = self.clock.monotonic_ns().saturating_add(MARK_NS);
        self.marks().insert(store, until_ns);
        gone.silent.push(Silent { store, why: error.to_string(), is_guess: false });
        Ok(())
    }

    /// Stores that were silent a moment ago, or that the ring does not hear from, join G at once, if
    /// an answer is possible without them.
    fn pass_over_silent(&self, view: &View, gone: &mut Gone) {
        let is_new = |store: &StoreId| gone.silent.iter().all(|silent| silent.store != *store);
        let mut marked = self.marked();
        marked.retain(|store| is_new(store) && view.peer(*store).is_some());
        let mut down = down(view);
        down.retain(|store| is_new(store) && !marked.contains(store));
        let why = [(marked, "did not answer a moment ago"), (down, UNHEARD)];
        let stores = why.iter().flat_map(|(stores, _)| stores);
        if !can_do_without(view, &gone.stores(view), stores.copied()) {
            return;
        }
        for (stores, why) in why {
            let silent = |store| Silent { store, why: why.to_owned(), is_guess: true };
            gone.silent.extend(stores.into_iter().map(silent));
        }
    }

    fn marked(&self) -> Vec<StoreId> {
        let mut marks = self.marks();
        if marks.is_empty() {
            return Vec::new();
        }
        let now_ns = self.clock.monotonic_ns();
        marks.retain(|_, until_ns| *until_ns > now_ns);
        marks.keys().copied().collect()
    }

    /// What calls of these stores bring, or that the ring ceased to hear from one while it was
    /// waited for, if an answer is possible without it: a process that hangs keeps its connections,
    /// and it takes long until they are given up.
    async fn answers<'a, T: Send>(
        &self,
        stores: impl Iterator<Item = StoreId>,
        gone: &Gone,
        calls: impl Iterator<Item = BoxFuture<'a, Result<T, IngesterError>>>,
    ) -> Vec<Result<T, IngesterError>> {
        let is_lost = |store: StoreId| {
            let view = self.members.view();
            let down = down(&view);
            down.contains(&store) && can_do_without(&view, &gone.stores(&view), down.into_iter())
        };
        let watched = stores.zip(calls).map(|(store, mut call)| async move {
            loop {
                match tokio::time::timeout(LISTEN, &mut call).await {
                    Ok(answer) => return answer,
                    Err(_) if is_lost(store) => {
                        return Err(IngesterError::Unavailable(UNHEARD.to_owned()));
                    }
                    Err(_) => {}
                }
            }
        });
        join_all(watched).await
    }

    fn marks(&self) -> MutexGuard<'_, HashMap<StoreId, u64>> {
        // Whoever panicked while holding it had only values to write.
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a store of `before` is in `view` no more.
fn has_lost(view: &View, before: &View) -> bool {
    let is_there = |instance: &Instance| view.state().instance(instance.store).is_some();
    view.version() != before.version() && !before.state().ingesters().all(is_there)
}

/// The stores that the ring does not hear from, and that are not gone yet.
fn down(view: &View) -> Vec<StoreId> {
    let is_up = |store| view.state().instance(store).is_none_or(|instance| instance.is_up);
    view.peers().map(|(store, _)| store).filter(|&store| !is_up(store)).collect()
}

/// Whether R1 allows an answer without the stores of G and these.
fn can_do_without(view: &View, gone: &[StoreId], more: impl Iterator<Item = StoreId>) -> bool {
    let stores: Vec<StoreId> = gone.iter().copied().chain(more).collect();
    reads::check(view.state(), &stores) == Readable::Yes
}

/// What a query is told where nobody is left who could say that there are others.
fn unknown(view: &View, gone: &Gone) -> Error {
    let names: Vec<String> = gone.stores(view).iter().map(|&store| view.name(store)).collect();
    Error::TooFewReplicas {
        required: view.read_factor() / 2 + 1,
        found: 0,
        unhealthy: names.join(","),
        reasons: "no ingester is there that could say which others there are".to_owned(),
    }
}

/// Fails if rows may be missing.
fn check(view: &View, gone: &Gone) -> Result<(), Error> {
    let stores = gone.stores(view);
    let readable = reads::check(view.state(), &stores);
    if readable == Readable::Yes && view.nameless().is_empty() {
        return Ok(());
    }
    let missing = match readable {
        Readable::Yes => Vec::new(),
        Readable::No(missing) => missing,
    };
    let (mut names, mut reasons, mut zones) = (Vec::new(), Vec::new(), BTreeSet::new());
    let is_forgotten =
        |store| view.state().instance(store).is_some_and(|instance| instance.is_forgotten());
    for store in &missing {
        let (name, zone) = (view.name(*store), view.zone(*store));
        let why = match gone.silent.iter().find(|silent| silent.store == *store) {
            Some(silent) => silent.why.as_str(),
            None if is_forgotten(*store) => "it was forgotten, and not all hold nothing of it yet",
            None => "it is not there any more",
        };
        reasons.push(match zone {
            "" => format!("{name} (store {store}): {why}"),
            zone => format!("{name} (store {store}, zone {zone}): {why}"),
        });
        zones.insert(if zone.is_empty() { store.to_string() } else { zone.to_owned() });
        names.push(name);
    }
    for nameless in view.nameless() {
        reasons.push(format!("{}: {}", nameless.address, nameless.why));
        names.push(nameless.address.clone());
    }
    let factor = view.read_factor();
    let copies = zones.len() + view.nameless().len();
    Err(Error::TooFewReplicas {
        required: factor / 2 + 1,
        found: factor.saturating_sub(copies).min(factor / 2),
        unhealthy: names.join(","),
        reasons: reasons.join("; "),
    })
}

impl Gone {
    /// Takes those out that were not asked; `false` if there are none.
    fn give_back(&mut self) -> bool {
        let before = self.silent.len();
        self.silent.retain(|silent| !silent.is_guess);
        self.is_sure = true;
        self.silent.len() < before
    }

    /// G: what the ring says, and who was silent.
    fn stores(&self, view: &View) -> Vec<StoreId> {
        let mut stores = reads::gone(view.state());
        stores.extend(self.silent.iter().map(|silent| silent.store));
        stores.sort_unstable();
        stores.dedup();
        stores
    }
}

/// Whether another store answered at the address of the one that is meant.
fn is_misplaced(error: &IngesterError) -> bool {
    error.kind() == ErrorKind::Conflict
}

/// Whether the call may have failed for no reason of the query's: the ingester stops, is out of
/// reach, or did not answer in its time.
fn is_silence(error: &IngesterError) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

#[cfg(test)]
mod tests;
