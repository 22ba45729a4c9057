//! Any bytes as a file of configuration.

use std::path::PathBuf;

use super::expand::expand;
use super::limits::LimitsConfig;
use super::value::Value;
use super::{Config, dump, load, runtime};

/// Variables that a file may name.
fn variable(name: &str) -> Option<String> {
    match name {
        "A" => Some("a: b\n\"".to_owned()),
        "NONE" => None,
        name => Some(name.to_owned()),
    }
}

/// See [`crate::fuzz::fuzz_config`].
pub fn fuzz_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(text) = expand(text, &variable) else { return };
    let (raw, reading) = load::parse(&text);
    // What a file with mistakes leaves behind is nobody's; it is looked at now and then.
    if !reading.faults.is_empty() && !data.len().is_multiple_of(8) {
        return;
    }
    let printed = dump(&raw);
    let (again, reading_again) = load::parse(&printed);
    assert_eq!(reading_again.faults, [], "{printed}");
    assert_eq!(dump(&again), printed);
    if reading.faults.is_empty() {
        let _ = load::from_text(&text).and_then(Config::derive);
    }
}

/// See [`crate::fuzz::fuzz_runtime_config`].
pub fn fuzz_runtime_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let base = LimitsConfig::default();
    let files = |text: &str| [(PathBuf::from("f"), text.to_owned())];
    let Ok(overrides) = runtime::parse(&files(text), &base) else { return };
    for limits in overrides.limits.values() {
        let printed = dump(limits);
        assert!(limits.is_default("") || printed != dump(&base), "{printed}");
    }
}

#[cfg(test)]
mod tests {
    use base::random::{Random, SeededRandom};

    use super::*;

    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let files = std::fs::read_dir(folder).expect("the corpus is in the tree");
        let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty());
        paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    /// Lines and characters cut, doubled, moved and overwritten, the same way in every run.
    fn mutation(inputs: &[Vec<u8>], random: &dyn Random) -> Vec<u8> {
        const WORDS: [&str; 22] = [
            "\n", "  ", ": ", "- ", "[", "]", "{", "}", ", ", "\"", "'", "&b", "*b", "<<: ", "#",
            "|\n", "${A}", "$$", "!!str", "\u{85}", "\\", "null",
        ];
        let below = |n: usize| (random.next_u64() % n.max(1) as u64) as usize;
        let mut data = inputs[below(inputs.len())].clone();
        for _ in 0..1 + below(4) {
            let at = below(data.len() + 1);
            let to = (at + below(24)).min(data.len());
            match below(5) {
                0 => drop(data.drain(at..to)),
                1 => {
                    let piece = data[at..to].to_vec();
                    let place = below(data.len() + 1);
                    drop(data.splice(place..place, piece));
                }
                2 => {
                    let other = &inputs[below(inputs.len())];
                    let from = below(other.len());
                    let end = (from + below(200)).min(other.len());
                    drop(data.splice(at..to, other[from..end].iter().copied()));
                }
                3 => drop(data.splice(at..at, WORDS[below(WORDS.len())].bytes())),
                _ if at < data.len() => data[at] = below(128) as u8,
                _ => {}
            }
        }
        data
    }

    fn replay(target: &str, run: fn(&[u8]), count: usize) {
        let inputs = corpus(target);
        inputs.iter().for_each(|data| run(data));
        let random = SeededRandom::new(11);
        for _ in 0..count {
            run(&mutation(&inputs, &random));
        }
    }

    #[test]
    fn configurations_and_their_mutations_are_answered_and_read_back() {
        replay("fuzz_config", fuzz_config, 1_500);
    }

    #[test]
    fn overrides_and_their_mutations_are_answered() {
        replay("fuzz_runtime_config", fuzz_runtime_config, 2_000);
    }
}
