use std::path::PathBuf;

use base::random::{Random, SeededRandom};

use super::*;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = std::fs::read_dir(folder).expect("the corpus is in the tree");
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let inputs: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(!inputs.is_empty());
    inputs
}

/// Cuts, doubles, joins and overwrites inputs, the same way in every run.
fn mutations(inputs: &[Vec<u8>], count: usize) -> Vec<Vec<u8>> {
    let random = SeededRandom::new(11);
    let below = |n: usize| (random.next_u64() % n.max(1) as u64) as usize;
    let mutate = |_| {
        let mut data = inputs[below(inputs.len())].clone();
        for _ in 0..1 + below(3) {
            let (a, b) = (below(data.len() + 1), below(data.len() + 1));
            let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 16));
            let other = &inputs[below(inputs.len())];
            match below(6) {
                0 => drop(data.drain(from..to)),
                1 => data.extend_from_within(from..to),
                2 => {
                    let at = below(other.len() + 1);
                    let piece = other[at..(at + 16).min(other.len())].iter().copied();
                    drop(data.splice(from..to, piece));
                }
                _ if from < data.len() => {
                    data[from] = [0, 1, 0x7f, 0x80, 0xff, below(256) as u8][below(6)];
                }
                _ => {}
            }
        }
        data
    };
    (0..count).map(mutate).collect()
}

fn replay(target: &str, fuzz: fn(&[u8])) {
    let inputs = corpus(target);
    inputs.iter().for_each(|data| fuzz(data));
    mutations(&inputs, 4_000).iter().for_each(|data| fuzz(data));
}

#[test]
fn batches_and_their_mutations_are_answered() {
    replay("fuzz_batch", fuzz_batch);
}

#[test]
fn queries_and_their_mutations_are_answered() {
    replay("fuzz_query", fuzz_query);
}

#[test]
fn partials_and_their_mutations_are_answered() {
    replay("fuzz_partial", fuzz_partial);
}
