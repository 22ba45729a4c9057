//! Schedules: run, replayed, made short.

use base::random::SeededRandom;

use super::action::Action;
use super::dice::{Dice, Plan};
use super::knob::Rules;
use super::world::{Setup, World};

/// Steps of a schedule.
const STEPS: usize = 70;

/// What was found wrong.
pub(super) struct Found {
    pub setup: Setup,
    pub actions: Vec<Action>,
    pub what: String,
}

/// Draws and runs the schedule of a seed. Also how many queries were answered.
pub(super) fn run(rules: Rules, seed: u64) -> (Option<Found>, usize) {
    let dice = Dice(SeededRandom::new(seed));
    let setup = dice.setup();
    let mut world = World::new(rules, setup);
    let mut plan = Plan::new(&dice);
    let mut actions = Vec::new();
    for _ in 0..STEPS * 3 {
        if actions.len() == STEPS || world.violation.is_some() {
            break;
        }
        let action = plan.draw(&world, &dice);
        if world.step(action) {
            plan.follow_up(&world, &dice, action);
            actions.push(action);
        }
    }
    let what = world.violation.take().or_else(|| world.settle());
    (what.map(|what| Found { setup, actions, what }), world.answered)
}

/// What the same steps come to.
fn replay(rules: Rules, setup: Setup, actions: &[Action]) -> Option<String> {
    let mut world = World::new(rules, setup);
    for &action in actions {
        world.step(action);
        if world.violation.is_some() {
            return world.violation;
        }
    }
    world.settle()
}

/// The fewest steps that come to the same.
pub(super) fn shorten(rules: Rules, found: Found) -> Found {
    let Found { setup, mut actions, mut what } = found;
    let kind = |what: &str| what.split(':').next().map(str::to_owned);
    let wanted = kind(&what);
    let mut size = actions.len().div_ceil(2);
    loop {
        let before = actions.len();
        let mut at = 0;
        while at < actions.len() {
            let mut fewer = actions.clone();
            fewer.drain(at..(at + size).min(actions.len()));
            match replay(rules, setup, &fewer) {
                Some(found) if kind(&found) == wanted => (actions, what) = (fewer, found),
                _ => at += size,
            }
        }
        if size == 1 && actions.len() == before {
            return Found { setup, actions, what };
        }
        size = (size / 2).max(1);
    }
}
