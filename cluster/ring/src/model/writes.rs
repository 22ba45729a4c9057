//! Batches on their way: lists, attempts, appends, flushes.

use base::{StreamKey, TenantId};

use super::knob::Knob;
use super::world::{Append, Attempt, BATCHES, Batch, STORES, Set, World, id, members, number};
use crate::{Replicas, Spot, State};

impl World {
    /// A distributor sends rows to the list of their spot, without the stores of `passed`.
    pub fn push(&mut self, d: usize, spot: u64, passed: Set) -> bool {
        if self.batches.len() == BATCHES {
            return false;
        }
        let Some(attempt) = self.list(d, spot, passed) else { return false };
        let attempts = vec![attempt];
        self.batches.push(Batch { by: d, spot, attempts, is_acked: false, claimed: 0 });
        self.send(self.batches.len() - 1);
        true
    }

    /// The next attempt of a batch: stores of `passed` go to the end.
    pub fn again(&mut self, b: usize, passed: Set) -> bool {
        let batch = &self.batches[b];
        if batch.is_acked || batch.attempts.len() == 4 {
            return false;
        }
        let Some(attempt) = self.list(batch.by, batch.spot, passed) else { return false };
        self.batches[b].attempts.push(attempt);
        self.send(b);
        true
    }

    fn list(&self, d: usize, spot: u64, passed: Set) -> Option<Attempt> {
        let known = self.view(STORES + d);
        let factor = self.rules.write_factor(&known.state);
        let spot = Spot::of_tenant(&TenantId::new("t").ok()?)(StreamKey(spot));
        let (placement, wanted) = (&known.placement, usize::from(factor));
        let store = |member: usize| number(placement.members()[member].store);
        let is_passed = |member: usize| passed >> store(member) & 1 == 1;
        let mut list: Replicas = placement.replicas(spot, wanted, |member| !is_passed(member));
        placement.extend(&mut list, spot, wanted, is_passed);
        let list: Vec<usize> = list.as_slice().iter().map(|&m| store(usize::from(m))).collect();
        (list.len() > wanted / 2).then_some(Attempt { list, factor, acks: 0 })
    }

    fn send(&mut self, batch: usize) {
        let attempt = self.batches[batch].attempts.len();
        let list = self.batches[batch].newest().list.clone();
        self.appends.extend(list.into_iter().map(|to| Append { batch, attempt, to }));
    }

    /// An append arrives.
    pub fn deliver(&mut self, append: Append, is_heard: bool) -> bool {
        let Append { batch, attempt, to } = append;
        if !self.answers(to) || !self.may_hold(to, &self.batches[batch].attempts[attempt - 1]) {
            return false;
        }
        let claimed = self.batches[batch].claimed;
        let is_claimed = claimed > 0 && claimed <= self.stores[to].log;
        let held = &mut self.stores[to].held[batch];
        if !is_claimed {
            *held = attempt.max(*held);
        }
        if is_heard && (is_claimed || *held == attempt) {
            let batch = &mut self.batches[batch];
            batch.attempts[attempt - 1].acks |= 1 << to;
            // The newest list counts, and what was said of it.
            batch.is_acked |= batch.prefix() & !batch.newest().acks == 0;
        }
        true
    }

    /// Whether a store takes a list (B6, R1b).
    fn may_hold(&self, n: usize, attempt: &Attempt) -> bool {
        let known = self.view(n);
        let state = &known.state;
        attempt.factor >= self.least_factor(n, state)
            && attempt.list.iter().all(|&m| !self.refuses(n, m, state))
    }

    fn refuses(&self, n: usize, named: usize, state: &State) -> bool {
        if state.retired.contains_key(&id(named)) && !self.rules.has(Knob::RetiredIsNotRefused) {
            return true;
        }
        let since = self.stores[n].refuses[named];
        let is_back = || state.instance(id(named)).is_some_and(|i| i.departure.is_none());
        since > 0 && !(state.version as usize > since && is_back())
    }

    fn least_factor(&self, n: usize, state: &State) -> u8 {
        match self.stores[n].requires {
            None => 1,
            Some((since, factor)) if state.version as usize > since => {
                factor.min(self.rules.write_factor(state))
            }
            Some((_, factor)) => factor,
        }
    }

    /// A store commits those of `wanted` that it holds and that no commit claims.
    pub fn flush(&mut self, n: usize, wanted: Set) -> bool {
        if !self.answers(n) {
            return false;
        }
        let held = |w: &World, b: usize| w.stores[n].held[b] > 0 && w.batches[b].claimed == 0;
        let claims: Vec<usize> =
            members(wanted).filter(|&b| b < self.batches.len() && held(self, b)).collect();
        if !claims.is_empty() {
            self.commits.push(self.known[n]);
            let commit = self.commits.len();
            claims.iter().for_each(|&b| self.batches[b].claimed = commit);
        }
        self.follow(n);
        !claims.is_empty()
    }

    /// A store reads the log of commits to its head, and lets go of what is claimed.
    pub fn follow(&mut self, n: usize) {
        self.stores[n].log = self.commits.len();
        self.let_go(n);
    }

    pub fn let_go(&mut self, n: usize) {
        let store = &mut self.stores[n];
        for (held, batch) in store.held.iter_mut().zip(&self.batches) {
            if *held > 0 && batch.claimed > 0 && batch.claimed <= store.log {
                *held = 0;
                store.floor = store.floor.max(batch.claimed);
            }
        }
    }
}
