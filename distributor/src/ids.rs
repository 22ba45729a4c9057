//! Ids of batches (B2): an incarnation, and sequences that are dense for each owner.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::random::Random;
use base::{BatchId, Clock, HashMap, Incarnation, StoreId};

/// Gives out ids. No id is given out twice, by this process or any other: the incarnation is fresh
/// at every start.
pub(crate) struct Ids {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    state: Mutex<State>,
}

struct State {
    incarnation: Incarnation,
    /// Sequences given out for each owner under this incarnation.
    given: HashMap<StoreId, u64>,
}

impl Ids {
    pub(crate) fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Ids {
        let incarnation = Incarnation(random.ulid(&*clock));
        let state = Mutex::new(State { incarnation, given: HashMap::default() });
        Ids { clock, random, state }
    }

    /// The next id of a batch that `owner` is first to hold; sequences count up from 1.
    pub(crate) fn next(&self, owner: StoreId) -> BatchId {
        let mut state = self.lock();
        let given = state.given.entry(owner).or_insert(0);
        *given += 1;
        let sequence = *given;
        BatchId { incarnation: state.incarnation, owner, sequence }
    }

    /// Begins a new incarnation, unless that was done since `forgotten` was current. Ids that were
    /// given out before stay what they are.
    pub(crate) fn renew(&self, forgotten: Incarnation) {
        let fresh = Incarnation(self.random.ulid(&*self.clock));
        let mut state = self.lock();
        if state.incarnation == forgotten {
            assert_ne!(fresh, forgotten, "an incarnation is drawn once");
            *state = State { incarnation: fresh, given: HashMap::default() };
        }
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
}
