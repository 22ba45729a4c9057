//! Mutates the corpus of a fuzz target without end: `cargo run --release --example fuzz -- TARGET
//! [FIRST_SEED]`. Every input is written to the file that is named at the start before it is tried, so
//! that what crashes or hangs is there afterwards.

use std::io::Write;
use std::path::PathBuf;

use base::random::{Random, SeededRandom};
use runelog_logql as logql;

/// Inputs per seed.
const ROUND: u64 = 2_000;
/// Longest input, bytes.
const LONGEST: usize = 4_096;

const WORDS: &[&str] = &[
    "(",
    ")",
    "{",
    "}",
    "[5m]",
    "|",
    "| ",
    ",",
    " or ",
    " and ",
    "\"",
    "`",
    "'",
    "!=",
    "=~",
    "sum",
    " by (",
    "rate(",
    "json ",
    "unwrap ",
    "ip(\"",
    "0x",
    "1e",
    "-",
    "--strict",
    "3KB",
    "#",
    "\\",
    "\\x",
    "*",
    "+?",
    "{2,3}",
    "(?i)",
    "[^",
    "]",
    "\u{e9}",
    "\0",
    "\n",
    "null",
    "true",
    "\\u00e9",
    "\\ud83d",
    "{\"a\":",
    "\"b\":[{\"c\":1}]",
    "\"_entry\":\"",
    "=",
    " ",
    "a=",
    "{{",
    "}}",
    "{{ end }}",
    "{{ if ",
    "{{ range ",
    ".a",
    "$x",
    " := ",
    "printf ",
    "\"%*.3d %q\" ",
    "index ",
    "date ",
    "toDateInZone ",
    "\"Europe/Berlin\" ",
    "regexReplaceAll ",
    "__line__",
    "<_>",
    "<a>",
    "\u{1b}[31m",
    "\u{1b}]0;t\u{7}",
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let target = arguments.next().unwrap_or_default();
    let first: u64 = arguments.next().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let run: fn(&[u8]) = match target.as_str() {
        "fuzz_parse" => logql::fuzz::fuzz_parse,
        "fuzz_json_line" => logql::fuzz::fuzz_json_line,
        "fuzz_logfmt_line" => logql::fuzz::fuzz_logfmt_line,
        "fuzz_packed_line" => logql::fuzz::fuzz_packed_line,
        "fuzz_template" => logql::fuzz::fuzz_template,
        other => panic!("no target {other:?}"),
    };
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(&target);
    let files = std::fs::read_dir(folder).expect("the corpus is in the tree");
    let mut inputs: Vec<Vec<u8>> =
        files.map(|file| std::fs::read(file.expect("a file").path()).expect("a file")).collect();
    inputs.sort();
    let last = std::env::temp_dir().join(format!("{target}.input"));
    println!("{target}: the input that is tried is in {}", last.display());
    for seed in first.. {
        let random = SeededRandom::new(seed);
        for _ in 0..ROUND {
            let data = mutated(&inputs, &random);
            std::fs::File::create(&last)
                .and_then(|mut file| file.write_all(&data))
                .expect("written");
            run(&data);
        }
        println!("{target}: {} inputs", (seed - first + 1) * ROUND);
    }
}

/// Cuts, doubles, joins and overwrites an input.
fn mutated(inputs: &[Vec<u8>], random: &SeededRandom) -> Vec<u8> {
    let below = |n: usize| (random.next_u64() % n.max(1) as u64) as usize;
    let mut data = inputs[below(inputs.len())].clone();
    for _ in 0..1 + below(8) {
        let (a, b) = (below(data.len() + 1), below(data.len() + 1));
        let (from, to) = (a.min(b), a.max(b));
        let other = &inputs[below(inputs.len())];
        match below(6) {
            0 => drop(data.drain(from..to)),
            1 => data.extend_from_within(from..to),
            2 => drop(data.splice(from..to, other[below(other.len() + 1)..].iter().copied())),
            3 | 4 => drop(data.splice(from..from, WORDS[below(WORDS.len())].bytes())),
            _ if from < data.len() => data[from] = below(256) as u8,
            _ => {}
        }
        data.truncate(LONGEST);
    }
    data
}
