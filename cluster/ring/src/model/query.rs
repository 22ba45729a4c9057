//! Queries: V, G, the answers of the stores, and what must be in them (R1).

use base::StoreId;

use super::knob::Knob;
use super::world::{DISTRIBUTORS, STORES, Set, World, id, members, number};
use crate::instance::Phase;
use crate::reads::{self, Readable};

/// Rounds in which somebody was silent or the view was old, before a query gives up.
const ROUNDS: usize = 12;

/// A query under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pub is_active: bool,
    /// V: the log of commits was read to here.
    pub log: usize,
    /// The version of the ring that it works with.
    pub view: usize,
    /// Who did not answer.
    silent: Set,
    /// Who is asked.
    pub asked: Set,
    /// Batches of which each store that has answered has told.
    pub answers: [Option<Set>; STORES],
    /// The newest version that an answer carried.
    newest: usize,
    /// Acknowledged when it began.
    due: Set,
    rounds: usize,
}

impl World {
    /// A query begins.
    pub fn start(&mut self, q: usize) -> bool {
        if self.queries[q].is_active {
            return false;
        }
        let due = self.batches.iter().enumerate().filter(|(_, batch)| batch.is_acked);
        let due = due.fold(0, |set, (b, _)| set | 1 << b);
        let log = self.commits.len();
        self.queries[q] = Query { is_active: true, log, due, ..Query::default() };
        self.ask_all(q);
        true
    }

    fn querier(q: usize) -> usize {
        STORES + DISTRIBUTORS + q
    }

    /// Whom it asks now, if anybody; else it is over.
    fn ask_all(&mut self, q: usize) {
        let process = World::querier(q);
        self.queries[q].rounds += 1;
        if self.queries[q].rounds > ROUNDS {
            return self.refuse(q);
        }
        if !self.rules.has(Knob::LogBeforeRing) {
            // What was cleared meanwhile was flushed meanwhile.
            self.queries[q].log = self.commits.len();
        }
        if !self.rules.has(Knob::NothingIsNamed) {
            let needed = self.commits[..self.queries[q].log].iter().copied().max().unwrap_or(0);
            if !self.reach(process, needed) {
                return self.refuse(q);
            }
        }
        let known = self.view(process);
        let silent: Vec<StoreId> = members(self.queries[q].silent).map(id).collect();
        let missing = [reads::gone(&known.state), silent].concat();
        if !self.is_readable(&known.state, missing) {
            return self.refuse(q);
        }
        let asked = reads::asked(&known.state).map(|instance| number(instance.store));
        let asked = asked.fold(0, |set, n| set | 1 << n) & !self.queries[q].silent;
        let query = &mut self.queries[q];
        (query.view, query.newest) = (self.known[process], 0);
        (query.asked, query.answers) = (asked, [None; STORES]);
        if asked == 0 {
            match self.rules.has(Knob::EmptyRingAnswers) {
                true => self.answer(q),
                false => self.refuse(q),
            }
        }
    }

    fn is_readable(&self, state: &crate::State, mut missing: Vec<StoreId>) -> bool {
        let instance = |store: &StoreId| state.instance(*store);
        if self.rules.has(Knob::JoinerDoesNotCount) {
            missing.retain(|store| instance(store).is_none_or(|i| i.phase != Phase::Joining));
        }
        if self.rules.has(Knob::ForgottenDoesNotCount) {
            missing.retain(|store| instance(store).is_none_or(|i| !i.is_forgotten()));
        }
        match self.rules.as_read(state) {
            None => reads::check(state, &missing) == Readable::Yes,
            Some(state) => reads::check(&state, &missing) == Readable::Yes,
        }
    }

    /// The process hears of `version`, unless it hears of nothing.
    fn reach(&mut self, process: usize, version: usize) -> bool {
        if self.known[process] < version && self.cut >> process & 1 == 0 {
            self.known[process] = version;
        }
        self.known[process] >= version
    }

    fn refuse(&mut self, q: usize) {
        self.queries[q].is_active = false;
    }

    /// One call of a query.
    pub fn ask(&mut self, q: usize, n: usize, is_heard: bool) -> bool {
        let query = &self.queries[q];
        if !query.is_active || query.asked >> n & 1 == 0 || query.answers[n].is_some() {
            return false;
        }
        let Some(teller) = self.behind_the_name(n).filter(|_| is_heard) else {
            self.queries[q].silent |= 1 << n;
            // The others are asked again with the new G.
            self.ask_all(q);
            return true;
        };
        let (log, asked) = (self.queries[q].log, self.queries[q].asked);
        let store = &mut self.stores[teller];
        store.log = store.log.max(log);
        if log < store.floor {
            self.queries[q].log = self.commits.len();
            self.ask_all(q);
            return true;
        }
        let told = (0..self.batches.len()).filter(|&b| self.is_owed(teller, b, log, asked));
        let told = told.fold(0, |set, b| set | 1 << b);
        let version = self.known[teller];
        let query = &mut self.queries[q];
        query.answers[n] = Some(told);
        if !self.rules.has(Knob::AnswersWithoutVersion) {
            query.newest = query.newest.max(version);
        }
        true
    }

    /// Who answers a call that is meant for `n`.
    fn behind_the_name(&self, n: usize) -> Option<usize> {
        if self.answers(n) {
            return Some(n);
        }
        if !self.rules.has(Knob::NamedByAddress) {
            return None;
        }
        let host = self.stores[n].host;
        (0..self.stores.len()).rev().find(|&m| self.stores[m].host == host && self.answers(m))
    }

    /// Whether a store has to tell of a batch: no commit up to V claims it, and nobody before it in
    /// the list is asked.
    fn is_owed(&self, n: usize, b: usize, log: usize, asked: Set) -> bool {
        let (batch, held) = (&self.batches[b], self.stores[n].held[b]);
        if held == 0 || (batch.claimed > 0 && batch.claimed <= log) {
            return false;
        }
        let list = &batch.attempts[held - 1].list;
        list.iter().take_while(|&&m| m != n).all(|&m| asked >> m & 1 == 0)
    }

    /// All have been asked: an answer, or another round.
    pub fn finish(&mut self, q: usize) -> bool {
        let query = &self.queries[q];
        let is_complete = members(query.asked).all(|n| query.answers[n].is_some());
        if !query.is_active || !is_complete {
            return false;
        }
        let newest = query.newest;
        if newest > query.view {
            match self.reach(World::querier(q), newest) {
                true => self.ask_all(q),
                false => self.refuse(q),
            }
            return true;
        }
        self.answer(q);
        true
    }

    /// The client is told. Equal rows are counted once (R2), so an answer is a set.
    fn answer(&mut self, q: usize) {
        let query = &mut self.queries[q];
        query.is_active = false;
        self.answered += 1;
        let told = query.answers.iter().flatten().fold(0, |all, told| all | told);
        let (log, due) = (query.log, query.due);
        for b in members(due & !told) {
            let batch = &self.batches[b];
            let is_in_bucket = batch.claimed > 0 && batch.claimed <= log;
            if !is_in_bucket && !self.is_forgotten(b) {
                let (list, view) = (&batch.newest().list, self.queries[q].view);
                self.violation = Some(format!(
                    "P2: batch {b}, acknowledged under {list:?}, is not in the answer of querier \
                     {q}, who follows version {view}"
                ));
            }
        }
    }

    /// Whether an operator's word covers a batch: of those who acknowledged it one was forgotten, and
    /// the others too, or they were gone when he said so.
    pub fn is_forgotten(&self, b: usize) -> bool {
        let prefix = self.batches[b].prefix();
        prefix & self.forgotten != 0 && prefix & !self.given_up == 0
    }
}
