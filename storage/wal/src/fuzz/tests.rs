use std::path::{Path, PathBuf};

use base::random::{Random, SeededRandom};

use super::*;
use crate::segment::{FRAME_BYTES, Frame, Header};
use crate::testing::{batch, store};

fn seeds() -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut segment = Vec::new();
    let begun = base::UnixNanos(0);
    Header { store: store(1), sequence: 1, previous: 0, previous_end: 0, begun }
        .encode(&mut segment);
    let mut payloads = Vec::new();
    for (sequence, rows) in [(1, 0), (2, 1), (3, 40)] {
        let mut payload = Vec::new();
        encode(&batch(sequence, rows), &mut payload);
        let offset = segment.len() as u64;
        let mut frame = [0; FRAME_BYTES];
        Frame::encode(&payload, 1, offset, &mut frame);
        segment.extend_from_slice(&frame);
        segment.extend_from_slice(&payload);
        payloads.push(payload);
    }
    (payloads, segment)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Replays the corpus of `target` and `rounds` seeded mutations of it.
fn run(target: &str, seeds: &[Vec<u8>], fuzz: fn(&[u8]), rounds: usize) {
    let mut inputs = corpus(target);
    assert!(!inputs.is_empty(), "the corpus of {target} is committed");
    inputs.extend_from_slice(seeds);
    inputs.iter().for_each(|input| fuzz(input));
    let random = SeededRandom::new(11);
    let below = |limit: usize| (random.next_u64() % limit as u64) as usize;
    for _ in 0..rounds {
        let mut data = inputs[below(inputs.len())].clone();
        for _ in 0..=below(4) {
            if data.is_empty() {
                break;
            }
            let at = below(data.len());
            match below(4) {
                0 => data[at] ^= 1 << below(8),
                1 => data[at] = [0, 1, 0x7f, 0x80, 0xff][below(5)],
                2 => data.truncate(at),
                _ => {
                    let end = (at + below(40)).min(data.len());
                    let piece = data[at..end].to_vec();
                    let to = below(data.len());
                    data.splice(to..to, piece);
                }
            }
        }
        fuzz(&data);
    }
}

#[test]
fn mutated_records_are_refused_or_encode_to_the_same_bytes() {
    run("fuzz_record", &seeds().0, fuzz_record, 5_000);
}

#[test]
fn mutated_segments_are_read_to_an_end() {
    run("fuzz_segment", &[seeds().1], fuzz_segment, 3_000);
}

#[test]
fn mutated_segments_show_what_is_in_them() {
    run("fuzz_inspect", &[seeds().1], fuzz_inspect, 3_000);
}

/// Writes the corpus; run by hand after the format gained a version.
#[test]
#[ignore = "writes files"]
fn write_corpus() {
    let (payloads, segment) = seeds();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for target in ["fuzz_record", "fuzz_segment"] {
        std::fs::create_dir_all(dir.join(target)).unwrap();
    }
    for (index, payload) in payloads.iter().enumerate() {
        std::fs::write(dir.join(format!("fuzz_record/batch-{index}")), payload).unwrap();
    }
    std::fs::write(dir.join("fuzz_segment/three-records"), segment).unwrap();
}
