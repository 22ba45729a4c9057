//! Rules of replicas and of the ring that are broken on purpose: some seed of a bounded number must
//! break a promise, or the simulation would not notice if the code forgot the rule.

use super::breaks::Break;
use super::profile::REPLICATED;
use super::run;

/// Fails unless one of `rounds` seeds of each of these kinds of trouble breaks a promise in one of
/// these words.
fn is_noticed(broken: Break, kinds: &[u64], rounds: u64, words: &[&str]) {
    let seeds = (0..rounds).flat_map(|round| kinds.iter().map(move |kind| kind + 10 * round));
    for seed in seeds.map(|seed| REPLICATED + seed) {
        let Some(violation) = run(seed, broken, false).violation else { continue };
        if words.iter().any(|word| violation.contains(word)) {
            return;
        }
    }
    panic!("{broken:?} goes unnoticed by {rounds} seeds of each of the kinds {kinds:?}");
}

#[test]
fn a_forgotten_store_that_counts_no_more_is_noticed() {
    is_noticed(Break::ForgetAtOnce, &[8], 30, &["P1/P3"]);
}

#[test]
fn an_attempt_after_the_answer_is_noticed() {
    is_noticed(Break::AttemptAfterAnswer, &[1], 10, &["B3", "P1/P3"]);
}

#[test]
fn an_ack_of_an_earlier_attempt_is_noticed() {
    is_noticed(Break::OldAcks, &[9, 3], 20, &["B3"]);
}

#[test]
fn batches_that_only_the_first_of_their_lists_flushes_are_noticed() {
    is_noticed(Break::OnlyFirstFlushes, &[9, 3], 20, &["does not drain"]);
}

#[test]
fn answers_that_do_not_say_what_they_include_are_noticed() {
    is_noticed(Break::NoOverlaps, &[1], 10, &["P2"]);
}

#[test]
fn uploads_that_are_deleted_without_a_commit_are_noticed() {
    is_noticed(Break::NoOrphanCommit, &[6], 20, &["C4"]);
}
