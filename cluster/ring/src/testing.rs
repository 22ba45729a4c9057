//! States and commands for tests.

use base::random::{Random, SeededRandom};
use base::{StoreId, TenantId};
use ulid::Ulid;

use crate::*;

pub(crate) fn store(n: u128) -> StoreId {
    StoreId(Ulid(n))
}

pub(crate) fn registration(n: u128, zone: &str) -> Registration {
    Registration {
        store: store(n),
        id: format!("ingester-{n}"),
        grpc_address: format!("10.0.0.{n}:9095"),
        http_address: format!("10.0.0.{n}:3100"),
        zone: zone.to_owned(),
        roles: Roles::INGESTER,
        tokens: tokens::generate(n as u64, tokens::TOKENS),
    }
}

pub(crate) fn watcher(n: u128) -> Registration {
    Registration { roles: Roles::QUERIER, tokens: Vec::new(), ..registration(n, "") }
}

/// Applies a command that must change the state.
pub(crate) fn done(state: &mut State, command: Command) -> u64 {
    let outcome = apply(state, &command);
    let Outcome::Done { version } = outcome else { panic!("{command:?}: {outcome:?}") };
    version
}

pub(crate) fn refused(state: &mut State, command: Command) -> Refusal {
    let before = state.clone();
    let outcome = apply(state, &command);
    assert_eq!(*state, before, "a refused command changed something");
    let Outcome::Refused(refusal) = outcome else { panic!("{command:?}: {outcome:?}") };
    refusal
}

/// Everybody follows the state to its end.
pub(crate) fn all_see(state: &mut State) {
    let version = state.version;
    let stores: Vec<StoreId> = state.ingesters().map(|instance| instance.store).collect();
    for by in stores {
        apply(state, &Command::Seen { by, version });
    }
}

/// Registers and activates ingesters.
pub(crate) fn join(state: &mut State, n: u128, zone: &str) {
    done(state, Command::Register(registration(n, zone)));
    all_see(state);
    let departing: Vec<(StoreId, u64)> =
        state.ingesters().filter_map(|i| Some((i.store, i.departure.as_ref()?.since))).collect();
    for (of, since) in departing {
        done(state, Command::Cleared { by: store(n), of, since });
    }
    done(state, Command::Activate { store: store(n) });
}

/// A ring of `zones.len()` ingesters, numbered from 1.
pub(crate) fn ring(zones: &[&str]) -> State {
    let mut state = State::new(Ulid(7));
    for (index, zone) in zones.iter().enumerate() {
        join(&mut state, index as u128 + 1, zone);
    }
    let (factor, since) = (state.asked_factor(), state.version);
    for n in 1..=zones.len() as u128 {
        apply(&mut state, &Command::Factor { by: store(n), factor, since });
    }
    state
}

/// Any command, about few enough stores that many commands meet.
pub(crate) fn arbitrary(random: &SeededRandom, version: u64) -> Command {
    let pick = |below: u64| random.next_u64() % below;
    let some = || store(1 + u128::from(pick(6)));
    let zone = ["", "a", "b", "c"][pick(4) as usize];
    let tenant = TenantId::new(["x", "y"][pick(2) as usize]).unwrap();
    let recent = version.saturating_sub(pick(4));
    match pick(22) {
        0..=2 => Command::Register(registration(1 + u128::from(pick(6)), zone)),
        3 => {
            let mut new = registration(1 + u128::from(pick(6)), zone);
            new.id = format!("ingester-{}", pick(6));
            Command::Register(new)
        }
        4 => Command::Register(watcher(10 + u128::from(pick(3)))),
        5..=7 => Command::Activate { store: some() },
        8 => Command::Leave { store: some() },
        9 => Command::Gone { store: some() },
        10..=12 => Command::Cleared { by: some(), of: some(), since: recent },
        13 => Command::Forget { store: some() },
        14 => Command::Health { store: some(), is_up: pick(2) == 0 },
        15..=17 => Command::Seen { by: some(), version: recent },
        18 => Command::Factor { by: some(), factor: pick(11) as u8, since: recent },
        19 => match pick(2) {
            0 => Command::Replicate { factor: pick(11) as u8 },
            _ => Command::Voters { most: pick(7) as u8 },
        },
        20 => {
            let expect = [Expect::Any, Expect::Absent, Expect::Version(recent)][pick(3) as usize];
            match pick(2) {
                0 => Command::PutOverride { tenant, expect, bytes: vec![b'a'; 20].into() },
                _ => Command::DeleteOverride { tenant, expect },
            }
        }
        _ => {
            let name = ["compact", ""][pick(2) as usize].to_owned();
            match pick(2) {
                0 => Command::TakeLease { name, holder: some() },
                _ => Command::ReleaseLease { name, holder: some(), sequence: recent },
            }
        }
    }
}
