use std::collections::BTreeSet;

use base::StoreId;
use base::random::SeededRandom;
use proptest::prelude::*;

use super::*;
use crate::testing::*;
use crate::{Command, apply};

fn set(numbers: &[u128]) -> BTreeSet<StoreId> {
    numbers.iter().map(|&n| store(n)).collect()
}

#[test]
fn there_are_one_three_or_five_voters_in_different_zones() {
    for (count, voters) in [(0, 0), (1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 5), (30, 5)] {
        assert_eq!(voters_for(count, 5), voters);
        assert_eq!(voters_for(count, 3), voters.min(3));
    }
    let state = ring(&["a", "a", "a", "b", "c"]);
    let mut three = state.clone();
    done(&mut three, Command::Voters { most: 3 });
    assert_eq!(choose_voters(&three, &BTreeSet::new()), set(&[1, 4, 5]));
    assert_eq!(choose_voters(&three, &set(&[3])), set(&[3, 4, 5]));
    assert_eq!(choose_voters(&state, &BTreeSet::new()).len(), 5);
}

#[test]
fn a_voter_that_is_down_is_replaced_if_another_is_up_and_the_others_stay() {
    let mut state = ring(&["", "", "", ""]);
    let current = set(&[2, 3, 4]);
    assert_eq!(choose_voters(&state, &current), current);
    done(&mut state, Command::Health { store: store(3), is_up: false });
    assert_eq!(choose_voters(&state, &current), set(&[1, 2, 4]));
    done(&mut state, Command::Health { store: store(1), is_up: false });
    assert_eq!(choose_voters(&state, &current), current, "nobody else could do it");
    assert_eq!(choose_voters(&ring(&[]), &current), current);
}

proptest! {
    #[test]
    fn the_choice_is_stable_and_of_active_ingesters(seed: u64) {
        let random = SeededRandom::new(seed);
        let mut state = ring(&["a", "b", "c", "", ""]);
        let mut current = choose_voters(&state, &BTreeSet::new());
        for _ in 0..60 {
            let command = arbitrary(&random, state.version);
            apply(&mut state, &command);
            let next = choose_voters(&state, &current);
            prop_assert_eq!(&choose_voters(&state, &next), &next, "choosing again changes nothing");
            let placed = state.placed().count();
            if placed > 0 {
                prop_assert_eq!(next.len(), voters_for(placed, state.most_voters));
                prop_assert!(next.iter().all(|&s| state.instance(s).is_some_and(|i| i.is_placed())));
            }
            current = next;
        }
    }
}
