//! What happens next, drawn at random. Rare troubles take several steps one after the other, which
//! would seldom come together by chance: a step may bring a plan, whose steps are likely, not sure.

use std::collections::VecDeque;

use base::random::{Random, SeededRandom};

use super::action::Action;
use super::world::{BATCHES, DISTRIBUTORS, HOSTS, QUERIERS, STORES, Set, Setup, World, members};

/// A source of random numbers.
pub(super) struct Dice(pub SeededRandom);

/// A step that is likely.
#[derive(Clone, Copy)]
enum Next {
    Do(Action),
    /// The append that was sent last, to one of its list.
    Deliver,
    /// The next call of a query, or its end.
    Ask(usize),
}

/// The taste of a schedule, and what is likely to come.
pub(super) struct Plan {
    trouble: usize,
    /// Processes that hear of the ring only from others.
    lazy: Set,
    next: VecDeque<Next>,
}

impl Dice {
    fn below(&self, most: usize) -> usize {
        (self.0.next_u64() % most as u64) as usize
    }

    fn is(&self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn some(&self, most: usize, percent: usize) -> Set {
        (0..most).filter(|_| self.is(percent)).fold(0, |set, n| set | 1 << n)
    }

    /// What a schedule begins with.
    pub fn setup(&self) -> Setup {
        let hosts = [1, 2, 2, 3, 3, 4][self.below(6)];
        let mut zones = [0; HOSTS];
        if self.is(40) {
            let count = 2 + self.below(3);
            zones = std::array::from_fn(|host| 1 + (host % count) as u8);
        }
        Setup { hosts, zones, factor: [0, 1, 2, 3, 3, 3][self.below(6)] }
    }
}

impl Plan {
    pub fn new(dice: &Dice) -> Plan {
        let most = STORES + DISTRIBUTORS + QUERIERS;
        let lazy = if dice.is(60) { dice.some(most, 40) } else { 0 };
        Plan { trouble: dice.below(4), lazy, next: VecDeque::new() }
    }

    fn is_lazy(&self, process: usize) -> bool {
        self.lazy >> process & 1 == 1
    }

    /// What follows an action that was done.
    pub fn follow_up(&mut self, world: &World, dice: &Dice, action: Action) {
        self.next.truncate(16);
        match action {
            Action::Open { .. } => self.join(world, dice, world.stores.len() - 1),
            Action::Push { .. } => {
                let calls = world.batches.last().map_or(0, |batch| batch.newest().list.len());
                self.next.extend((0..calls).map(|_| Next::Deliver));
                if dice.is(60) {
                    self.next.push_back(Next::Do(Action::Start { q: dice.below(QUERIERS) }));
                }
            }
            Action::Again { .. } => self.next.extend([Next::Deliver; 2]),
            Action::Start { q } => self.next.extend([Next::Ask(q); 5]),
            Action::Replicate { .. } | Action::Move { .. } | Action::Stay { .. } => {
                self.all_attend(world, dice);
                self.write(dice);
            }
            Action::Gone { n } => match dice.below(4) {
                0 => self.all_attend(world, dice),
                1 => self.next.push_back(Next::Do(Action::Open { host: dice.below(HOSTS) })),
                2 => self.attend(dice, n),
                _ => {}
            },
            Action::LoseDisk { n } if dice.is(60) => {
                self.next.push_back(Next::Do(Action::Gone { n }));
            }
            _ => {}
        }
    }

    fn attend(&mut self, dice: &Dice, n: usize) {
        let learns = !self.is_lazy(n) || dice.is(10);
        let (flushes, is_heard) = (!dice.is(25), !dice.is(15));
        self.next.push_back(Next::Do(Action::Attend { n, learns, flushes, is_heard }));
    }

    fn all_attend(&mut self, world: &World, dice: &Dice) {
        for n in (0..world.stores.len()).filter(|_| !dice.is(20)) {
            self.attend(dice, n);
        }
    }

    /// A new store registers, is seen and activated, and is written to.
    fn join(&mut self, world: &World, dice: &Dice, n: usize) {
        self.lazy &= !(1 << n);
        self.attend(dice, n);
        self.all_attend(world, dice);
        self.attend(dice, n);
        self.attend(dice, n);
        self.write(dice);
    }

    fn write(&mut self, dice: &Dice) {
        let d = dice.below(DISTRIBUTORS);
        let learn = Action::Learn { process: STORES + d, less: 0 };
        let push = Action::Push { d, spot: dice.below(16) as u64, passed: 0 };
        self.next.extend([Next::Do(learn), Next::Do(push)]);
    }

    /// The next step, which may turn out to be impossible.
    pub fn draw(&mut self, world: &World, dice: &Dice) -> Action {
        if dice.is(65) {
            match self.next.pop_front() {
                Some(Next::Do(action)) => return action,
                Some(Next::Deliver) if !world.appends.is_empty() => {
                    return deliver(dice, world.appends.len() - 1);
                }
                Some(Next::Ask(q)) if world.queries[q].is_active => return ask(world, dice, q),
                _ => {}
            }
        }
        let n = dice.below(world.stores.len());
        match dice.below(100) {
            0..15 => ask(world, dice, dice.below(QUERIERS)),
            15..24 if !world.appends.is_empty() => deliver(dice, dice.below(world.appends.len())),
            24..27 if !world.proposals.is_empty() => {
                let proposal = dice.below(world.proposals.len());
                Action::Commit { proposal, is_lost: dice.is(8) }
            }
            27..42 => {
                let learns = !self.is_lazy(n) && dice.is(70);
                Action::Attend { n, learns, flushes: !dice.is(25), is_heard: !dice.is(20) }
            }
            42..48 => {
                let process = STORES + dice.below(DISTRIBUTORS + QUERIERS);
                let process = if self.is_lazy(process) { n } else { process };
                Action::Learn { process, less: if dice.is(70) { 0 } else { dice.below(6) } }
            }
            48..56 => {
                let passed = if dice.is(60) { 0 } else { dice.some(world.stores.len(), 25) };
                let d = dice.below(DISTRIBUTORS);
                Action::Push { d, spot: dice.below(16) as u64, passed }
            }
            56..58 => Action::Again { b: dice.below(BATCHES), passed: dice.some(STORES, 30) },
            58..64 => Action::Start { q: dice.below(QUERIERS) },
            64..66 => Action::Flush { n, wanted: dice.some(BATCHES, 60) },
            66 => Action::Follow { n },
            67..70 => Action::Restart { n: down(world, dice) },
            70..90 => self.trouble(world, dice, self.trouble, n),
            _ => self.trouble(world, dice, dice.below(4), n),
        }
    }

    fn trouble(&self, world: &World, dice: &Dice, kind: usize, n: usize) -> Action {
        match (kind, dice.below(20)) {
            (0, 0..4) => Action::Cut { processes: self.lazy | dice.some(STORES, 20) },
            (0, 4..6) => Action::Heal,
            (0, 6..11) => Action::Crash { n },
            (0, 11..13) => Action::Pause { n },
            (0, 13..16) => Action::Resume { n },
            (0, _) => Action::LoseDisk { n },
            (1 | 2, 0..7) => Action::Gone { n: self.away(world, dice, n) },
            (1 | 2, 7..13) => Action::Open { host: dice.below(HOSTS) },
            (1 | 2, 13..15) => Action::Leave { n },
            (1 | 2, 15..17) => Action::Stay { n },
            (1 | 2, 17) => Action::Cut { processes: self.lazy },
            (1 | 2, _) => Action::Forget { n },
            (3, 0..9) => Action::Replicate { factor: [1, 1, 2, 3, 3, 0][dice.below(6)] },
            (3, 9..16) => Action::Move { host: dice.below(HOSTS), zone: dice.below(5) as u8 },
            (3, 16..18) => Action::Gone { n: self.away(world, dice, n) },
            _ => Action::Heal,
        }
    }

    /// A store that seems to be gone, rather than any.
    fn away(&self, world: &World, dice: &Dice, any: usize) -> usize {
        let away = (0..world.stores.len()).filter(|&n| self.is_lazy(n) || !world.answers(n));
        let away: Vec<usize> = away.collect();
        if away.is_empty() || dice.is(30) { any } else { away[dice.below(away.len())] }
    }
}

fn deliver(dice: &Dice, append: usize) -> Action {
    match dice.is(5) {
        true => Action::Drop { append },
        false => Action::Deliver { append, is_heard: !dice.is(4) },
    }
}

fn ask(world: &World, dice: &Dice, q: usize) -> Action {
    let query = &world.queries[q];
    let left: Vec<usize> = members(query.asked).filter(|&n| query.answers[n].is_none()).collect();
    match left.is_empty() {
        true => Action::Finish { q },
        false => Action::Ask { q, n: left[dice.below(left.len())], is_heard: !dice.is(12) },
    }
}

fn down(world: &World, dice: &Dice) -> usize {
    let down: Vec<usize> = (0..world.stores.len())
        .filter(|&n| !world.stores[n].is_up && !world.stores[n].is_lost)
        .collect();
    if down.is_empty() { 0 } else { down[dice.below(down.len())] }
}
