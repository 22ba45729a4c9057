//! Fuzzing with coverage. Every target is a plain function that the ordinary tests replay; here the
//! nightly toolchain and cargo-fuzz drive the same function.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process::{self, succeeds, words};

/// `cargo xtask fuzz [TARGET] [--seconds N]`; without a target, all of them in turn.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut seconds = "60".to_owned();
    let mut wanted = None;
    let mut words_left = arguments.iter();
    while let Some(word) = words_left.next() {
        match word.as_str() {
            "--seconds" => seconds = words_left.next().context("--seconds needs a value")?.clone(),
            name => wanted = Some(name.to_owned()),
        }
    }
    if !succeeds("cargo +nightly fuzz --version") {
        process::run(&mut words("cargo install --locked cargo-fuzz"))?;
    }
    let mut ran = 0;
    for target in targets()? {
        if wanted.as_ref().is_some_and(|name| *name != target.name) {
            continue;
        }
        let mut fuzz = words("cargo +nightly fuzz run --fuzz-dir fuzz");
        fuzz.arg(&target.name).arg(&target.corpus);
        fuzz.args(["--", &format!("-max_total_time={seconds}"), "-rss_limit_mb=2048"]);
        process::run(&mut fuzz)?;
        ran += 1;
    }
    if ran == 0 {
        bail!("no such fuzz target");
    }
    Ok(())
}

struct Target {
    name: String,
    corpus: String,
}

/// One file of `fuzz/fuzz_targets` per target; its first line names the corpus folder.
fn targets() -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(Path::new("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let first = text.lines().next().unwrap_or_default();
        let corpus = first.strip_prefix("//! corpus: ").context("first line names the corpus")?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        targets.push(Target { name: name.unwrap_or_default(), corpus: corpus.to_owned() });
    }
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(targets)
}
