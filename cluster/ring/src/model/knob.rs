//! The rules, and each of them in its naive form.

use std::sync::Arc;

use crate::instance::Phase;
use crate::{Command, State};

/// A rule that is put back to its naive form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Knob {
    /// A store is activated before the others have seen it.
    JoinUnseen,
    /// Readers do not look at the version of the ring that answers carry.
    AnswersWithoutVersion,
    /// The log of commits names no version of the ring.
    NothingIsNamed,
    /// A store names itself in the log before it is activated, but nobody names a lowered factor.
    OnlyJoinsAreNamed,
    /// A query takes a newer view of the ring and keeps the V of the older one.
    LogBeforeRing,
    /// Readers count on the factor of new batches.
    ReadersCountTheWriteFactor,
    /// A store says a new factor while it holds, or takes, batches of the old one.
    FactorAtOnce,
    /// What was said of a factor before it was lowered counts after it.
    FactorOfBefore,
    /// Writers take a lower factor at once.
    LoweredAtOnce,
    /// A gone store takes over a lower factor.
    GoneTakesTheLowerFactor,
    /// What was said of an earlier departure counts for the next.
    ClearanceOfAny,
    /// Others clear what may have the only copy.
    FactorOneIsCleared,
    /// A store that moved counts by its new zone.
    MovedByItsNewZone,
    /// Lists are made by a new zone of which readers have not heard.
    MovedUnseen,
    /// Lists may name stores that were removed.
    RetiredIsNotRefused,
    /// A store that has cleared another takes lists that name it.
    ClearsWithoutRefusing,
    /// A store says that it has cleared another while it holds batches that name it.
    ClearsWithoutLooking,
    /// Refusals are forgotten in a restart.
    RefusalIsForgotten,
    /// A joining store does not clear what others have cleared.
    JoinerClearsNothing,
    /// A forgotten store does not count any more.
    ForgottenDoesNotCount,
    /// An operator's word counts for what is lost after it, too.
    WordForWhatIsLostLater,
    /// A joining store that is silent does not count.
    JoinerDoesNotCount,
    /// A query that asks nobody is answered.
    EmptyRingAnswers,
    /// Whoever is at a store's address answers for it.
    NamedByAddress,
    /// A restarted store knows less of the ring than it has said.
    SeenIsNotKept,
}

/// The rules of a run: all, but for those that are naive.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules(u32);

impl Rules {
    /// All rules but these.
    pub fn without(knobs: &[Knob]) -> Rules {
        Rules(knobs.iter().fold(0, |set, &knob| set | 1 << knob as u32))
    }

    /// Whether a rule is put back.
    pub fn has(self, knob: Knob) -> bool {
        self.0 >> knob as u32 & 1 == 1
    }

    /// The factor of new lists.
    pub fn write_factor(self, state: &State) -> u8 {
        match self.has(Knob::LoweredAtOnce) {
            true => state.asked_factor(),
            false => state.write_factor(),
        }
    }

    /// Naive rules of the ring itself, as what others have not said: the rest is the real code.
    pub fn lie(self, state: &mut State, command: &Command) {
        let version = state.version;
        match command {
            Command::Activate { .. } if self.has(Knob::JoinUnseen) => {
                for instance in state.instances.values_mut() {
                    Arc::make_mut(instance).seen = version;
                }
            }
            Command::Activate { store } if self.has(Knob::JoinerClearsNothing) => {
                for instance in state.instances.values_mut() {
                    if let Some(departure) = &mut Arc::make_mut(instance).departure {
                        departure.cleared.insert(*store);
                    }
                }
            }
            Command::Cleared { of, .. } if self.has(Knob::FactorOneIsCleared) => {
                if let Some(instance) = state.instances.get_mut(of)
                    && instance.factor == 1
                {
                    Arc::make_mut(instance).factor = 2;
                }
            }
            Command::Cleared { .. } if self.has(Knob::WordForWhatIsLostLater) => {
                for instance in state.instances.values_mut() {
                    if let Some(departure) = &mut Arc::make_mut(instance).departure {
                        departure.forgotten_at = u64::MAX;
                    }
                }
            }
            _ => {}
        }
    }

    /// Naive rules of the ring that are in the state after a change.
    pub fn twist(self, before: &State, state: &mut State, command: &Command) {
        match command {
            Command::Cleared { of, .. } if self.has(Knob::FactorOneIsCleared) => {
                let factor = before.instance(*of).map_or(1, |instance| instance.factor);
                if let Some(instance) = state.instances.get_mut(of) {
                    Arc::make_mut(instance).factor = factor;
                }
            }
            Command::Register(_) if self.has(Knob::MovedUnseen) => {
                for (store, zone) in std::mem::take(&mut state.moves) {
                    state.placement_version = state.version;
                    if let Some(instance) = state.instances.get_mut(&store).map(Arc::make_mut) {
                        (instance.zone, instance.has_moved) = (zone, true);
                    }
                }
            }
            Command::Replicate { .. } if self.has(Knob::GoneTakesTheLowerFactor) => {
                let least = state.asked_factor();
                for instance in state.instances.values_mut() {
                    if instance.phase == Phase::Gone && instance.factor > least {
                        Arc::make_mut(instance).factor = least;
                    }
                }
            }
            _ => {}
        }
    }

    /// What a proposal has become when it is committed.
    pub fn late(self, state: &State, command: Command) -> Command {
        match command {
            Command::Cleared { by, of, .. } if self.has(Knob::ClearanceOfAny) => {
                let departure = state.instance(of).and_then(|instance| instance.departure.as_ref());
                Command::Cleared { by, of, since: departure.map_or(0, |d| d.since) }
            }
            Command::Factor { by, factor, .. } if self.has(Knob::FactorOfBefore) => {
                Command::Factor { by, factor, since: state.version }
            }
            command => command,
        }
    }

    /// The state that a naive reader sees.
    pub fn as_read(self, state: &State) -> Option<State> {
        if self.has(Knob::ReadersCountTheWriteFactor) {
            let mut state = state.clone();
            let factor = state.write_factor();
            state.replication = factor;
            for instance in state.instances.values_mut() {
                Arc::make_mut(instance).factor = factor;
            }
            return Some(state);
        }
        if self.has(Knob::MovedByItsNewZone) {
            let mut state = state.clone();
            for instance in state.instances.values_mut() {
                Arc::make_mut(instance).has_moved = false;
            }
            return Some(state);
        }
        None
    }
}
