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
fn mutations(inputs: &[Vec<u8>], words: &[&str], count: usize) -> Vec<Vec<u8>> {
    let random = SeededRandom::new(7);
    let below = |n: usize| (random.next_u64() % n.max(1) as u64) as usize;
    let pick = |n: usize| below(n + 1);
    (0..count)
        .map(|_| {
            let mut data = inputs[below(inputs.len())].clone();
            for _ in 0..1 + below(4) {
                let (a, b) = (pick(data.len()), pick(data.len()));
                let (from, to) = (a.min(b), a.max(b));
                let other = &inputs[below(inputs.len())];
                match below(5) {
                    0 => drop(data.drain(from..to)),
                    1 => data.extend_from_within(from..to),
                    2 => drop(data.splice(from..to, other[pick(other.len())..].iter().copied())),
                    3 => drop(data.splice(from..from, words[below(words.len())].bytes())),
                    _ if from < data.len() => data[from] = below(256) as u8,
                    _ => {}
                }
            }
            data
        })
        .collect()
}

#[test]
fn the_parse_corpus_and_its_mutations_are_answered() {
    let words = [
        "(", ")", "{", "}", "[5m]", "|", "| ", ",", " or ", " and ", "\"", "`", "'", "!=", "=~",
        "sum", "by", " by (", "rate(", "json", "unwrap ", "ip(\"", "0x", "1e", "-", "--strict",
        "5m", "3KB", "#", "\\", "\\x", "*", "+?", "{2,3}", "(?i)", "[^", "]", "\u{e9}", "\0", "\n",
    ];
    let inputs = corpus("fuzz_parse");
    inputs.iter().for_each(|data| fuzz_parse(data));
    mutations(&inputs, &words, 5_000).iter().for_each(|data| fuzz_parse(data));
}

#[test]
fn json_lines_and_their_mutations_are_parsed() {
    let words = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "null",
        "true",
        "-1e5",
        "\\u00e9",
        "\\ud83d",
        "\\",
        "{\"a\":",
        "\"b\":[{\"c\":1}]",
        " ",
        "\n",
        "\u{e9}",
        "\0",
    ];
    let inputs = corpus("fuzz_json_line");
    inputs.iter().for_each(|data| fuzz_json_line(data));
    mutations(&inputs, &words, 5_000).iter().for_each(|data| fuzz_json_line(data));
}

#[test]
fn logfmt_lines_and_their_mutations_are_parsed() {
    let words = [
        "=", "\"", " ", "a=", "b=1", "\\", "\\\"", "\\u00e9", "\n", "\u{e9}", "\0", "==",
        "\u{fffd}",
    ];
    let inputs = corpus("fuzz_logfmt_line");
    inputs.iter().for_each(|data| fuzz_logfmt_line(data));
    mutations(&inputs, &words, 5_000).iter().for_each(|data| fuzz_logfmt_line(data));
}

#[test]
fn templates_and_their_mutations_are_executed_or_refused() {
    let words = [
        "{{",
        "}}",
        "{{ end }}",
        "{{ else }}",
        "{{ if ",
        "{{ range ",
        "{{ with ",
        "|",
        "(",
        ")",
        ".a",
        " . ",
        "$x",
        " := ",
        "printf ",
        "\"%*.3d %q %v\" ",
        "`",
        "\"",
        "-1",
        "1e9",
        "index ",
        "slice ",
        "substr ",
        "repeat ",
        "date ",
        "toDate ",
        "fromJson ",
        "regexReplaceAll ",
        "__line__",
        "\0",
        "\u{e9}",
        "{{- ",
        " -}}",
        "/*",
        "*/",
    ];
    let inputs = corpus("fuzz_template");
    inputs.iter().for_each(|data| fuzz_template(data));
    mutations(&inputs, &words, 3_000).iter().for_each(|data| fuzz_template(data));
}

#[test]
fn packed_lines_and_their_mutations_are_parsed() {
    let words = [
        "{",
        "}",
        "\"_entry\":",
        "\"a\":\"b\"",
        ",",
        "a=b [x] c",
        "\u{1b}[31m",
        "\u{1b}]0;t\u{7}",
        "\\u00e9",
        "\\",
        "\0",
        "=",
        " ",
    ];
    let inputs = corpus("fuzz_packed_line");
    inputs.iter().for_each(|data| fuzz_packed_line(data));
    // Each compiles its expression anew.
    mutations(&inputs, &words, 400).iter().for_each(|data| fuzz_packed_line(data));
}
