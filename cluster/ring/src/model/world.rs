//! What is there: the log of the ring, who knows how much of it, stores, batches, the bucket.

use std::rc::Rc;

use base::StoreId;

use super::knob::Rules;
use super::query::Query;
use crate::testing::{registration, store};
use crate::{Command, Outcome, Placement, Registration, State, apply, tokens};

/// Most stores of a schedule, those that are replaced included.
pub(super) const STORES: usize = 8;
/// Most batches of a schedule.
pub(super) const BATCHES: usize = 6;
/// Machines that stores run on.
pub(super) const HOSTS: usize = 5;
/// Each has a view of its own.
pub(super) const DISTRIBUTORS: usize = 2;
/// Each has a view of its own and asks one query at a time.
pub(super) const QUERIERS: usize = 2;
/// Whoever follows the ring: stores, then distributors, then queriers.
pub(super) const PROCESSES: usize = STORES + DISTRIBUTORS + QUERIERS;

/// Stores, batches or processes, by number.
pub(super) type Set = u16;

/// The store of a number.
pub(super) fn id(number: usize) -> StoreId {
    store(number as u128 + 1)
}

/// The number of a store.
pub(super) fn number(id: StoreId) -> usize {
    id.0.0 as usize - 1
}

/// The numbers in a set.
pub(super) fn members(set: Set) -> impl Iterator<Item = usize> {
    (0..Set::BITS as usize).filter(move |n| set >> n & 1 == 1)
}

/// A state of the ring, with the places that follow from it.
pub(super) struct Known {
    pub state: State,
    pub placement: Rc<Placement>,
}

/// A WAL directory and the process that has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    pub host: usize,
    /// Its process runs.
    pub is_up: bool,
    /// It runs and does nothing.
    pub is_paused: bool,
    /// The directory is no more.
    pub is_lost: bool,
    /// The ring has told it that others speak for it.
    pub is_out: bool,
    /// The highest attempt that it holds of each batch; 0 = none.
    pub held: [usize; BATCHES],
    /// How far it has read the log of commits.
    pub log: usize,
    /// The newest commit for which it let go of something.
    pub floor: usize,
    /// Whom it refuses, and since which version of the ring; 0 = not.
    pub refuses: [usize; STORES],
    /// The factor below which it refuses, and since which version.
    pub requires: Option<(usize, u8)>,
    /// What it knows of the ring after a restart, at least.
    pub kept: usize,
}

/// One sending of a batch.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub list: Vec<usize>,
    pub factor: u8,
    /// Who has acknowledged it.
    pub acks: Set,
}

/// Some rows.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub by: usize,
    pub spot: u64,
    pub attempts: Vec<Attempt>,
    /// The client was told.
    pub is_acked: bool,
    /// The commit that claims it; 0 = none.
    pub claimed: usize,
}

/// An append on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Append {
    pub batch: usize,
    pub attempt: usize,
    pub to: usize,
}

/// Everything.
#[derive(Clone)]
pub(super) struct World {
    pub rules: Rules,
    /// The state after each change: `states[v]` has version `v`.
    pub states: Vec<Rc<Known>>,
    /// The version that each process follows.
    pub known: [usize; PROCESSES],
    /// Processes that hear nothing of the ring and are not heard.
    pub cut: Set,
    pub stores: Vec<Store>,
    /// The zone that each host is configured with.
    pub zones: [u8; HOSTS],
    pub proposals: Vec<Command>,
    pub appends: Vec<Append>,
    pub batches: Vec<Batch>,
    /// The version of the ring that each commit names; 0 = none.
    pub commits: Vec<usize>,
    pub queries: [Query; QUERIERS],
    /// Stores that an operator has given up, and with them those that were gone then.
    pub forgotten: Set,
    pub given_up: Set,
    pub violation: Option<String>,
    pub answered: usize,
}

/// What a schedule begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub hosts: usize,
    pub zones: [u8; HOSTS],
    pub factor: u8,
}

impl World {
    /// A ring of as many active stores as hosts, which everybody knows.
    pub fn new(rules: Rules, setup: Setup) -> World {
        let state = State::new(ulid::Ulid(7));
        let known = Known { placement: Rc::new(Placement::new(&state)), state };
        let mut world = World {
            rules,
            states: vec![Rc::new(known)],
            known: [0; PROCESSES],
            cut: 0,
            stores: Vec::new(),
            zones: setup.zones,
            proposals: Vec::new(),
            appends: Vec::new(),
            batches: Vec::new(),
            commits: Vec::new(),
            queries: Default::default(),
            forgotten: 0,
            given_up: 0,
            violation: None,
            answered: 0,
        };
        world.rule(&Command::Replicate { factor: setup.factor });
        for host in 0..setup.hosts {
            world.begin(host);
            let registration = world.registration(host);
            let outcome = world.rule(&Command::Register(registration));
            let version = outcome.version().expect("a new store is welcome");
            (0..=host).for_each(|n| {
                world.rule(&Command::Seen { by: id(n), version });
            });
            world.rule(&Command::Activate { store: id(host) });
        }
        let (since, factor) = (world.head() as u64, world.newest().asked_factor());
        for n in 0..setup.hosts {
            world.rule(&Command::Factor { by: id(n), factor, since });
            world.stores[n].requires = Some((since as usize, factor));
        }
        let head = world.head();
        world.known = [head; PROCESSES];
        world.commits.push(head);
        for store in &mut world.stores {
            store.kept = head;
        }
        world
    }

    /// A new directory on a host.
    pub fn begin(&mut self, host: usize) -> usize {
        let (log, n) = (self.commits.len(), self.stores.len());
        self.stores.push(Store { host, is_up: true, log, floor: log, ..Store::default() });
        n
    }

    /// How a store presents itself.
    pub fn registration(&self, n: usize) -> Registration {
        let host = self.stores[n].host;
        let zone = ["", "a", "b", "c", "d"][usize::from(self.zones[host])];
        Registration {
            store: id(n),
            id: format!("ingester-{host}"),
            tokens: tokens::generate(n as u64, 4),
            ..registration(host as u128, zone)
        }
    }

    /// The leader commits a command.
    pub fn rule(&mut self, command: &Command) -> Outcome {
        let before = self.states[self.head()].clone();
        let mut state = before.state.clone();
        self.rules.lie(&mut state, command);
        let outcome = apply(&mut state, command);
        if let Outcome::Done { .. } = outcome {
            self.rules.twist(&before.state, &mut state, command);
            let is_placed_anew = state.placement_version != before.placement.version();
            let placement = match is_placed_anew {
                true => Rc::new(Placement::new(&state)),
                false => before.placement.clone(),
            };
            self.states.push(Rc::new(Known { state, placement }));
        }
        outcome
    }

    /// The newest version of the ring.
    pub fn head(&self) -> usize {
        self.states.len() - 1
    }

    /// The newest state of the ring.
    pub fn newest(&self) -> &State {
        &self.states[self.head()].state
    }

    /// What a process knows.
    pub fn view(&self, process: usize) -> Rc<Known> {
        self.states[self.known[process]].clone()
    }

    /// Whether it can be called.
    pub fn answers(&self, n: usize) -> bool {
        let store = &self.stores[n];
        store.is_up && !store.is_paused && !store.is_lost
    }

    /// Stores without a directory any more.
    pub fn lost(&self) -> Set {
        let lost = (0..self.stores.len()).filter(|&n| self.stores[n].is_lost);
        lost.fold(0, |set, n| set | 1 << n)
    }
}

impl Batch {
    /// The list that counts.
    pub fn newest(&self) -> &Attempt {
        self.attempts.last().expect("it was sent")
    }

    /// Those of the list that must have acknowledged it (B3).
    pub fn prefix(&self) -> Set {
        let attempt = self.newest();
        let needed = usize::from(attempt.factor) / 2 + 1;
        attempt.list[..needed].iter().fold(0, |set, &n| set | 1 << n)
    }
}
