//! Who has a voice in Raft: a pure choice that changes as little as it can.

use std::collections::{BTreeMap, BTreeSet};

use base::StoreId;

use crate::instance::Instance;
use crate::state::State;

/// Voters for a number of active ingesters: the greatest of 1, 3 and 5 that there are enough for.
pub fn voters_for(ingesters: usize, most: u8) -> usize {
    let wanted = match ingesters {
        0..=2 => ingesters.min(1),
        3..=4 => 3,
        _ => 5,
    };
    wanted.min(usize::from(most))
}

/// The voters of a state, when `current` are the voters now. Those that are up come first, then
/// those of a zone that has fewer voters, then those that are voters already, then by store. Without
/// an active ingester it stays as it is: nobody could take over.
pub fn choose_voters(state: &State, current: &BTreeSet<StoreId>) -> BTreeSet<StoreId> {
    let mut candidates: Vec<&Instance> = state.placed().collect();
    let wanted = voters_for(candidates.len(), state.most_voters);
    if wanted == 0 {
        return current.clone();
    }
    let mut chosen = BTreeSet::new();
    let mut in_zone: BTreeMap<&str, usize> = BTreeMap::new();
    while chosen.len() < wanted {
        let rank = |candidate: &&Instance| {
            let zone = if candidate.zone.is_empty() { None } else { Some(candidate.zone.as_str()) };
            let others = zone.and_then(|zone| in_zone.get(zone)).copied().unwrap_or(0);
            (!candidate.is_up, others, !current.contains(&candidate.store), candidate.store)
        };
        let best = candidates.iter().enumerate().min_by_key(|(_, candidate)| rank(candidate));
        let Some((index, _)) = best else { break };
        let best = candidates.swap_remove(index);
        *in_zone.entry(&best.zone).or_default() += 1;
        chosen.insert(best.store);
    }
    chosen
}

#[cfg(test)]
mod tests;
