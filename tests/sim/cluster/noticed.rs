//! Rules of replicas and of the ring that are broken on purpose: some seed of a bounded number must
//! break a promise, or the simulation would not notice if the code forgot the rule.

use super::breaks::Break;
use super::profile::REPLICATED;
use super::scripts::{self, SCRIPTS};
use super::stage::Script;
use super::{play, run};

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
    is_noticed(Break::ForgetAtOnce, &[7, 8], 100, &["P1/P3"]);
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

/// Seeds of a script: with every rule kept all of them keep every promise, and without the rule that
/// it is there for one breaks it.
const PLAYS: u64 = 10;

#[test]
fn every_script_keeps_every_promise() {
    for script in SCRIPTS {
        for seed in 0..PLAYS {
            let report = play(script, seed, Break::Nothing, false);
            assert_eq!(report.violation, None, "{} {seed}: {}", script.name, report.summary);
        }
    }
}

#[test]
#[ignore = "a tool: plays the script RUNELOG_SIM_SCRIPT with the seeds and the rule of the others"]
fn plays_a_script() {
    let name = std::env::var("RUNELOG_SIM_SCRIPT").expect("RUNELOG_SIM_SCRIPT is a name, or all");
    let rule = std::env::var("RUNELOG_SIM_BREAK").unwrap_or_default();
    let broken = Break::ALL.into_iter().find(|broken| format!("{broken:?}") == rule);
    let echo = std::env::var_os("RUNELOG_SIM_ECHO").is_some();
    for script in SCRIPTS.into_iter().filter(|script| name == "all" || script.name == name) {
        for seed in super::seeds::seeds() {
            let report = play(script, seed, broken.unwrap_or_default(), echo);
            let violation = report.violation.unwrap_or_default();
            println!("\n{} {seed}: {violation:.300}\n{}", script.name, report.summary);
        }
    }
}

/// Fails unless a seed of a script breaks a promise in one of these words.
fn a_script_notices(script: &Script, broken: Break, words: &[&str]) {
    let told = |seed| play(script, seed, broken, false).violation.unwrap_or_default();
    let noticed = (0..PLAYS).map(told).any(|told| words.iter().any(|word| told.contains(word)));
    assert!(noticed, "{broken:?} goes unnoticed by {PLAYS} seeds of the script {:?}", script.name);
}

#[test]
fn a_name_that_outlives_its_disk_is_noticed() {
    a_script_notices(&scripts::LOST_DISK, Break::SameStore, &["P1/P3"]);
}

#[test]
fn an_answer_of_another_store_is_noticed() {
    a_script_notices(&scripts::NEXT_AT_THE_ADDRESS, Break::AnyStore, &["P1/P3"]);
}

#[test]
fn lists_that_are_not_refused_after_a_clearance_are_noticed() {
    a_script_notices(&scripts::ZOMBIE, Break::NoRefusal, &["P1/P3"]);
}

#[test]
fn a_store_that_joins_unseen_is_noticed() {
    a_script_notices(&scripts::UNSEEN_JOINER, Break::JoinUnseen, &["P1/P3"]);
}

#[test]
fn answers_without_the_version_of_the_ring_are_noticed() {
    a_script_notices(&scripts::OLD_READER, Break::NoRingVersion, &["P1/P3"]);
}

#[test]
fn a_factor_that_is_said_too_early_is_noticed() {
    a_script_notices(&scripts::GROWTH, Break::FactorAtOnce, &["P1/P3"]);
}

#[test]
fn readers_that_count_on_the_factor_of_new_batches_are_noticed() {
    a_script_notices(&scripts::GROWTH_WITHOUT_A_FLUSH, Break::WriteFactor, &["P1/P3"]);
}

#[test]
fn a_lower_factor_that_is_written_at_once_is_noticed() {
    a_script_notices(&scripts::LOWERED, Break::LoweredAtOnce, &["P1/P3"]);
}

#[test]
fn a_start_that_forgets_what_was_dropped_is_noticed() {
    a_script_notices(&scripts::RESTART, Break::NoFloorAtStart, &["P1/P3"]);
}

#[test]
fn an_answer_at_the_last_known_commit_is_noticed() {
    a_script_notices(&scripts::LEFT, Break::OldView, &["P1/P3"]);
}

#[test]
fn a_batch_that_is_flushed_again_when_the_log_is_cleaned_is_noticed() {
    a_script_notices(&scripts::RETURN, Break::NoIdTable, &["claimed a second time"]);
}

#[test]
fn lists_of_a_lower_factor_that_are_not_refused_are_noticed() {
    a_script_notices(&scripts::OLD_WRITER, Break::NoFactorRefusal, &["P1/P3"]);
}

#[test]
fn others_that_speak_for_the_only_copy_are_noticed() {
    a_script_notices(&scripts::ALONE, Break::ClearedAlone, &["P1/P3"]);
}

#[test]
fn a_gone_store_whose_factor_is_lowered_is_noticed() {
    // Nobody may clear it any more, and it cannot come back.
    let words = ["live replicas required"];
    a_script_notices(&scripts::LOST_AND_LOWERED, Break::GoneLowered, &words);
}

#[test]
fn a_joining_store_that_is_not_asked_is_noticed() {
    a_script_notices(&scripts::ACTIVATED, Break::JoiningUnasked, &["P1/P3"]);
}

/// R2 covers it: a row that is in a part and in an answer is an overlap, and equal rows count once.
/// So it is broken alone, then its cover alone, then both.
#[test]
fn an_answer_that_has_not_followed_the_log_is_noticed_when_equal_rows_are_not() {
    let told = |seed, broken| play(&scripts::UNREAD, seed, broken, false);
    let mut noticed = 0;
    for seed in 0..PLAYS {
        assert_eq!(told(seed, Break::NotFollowed).violation, None, "seed {seed}");
        // A push after the script may send a row again, which the cover alone misses.
        let cover = told(seed, Break::NoOverlaps);
        assert!(cover.log.contains("faults end"), "seed {seed}: {:?}", cover.violation);
        let both = told(seed, Break::NotFollowedNoOverlaps);
        let is_twice = both.violation.is_some_and(|told| told.contains("P2"));
        noticed += u64::from(is_twice && !both.log.contains("faults end"));
    }
    assert!(noticed > 0, "it goes unnoticed by {PLAYS} seeds");
}
