//! Decoders of bytes from disks and other machines, and what follows from what they accept.

use crate::placement::Placement;
use crate::reads;
use crate::{Command, Outcome, State, apply, choose_voters, shares};

/// A state: what is accepted is written again as it was, and everything that is computed from a
/// state can be computed.
pub fn fuzz_state(data: &[u8]) {
    let Ok(state) = State::decode(data) else { return };
    assert_eq!(state.encode(), data, "there is one encoding");
    let placement = Placement::new(&state);
    let owned: f64 = shares(&placement).iter().map(|share| share.owned).sum();
    assert!(placement.members().is_empty() || (owned - 1.0).abs() < 1e-6);
    choose_voters(&state, &Default::default());
    reads::check(&state, &reads::gone(&state));
}

/// A command: what is accepted is written again as it was.
pub fn fuzz_command(data: &[u8]) {
    let Ok(command) = Command::decode(data) else { return };
    assert_eq!(command.encode(), data, "there is one encoding");
    let mut state = State::new(ulid::Ulid(7));
    if let Outcome::Refused(_) = apply(&mut state, &command) {
        assert_eq!(state.version, 0);
    }
}

/// An outcome: what is accepted is written again as it was.
pub fn fuzz_outcome(data: &[u8]) {
    let Ok(outcome) = Outcome::decode(data) else { return };
    assert_eq!(outcome.encode(), data, "there is one encoding");
}

/// A state and commands after it, each with a length byte: no sequence breaks anything.
pub fn fuzz_apply(data: &[u8]) {
    let mut rest = data;
    let mut state = State::new(ulid::Ulid(7));
    while let Some((&length, after)) = rest.split_first() {
        let length = (usize::from(length) * 4).min(after.len());
        let (bytes, after) = after.split_at(length);
        rest = after;
        if let Ok(command) = Command::decode(bytes.trim_ascii_end()) {
            let before = state.version;
            let outcome = apply(&mut state, &command);
            assert_eq!(state.version - before, u64::from(matches!(outcome, Outcome::Done { .. })));
        }
    }
    assert_eq!(State::decode(&state.encode()), Ok(state));
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use base::random::{Random, SeededRandom};

    /// Replays the corpus of `target` and the golden files, then seeded mutations of them all.
    fn replay(target: &str, fuzz: fn(&[u8])) {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut inputs = vec![Vec::new()];
        for dir in [root.join("fuzz/corpus").join(target), root.join("golden")] {
            let mut paths: Vec<PathBuf> =
                std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            inputs.extend(paths.iter().map(|path| std::fs::read(path).unwrap()));
        }
        assert!(inputs.len() > 5, "the golden files are there");
        inputs.iter().for_each(|input| fuzz(input));
        let random = SeededRandom::new(7);
        for _ in 0..4000 {
            let mut input = inputs[random.next_u64() as usize % inputs.len()].clone();
            for _ in 0..=random.next_u64() % 4 {
                mutate(&mut input, &random);
            }
            fuzz(&input);
        }
    }

    fn mutate(input: &mut Vec<u8>, random: &SeededRandom) {
        let at = random.next_u64() as usize % (input.len() + 1);
        match random.next_u64() % 5 {
            0 => input.truncate(at),
            1 => input.insert(at, random.next_u64() as u8),
            2 if at < input.len() => input[at] = [0, 0x7f, 0x80, 0xff][at % 4],
            3 if at < input.len() => input[at] ^= 1 << (random.next_u64() % 8),
            _ => {
                let end = (at + 8).min(input.len());
                let copied = input[at..end].to_vec();
                input.extend(copied);
            }
        }
    }

    #[test]
    fn no_state_breaks_the_reader() {
        replay("fuzz_state", super::fuzz_state);
    }

    #[test]
    fn no_command_breaks_the_reader() {
        replay("fuzz_command", super::fuzz_command);
    }

    #[test]
    fn no_outcome_breaks_the_reader() {
        replay("fuzz_outcome", super::fuzz_outcome);
    }

    #[test]
    fn no_sequence_of_commands_breaks_the_state() {
        replay("fuzz_apply", super::fuzz_apply);
    }
}
