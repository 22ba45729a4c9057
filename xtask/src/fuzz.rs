//! Fuzzing with coverage. Every `pub fn fuzz_*` of a crate's `src/fuzz.rs` is a target: the same
//! function that the ordinary tests replay. The crate that cargo-fuzz wants around them is made
//! anew below the target folder, so there is no list to keep in step.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::{self, output, succeeds, target_dir, words, workspace_root};

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
    let targets = targets()?;
    let mut chosen = targets.iter().filter(|t| wanted.as_ref().is_none_or(|w| *w == t.name()));
    if chosen.clone().next().is_none() {
        let names: Vec<String> = targets.iter().map(Target::name).collect();
        bail!("no such fuzz target; there are {}", names.join(", "));
    }
    if !succeeds("cargo +nightly fuzz --version") {
        process::run(&mut words("cargo install --locked cargo-fuzz"))?;
    }
    let dir = write_crate(&targets)?;
    chosen.try_for_each(|target| {
        let mut fuzz = words("cargo +nightly fuzz run --fuzz-dir");
        fuzz.arg(&dir).arg(target.name());
        let corpus = dir.join("corpus").join(target.name());
        std::fs::create_dir_all(&corpus)?;
        // What is found goes to the first folder; the committed corpus is only read.
        fuzz.arg(&corpus);
        let committed = workspace_root().join(&target.corpus);
        if committed.is_dir() {
            fuzz.arg(committed);
        }
        fuzz.args(["--", &format!("-max_total_time={seconds}"), "-rss_limit_mb=2048"]);
        process::run(&mut fuzz)
    })
}

struct Target {
    /// Folder of the crate, and the noun it is known by.
    folder: String,
    noun: String,
    function: String,
    corpus: PathBuf,
}

impl Target {
    fn name(&self) -> String {
        format!("{}_{}", self.noun, self.function.trim_start_matches("fuzz_"))
    }
}

fn targets() -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    let list = output(&mut words("git ls-files --cached --others --exclude-standard *.rs"))?;
    for file in list.lines().filter(|file| file.ends_with("src/fuzz.rs")) {
        let folder = file.trim_end_matches("/src/fuzz.rs");
        let noun = folder.rsplit('/').next().unwrap_or(folder).replace('-', "_");
        for line in std::fs::read_to_string(file)?.lines() {
            let Some(rest) = line.strip_prefix("pub fn fuzz_") else { continue };
            let function = format!("fuzz_{}", rest.split('(').next().unwrap_or_default());
            let corpus = Path::new(folder).join("fuzz/corpus").join(&function);
            targets.push(Target {
                folder: folder.to_owned(),
                noun: noun.clone(),
                function,
                corpus,
            });
        }
    }
    targets.sort_by_key(Target::name);
    Ok(targets)
}

/// The crate around the targets; returns its folder.
fn write_crate(targets: &[Target]) -> Result<PathBuf> {
    let root = workspace_root();
    let dir = root.join(target_dir()).join("fuzz");
    std::fs::create_dir_all(dir.join("fuzz_targets"))?;
    let mut manifest = String::from(
        "[package]\nname = \"runelog-fuzz\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         publish = false\n\n[package.metadata]\ncargo-fuzz = true\n\n[workspace]\n\n\
         [profile.release]\ndebug = 1\n\n[dependencies]\nlibfuzzer-sys = \"0.4\"\n",
    );
    let mut nouns: Vec<(&str, &str)> =
        targets.iter().map(|target| (target.noun.as_str(), target.folder.as_str())).collect();
    nouns.dedup();
    for (noun, folder) in nouns {
        let package = noun.replace('_', "-");
        let path = root.join(folder);
        writeln!(manifest, "{noun} = {{ package = \"runelog-{package}\", path = {path:?} }}")?;
    }
    for target in targets {
        let (name, noun, function) = (target.name(), &target.noun, &target.function);
        let file = format!("fuzz_targets/{name}.rs");
        let text = format!(
            "#![no_main]\nlibfuzzer_sys::fuzz_target!(|data: &[u8]| {noun}::fuzz::{function}(data));\n"
        );
        std::fs::write(dir.join(&file), text)?;
        writeln!(
            manifest,
            "\n[[bin]]\nname = {name:?}\npath = {file:?}\ntest = false\ndoc = false"
        )?;
    }
    std::fs::write(dir.join("Cargo.toml"), manifest)?;
    // The same versions as everywhere else.
    std::fs::copy(root.join("Cargo.lock"), dir.join("Cargo.lock"))?;
    Ok(dir)
}
