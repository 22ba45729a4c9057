//! Which ingester owns a stream: a pure function of the addresses, the tenant and the labels.
//!
//! Rendezvous hashing: every peer has a score for every stream, and the order of a stream is the
//! peers by falling score. So distributors with the same list agree whatever order it is written
//! in; a peer that is skipped moves only its own streams, each to the next in the stream's order;
//! one that joins takes an even share from all others.

use base::{StreamKey, TenantId};

/// The scores of a list of peers.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// A hash of each peer's address.
    peers: Vec<u64>,
}

/// Where a stream stands among all streams of all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot(u64);

impl Spot {
    /// The spots of a tenant's streams.
    pub(crate) fn of_tenant(tenant: &TenantId) -> impl Fn(StreamKey) -> Spot + use<> {
        let tenant = base::hash::hash64(tenant.as_str().as_bytes());
        move |key| Spot(mix(tenant ^ mix(key.0)))
    }
}

impl Placement {
    pub(crate) fn new<'a>(addresses: impl Iterator<Item = &'a str>) -> Placement {
        let hash = |address: &str| base::hash::hash64(address.as_bytes());
        Placement { peers: addresses.map(hash).collect() }
    }

    /// The first peer in the order of `spot` among those that `may` have it.
    pub(crate) fn first(&self, spot: Spot, may: impl Fn(usize) -> bool) -> Option<usize> {
        let allowed = (0..self.peers.len()).filter(|&peer| may(peer));
        allowed.max_by_key(|&peer| self.score(spot, peer))
    }

    /// Equal scores fall to the greater address hash, in whatever order the list is written.
    fn score(&self, spot: Spot, peer: usize) -> (u64, u64) {
        (mix(spot.0 ^ self.peers[peer]), self.peers[peer])
    }
}

/// The finalizer of SplitMix64: every bit of the input changes about half of the output's.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use base::Labels;

    use super::*;

    const STREAMS: usize = 6_000;

    fn addresses(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("10.0.0.{n}:9095")).collect()
    }

    fn placement(addresses: &[String]) -> Placement {
        Placement::new(addresses.iter().map(String::as_str))
    }

    fn spots(tenant: &str) -> Vec<Spot> {
        let spot = Spot::of_tenant(&TenantId::new(tenant).unwrap());
        let key = |n| Labels::from_pairs([("pod", format!("pod-{n}"))]).key();
        (0..STREAMS).map(|n| spot(key(n))).collect()
    }

    #[test]
    fn streams_are_spread_evenly_and_tenants_differently() {
        let five = placement(&addresses(5));
        for tenant in ["a", "b"] {
            let mut owned = [0; 5];
            for spot in spots(tenant) {
                owned[five.first(spot, |_| true).unwrap()] += 1;
            }
            // Six standard deviations of a fair share.
            let (mean, slack) = (STREAMS as i64 / 5, 190);
            assert!(owned.iter().all(|&n: &i64| (n - mean).abs() < slack), "{tenant}: {owned:?}");
        }
        let same = spots("a").into_iter().zip(spots("b"));
        let same = same.filter(|&(a, b)| five.first(a, |_| true) == five.first(b, |_| true));
        assert!((same.count() as i64 - STREAMS as i64 / 5).abs() < 190);
    }

    #[test]
    fn a_skipped_peer_moves_its_own_streams_only_and_spreads_them() {
        let five = placement(&addresses(5));
        let mut taken = [0; 5];
        for spot in spots("a") {
            let owner = five.first(spot, |_| true).unwrap();
            let without = five.first(spot, |peer| peer != 3).unwrap();
            if owner == 3 {
                taken[without] += 1;
            } else {
                assert_eq!(owner, without);
            }
        }
        let mean = taken.iter().sum::<i64>() / 4;
        let others = [0, 1, 2, 4].map(|peer| taken[peer]);
        assert!(others.iter().all(|n| (n - mean).abs() < 90), "{taken:?}");
    }

    #[test]
    fn a_peer_that_joins_takes_from_all_and_nothing_else_moves() {
        let (four, five) = (placement(&addresses(4)), placement(&addresses(5)));
        let mut moved = 0;
        for spot in spots("a") {
            let (before, after) = (four.first(spot, |_| true), five.first(spot, |_| true));
            assert!(before == after || after == Some(4));
            moved += usize::from(before != after);
        }
        assert!((moved as i64 - STREAMS as i64 / 5).abs() < 190, "{moved}");
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        let forward = addresses(5);
        let backward: Vec<String> = forward.iter().rev().cloned().collect();
        let (a, b) = (placement(&forward), placement(&backward));
        for spot in spots("a") {
            let (a, b) = (a.first(spot, |_| true).unwrap(), b.first(spot, |_| true).unwrap());
            assert_eq!(forward[a], backward[b]);
        }
    }

    #[test]
    fn the_owner_of_a_stream_is_the_same_in_every_version() {
        let three = placement(&addresses(3));
        let owners: Vec<usize> =
            spots("a")[..12].iter().map(|&spot| three.first(spot, |_| true).unwrap()).collect();
        assert_eq!(owners, GOLDEN);
        assert_eq!(three.first(spots("a")[0], |_| false), None);
    }

    const GOLDEN: [usize; 12] = [2, 0, 2, 1, 2, 0, 1, 1, 0, 0, 2, 1];
}
