//! Whether a query can be answered without the stores that are taken as gone (R1).

use std::collections::BTreeSet;

use base::StoreId;

use crate::instance::{Instance, Phase};
use crate::state::State;

/// Whether a query can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readable {
    /// Every acknowledged row is at a store that answers, or in the bucket.
    Yes,
    /// These stores may hold rows that nobody else has: 503 that names them.
    No(Vec<StoreId>),
}

/// The stores that a query asks: all that may hold rows now or soon, but for the gone.
pub fn asked(state: &State) -> impl Iterator<Item = &Instance> {
    state.ingesters().filter(|instance| instance.phase != Phase::Gone)
}

/// G as the ring knows it: the gone stores that are not cleared yet.
pub fn gone(state: &State) -> Vec<StoreId> {
    let gone = state.ingesters().filter(|instance| instance.phase == Phase::Gone);
    gone.map(|instance| instance.store).collect()
}

/// Whether `state` allows an answer without the stores of `gone`: those of [`gone`] and those that
/// did not answer. A majority of a batch's list has it, so any floor(RF/2) zones (instances, where
/// there are no zones) may be missing. A joining store counts: it may be active by now, and hold the
/// first copy of a list. A store that the state does not know was cleared.
///
/// A forgotten store that is not cleared yet counts beside any other that is missing, and only then:
/// an operator has said that no batch had its majority on the forgotten, but the rest of one that was
/// to be found may be at a store that is silent now.
///
/// The state must be at least as new as that of every ingester that answers, else a store is
/// missing of which they know: read the ring and ask again.
pub fn check(state: &State, gone: &[StoreId]) -> Readable {
    let tolerated = usize::from(state.read_factor()) / 2;
    let missing: BTreeSet<StoreId> = gone.iter().copied().collect();
    let missing = missing.into_iter().filter_map(|store| state.instance(store));
    let missing: Vec<&Instance> = missing.filter(|instance| instance.is_ingester()).collect();
    let mut zones = BTreeSet::new();
    for instance in &missing {
        // One that moved may share a list with others of either zone: it counts alone.
        let is_alone = instance.zone.is_empty() || instance.has_moved;
        zones.insert(if is_alone { (Some(instance.store), "") } else { (None, &*instance.zone) });
    }
    if zones.len() <= tolerated || missing.iter().all(|instance| instance.is_forgotten()) {
        return Readable::Yes;
    }
    Readable::No(missing.into_iter().map(|instance| instance.store).collect())
}

#[cfg(test)]
mod tests;
