//! Ids of batches (B2): an incarnation, and sequences that are dense for each owner.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::random::Random;
use base::{BatchId, Clock, HashMap, Incarnation, StoreId};

/// An incarnation that gave out no id for so long is not used again: after 30 days without a commit
/// the catalog may forget it, and with it what it claimed. Nanoseconds.
const IDLE_NS: u64 = 15 * 24 * 3_600_000_000_000;

/// Gives out ids. No id is given out twice, by this process or any other: the incarnation is fresh
/// at every start, and after a long rest.
pub(crate) struct Ids {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    state: Mutex<State>,
}

struct State {
    incarnation: Incarnation,
    /// Sequences given out for each owner under this incarnation.
    given: HashMap<StoreId, u64>,
    /// When the last id was given out, monotonic nanoseconds.
    last_ns: u64,
}

impl State {
    fn begin(incarnation: Incarnation, now_ns: u64) -> State {
        State { incarnation, given: HashMap::default(), last_ns: now_ns }
    }
}

impl Ids {
    pub(crate) fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Ids {
        let incarnation = Incarnation(random.ulid(&*clock));
        let state = Mutex::new(State::begin(incarnation, clock.monotonic_ns()));
        Ids { clock, random, state }
    }

    /// The next id of a batch that `owner` is first to hold; sequences count up from 1.
    pub(crate) fn next(&self, owner: StoreId) -> BatchId {
        let now_ns = self.clock.monotonic_ns();
        let mut state = self.lock();
        if now_ns.saturating_sub(state.last_ns) >= IDLE_NS {
            self.begin_anew(&mut state, now_ns);
        }
        state.last_ns = now_ns;
        let given = state.given.entry(owner).or_insert(0);
        *given += 1;
        let sequence = *given;
        BatchId { incarnation: state.incarnation, owner, sequence }
    }

    /// Begins a new incarnation, unless that was done since `forgotten` was current. Ids that were
    /// given out before stay what they are.
    pub(crate) fn renew(&self, forgotten: Incarnation) {
        let now_ns = self.clock.monotonic_ns();
        let mut state = self.lock();
        if state.incarnation == forgotten {
            self.begin_anew(&mut state, now_ns);
        }
    }

    fn begin_anew(&self, state: &mut State, now_ns: u64) {
        let fresh = Incarnation(self.random.ulid(&*self.clock));
        assert_ne!(fresh, state.incarnation, "an incarnation is drawn once");
        *state = State::begin(fresh, now_ns);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use base::random::SeededRandom;
    use base::time::ManualClock;
    use ulid::Ulid;

    use super::*;

    #[test]
    fn sequences_are_dense_for_each_owner_and_begin_anew_with_the_incarnation() {
        let ids = Ids::new(Arc::new(ManualClock::default()), Arc::new(SeededRandom::new(1)));
        let (a, b) = (StoreId(Ulid(1)), StoreId(Ulid(2)));
        let given = [ids.next(a), ids.next(b), ids.next(a)];
        assert_eq!(given.map(|id| (id.owner, id.sequence)), [(a, 1), (b, 1), (a, 2)]);
        ids.renew(given[0].incarnation);
        let next = ids.next(a);
        assert_eq!(next.sequence, 1);
        assert_ne!(next.incarnation, given[0].incarnation);
        ids.renew(given[0].incarnation);
        assert_eq!(ids.next(a), BatchId { sequence: 2, ..next }, "renewed once");
    }

    #[test]
    fn an_incarnation_that_rested_for_long_is_not_used_again() {
        let clock = ManualClock::default();
        let ids = Ids::new(Arc::new(clock.clone()), Arc::new(SeededRandom::new(1)));
        let a = StoreId(Ulid(1));
        let first = ids.next(a);
        clock.advance(IDLE_NS as i64 - 1);
        let second = ids.next(a);
        assert_eq!(second, BatchId { sequence: 2, ..first });
        clock.advance(IDLE_NS as i64);
        let third = ids.next(a);
        assert_ne!(third.incarnation, first.incarnation);
        assert_eq!((third.sequence, ids.next(a)), (1, BatchId { sequence: 2, ..third }));
    }
}
