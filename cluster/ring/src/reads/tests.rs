use super::*;
use crate::Command;
use crate::testing::*;

fn names(readable: Readable) -> Vec<StoreId> {
    match readable {
        Readable::Yes => Vec::new(),
        Readable::No(stores) => stores,
    }
}

#[test]
fn a_minority_of_zones_may_be_missing_and_the_503_names_all_that_are() {
    let state = ring(&["a", "b", "c", "a"]);
    assert_eq!(state.read_factor(), 3);
    assert_eq!(check(&state, &[]), Readable::Yes);
    assert_eq!(check(&state, &[store(1), store(4)]), Readable::Yes, "both of zone a");
    let two = check(&state, &[store(2), store(4), store(2)]);
    assert_eq!(names(two), [store(2), store(4)]);
    assert_eq!(check(&state, &[store(1), store(99)]), Readable::Yes, "a store that was removed");
}

#[test]
fn without_zones_instances_are_counted_and_at_factor_one_all_are_needed() {
    let state = ring(&["", "", ""]);
    assert_eq!(check(&state, &[store(3)]), Readable::Yes);
    assert_eq!(names(check(&state, &[store(3), store(1)])), [store(1), store(3)]);
    let one = ring(&[""]);
    assert_eq!(names(check(&one, &[store(1)])), [store(1)]);
    let mut five = ring(&["", "", "", "", ""]);
    done(&mut five, Command::Replicate { factor: 5 });
    assert_eq!(five.read_factor(), 3, "what was written under three may be there still");
    for n in 1..=5 {
        done(&mut five, Command::Factor { by: store(n), factor: 5, since: 0 });
    }
    assert_eq!(check(&five, &[store(1), store(2)]), Readable::Yes);
    assert_eq!(names(check(&five, &[store(1), store(2), store(5)])).len(), 3);
}

#[test]
fn a_gone_store_counts_until_it_is_cleared_and_a_joining_one_from_the_start() {
    let mut state = ring(&["a", "b", "c"]);
    let since = done(&mut state, Command::Gone { store: store(1) });
    assert_eq!(gone(&state), [store(1)]);
    let both = [gone(&state), vec![store(2)]].concat();
    assert_eq!(names(check(&state, &both)), [store(1), store(2)]);
    done(&mut state, Command::Cleared { by: store(2), of: store(1), since });
    done(&mut state, Command::Cleared { by: store(3), of: store(1), since });
    assert_eq!(check(&state, &both), Readable::Yes, "only the second is missing now");
    done(&mut state, Command::Register(registration(9, "a")));
    assert!(asked(&state).any(|instance| instance.store == store(9)));
    // It may be active in a newer state, and first of lists.
    assert_eq!(names(check(&state, &[store(2), store(9)])), [store(2), store(9)]);
    assert_eq!(check(&state, &[store(9)]), Readable::Yes);
    done(&mut state, Command::Register(watcher(10)));
    assert_eq!(check(&state, &[store(9), store(10)]), Readable::Yes, "no store");
}

/// Takes stores for gone and forgets them.
fn forget(state: &mut State, stores: &[u128]) {
    for &n in stores {
        done(state, Command::Gone { store: store(n) });
        done(state, Command::Forget { store: store(n) });
    }
}

#[test]
fn forgotten_stores_count_only_beside_one_that_is_missing() {
    let mut state = ring(&["a", "b", "c", "d"]);
    forget(&mut state, &[1]);
    let without = |state: &State, silent: &[u128]| {
        let silent = silent.iter().map(|&n| store(n));
        names(check(state, &[gone(state), silent.collect()].concat()))
    };
    assert_eq!(without(&state, &[]), []);
    assert_eq!(without(&state, &[2]), [store(1), store(2)], "these two may be a majority");
    forget(&mut state, &[3]);
    assert_eq!(without(&state, &[]), [], "an operator knows that these two are none");
    assert_eq!(without(&state, &[2]), [store(1), store(2), store(3)]);
    let mut zones = ring(&["a", "a", "b", "c"]);
    forget(&mut zones, &[1]);
    assert_eq!(without(&zones, &[2]), [], "no list names two of one zone");
    let mut five = ring(&["", "", "", "", "", ""]);
    done(&mut five, Command::Replicate { factor: 5 });
    for n in 1..=6 {
        done(&mut five, Command::Factor { by: store(n), factor: 5, since: 0 });
    }
    forget(&mut five, &[1]);
    assert_eq!(without(&five, &[2]), [], "two of five");
    assert_eq!(without(&five, &[2, 3]).len(), 3);
    forget(&mut five, &[4, 5]);
    assert_eq!(without(&five, &[]), []);
    assert_eq!(without(&five, &[2]).len(), 4);
}

#[test]
fn one_that_changed_its_zone_counts_alone() {
    let mut state = ring(&["a", "b", "c"]);
    done(&mut state, Command::Register(registration(2, "a")));
    assert_eq!(names(check(&state, &[store(1), store(2)])), [store(1), store(2)]);
}
