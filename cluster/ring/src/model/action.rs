//! What can happen next.

use super::chores::Diligence;
use super::world::{HOSTS, PROCESSES, QUERIERS, STORES, Set, World, id};
use crate::Command;

/// One step of a schedule.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// A process hears of newer states, but for the last few.
    Learn {
        process: usize,
        less: usize,
    },
    /// Processes are cut off from the ring.
    Cut {
        processes: Set,
    },
    Heal,
    /// A host without a store gets one.
    Open {
        host: usize,
    },
    /// A store does what it owes.
    Attend {
        n: usize,
        learns: bool,
        flushes: bool,
        is_heard: bool,
    },
    /// Something that was said is committed, now or never.
    Commit {
        proposal: usize,
        is_lost: bool,
    },
    /// The leader takes a store as gone.
    Gone {
        n: usize,
    },
    /// A store is to leave, or not any more.
    Leave {
        n: usize,
    },
    Stay {
        n: usize,
    },
    Forget {
        n: usize,
    },
    Replicate {
        factor: u8,
    },
    /// A host is configured with another zone.
    Move {
        host: usize,
        zone: u8,
    },
    Crash {
        n: usize,
    },
    Restart {
        n: usize,
    },
    Pause {
        n: usize,
    },
    Resume {
        n: usize,
    },
    LoseDisk {
        n: usize,
    },
    Push {
        d: usize,
        spot: u64,
        passed: Set,
    },
    Again {
        b: usize,
        passed: Set,
    },
    Deliver {
        append: usize,
        is_heard: bool,
    },
    Drop {
        append: usize,
    },
    Flush {
        n: usize,
        wanted: Set,
    },
    Follow {
        n: usize,
    },
    Start {
        q: usize,
    },
    Ask {
        q: usize,
        n: usize,
        is_heard: bool,
    },
    Finish {
        q: usize,
    },
}

impl World {
    /// Does it, if it can be done.
    pub fn step(&mut self, action: Action) -> bool {
        use Action::*;
        match action {
            Learn { process, less } => self.learn(process, less),
            Cut { processes } => {
                let more = processes & !self.cut;
                self.cut |= more;
                more != 0
            }
            Heal => std::mem::take(&mut self.cut) != 0,
            Open { host } => host < HOSTS && self.open(host),
            Commit { proposal, is_lost } => {
                if proposal >= self.proposals.len() {
                    return false;
                }
                let command = self.proposals.remove(proposal);
                if !is_lost {
                    self.commit(command);
                }
                true
            }
            Replicate { factor } => self.change(&Command::Replicate { factor }),
            Move { host, zone } => std::mem::replace(&mut self.zones[host], zone) != zone,
            Push { d, spot, passed } => self.push(d, spot, passed),
            Again { b, passed } => b < self.batches.len() && self.again(b, passed),
            Deliver { append, is_heard } => {
                if append >= self.appends.len() {
                    return false;
                }
                let append = self.appends.remove(append);
                self.deliver(append, is_heard)
            }
            Drop { append } => {
                let is_there = append < self.appends.len();
                if is_there {
                    self.appends.remove(append);
                }
                is_there
            }
            Start { q } => q < QUERIERS && self.start(q),
            Ask { q, n, is_heard } => n < self.stores.len() && self.ask(q, n, is_heard),
            Finish { q } => self.finish(q),
            Attend { n, .. }
            | Gone { n }
            | Leave { n }
            | Stay { n }
            | Forget { n }
            | Crash { n }
            | Restart { n }
            | Pause { n }
            | Resume { n }
            | LoseDisk { n }
            | Flush { n, .. }
            | Follow { n } => n < self.stores.len() && self.of_store(n, action),
        }
    }

    fn of_store(&mut self, n: usize, action: Action) -> bool {
        match action {
            Action::Attend { learns, flushes, is_heard, .. } => {
                let has_learnt = learns && self.learn(n, 0);
                self.attend(n, Diligence { flushes, is_heard }) || has_learnt
            }
            Action::Gone { .. } => self.change(&Command::Gone { store: id(n) }),
            Action::Leave { .. } => self.change(&Command::Leave { store: id(n) }),
            Action::Stay { .. } => {
                let own = self.newest().instance(id(n));
                own.is_some_and(|i| i.phase == crate::Phase::Leaving)
                    && self.change(&Command::Activate { store: id(n) })
            }
            Action::Forget { .. } => self.forget(n),
            Action::Crash { .. } => self.crash(n),
            Action::Restart { .. } => self.restart(n),
            Action::Pause { .. } => {
                let is_new = self.answers(n);
                self.stores[n].is_paused |= is_new;
                is_new
            }
            Action::Resume { .. } => std::mem::take(&mut self.stores[n].is_paused),
            Action::LoseDisk { .. } => {
                let store = &mut self.stores[n];
                store.is_up = false;
                !std::mem::replace(&mut store.is_lost, true)
            }
            Action::Flush { wanted, .. } => self.flush(n, wanted),
            Action::Follow { .. } => {
                let can = self.answers(n) && self.stores[n].log < self.commits.len();
                if can {
                    self.follow(n);
                }
                can
            }
            _ => false,
        }
    }

    fn change(&mut self, command: &Command) -> bool {
        let before = self.head();
        self.rule(command);
        self.head() > before
    }

    /// A process hears of the ring.
    pub fn learn(&mut self, process: usize, less: usize) -> bool {
        let newest = self.head().saturating_sub(less);
        let is_there = process >= STORES || (process < self.stores.len() && self.answers(process));
        if process >= PROCESSES
            || !is_there
            || self.cut >> process & 1 == 1
            || self.known[process] >= newest
        {
            return false;
        }
        self.known[process] = newest;
        true
    }
}
