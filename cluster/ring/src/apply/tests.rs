use base::random::SeededRandom;
use proptest::prelude::*;
use ulid::Ulid;

use super::*;
use crate::testing::*;
use crate::{Duty, Placement, tokens};

#[test]
fn the_first_ingester_joins_alone_and_the_next_waits_until_it_was_seen() {
    let mut state = State::new(Ulid(7));
    done(&mut state, Command::Register(registration(1, "")));
    done(&mut state, Command::Activate { store: store(1) });
    assert_eq!(state.placement_version, state.version);
    let version = done(&mut state, Command::Register(registration(2, "")));
    assert_ne!(state.placement_version, version, "nothing is placed on it yet");
    let waiting = refused(&mut state, Command::Activate { store: store(2) });
    assert_eq!(waiting, Refusal::Waiting(vec![store(1), store(2)]));
    done(&mut state, Command::Seen { by: store(1), version });
    let waiting = refused(&mut state, Command::Activate { store: store(2) });
    assert_eq!(waiting, Refusal::Waiting(vec![store(2)]), "it must know the first itself");
    done(&mut state, Command::Seen { by: store(2), version });
    done(&mut state, Command::Activate { store: store(2) });
    assert_eq!(state.joined, 2);
    let newest = state.version;
    let ahead = refused(&mut state, Command::Seen { by: store(1), version: newest + 1 });
    assert_eq!(ahead, Refusal::Version { found: newest });
}

#[test]
fn a_leaving_store_goes_when_all_others_and_itself_have_cleared_it() {
    let mut state = ring(&["a", "b", "c"]);
    let since = done(&mut state, Command::Leave { store: store(2) });
    assert_eq!(state.placement_version, since);
    done(&mut state, Command::Cleared { by: store(1), of: store(2), since });
    done(&mut state, Command::Cleared { by: store(3), of: store(2), since });
    assert_eq!(state.uncleared_by(store(2)), [store(2)]);
    done(&mut state, Command::Cleared { by: store(2), of: store(2), since });
    assert!(state.instance(store(2)).is_none());
    let back = refused(&mut state, Command::Register(registration(2, "b")));
    assert_eq!(back, Refusal::Retired(store(2)));
}

#[test]
fn a_store_that_emptied_its_wal_goes_with_one_copy_too_also_when_it_ended_before_the_others_spoke()
{
    let mut state = ring(&["a", "b"]);
    apply(&mut state, &Command::Replicate { factor: 1 });
    let since = done(&mut state, Command::Leave { store: store(2) });
    done(&mut state, Command::Cleared { by: store(2), of: store(2), since });
    done(&mut state, Command::Gone { store: store(2) });
    assert_eq!(state.uncleared_by(store(2)), [store(1)]);
    done(&mut state, Command::Cleared { by: store(1), of: store(2), since });
    assert!(state.instance(store(2)).is_none());
    // One that never said so may have the only copy.
    let mut state = ring(&["a", "b"]);
    apply(&mut state, &Command::Replicate { factor: 1 });
    let since = done(&mut state, Command::Gone { store: store(2) });
    let spoken = refused(&mut state, Command::Cleared { by: store(1), of: store(2), since });
    assert_eq!(spoken, Refusal::Phase(store(2)));
}

#[test]
fn a_gone_store_comes_back_unless_somebody_has_cleared_it() {
    let mut state = ring(&["a", "b", "c"]);
    let first = done(&mut state, Command::Gone { store: store(2) });
    done(&mut state, Command::Register(registration(2, "b")));
    assert!(state.instance(store(2)).unwrap().is_placed());
    let late = refused(&mut state, Command::Cleared { by: store(1), of: store(2), since: first });
    assert_eq!(late, Refusal::Phase(store(2)));
    let since = done(&mut state, Command::Gone { store: store(2) });
    let old = refused(&mut state, Command::Cleared { by: store(1), of: store(2), since: first });
    assert_eq!(old, Refusal::Phase(store(2)), "said of an earlier departure");
    done(&mut state, Command::Cleared { by: store(1), of: store(2), since });
    let back = refused(&mut state, Command::Register(registration(2, "b")));
    assert_eq!(back, Refusal::Departing(store(2)));
    done(&mut state, Command::Cleared { by: store(3), of: store(2), since });
    assert!(state.instance(store(2)).is_none());
}

#[test]
fn a_new_directory_under_a_known_name_means_that_the_old_store_is_gone() {
    let mut state = ring(&["a", "b", "c"]);
    let mut new = registration(9, "b");
    new.id = "ingester-2".to_owned();
    done(&mut state, Command::Register(new));
    assert_eq!(state.instance(store(2)).unwrap().phase, Phase::Gone);
    all_see(&mut state);
    let since = state.instance(store(2)).unwrap().departure.as_ref().unwrap().since;
    done(&mut state, Command::Cleared { by: store(1), of: store(2), since });
    let waiting = refused(&mut state, Command::Activate { store: store(9) });
    assert_eq!(waiting, Refusal::Waiting(vec![store(9)]), "it starts with the list of the cleared");
    done(&mut state, Command::Cleared { by: store(9), of: store(2), since });
    done(&mut state, Command::Activate { store: store(9) });
    assert_eq!(state.uncleared_by(store(2)), [store(3)]);
}

#[test]
fn a_store_that_nobody_has_cleared_holds_no_joiner_up_and_is_not_removed_without_it() {
    // It has the only copies, so nobody speaks for it: it comes back, or an operator forgets it.
    let mut state = ring(&["a", "b"]);
    apply(&mut state, &Command::Replicate { factor: 1 });
    let gone = done(&mut state, Command::Gone { store: store(2) });
    done(&mut state, Command::Register(registration(3, "c")));
    all_see(&mut state);
    done(&mut state, Command::Activate { store: store(3) });
    assert_eq!(state.uncleared_by(store(2)), [store(1), store(3)]);
    done(&mut state, Command::Register(registration(2, "b")));
    assert!(state.instance(store(2)).unwrap().is_placed());
    // One that leaves and has said that it is empty has been cleared by itself only.
    let since = done(&mut state, Command::Leave { store: store(2) });
    assert!(since > gone);
    done(&mut state, Command::Cleared { by: store(2), of: store(2), since });
    done(&mut state, Command::Register(registration(4, "d")));
    all_see(&mut state);
    done(&mut state, Command::Activate { store: store(4) });
    done(&mut state, Command::Cleared { by: store(1), of: store(2), since });
    done(&mut state, Command::Cleared { by: store(3), of: store(2), since });
    assert_eq!(state.uncleared_by(store(2)), [store(4)], "the ring waits for the new one too");
    done(&mut state, Command::Cleared { by: store(4), of: store(2), since });
    assert!(state.instance(store(2)).is_none());
}

#[test]
fn two_lost_at_once_wait_for_an_operator() {
    let mut state = ring(&["a", "b", "c"]);
    let first = done(&mut state, Command::Gone { store: store(1) });
    let second = done(&mut state, Command::Gone { store: store(2) });
    done(&mut state, Command::Cleared { by: store(3), of: store(1), since: first });
    done(&mut state, Command::Cleared { by: store(3), of: store(2), since: second });
    assert_eq!(state.uncleared_by(store(1)), [store(2)]);
    assert_eq!(state.uncleared_by(store(2)), [store(1)]);
    refused(&mut state, Command::Forget { store: store(3) });
    done(&mut state, Command::Forget { store: store(1) });
    assert_eq!(state.ingesters().count(), 1, "the second was cleared by all that are left");
}

#[test]
fn a_forgotten_store_stays_until_all_that_may_come_back_have_cleared_it() {
    let mut state = ring(&["a", "b", "c", "d"]);
    let since = done(&mut state, Command::Gone { store: store(1) });
    done(&mut state, Command::Forget { store: store(1) });
    let again = apply(&mut state, &Command::Forget { store: store(1) });
    assert_eq!(again, Outcome::Unchanged { version: state.version });
    let back = refused(&mut state, Command::Register(registration(1, "a")));
    assert_eq!(back, Refusal::Departing(store(1)), "nobody has cleared it, and it is out");
    let other = done(&mut state, Command::Gone { store: store(2) });
    assert_eq!(state.uncleared_by(store(1)), [store(2), store(3), store(4)], "the gone one, too");
    for by in [3, 4] {
        done(&mut state, Command::Cleared { by: store(by), of: store(1), since });
        done(&mut state, Command::Cleared { by: store(by), of: store(2), since: other });
    }
    // The operator's word was given while the second was there: what only both hold is not forgotten.
    assert_eq!(state.uncleared_by(store(2)), [store(1)]);
    assert_eq!(state.uncleared_by(store(1)), [store(2)]);
    done(&mut state.clone(), Command::Forget { store: store(2) });
    // It was taken for gone, and has flushed what it held.
    done(&mut state, Command::Cleared { by: store(2), of: store(2), since: other });
    assert!(state.instance(store(1)).is_none() && state.instance(store(2)).is_none());
    assert_eq!(state.retired.len(), 2);
}

#[test]
fn a_store_that_goes_after_another_was_forgotten_waits_for_a_word_of_its_own() {
    let rest = |state: &State| state.ingesters().count();
    let mut state = ring(&["a", "b", "c"]);
    let first = done(&mut state, Command::Gone { store: store(1) });
    done(&mut state, Command::Forget { store: store(1) });
    // Back, it clears the forgotten one as all others do.
    let second = done(&mut state, Command::Gone { store: store(2) });
    done(&mut state, Command::Register(registration(2, "b")));
    done(&mut state, Command::Cleared { by: store(3), of: store(1), since: first });
    let mut back = state.clone();
    done(&mut back, Command::Cleared { by: store(2), of: store(1), since: first });
    assert_eq!(rest(&back), 2);
    // Lost, it stays until the operator says so of it, too.
    let second = second.max(done(&mut state, Command::Gone { store: store(2) }));
    done(&mut state, Command::Cleared { by: store(3), of: store(2), since: second });
    assert_eq!(rest(&state), 3);
    assert!(matches!(
        crate::reads::check(&state, &crate::reads::gone(&state)),
        crate::reads::Readable::No(_)
    ));
    done(&mut state, Command::Forget { store: store(2) });
    assert_eq!(rest(&state), 1);
}

#[test]
fn what_is_lost_with_one_copy_is_forgotten_at_once_where_others_have_nothing_of_it() {
    let mut state = ring(&["", ""]);
    done(&mut state, Command::Replicate { factor: 1 });
    all_see(&mut state);
    let since = done(&mut state, Command::Gone { store: store(1) });
    assert!(crate::duties(&state, store(2)).is_empty(), "it may come back with the only copies");
    done(&mut state, Command::Forget { store: store(1) });
    assert_eq!(crate::duties(&state, store(2)), [Duty::Clear { of: store(1), since }]);
    done(&mut state, Command::Cleared { by: store(2), of: store(1), since });
    assert!(state.instance(store(1)).is_none());
}

#[test]
fn a_gone_store_keeps_the_factor_under_which_others_speak_for_it_until_it_is_back() {
    let mut state = ring(&["", "", ""]);
    let since = done(&mut state, Command::Gone { store: store(1) });
    done(&mut state, Command::Cleared { by: store(2), of: store(1), since });
    done(&mut state, Command::Replicate { factor: 1 });
    assert_eq!(state.read_factor(), 1);
    done(&mut state, Command::Cleared { by: store(3), of: store(1), since });
    assert!(state.instance(store(1)).is_none(), "nothing was written to it under the lower one");
    let mut state = ring(&["", "", ""]);
    done(&mut state, Command::Gone { store: store(1) });
    done(&mut state, Command::Replicate { factor: 1 });
    done(&mut state, Command::Register(registration(1, "")));
    assert_eq!(state.instance(store(1)).unwrap().factor, 1);
}

#[test]
fn what_only_one_store_acknowledged_is_not_given_up_by_others() {
    let mut state = ring(&["", "", ""]);
    done(&mut state, Command::Replicate { factor: 1 });
    let since = done(&mut state, Command::Gone { store: store(1) });
    for by in [2, 3] {
        refused(&mut state, Command::Cleared { by: store(by), of: store(1), since });
    }
    done(&mut state, Command::Register(registration(1, "")));
    assert!(state.instance(store(1)).unwrap().is_placed(), "it came back with its disk");
    let since = done(&mut state, Command::Gone { store: store(1) });
    done(&mut state, Command::Forget { store: store(1) });
    for by in [2, 3] {
        done(&mut state, Command::Cleared { by: store(by), of: store(1), since });
    }
    assert!(state.instance(store(1)).is_none());
    let mut alone = ring(&[""]);
    done(&mut alone, Command::Gone { store: store(1) });
    assert!(alone.instance(store(1)).is_some());
    assert_eq!(
        refused(&mut ring(&[""]), Command::Leave { store: store(1) }),
        Refusal::Last(store(1))
    );
}

#[test]
fn a_change_of_address_places_nothing_anew_and_one_of_zone_is_remembered() {
    let mut state = ring(&["a", "b", "c"]);
    let placed = state.placement_version;
    let mut moved = registration(2, "b");
    moved.grpc_address = "10.9.9.9:1".to_owned();
    done(&mut state, Command::Register(moved.clone()));
    assert_eq!(state.placement_version, placed);
    assert_eq!(
        apply(&mut state, &Command::Register(moved.clone())),
        Outcome::Unchanged { version: state.version }
    );
    moved.zone = "a".to_owned();
    let asked = done(&mut state, Command::Register(moved.clone()));
    let again = apply(&mut state, &Command::Register(moved));
    assert_eq!((again, state.moved), (Outcome::Unchanged { version: asked }, asked));
    // Readers count zones: the other one is not in force before all who answer have seen it.
    for by in 1..=3 {
        assert_eq!((state.placement_version, zone_of(&state, 2)), (placed, ("b", false)));
        assert_eq!(crate::duties(&state, store(by)), [Duty::See { version: state.version }]);
        let version = state.version;
        done(&mut state, Command::Seen { by: store(by), version });
    }
    assert_eq!((state.placement_version, zone_of(&state, 2)), (state.version, ("a", true)));
    assert!(state.moves.is_empty());
}

fn zone_of(state: &State, n: u128) -> (&str, bool) {
    let instance = state.instance(store(n)).unwrap();
    (&instance.zone, instance.has_moved)
}

#[test]
fn a_store_asked_into_another_zone_may_change_its_mind_go_and_hold_a_joiner_up() {
    let mut state = ring(&["a", "b", ""]);
    let placed = state.placement_version;
    done(&mut state, Command::Register(registration(2, "c")));
    done(&mut state, Command::Register(registration(2, "b")));
    assert!(state.moves.is_empty() && state.placement_version == placed);
    let asked = done(&mut state, Command::Register(registration(2, "c")));
    done(&mut state, Command::Register(registration(4, "d")));
    done(&mut state, Command::Seen { by: store(4), version: asked - 1 });
    let waits = refused(&mut state, Command::Activate { store: store(4) });
    let Refusal::Waiting(stores) = waits else { panic!("{waits:?}") };
    assert!(stores.contains(&store(4)), "it does not know of the move");
    // Who is gone does not answer readers; where nobody else is waited for, the move is in force.
    done(&mut state, Command::Gone { store: store(1) });
    let version = state.version;
    for by in [2, 3] {
        done(&mut state, Command::Seen { by: store(by), version });
    }
    assert_eq!(zone_of(&state, 2), ("c", true));
    // One without a zone counted alone before, too.
    done(&mut state, Command::Register(registration(3, "e")));
    assert_eq!((zone_of(&state, 3), state.moves.len()), (("e", true), 0));
}

#[test]
fn overrides_change_only_from_the_version_that_is_expected() {
    let mut state = ring(&[""]);
    let tenant = TenantId::new("team").unwrap();
    let put = |expect, text: &'static str| {
        let bytes = Bytes::from_static(text.as_bytes());
        Command::PutOverride { tenant: tenant.clone(), expect, bytes }
    };
    refused(&mut state, put(Expect::Version(1), "a: 1"));
    let first = done(&mut state, put(Expect::Absent, "a: 1"));
    assert_eq!(refused(&mut state, put(Expect::Absent, "")), Refusal::Version { found: first });
    let second = done(&mut state, put(Expect::Version(first), "a: 2"));
    let delete = |expect| Command::DeleteOverride { tenant: tenant.clone(), expect };
    assert_eq!(
        refused(&mut state, delete(Expect::Version(first))),
        Refusal::Version { found: second }
    );
    done(&mut state, delete(Expect::Version(second)));
    refused(&mut state, delete(Expect::Any));
    let long = Bytes::from(vec![b' '; MAX_OVERRIDE_BYTES + 1]);
    let long = Command::PutOverride { tenant, expect: Expect::Any, bytes: long };
    refused(&mut state, long);
}

#[test]
fn the_bytes_of_all_overrides_are_bounded() {
    let mut state = ring(&[""]);
    let bytes = Bytes::from(vec![b' '; MAX_OVERRIDE_BYTES]);
    for n in 0..MAX_OVERRIDES_BYTES / MAX_OVERRIDE_BYTES {
        let tenant = TenantId::new(&format!("t{n}")).unwrap();
        done(
            &mut state,
            Command::PutOverride { tenant, expect: Expect::Any, bytes: bytes.clone() },
        );
    }
    let tenant = TenantId::new("t0").unwrap();
    let again = Command::PutOverride { tenant, expect: Expect::Any, bytes };
    done(&mut state, again);
    let tenant = TenantId::new("one-more").unwrap();
    let more = Command::PutOverride { tenant, expect: Expect::Any, bytes: "x".into() };
    assert_eq!(refused(&mut state, more), Refusal::Full("overrides".to_owned()));
}

#[test]
fn a_lease_is_free_again_when_its_holder_is_down_or_gives_it_back() {
    let mut state = ring(&["", ""]);
    let take = |n| Command::TakeLease { name: "compact".to_owned(), holder: store(n) };
    let sequence = done(&mut state, take(1));
    assert_eq!(refused(&mut state, take(2)), Refusal::Held(store(1)));
    let give = |sequence| {
        let name = "compact".to_owned();
        Command::ReleaseLease { name, holder: store(1), sequence }
    };
    refused(&mut state, give(sequence - 1));
    done(&mut state, give(sequence));
    done(&mut state, take(2));
    done(&mut state, Command::Health { store: store(2), is_up: false });
    refused(&mut state, take(2));
    done(&mut state, take(1));
}

#[test]
fn watchers_have_no_tokens_and_leave_without_ceremony() {
    let mut state = ring(&["", ""]);
    done(&mut state, Command::Register(watcher(9)));
    assert_eq!(state.instance(store(9)).unwrap().phase, Phase::Active);
    refused(&mut state, Command::Activate { store: store(9) });
    let mut again = watcher(10);
    again.id = "ingester-9".to_owned();
    done(&mut state, Command::Register(again));
    assert!(state.instance(store(9)).is_none(), "a process that was started anew");
    done(&mut state, Command::Leave { store: store(10) });
    assert_eq!(state.instances.len(), 2);
    assert!(state.retired.is_empty());
    let mut bad = watcher(9);
    bad.tokens = tokens::generate(1, 3);
    assert_eq!(refused(&mut state, Command::Register(bad)), Refusal::Invalid("tokens".to_owned()));
}

#[test]
fn readers_count_on_the_least_factor_that_anybody_may_hold() {
    let mut state = State::new(Ulid(7));
    join(&mut state, 1, "a");
    assert_eq!((state.write_factor(), state.read_factor()), (1, 1));
    join(&mut state, 2, "b");
    join(&mut state, 3, "c");
    assert_eq!((state.write_factor(), state.read_factor()), (3, 1));
    let version = state.version;
    done(&mut state, Command::Factor { by: store(1), factor: 3, since: version });
    assert_eq!(state.read_factor(), 2, "the second joined when two were written");
    done(&mut state, Command::Factor { by: store(2), factor: 3, since: version });
    assert_eq!(state.read_factor(), 3);
}

#[test]
fn a_lower_factor_counts_for_readers_at_once_and_for_writers_when_all_who_answer_have_seen_it() {
    let mut state = ring(&["a", "b", "c"]);
    let said = state.version;
    let lowered = done(&mut state, Command::Replicate { factor: 1 });
    assert_eq!((state.write_factor(), state.read_factor()), (3, 1));
    for n in 1..=3 {
        let duties = crate::duties(&state, store(n));
        assert_eq!(duties, [Duty::See { version: state.version }]);
    }
    // One that is gone does not answer; one that is on its way in does not yet.
    done(&mut state, Command::Gone { store: store(3) });
    done(&mut state, Command::Register(registration(4, "c")));
    let version = state.version;
    done(&mut state, Command::Seen { by: store(1), version });
    assert_eq!(state.write_factor(), 3);
    done(&mut state, Command::Seen { by: store(2), version: lowered });
    assert_eq!((state.write_factor(), state.read_factor()), (1, 1));
    done(&mut state, Command::Replicate { factor: 3 });
    assert_eq!((state.write_factor(), state.read_factor()), (3, 1), "raising waits for nobody");
    // Said before it was lowered, heard after it was raised again: it holds other batches by now.
    let late = Command::Factor { by: store(1), factor: 3, since: said };
    assert_eq!(refused(&mut state, late), Refusal::Version { found: lowered });
    let version = state.version;
    done(&mut state, Command::Factor { by: store(1), factor: 3, since: version });
    assert_eq!(state.instance(store(1)).unwrap().factor, 3);
}

#[test]
fn a_lowered_factor_that_is_raised_before_it_is_in_force_was_never_written() {
    let mut state = ring(&["a", "b", "c"]);
    done(&mut state, Command::Replicate { factor: 2 });
    done(&mut state, Command::Replicate { factor: 1 });
    assert_eq!((state.write_factor(), state.read_factor()), (3, 1));
    done(&mut state, Command::Replicate { factor: 2 });
    assert_eq!((state.write_factor(), state.read_factor()), (3, 1));
    done(&mut state, Command::Replicate { factor: 3 });
    assert_eq!((state.write_factor(), state.held_factor), (3, 0));
    let mut alone = ring(&[""]);
    done(&mut alone, Command::Replicate { factor: 3 });
    done(&mut alone, Command::Replicate { factor: 1 });
    let joiner = done(&mut alone, Command::Register(registration(2, "")));
    done(&mut alone, Command::Seen { by: store(1), version: joiner });
    assert_eq!(alone.write_factor(), 1);
    let waiting = refused(&mut alone, Command::Activate { store: store(2) });
    assert_eq!(waiting, Refusal::Waiting(vec![store(2)]), "it must know how few copies there are");
}

#[test]
fn a_store_that_is_gone_says_nothing_of_its_factor() {
    let mut state = ring(&["", "", ""]);
    done(&mut state, Command::Health { store: store(2), is_up: false });
    done(&mut state, Command::Gone { store: store(2) });
    refused(&mut state, Command::Factor { by: store(2), factor: 7, since: 0 });
    assert!(state.instance(store(2)).is_some());
}

/// What must be true of every state.
fn assert_sound(before: &State, state: &State, command: &Command) {
    for instance in state.instances.values() {
        assert!(!state.retired.contains_key(&instance.store));
        assert_eq!(instance.is_ingester(), !instance.tokens.is_empty());
        assert!(instance.seen <= state.version && instance.registered <= state.version);
        let departs = matches!(instance.phase, Phase::Leaving | Phase::Gone);
        assert_eq!(departs, instance.departure.is_some());
    }
    let gone_now = before.ingesters().filter(|old| state.instance(old.store).is_none());
    for old in gone_now.filter(|old| old.may_hold_rows()) {
        assert!(state.retired.contains_key(&old.store));
        let said_so = matches!(
            command,
            Command::Forget { .. }
                | Command::Cleared { .. }
                | Command::Register(_)
                | Command::Gone { .. }
                | Command::Leave { .. }
        );
        assert!(said_so, "{command:?} removed {}", old.store);
    }
    let mut placed_before = Placement::new(before);
    let placed = Placement::new(state);
    if before.placement_version == state.placement_version {
        assert_eq!(placed_before, placed, "{command:?} moved streams silently");
    } else {
        placed_before = placed.clone();
        assert_eq!(state.placement_version, state.version);
    }
    assert_eq!(placed_before.version(), placed.version());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn any_sequence_of_commands_keeps_the_state_sound_on_every_machine(seed: u64) {
        let random = SeededRandom::new(seed);
        let mut state = State::new(Ulid(7));
        let mut other = state.clone();
        for _ in 0..150 {
            let command = arbitrary(&random, state.version);
            prop_assert_eq!(&Command::decode(&command.encode()).unwrap(), &command);
            let before = state.clone();
            let outcome = apply(&mut state, &command);
            prop_assert_eq!(&Outcome::decode(&outcome.encode()).unwrap(), &outcome);
            prop_assert_eq!(apply(&mut other, &command), outcome.clone());
            match outcome {
                Outcome::Done { version } => prop_assert_eq!(version, before.version + 1),
                _ => prop_assert_eq!(&state, &before),
            }
            assert_sound(&before, &state, &command);
        }
        prop_assert_eq!(State::decode(&state.encode()).unwrap(), other);
    }
}

#[test]
fn a_leaving_store_that_is_lost_after_another_was_forgotten_waits_for_its_own_word() {
    let mut state = ring(&["a", "b", "c"]);
    let leaves = done(&mut state, Command::Leave { store: store(2) });
    let goes = done(&mut state, Command::Gone { store: store(1) });
    done(&mut state, Command::Forget { store: store(1) });
    done(&mut state, Command::Gone { store: store(2) });
    for (of, since) in [(1, goes), (2, leaves)] {
        done(&mut state, Command::Cleared { by: store(3), of: store(of), since });
    }
    assert_eq!(state.uncleared_by(store(2)), [store(1)], "both may hold what nobody else does");
    done(&mut state, Command::Forget { store: store(2) });
    assert_eq!(state.ingesters().count(), 1);
}

#[test]
fn what_all_must_have_seen_is_not_seen_where_nobody_answers() {
    let mut state = ring(&["", ""]);
    done(&mut state, Command::Replicate { factor: 3 });
    all_see(&mut state);
    done(&mut state, Command::Gone { store: store(1) });
    done(&mut state, Command::Replicate { factor: 1 });
    done(&mut state, Command::Gone { store: store(2) });
    done(&mut state, Command::Register(registration(2, "")));
    assert_eq!(state.write_factor(), 3, "no reader could learn of the lower one");
    let version = state.version;
    done(&mut state, Command::Seen { by: store(2), version });
    assert_eq!(state.write_factor(), 1);
}
