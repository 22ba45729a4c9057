//! After the faults: everything is flushed, whoever went is removed, and a query is exact.

use super::chores::Diligence;
use super::world::{PROCESSES, World, id, members};
use crate::Command;
use crate::instance::Phase;

/// More than any ring here needs to come to rest.
const ROUNDS: usize = 40;

impl World {
    /// What is wrong when nothing goes wrong any more.
    pub fn settle(&mut self) -> Option<String> {
        self.cut = 0;
        self.appends.clear();
        for n in 0..self.stores.len() {
            self.stores[n].is_paused = false;
            self.restart(n);
        }
        while let Some(command) = self.proposals.pop() {
            self.commit(command);
        }
        while self.work() || self.give_up_the_lost() {}
        if self.violation.is_some() {
            return self.violation.take();
        }
        (0..PROCESSES).for_each(|process| {
            self.learn(process, 0);
        });
        self.rest().or_else(|| self.last_query())
    }

    /// Everybody does what it can until nothing changes.
    fn work(&mut self) -> bool {
        let (mut has_changed, mut idle) = (false, 0);
        for _ in 0..ROUNDS {
            let before = (self.head(), self.commits.len(), self.stores.len(), self.lost());
            for host in 0..self.zones.len() {
                if self.stores.iter().any(|store| store.host == host) {
                    self.open(host);
                }
            }
            for n in 0..self.stores.len() {
                self.learn(n, 0);
                self.attend(n, Diligence { flushes: true, is_heard: true });
                self.flush(n, !0);
            }
            // One round may bring only a refusal, on which the store acts in the next.
            idle += 1;
            if before != (self.head(), self.commits.len(), self.stores.len(), self.lost()) {
                (idle, has_changed) = (0, true);
            } else if idle == 2 {
                break;
            }
        }
        has_changed
    }

    /// The leader, then an operator, notice what is gone for good.
    fn give_up_the_lost(&mut self) -> bool {
        let lost: Vec<usize> = members(self.lost()).collect();
        let phase = |w: &World, n: usize| w.newest().instance(id(n)).map(|own| own.phase);
        let unnoticed = lost.iter().find(|&&n| phase(self, n).is_some_and(|p| p != Phase::Gone));
        if let Some(&n) = unnoticed {
            return self.rule(&Command::Gone { store: id(n) }).version().is_ok();
        }
        let gone = lost.into_iter().filter(|&n| phase(self, n).is_some());
        for n in gone.collect::<Vec<usize>>() {
            if self.is_others_to_clear(n) {
                let text = format!("stuck: {n}, alone and with copies, is not cleared");
                self.violation = Some(text);
                return false;
            }
            let before = self.head();
            if self.forget(n) && self.head() > before {
                return true;
            }
        }
        false
    }

    /// Whether a gone store needs no word of an operator: all others are there, and what it
    /// acknowledged had more than one copy.
    fn is_others_to_clear(&self, n: usize) -> bool {
        let state = self.newest();
        let mut gone = state.ingesters().filter(|instance| instance.phase == Phase::Gone);
        let known = self.states.iter().rev().filter_map(|known| known.state.instance(id(n)));
        let mut there = known.skip_while(|own| own.phase == Phase::Gone);
        let factor = there.next().map_or(1, |own| own.factor);
        factor > 1 && gone.all(|other| other.store == id(n)) && state.placed().next().is_some()
    }

    /// What is left over.
    fn rest(&self) -> Option<String> {
        for (b, batch) in self.batches.iter().enumerate() {
            let is_due = batch.is_acked && !self.is_forgotten(b);
            if is_due && batch.claimed == 0 {
                let at: Vec<usize> =
                    (0..self.stores.len()).filter(|&n| self.stores[n].held[b] > 0).collect();
                return Some(format!(
                    "P1: batch {b} is in no commit; acknowledged under {:?}, held by {at:?}, \
                     lost {:b}, forgotten {:b}",
                    batch.newest().list,
                    self.lost(),
                    self.forgotten
                ));
            }
        }
        let going = self.newest().ingesters().find(|instance| instance.departure.is_some());
        if self.newest().placed().next().is_some()
            && let Some(going) = going
        {
            return Some(format!("stuck: {:?} of {} is never cleared", going.phase, going.store));
        }
        None
    }

    fn last_query(&mut self) -> Option<String> {
        self.newest().placed().next()?;
        self.queries[0].is_active = false;
        let answered = self.answered;
        self.start(0);
        for _ in 0..4 {
            for n in 0..self.stores.len() {
                self.ask(0, n, true);
            }
            self.finish(0);
        }
        if self.violation.is_some() {
            return self.violation.clone();
        }
        (self.answered == answered).then(|| "stuck: a query is not answered".to_owned())
    }
}
