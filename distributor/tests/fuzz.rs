//! Replays each fuzz target's corpus and seeded mutations of it.

#![allow(clippy::unwrap_used)]

extern crate runelog_distributor as distributor;

use base::random::{Random, SeededRandom};
use distributor::fuzz;

const ROUNDS: usize = 3000;

fn replay(target: &str, run: fn(&[u8])) {
    let dir = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut corpus: Vec<Vec<u8>> = std::fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{dir}: {error}"))
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    assert!(!corpus.is_empty(), "{dir} is empty");
    corpus.sort();
    corpus.iter().for_each(|input| run(input));
    let random = SeededRandom::new(42);
    let below = |limit: usize| random.next_u64() as usize % limit.max(1);
    for _ in 0..ROUNDS {
        let mut input = corpus[below(corpus.len())].clone();
        for _ in 0..=below(4) {
            let at = below(input.len() + 1);
            match below(5) {
                0 if at < input.len() => input[at] ^= 1 << below(8),
                1 if at < input.len() => input[at] = random.next_u64() as u8,
                2 => input.truncate(at),
                3 => input.insert(at, b"\"\\{}[],:=\x00\xff\x80"[below(12)]),
                _ => {
                    let other = &corpus[below(corpus.len())];
                    let from = below(other.len());
                    input.splice(at..at, other[from..].iter().take(64).copied());
                }
            }
        }
        run(&input);
    }
}

#[test]
fn protobuf_survives_anything() {
    replay("protobuf", fuzz::fuzz_protobuf);
}

#[test]
fn json_survives_anything() {
    replay("json", fuzz::fuzz_json);
}

#[test]
fn legacy_json_survives_anything() {
    replay("legacy", fuzz::fuzz_legacy);
}

#[test]
fn label_text_survives_anything() {
    replay("labels", fuzz::fuzz_labels);
}

#[test]
fn compression_survives_anything() {
    replay("compression", fuzz::fuzz_compression);
}

#[test]
fn lines_survive_anything() {
    replay("line", fuzz::fuzz_line);
}

#[test]
fn otlp_survives_anything() {
    replay("otlp", fuzz::fuzz_otlp);
}

#[test]
fn otlp_json_survives_anything() {
    replay("otlp_json", fuzz::fuzz_otlp_json);
}
