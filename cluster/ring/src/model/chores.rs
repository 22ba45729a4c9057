//! What stores owe the ring, and what an operator and the leader do.

use super::knob::Knob;
use super::world::{STORES, World, id, members, number};
use crate::instance::Phase;
use crate::reads;
use crate::{Command, Duty, Outcome, Refusal, State, duties, to_be_seen};

/// How a store works off what it owes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Diligence {
    /// It flushes what it has to see flushed.
    pub flushes: bool,
    /// What it says is committed before anything else happens.
    pub is_heard: bool,
}

impl World {
    /// A process tells the leader something.
    fn say(&mut self, by: usize, command: Command, how: Diligence) {
        if self.cut >> by & 1 == 1 {
            return;
        }
        match how.is_heard {
            true => self.commit(command),
            false => self.proposals.push(command),
        }
    }

    /// What was said is committed.
    pub fn commit(&mut self, command: Command) {
        let command = self.rules.late(self.newest(), command);
        let outcome = self.rule(&command);
        if let Command::Register(new) = &command
            && let Outcome::Refused(Refusal::Retired(_) | Refusal::Departing(_)) = outcome
        {
            self.stores[number(new.store)].is_out = true;
        }
    }

    /// A store does what it owes, as far as it knows.
    pub fn attend(&mut self, n: usize, how: Diligence) -> bool {
        if !self.answers(n) {
            return false;
        }
        let known = self.view(n);
        let state = &known.state;
        if state.retired.contains_key(&id(n)) {
            self.stores[n].is_out = true;
        }
        if self.stores[n].is_out {
            return self.drain(n, how);
        }
        let mut owed = duties(state, id(n));
        if self.rules.has(Knob::FactorOneIsCleared) {
            owed.extend(only_copies(state, n));
        }
        let mut has_done = false;
        for duty in owed {
            has_done = true;
            match duty {
                Duty::Register => self.say(n, Command::Register(self.registration(n)), how),
                Duty::See { version } => {
                    self.name(to_be_seen(state, id(n)), Knob::OnlyJoinsAreNamed);
                    self.stores[n].kept = self.known[n];
                    self.say(n, Command::Seen { by: id(n), version }, how);
                }
                Duty::Clear { of, since } => self.clear(n, number(of), since, how),
                Duty::Activate => {
                    let registered = state.instance(id(n)).map_or(0, |own| own.registered);
                    self.name(registered, Knob::NothingIsNamed);
                    self.say(n, Command::Activate { store: id(n) }, how);
                }
            }
        }
        let Some(own) = state.instance(id(n)) else { return has_done };
        if own.phase == Phase::Active && own.factor < state.asked_factor() {
            self.take_up_factor(n, state.asked_factor(), how);
            has_done = true;
        }
        if own.phase != Phase::Gone && state.next_zone(own) != self.registration(n).zone {
            self.say(n, Command::Register(self.registration(n)), how);
            has_done = true;
        }
        has_done
    }

    /// Has the log of commits name a version, if it names none as new.
    fn name(&mut self, version: u64, unless: Knob) {
        let version = version as usize;
        let is_named = self.commits.iter().any(|&named| named >= version);
        if !is_named && !self.rules.has(unless) && !self.rules.has(Knob::NothingIsNamed) {
            self.commits.push(version);
        }
    }

    /// Others speak for it: it flushes what it has, and the directory becomes another store.
    fn drain(&mut self, n: usize, how: Diligence) -> bool {
        self.follow(n);
        self.flush(n, !0);
        let known = self.view(n);
        let own = known.state.instance(id(n)).and_then(|own| own.departure.as_ref());
        if let Some(since) = own.map(|departure| departure.since) {
            self.say(n, Command::Cleared { by: id(n), of: id(n), since }, how);
        }
        self.stores[n].is_lost = true;
        true
    }

    fn clear(&mut self, n: usize, of: usize, since: u64, how: Diligence) {
        if !self.rules.has(Knob::ClearsWithoutRefusing) {
            let refuses = &mut self.stores[n].refuses[of];
            *refuses = (*refuses).max(since as usize);
        }
        self.follow(n);
        let names = |w: &World, b: usize| {
            let held = w.stores[n].held[b];
            held > 0 && w.batches[b].attempts[held - 1].list.contains(&of)
        };
        let named = (0..self.batches.len()).filter(|&b| of == n || names(self, b));
        let named = named.fold(0, |set, b| set | 1 << b);
        if how.flushes {
            self.flush(n, named);
        }
        let is_clear = members(named).all(|b| self.stores[n].held[b] == 0);
        if is_clear || (of != n && self.rules.has(Knob::ClearsWithoutLooking)) {
            self.say(n, Command::Cleared { by: id(n), of: id(of), since }, how);
        }
    }

    fn take_up_factor(&mut self, n: usize, factor: u8, how: Diligence) {
        let since = self.known[n];
        if !self.rules.has(Knob::FactorAtOnce) {
            self.stores[n].requires = Some((since, factor));
            self.follow(n);
            let is_lower = |w: &World, b: usize| {
                let held = w.stores[n].held[b];
                held > 0 && w.batches[b].attempts[held - 1].factor < factor
            };
            let lower = (0..self.batches.len()).filter(|&b| is_lower(self, b));
            let lower = lower.fold(0, |set, b| set | 1 << b);
            if how.flushes {
                self.flush(n, lower);
            }
            if members(lower).any(|b| self.stores[n].held[b] > 0) {
                return;
            }
        }
        self.say(n, Command::Factor { by: id(n), factor, since: since as u64 }, how);
    }

    /// A host gets a store if it has none.
    pub fn open(&mut self, host: usize) -> bool {
        let has_one = self.stores.iter().any(|store| store.host == host && !store.is_lost);
        if has_one || self.stores.len() == STORES {
            return false;
        }
        let n = self.begin(host);
        self.known[n] = 0;
        self.cut &= !(1 << n);
        true
    }

    /// The process ends, and what it has not kept is gone.
    pub fn crash(&mut self, n: usize) -> bool {
        let (kept, store) = (self.stores[n].kept, &mut self.stores[n]);
        if !store.is_up || store.is_lost {
            return false;
        }
        (store.is_up, store.is_paused) = (false, false);
        if self.rules.has(Knob::RefusalIsForgotten) {
            (store.refuses, store.requires) = ([0; STORES], None);
        }
        store.floor = self.commits.len();
        self.known[n] = if self.rules.has(Knob::SeenIsNotKept) { 0 } else { kept };
        true
    }

    pub fn restart(&mut self, n: usize) -> bool {
        let head = self.commits.len();
        let store = &mut self.stores[n];
        if store.is_up || store.is_lost {
            return false;
        }
        (store.is_up, store.log, store.floor) = (true, head, head);
        self.let_go(n);
        true
    }

    /// An operator says that nothing acknowledged is only on a gone store and on others that are.
    pub fn forget(&mut self, n: usize) -> bool {
        let gone = reads::gone(self.newest()).into_iter().map(number);
        let gone = gone.fold(0, |set, n| set | 1 << n);
        if self.rule(&Command::Forget { store: id(n) }).version().is_err() {
            return false;
        }
        (self.forgotten, self.given_up) = (self.forgotten | 1 << n, self.given_up | gone);
        true
    }
}

/// Stores with factor 1 that are gone: nobody has to clear them.
fn only_copies(state: &State, own: usize) -> Vec<Duty> {
    let gone = state.ingesters().filter(|i| i.phase == Phase::Gone && i.factor == 1);
    let gone = gone.filter(|i| i.store != id(own)).filter_map(|i| {
        let departure = i.departure.as_ref().filter(|d| !d.cleared.contains(&id(own)))?;
        Some(Duty::Clear { of: i.store, since: departure.since })
    });
    gone.collect()
}
