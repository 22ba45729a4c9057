//! What an ingester owes the ring: derived from the state alone, so that nothing has to be
//! remembered between restarts.

use base::StoreId;

use crate::instance::Phase;
use crate::state::State;

/// Something that an ingester has to do and then say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// The ring does not know it, or takes it as gone: register.
    Register,
    /// Say that it follows the state up to this version: others wait for it. The log of commits has to
    /// name [`to_be_seen`] before.
    See {
        /// The version.
        version: u64,
    },
    /// Refuse, durably, appends whose list names `of`; flush or find claimed what it holds of such
    /// batches; then say [`crate::Command::Cleared`]. Of itself: empty the own WAL.
    Clear {
        /// Whose.
        of: StoreId,
        /// Of which departure.
        since: u64,
    },
    /// Ask to be activated. The log of commits has to name the version of the registration before.
    Activate,
}

/// What `own` owes `state`, which it follows. Ask again whenever the state changes.
pub fn duties(state: &State, own: StoreId) -> Vec<Duty> {
    let Some(instance) = state.instance(own) else {
        // A store that was removed must be replaced: registering would be refused.
        let is_retired = state.retired.contains_key(&own);
        return if is_retired { Vec::new() } else { vec![Duty::Register] };
    };
    let mut duties = Vec::new();
    if instance.phase == Phase::Gone {
        duties.push(Duty::Register);
        return duties;
    }
    if to_be_seen(state, own) > instance.seen {
        duties.push(Duty::See { version: state.version });
    }
    for other in state.ingesters() {
        let Some(departure) = &other.departure else { continue };
        if other.may_be_cleared() && !departure.cleared.contains(&own) {
            duties.push(Duty::Clear { of: other.store, since: departure.since });
        }
    }
    if instance.phase == Phase::Joining {
        duties.push(Duty::Activate);
    }
    duties
}

/// The version of the newest change that has to be seen by all: which others came, a lower replication
/// factor, another zone.
pub fn to_be_seen(state: &State, own: StoreId) -> u64 {
    let others = state.ingesters().filter(|other| other.store != own);
    let came = others.map(|other| other.registered);
    came.chain([state.lowered, state.moved]).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;
    use crate::{Command, apply};

    /// Everybody does at once what it owes, until nobody owes anything that helps.
    fn settle(state: &mut State) {
        for _ in 0..10 {
            let stores: Vec<StoreId> = state.ingesters().map(|instance| instance.store).collect();
            for by in stores {
                for duty in duties(state, by) {
                    let command = match duty {
                        Duty::Register => continue,
                        Duty::See { version } => Command::Seen { by, version },
                        Duty::Clear { of, since } => Command::Cleared { by, of, since },
                        Duty::Activate => Command::Activate { store: by },
                    };
                    apply(state, &command);
                }
            }
        }
    }

    #[test]
    fn doing_ones_duty_brings_everybody_in_and_out() {
        let mut state = State::new(ulid::Ulid(7));
        assert_eq!(duties(&state, store(1)), [Duty::Register]);
        for n in 1..=4 {
            done(&mut state, Command::Register(registration(n, "")));
        }
        settle(&mut state);
        assert_eq!(state.placed().count(), 4);
        for by in 1..=4 {
            apply(&mut state, &Command::Factor { by: store(by), factor: 3, since: 0 });
        }
        done(&mut state, Command::Leave { store: store(1) });
        done(&mut state, Command::Gone { store: store(2) });
        assert_eq!(duties(&state, store(2)), [Duty::Register]);
        // The leaving one clears the gone one too.
        settle(&mut state);
        assert_eq!(state.ingesters().count(), 2, "the gone one first, then the leaving one");
        done(&mut state, Command::Register(registration(5, "")));
        settle(&mut state);
        assert_eq!(state.placed().count(), 3);
        assert!(duties(&state, store(1)).is_empty(), "it is retired");
    }
}
