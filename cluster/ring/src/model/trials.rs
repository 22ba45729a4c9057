//! The rules as they are, and each of them put back to its naive form.

use super::knob::{Knob, Rules};
use super::schedule::{self, Found};

/// Schedules of the rules as they are in an ordinary run.
const SCHEDULES: u64 = 3_000;
/// Schedules in which a naive rule of [`OFTEN`] must be noticed: many times as many as it takes.
const MOST: u64 = 20_000;

/// Naive rules that a few hundred schedules notice.
const OFTEN: &[&[Knob]] = {
    use Knob::*;
    &[
        &[GoneTakesTheLowerFactor],
        &[FactorOneIsCleared],
        &[NamedByAddress],
        &[NothingIsNamed],
        &[FactorAtOnce],
        &[ReadersCountTheWriteFactor],
        &[ClearsWithoutLooking],
        &[ClearsWithoutRefusing],
        &[JoinerDoesNotCount],
    ]
};

/// Naive rules that take tens of thousands, and those of which each is enough beside the others.
const SELDOM: &[&[Knob]] = {
    use Knob::*;
    &[
        &[MovedByItsNewZone],
        &[WordForWhatIsLostLater],
        &[ForgottenDoesNotCount],
        &[EmptyRingAnswers],
        &[LogBeforeRing],
        &[OnlyJoinsAreNamed],
        &[FactorOfBefore],
        &[LoweredAtOnce],
        &[MovedUnseen],
        &[RefusalIsForgotten],
        &[ClearanceOfAny],
        &[JoinUnseen],
        &[JoinUnseen, NothingIsNamed],
        &[AnswersWithoutVersion],
        &[AnswersWithoutVersion, NothingIsNamed],
        &[SeenIsNotKept],
        &[RetiredIsNotRefused],
        &[JoinerClearsNothing],
    ]
};

/// Schedules of each kind that somebody asked for.
fn asked() -> Option<u64> {
    std::env::var("RUNELOG_MODEL_RUNS").ok()?.parse().ok()
}

fn shown(rules: Rules, found: Found) -> String {
    let Found { setup, actions, what } = schedule::shorten(rules, found);
    let steps: Vec<String> = actions.iter().map(|action| format!("\n    {action:?}")).collect();
    format!("{what}\n  {setup:?}{}", steps.concat())
}

#[test]
fn every_answer_is_whole_and_all_comes_to_rest() {
    let rules = Rules::default();
    let (mut answered, runs) = (0, asked().unwrap_or(SCHEDULES));
    for seed in 0..runs {
        let (found, answers) = schedule::run(rules, seed);
        answered += answers;
        if let Some(found) = found {
            panic!("seed {seed}: {}", shown(rules, found));
        }
    }
    println!("{runs} schedules, {answered} answers, none wrong");
    assert!(answered as u64 > runs, "queries are answered");
}

#[test]
fn each_rule_in_its_naive_form_is_noticed() {
    for knobs in OFTEN {
        let rules = Rules::without(knobs);
        let found = (0..MOST).find_map(|seed| schedule::run(rules, seed).0);
        assert!(found.is_some(), "{knobs:?} is not noticed");
    }
}

#[test]
fn how_often_each_naive_rule_is_noticed() {
    let Some(runs) = asked() else { return };
    for knobs in OFTEN.iter().chain(SELDOM) {
        let rules = Rules::without(knobs);
        let (mut bad, mut first, mut shortest) = (0, None, None::<Found>);
        for seed in 0..runs {
            let Some(found) = schedule::run(rules, seed).0 else { continue };
            (bad, first) = (bad + 1, first.or(Some(seed)));
            // Some of them: making one short takes a hundred runs.
            if bad <= 3 {
                let found = schedule::shorten(rules, found);
                let best = shortest.as_ref().map_or(usize::MAX, |best| best.actions.len());
                shortest = if found.actions.len() < best { Some(found) } else { shortest };
            }
        }
        println!("{knobs:?}: {bad} of {runs}, first {first:?}");
        if let Some(found) = shortest {
            println!("  {}", shown(rules, found));
        }
    }
}

#[test]
fn the_same_seed_is_the_same_schedule() {
    let rules = Rules::without(&[Knob::ReadersCountTheWriteFactor]);
    let told = |seed| schedule::run(rules, seed).0.map(|found| shown(rules, found));
    assert!((0..100).all(|seed| told(seed) == told(seed)));
}
