//! What a machine can say about the house: floors, file sizes, words that must not appear.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{output, words};

/// Longest source file, in lines; the house asks for 150-350.
const MAX_FILE_LINES: usize = 600;
/// Longest line in characters; what rustfmt cannot break (long strings) counts too.
const MAX_LINE_CHARS: usize = 120;

/// The floor of each crate: edges point down only. Crates of one floor never depend on each other,
/// but for storage (`store` scans parts that `wal` knows nothing of) where no edge exists today.
const FLOORS: &[(&str, u8)] = &[
    ("runelog-base", 0),
    ("runelog-logql", 1),
    ("runelog-part", 1),
    ("runelog-catalog", 1),
    ("runelog-ring", 1),
    ("runelog-proto", 2),
    ("runelog-wal", 2),
    ("runelog-store", 2),
    ("runelog-meta", 2),
    ("runelog-rpc", 3),
    ("runelog-distributor", 4),
    ("runelog-ingester", 4),
    ("runelog-querier", 4),
    ("runelog-query-frontend", 4),
    ("runelog-compactor", 4),
    ("runelog-server", 5),
    ("runelog-tests", 6),
    ("runelog-xtask", 6),
];

/// Outside crates that only some floors may name.
const RESERVED: &[(&str, &[&str])] = &[
    ("object_store", &["runelog-store", "runelog-tests"]),
    ("openraft", &["runelog-meta"]),
    (
        "axum",
        &[
            "runelog-rpc",
            "runelog-distributor",
            "runelog-ingester",
            "runelog-query-frontend",
            "runelog-server",
        ],
    ),
    (
        "tokio",
        &[
            "runelog-base",
            "runelog-store",
            "runelog-meta",
            "runelog-rpc",
            "runelog-distributor",
            "runelog-ingester",
            "runelog-querier",
            "runelog-query-frontend",
            "runelog-compactor",
            "runelog-server",
            "runelog-tests",
            "runelog-xtask",
        ],
    ),
];

/// Runs every check; all complaints are printed before it fails.
pub fn run() -> Result<()> {
    let mut complaints = Vec::new();
    floors(&mut complaints)?;
    let files = tracked_files()?;
    for file in &files {
        source(file, &mut complaints)?;
    }
    links(&files, &mut complaints)?;
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    if !complaints.is_empty() {
        bail!("tidy has {} complaints", complaints.len());
    }
    Ok(())
}

fn floors(complaints: &mut Vec<String>) -> Result<()> {
    let metadata = output(&mut words("cargo metadata --format-version 1 --no-deps"))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let floor_of: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(&floor) = floor_of.get(name) else {
            complaints.push(format!("{name} has no floor in xtask/src/tidy.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            let is_dev = dependency["kind"].as_str() == Some("dev");
            if let Some(&below) = floor_of.get(on)
                && below >= floor
            {
                complaints.push(format!("{name} (floor {floor}) depends on {on} (floor {below})"));
            }
            let reserved = RESERVED.iter().find(|(reserved, _)| *reserved == on);
            if let Some((_, allowed)) = reserved
                && !is_dev
                && !allowed.contains(&name)
            {
                complaints.push(format!("{name} names {on}, which is reserved"));
            }
        }
    }
    Ok(())
}

fn tracked_files() -> Result<Vec<PathBuf>> {
    let list = output(&mut words("git ls-files --cached --others --exclude-standard"))?;
    Ok(list.lines().map(PathBuf::from).filter(|path| path.is_file()).collect())
}

fn source(file: &Path, complaints: &mut Vec<String>) -> Result<()> {
    let is_rust = file.extension().is_some_and(|extension| extension == "rs");
    let is_text = is_rust
        || file.extension().is_some_and(|e| e == "md" || e == "toml" || e == "sh" || e == "py");
    if !is_text {
        return Ok(());
    }
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("read {shown}"))?;
    if text.starts_with("// @generated") {
        return Ok(());
    }
    if is_rust {
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES {
            complaints.push(format!("{shown} has {lines} lines (at most {MAX_FILE_LINES})"));
        }
        if file.file_name().is_some_and(|name| name == "mod.rs") {
            complaints.push(format!("{shown}: a module lives in foo.rs, not foo/mod.rs"));
        }
    }
    for (index, line) in text.lines().enumerate() {
        let at = index + 1;
        if is_rust && line.chars().count() > MAX_LINE_CHARS && !is_table(line) {
            complaints.push(format!("{shown}:{at} is longer than {MAX_LINE_CHARS} characters"));
        }
        for word in forbidden() {
            if line.contains(&word) {
                complaints.push(format!("{shown}:{at} contains {word:?}"));
            }
        }
    }
    Ok(())
}

/// Recorded texts in tables of cases may be as long as they are.
fn is_table(line: &str) -> bool {
    line.contains('"')
}

/// Texts that would tie the project to one machine or are marks of unfinished work. Built here from
/// pieces, so that this file does not contain them.
fn forbidden() -> Vec<String> {
    [
        ("todo", "!("),
        ("unimplemented", "!("),
        ("dbg", "!("),
        ("FIX", "ME"),
        ("/wo", "rk/"),
        ("../sha", "red"),
    ]
    .iter()
    .map(|(a, b)| format!("{a}{b}"))
    .collect()
}

/// Relative links in our documents must lead somewhere.
fn links(files: &[PathBuf], complaints: &mut Vec<String>) -> Result<()> {
    for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(file)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        for piece in text.split("](").skip(1) {
            let link = piece.split([')', '#', ' ']).next().unwrap_or_default();
            let is_outside = link.is_empty() || link.contains("://") || link.contains('<');
            if !is_outside && !folder.join(link).exists() {
                complaints.push(format!("{}: link {link} leads nowhere", file.display()));
            }
        }
    }
    Ok(())
}
