//! One file per format and version under `golden/`: today's reader reads it, today's writer writes
//! it byte for byte. `GOLDEN=write` in the environment makes missing files.

use std::path::PathBuf;

use base::TenantId;

use crate::testing::*;
use crate::*;

fn check(dir: &str, name: &str, written: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(dir).join(name);
    if std::env::var_os("GOLDEN").is_some_and(|mode| mode == "write") && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, written).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert_eq!(golden, written, "{name} is not what today's writer writes");
    golden
}

fn commands() -> Vec<Command> {
    let tenant = TenantId::new("team-a").unwrap();
    let name = "compact".to_owned();
    let few = |mut new: Registration| {
        new.tokens.truncate(3);
        new
    };
    vec![
        Command::Register(few(registration(2, "b"))),
        Command::Activate { store: store(2) },
        Command::Leave { store: store(2) },
        Command::Gone { store: store(3) },
        Command::Cleared { by: store(1), of: store(3), since: 300 },
        Command::Forget { store: store(3) },
        Command::Health { store: store(2), is_up: false },
        Command::Seen { by: store(2), version: 1 << 40 },
        Command::Factor { by: store(2), factor: 3, since: 0 },
        Command::Replicate { factor: 3 },
        Command::Voters { most: 3 },
        Command::PutOverride {
            tenant: tenant.clone(),
            expect: Expect::Version(12),
            bytes: "ingestion_rate_mb: 10".into(),
        },
        Command::DeleteOverride { tenant, expect: Expect::Absent },
        Command::TakeLease { name: name.clone(), holder: store(1) },
        Command::ReleaseLease { name, holder: store(1), sequence: 40 },
        Command::Factor { by: store(2), factor: 3, since: 300 },
    ]
}

#[test]
fn a_state_is_read_and_written_as_in_every_version() {
    let mut state = State::new(ulid::Ulid(0x0123_4567_89ab_cdef));
    for (n, zone) in [(1, "a"), (2, "b"), (3, "")] {
        let mut new = registration(n, zone);
        new.tokens.truncate(4);
        done(&mut state, Command::Register(new));
        all_see(&mut state);
        done(&mut state, Command::Activate { store: store(n) });
    }
    done(&mut state, Command::Register(watcher(9)));
    let since = done(&mut state, Command::Leave { store: store(2) });
    done(&mut state, Command::Cleared { by: store(1), of: store(2), since });
    done(&mut state, Command::Gone { store: store(3) });
    done(&mut state, Command::Forget { store: store(3) });
    for command in &commands()[9..14] {
        apply(&mut state, command);
    }
    let tenant = TenantId::new("team-a").unwrap();
    let bytes = "ingestion_rate_mb: 10\n".into();
    done(&mut state, Command::PutOverride { tenant, expect: Expect::Any, bytes });
    let mut founded = state.clone();
    // As it was before rings had a founder, and said when a store was forgotten.
    state.founder = None;
    let forgotten = std::sync::Arc::make_mut(state.instances.get_mut(&store(3)).unwrap());
    forgotten.departure.as_mut().unwrap().forgotten_at = 0;
    let golden = check("golden", "state-forgotten-v1.bin", &state.encode());
    assert_eq!(State::decode(&golden).as_ref(), Ok(&state));
    done(&mut state, Command::Replicate { factor: 1 });
    let golden = check("golden", "state-lowered-v2.bin", &state.encode());
    assert_eq!(State::decode(&golden), Ok(state));
    assert_eq!(founded.founder, Some(store(1)));
    let golden = check("golden", "state-founded-v3.bin", &founded.encode());
    assert_eq!(State::decode(&golden).as_ref(), Ok(&founded));
    done(&mut founded, Command::Replicate { factor: 1 });
    let mut moved = registration(1, "z");
    moved.tokens.truncate(4);
    done(&mut founded, Command::Register(moved));
    assert_eq!(founded.moves.len(), 1);
    let golden = check("golden", "state-founded-lowered-v3.bin", &founded.encode());
    assert_eq!(State::decode(&golden), Ok(founded));
    // Written when a forgotten store went at once.
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/state-v1.bin");
    let before = std::fs::read(path).unwrap();
    let state = State::decode(&before).unwrap();
    assert!(state.retired.contains_key(&store(3)) && state.instances.len() == 3);
    assert_eq!(state.encode(), before);
}

#[test]
fn commands_and_outcomes_are_read_and_written_as_in_version_1() {
    for (index, command) in commands().into_iter().enumerate() {
        let name = format!("command-{:02}-v1.bin", index + 1);
        let golden = check("golden", &name, &command.encode());
        assert_eq!(Command::decode(&golden), Ok(command));
    }
    let refusals = vec![
        Refusal::Invalid("zone".to_owned()),
        Refusal::Full("leases".to_owned()),
        Refusal::Unknown("lease".to_owned()),
        Refusal::Retired(store(1)),
        Refusal::Departing(store(1)),
        Refusal::Phase(store(1)),
        Refusal::Last(store(1)),
        Refusal::Held(store(1)),
        Refusal::Version { found: 7 },
        Refusal::Waiting(vec![store(1), store(2)]),
    ];
    let mut outcomes = vec![Outcome::Done { version: 300 }, Outcome::Unchanged { version: 2 }];
    outcomes.extend(refusals.into_iter().map(Outcome::Refused));
    for (index, outcome) in outcomes.into_iter().enumerate() {
        let name = format!("{index:02}-v1.bin");
        let golden = check("fuzz/corpus/fuzz_outcome", &name, &outcome.encode());
        assert_eq!(Outcome::decode(&golden), Ok(outcome));
    }
}

#[test]
fn the_corpus_of_commands_in_a_row_is_there() {
    let mut bytes = Vec::new();
    for command in commands().into_iter().chain([Command::Register(watcher(4))]) {
        let mut encoded = command.encode();
        // Longer than its length byte can say in steps of four: padded with what is trimmed.
        encoded.resize(encoded.len().next_multiple_of(4), b' ');
        bytes.push((encoded.len() / 4) as u8);
        bytes.extend(encoded);
    }
    check("fuzz/corpus/fuzz_apply", "all-16", &bytes);
    check("fuzz/corpus/fuzz_state", "empty", &State::new(ulid::Ulid(1)).encode());
    let mut lowered = ring(&[""]);
    done(&mut lowered, Command::Replicate { factor: 3 });
    done(&mut lowered, Command::Replicate { factor: 1 });
    check("fuzz/corpus/fuzz_state", "founded", &lowered.encode());
    lowered.founder = None;
    check("fuzz/corpus/fuzz_state", "lowered", &lowered.encode());
    check("fuzz/corpus/fuzz_command", "watcher", &Command::Register(watcher(4)).encode());
}
