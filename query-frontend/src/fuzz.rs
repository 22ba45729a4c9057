//! Entry points of the fuzzer: plain functions that panic when a promise is broken.

use base::UnixNanos;
use rpc::http::Form;

use crate::http::json;
use crate::http::params::{InstantQuery, RangeQuery};

/// Any bytes as a query string: refused with a text, or parameters that keep their promises.
pub fn fuzz_params(data: &[u8]) {
    let Ok(form) = Form::parse(&String::from_utf8_lossy(data), b"") else { return };
    let now = UnixNanos(1_714_564_800_000_000_000);
    match RangeQuery::parse(&form, now) {
        Ok(query) => {
            assert!(query.start <= query.end, "start after end");
            assert!(query.step_ns > 0 && query.interval_ns >= 0, "steps go forward");
            assert!((1..=u32::MAX as usize).contains(&query.limit), "limit in range");
            let points =
                (i128::from(query.end.0) - i128::from(query.start.0)) / i128::from(query.step_ns);
            // Lengths saturate at 64 bits; beyond that only a step of years is left.
            assert!(points <= 2 * 11_000, "too many points");
        }
        Err(error) => assert!(!error.0.is_empty(), "an error says what is wrong"),
    }
    match InstantQuery::parse(&form, now) {
        Ok(query) => assert!(query.limit > 0, "limit in range"),
        Err(error) => assert!(!error.0.is_empty(), "an error says what is wrong"),
    }
}

/// Any bytes as a JSON string: valid JSON that reads back as the text with `\u{fffd}` for each
/// byte that is not UTF-8, and nothing a browser could take for markup.
pub fn fuzz_json_string(data: &[u8]) {
    let mut out = Vec::new();
    json::string(&mut out, data);
    let mut want = String::new();
    for chunk in data.utf8_chunks() {
        want.push_str(chunk.valid());
        want.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    let back: String = serde_json::from_slice(&out).expect("valid JSON");
    assert_eq!(back, want);
    assert!(!out.iter().any(|byte| b"<>&\n".contains(byte)), "unescaped markup");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base::random::{Random, SeededRandom};

    /// Replays the committed corpus of `target` and a few thousand mutations of it.
    fn replay(target: &str, run: fn(&[u8])) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut corpus: Vec<Vec<u8>> = vec![Vec::new()];
        for entry in std::fs::read_dir(&dir).unwrap() {
            corpus.push(std::fs::read(entry.unwrap().path()).unwrap());
        }
        assert!(corpus.len() > 1, "{} is empty", dir.display());
        corpus.iter().for_each(|data| run(data));
        let random = SeededRandom::new(41);
        let draw = |below: usize| (random.next_u64() % below.max(1) as u64) as usize;
        for _ in 0..4_000 {
            let mut data = corpus[draw(corpus.len())].clone();
            for _ in 0..=draw(4) {
                let at = draw(data.len() + 1);
                match draw(4) {
                    0 => data.insert(at, draw(256) as u8),
                    1 if at < data.len() => data[at] ^= 1 << draw(8),
                    2 => data.truncate(at),
                    _ => {
                        let other = &corpus[draw(corpus.len())];
                        let from = draw(other.len() + 1);
                        data.splice(at..at, other[from..].iter().copied());
                    }
                }
            }
            run(&data);
        }
    }

    #[test]
    fn parameters_survive_the_corpus_and_its_mutations() {
        replay("fuzz_params", super::fuzz_params);
    }

    #[test]
    fn json_strings_survive_the_corpus_and_its_mutations() {
        replay("fuzz_json_string", super::fuzz_json_string);
    }
}
