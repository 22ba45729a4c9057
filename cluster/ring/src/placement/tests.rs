use base::Labels;
use proptest::prelude::*;

use super::*;
use crate::shares;
use crate::testing::*;

const SPOTS: usize = 4_000;

fn spots(tenant: &str) -> Vec<Spot> {
    let spot = Spot::of_tenant(&TenantId::new(tenant).unwrap());
    (0..SPOTS).map(|n| spot(Labels::from_pairs([("pod", format!("pod-{n}"))]).key())).collect()
}

fn placement(zones: &[&str]) -> Placement {
    Placement::new(&ring(zones))
}

fn stores(placement: &Placement, replicas: &Replicas) -> Vec<StoreId> {
    let members = replicas.as_slice().iter();
    members.map(|&member| placement.members()[usize::from(member)].store).collect()
}

fn list(placement: &Placement, spot: Spot) -> Vec<StoreId> {
    stores(placement, &placement.replicas(spot, 3, |_| true))
}

/// The plain way: walk all tokens.
fn plain(placement: &Placement, spot: Spot, factor: usize, may: &[bool]) -> Vec<u16> {
    let mut places: Vec<(u32, u16)> = placement.places().collect();
    let split = places.partition_point(|&(token, _)| token < spot.token());
    places.rotate_left(split);
    let mut found: Vec<u16> = Vec::new();
    for (_, member) in places {
        let zone = |m: u16| placement.members()[usize::from(m)].zone;
        let is_new = found.iter().all(|&other| zone(other) != zone(member));
        if found.len() < factor && is_new && may[usize::from(member)] {
            found.push(member);
        }
    }
    found
}

const ZONED: [&str; 7] = ["a", "b", "c", "a", "b", "c", "a"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn the_quick_lookup_is_the_plain_walk(
        zones in prop::collection::vec(prop::sample::select(vec!["", "a", "b", "c"]), 0..9),
        factor in 0usize..12,
        marks: u16,
    ) {
        let placement = placement(&zones);
        let may: Vec<bool> = (0..zones.len()).map(|index| marks >> index & 1 == 1).collect();
        for spot in spots("a").into_iter().take(300) {
            let quick = placement.replicas(spot, factor, |member| may[member]);
            prop_assert_eq!(quick.as_slice(), plain(&placement, spot, factor.min(MAX_REPLICAS), &may));
        }
        let last = Spot(u64::MAX);
        let quick = placement.replicas(last, factor, |member| may[member]);
        prop_assert_eq!(quick.as_slice(), plain(&placement, last, factor.min(MAX_REPLICAS), &may));
    }

    #[test]
    fn one_that_joins_takes_a_fair_share_and_nothing_else_moves(
        zones in prop::collection::vec(prop::sample::select(vec!["", "a", "b", "c"]), 2..12),
        zone in prop::sample::select(vec!["", "a", "d"]),
    ) {
        let mut state = ring(&zones);
        let before = Placement::new(&state);
        let new = zones.len() as u128 + 1;
        join(&mut state, new, zone);
        let after = Placement::new(&state);
        let mut owners = 0;
        for spot in spots("a") {
            let (old, now) = (list(&before, spot), list(&after, spot));
            let kept: Vec<StoreId> = now.iter().copied().filter(|&s| s != store(new)).collect();
            // The others keep their order: the newcomer stands before somebody or in a free place.
            let expected: Vec<StoreId> =
                old.iter().copied().filter(|other| kept.contains(other)).collect();
            prop_assert_eq!(&kept, &expected, "nobody else moved in");
            let lost = old.len() - kept.len();
            prop_assert!(lost <= usize::from(now.contains(&store(new))));
            owners += usize::from(now[0] == store(new));
        }
        // A share is 1/n give or take 9 % of it per standard deviation of tokens, and the sample's.
        let fair = SPOTS as f64 / new as f64;
        prop_assert!((owners as f64) < fair * 1.6 + 20.0, "{} of {}", owners, fair);
        prop_assert!((owners as f64) > fair * 0.5 - 20.0, "{} of {}", owners, fair);
    }
}

#[test]
fn lists_have_distinct_zones_and_every_zone_has_a_replica() {
    let placement = placement(&ZONED);
    for spot in spots("a") {
        let found = placement.replicas(spot, 3, |_| true);
        let mut zones: Vec<u16> =
            found.as_slice().iter().map(|&m| placement.members()[usize::from(m)].zone).collect();
        zones.sort_unstable();
        assert_eq!(zones, [0, 1, 2]);
    }
    let two = super::Placement::new(&ring(&["a", "a", "b"]));
    assert!(spots("a").into_iter().all(|spot| list(&two, spot).len() == 2));
    assert_eq!(list(&super::Placement::new(&ring(&[])), spots("a")[0]), []);
}

#[test]
fn one_that_is_skipped_moves_its_own_streams_only_and_another_zone_is_kept() {
    let placement = placement(&ZONED);
    for spot in spots("a") {
        let whole = placement.replicas(spot, 3, |_| true);
        let without = placement.replicas(spot, 3, |member| member != 3);
        if !whole.as_slice().contains(&3) {
            assert_eq!(whole, without);
            continue;
        }
        assert_eq!(without.as_slice().len(), 3);
        let kept: Vec<u16> = whole.as_slice().iter().copied().filter(|&m| m != 3).collect();
        assert!(kept.iter().all(|member| without.as_slice().contains(member)));
        // The same by replacing it in a list that was sent.
        let mut longer = placement.without(&whole, 3);
        placement.extend(&mut longer, spot, 3, |member| member != 3);
        assert_eq!(longer.as_slice()[..2], kept[..]);
        assert_eq!(longer.as_slice().len(), 3);
    }
}

#[test]
fn shares_add_up_and_match_what_is_placed() {
    for zones in [&["a"][..], &["", "", "", "", ""], &ZONED] {
        let placement = placement(zones);
        let shares = shares(&placement);
        let sum: f64 = shares.iter().map(|share| share.owned).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        let mut owned = vec![0.0; zones.len()];
        for spot in spots("a") {
            let first = placement.replicas(spot, 1, |_| true).as_slice()[0];
            owned[usize::from(first)] += 1.0 / SPOTS as f64;
        }
        for (share, owned) in shares.iter().zip(owned) {
            assert!((share.owned - owned).abs() < 0.03, "{share:?} {owned}");
            let fair = 1.0 / zones.len() as f64;
            assert!((share.owned - fair).abs() < 0.4 * fair, "{share:?}");
        }
    }
}

fn shard_of(placement: &Placement, tenant: &str, size: usize) -> Vec<StoreId> {
    let shard = placement.shard(&TenantId::new(tenant).unwrap(), size);
    shard.members().iter().map(|member| member.store).collect()
}

#[test]
fn a_tenants_shard_is_spread_over_zones_and_grows_and_shrinks_by_one() {
    let mut state = ring(&ZONED);
    let before = Placement::new(&state);
    join(&mut state, 8, "b");
    let after = Placement::new(&state);
    let mut used = std::collections::BTreeSet::new();
    for n in 0..200 {
        let tenant = format!("tenant-{n}");
        for size in 1..7 {
            let shard = shard_of(&before, &tenant, size);
            assert_eq!(shard.len(), size);
            let larger = shard_of(&before, &tenant, size + 1);
            assert!(shard.iter().all(|store| larger.contains(store)));
            let joined = shard_of(&after, &tenant, size);
            let changed = joined.iter().filter(|store| !shard.contains(store)).count();
            assert!(changed <= 1);
            assert!(changed == 0 || joined.contains(&store(8)));
        }
        let three = before.shard(&TenantId::new(&tenant).unwrap(), 3);
        assert!(spots(&tenant).into_iter().take(50).all(|spot| list(&three, spot).len() == 3));
        used.insert(shard_of(&before, &tenant, 3));
    }
    assert!(used.len() > 10, "tenants have different shards: {}", used.len());
    assert_eq!(shard_of(&before, "x", 0).len(), 7);
    assert_eq!(shard_of(&before, "x", 99).len(), 7);
}

#[test]
fn the_lists_of_streams_are_the_same_in_every_version() {
    let placement = placement(&["a", "b", "c", "a"]);
    for (spot, list) in spots("a").into_iter().zip(GOLDEN) {
        assert_eq!(placement.replicas(spot, 3, |_| true).as_slice(), list);
    }
}

const GOLDEN: [[u16; 3]; 12] = [
    [2, 0, 1],
    [1, 3, 2],
    [0, 2, 1],
    [1, 2, 0],
    [0, 1, 2],
    [0, 2, 1],
    [0, 1, 2],
    [0, 1, 2],
    [3, 1, 2],
    [1, 0, 2],
    [0, 1, 2],
    [2, 1, 3],
];
