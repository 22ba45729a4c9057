//! The side-by-side benchmark with only Runelog in it; bench/README.md says how to add the peers.

use anyhow::{Context, Result, bail};

use crate::process::{self, target_dir, words, workspace_root};

/// `cargo xtask bench [--gb N] [--streams N] [--processes 4] [--set DIR]`. With four processes the
/// same set goes through one process too, segment by segment in turn: the difference is the wire.
pub fn run(arguments: &[String]) -> Result<()> {
    let (mut gb, mut streams) = ("1.0".to_owned(), None);
    let (mut processes, mut given) = (1, None);
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let mut value = || rest.next().cloned().context(format!("{word} needs a value"));
        match word.as_str() {
            "--gb" => gb = value()?,
            "--streams" => streams = Some(value()?),
            "--processes" => processes = value()?.parse().context("--processes is a number")?,
            "--set" => given = Some(std::path::absolute(value()?)?),
            other => bail!("unknown option {other:?}"),
        }
    }
    process::run(&mut words("cargo build --release --bin runelog"))?;
    let root = target_dir().join("bench");
    std::fs::create_dir_all(&root)?;
    let name = format!("set-{gb}-{}", streams.as_deref().unwrap_or("few"));
    let set = given.unwrap_or_else(|| root.join(&name));
    if !set.join("manifest.json").exists() {
        let mut generate = words("python3 bench/gen.py --end 1795165200");
        generate.arg("--out").arg(&set).args(["--gb", &gb]);
        if let Some(streams) = &streams {
            generate.args(["--streams", streams]);
        }
        process::run(&mut generate).context("bench/gen.py needs: pip install cramjam")?;
    }
    let binary = target_dir().join("release/runelog").display().to_string();
    let one = serde_json::json!({"kind": "runelog", "bin": binary});
    let four = serde_json::json!({"kind": "runelog", "bin": binary, "processes": 4});
    let (systems, names) = match processes {
        1 => (serde_json::json!({"runelog": one}), "runelog"),
        4 => (serde_json::json!({"one": one, "four": four}), "one,four"),
        other => bail!("--processes {other}: 1 or 4"),
    };
    std::fs::write(root.join("systems.json"), systems.to_string())?;
    let calibrate = "cargo run --release --quiet -p runelog-part --example calibrate --";
    process::run(words(calibrate).arg(&root))?;
    let results = root.join(format!("{name}.jsonl"));
    let _ = std::fs::remove_file(&results);
    for script in ["ingest.py", "query.py"] {
        let mut step = words("python3");
        step.arg(workspace_root().join("bench").join(script)).arg("--set").arg(&set);
        step.args(["--systems", names, "--root"]).arg(root.join("run"));
        step.arg("--out").arg(&results).args(["--tag", &name]);
        step.current_dir(&root);
        process::run(&mut step)?;
    }
    let mut report = words("python3 bench/report.py");
    let base = names.split(',').next().unwrap_or_default();
    report.arg(&results).args(["--base", base, "--out"]).arg(root.join("report.md"));
    process::run(&mut report)?;
    println!("{}", std::fs::read_to_string(root.join("report.md"))?);
    Ok(())
}
