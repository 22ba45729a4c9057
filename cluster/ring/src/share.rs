//! How much of the ring each member owns, for `/ring`.

use base::StoreId;

use crate::placement::Placement;

/// A member's part of the ring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Whose.
    pub store: StoreId,
    /// The part of all streams of which it is the first, 0 to 1.
    pub owned: f64,
}

/// The shares of all members, by ascending store. They add up to 1.
pub fn shares(placement: &Placement) -> Vec<Share> {
    let mut owned = vec![0u64; placement.members().len()];
    // The first token owns what lies between the last one and the end too.
    let mut previous =
        placement.places().last().map_or(0, |(token, _)| i64::from(token) - (1 << 32));
    let is_alone = placement.places().len() == 1;
    for (token, member) in placement.places() {
        let arc = if is_alone { 1 << 32 } else { i64::from(token) - previous };
        owned[usize::from(member)] += arc as u64;
        previous = i64::from(token);
    }
    let share = |(member, owned): (&crate::Member, u64)| Share {
        store: member.store,
        owned: owned as f64 / (1u64 << 32) as f64,
    };
    placement.members().iter().zip(owned).map(share).collect()
}
