//! Replays recorded requests and compares the answers with Loki's.
//!
//! `tests/conformance/check.py` does the comparing and knows nothing of Runelog. Here its report is
//! held against `tests/conformance/not-yet.txt`, the committed list of cases that may fail. The list
//! may only shrink: a listed case that passes is an error too. The same list holds for every cluster
//! the corpus is replayed against, wherever the rows are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cluster::{Cluster, Door, Restarts, Setting, Topology};
use crate::process::{self, target_dir, words};

const NOT_YET: &str = "tests/conformance/not-yet.txt";
const DATASET: &str = "tests/conformance/dataset";

/// What to run.
#[derive(Clone, Default)]
pub struct Options {
    url: Option<String>,
    groups: Vec<String>,
    show: Option<String>,
    write: bool,
    /// Which processes.
    pub topology: Topology,
    /// Calls within a process are serialised and parsed too.
    pub wire: bool,
    /// Where the rows are when they are queried.
    pub rows: Rows,
    /// An ingester is restarted all the time. Needs one that others can do without.
    pub restarting: bool,
    /// Instead of the recorded `split_queries_by_interval`; shards too.
    split: Option<String>,
}

/// Where the rows of the data set are when they are queried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// In memory of the ingesters.
    Head,
    /// In parts.
    #[default]
    Parts,
    /// Every other instant of each stream in parts, the others in memory.
    Half,
    /// In many small parts, which a compactor merges and deletes while they are queried.
    Merging,
}

impl Options {
    /// From command-line words.
    pub fn parse(words: &[String]) -> Result<Options> {
        let mut options = Options::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().cloned().context(format!("{word} needs a value"));
            match word.as_str() {
                "--url" => options.url = Some(value()?),
                "--group" => options.groups.push(value()?),
                "--show" => options.show = Some(value()?),
                "--write" => options.write = true,
                "--topology" => options.topology = Topology::parse(&value()?)?,
                "--wire" => options.wire = true,
                "--restarting" => options.restarting = true,
                "--split" => options.split = Some(value()?),
                "--rows" => {
                    options.rows = match value()?.as_str() {
                        "head" => Rows::Head,
                        "parts" => Rows::Parts,
                        "half" => Rows::Half,
                        "merging" => Rows::Merging,
                        other => bail!("no rows {other:?}: head, parts, half or merging"),
                    }
                }
                other => bail!("unknown option {other:?}"),
            }
        }
        if options.restarting && options.topology != Topology::Ring {
            bail!("--restarting needs --topology ring");
        }
        Ok(options)
    }
}

/// Runs the corpus against `url` and reads the report.
fn replay(options: &Options, url: &str, report: &Path) -> Result<Value> {
    let mut check = words("python3 tests/conformance/check.py");
    check.args(["--url", url]).arg("--json").arg(report);
    check.args(["--show", options.show.as_deref().unwrap_or("20")]);
    if options.url.is_some() {
        check.arg("--push");
    }
    for group in &options.groups {
        check.args(["--group", group]);
    }
    // Its exit status says whether anything failed; the report says what.
    if let Err(error) = process::run(&mut check) {
        eprintln!("{error}");
    }
    let text = std::fs::read_to_string(report).context("check.py wrote no report")?;
    Ok(serde_json::from_str(&text)?)
}

/// Starts a cluster on an empty folder, unless a URL is given, and judges.
pub fn run(options: &Options) -> Result<()> {
    let dir = target_dir().join("conformance");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir)?;
    let report_path = dir.join("report.json");
    if let Some(url) = &options.url {
        let report = replay(options, url, &report_path)?;
        let failed = cases(&report).filter(|case| !case.passed).count();
        if failed > 0 {
            bail!("{failed} cases fail");
        }
        return Ok(());
    }
    // The second half of the data set's rows is as old as the first.
    let overrides =
        "overrides:\n  acme: {out_of_order_window: 0s}\n  globex: {out_of_order_window: 0s}\n";
    std::fs::write(dir.join("overrides.yaml"), overrides)?;
    let config = |state: &Path| configuration(options, &dir, state);
    let env: &[(&str, &str)] = if options.wire { &[("RUNELOG_FORCE_WIRE", "1")] } else { &[] };
    let setting = Setting { config: &config, dir: &dir, env };
    let mut cluster = Cluster::start(options.topology, &setting)?;
    push(&cluster, options.rows)?;
    let restarts = match options.restarting {
        true => Some(Restarts::of(&mut cluster, &dir)?),
        false => None,
    };
    let door = Door::open(Arc::new(cluster), options.rows == Rows::Parts)?;
    let replay = || replay(options, &format!("http://{}", door.address), &report_path);
    let report = match (options.rows, restarts) {
        (_, Some(restarts)) => while_restarting(restarts, replay)?,
        (Rows::Merging, None) => while_merging(&door, &setting, replay)?,
        _ => replay()?,
    };
    judge(&report, options)
}

/// The parts of a stream's day: more than make a merge due at once.
const SLICES: usize = 20;
/// Requests after which the compactor starts.
const BEFORE_MERGES: usize = 300;

/// Starts a compactor amid `replay`, and makes sure that it merged and deleted.
fn while_merging(
    door: &Door,
    setting: &Setting,
    replay: impl FnOnce() -> Result<Value>,
) -> Result<Value> {
    std::thread::scope(|scope| {
        let compactor = scope.spawn(|| {
            door.wait_for_requests(BEFORE_MERGES);
            setting.start("compactor", "compactor", &[], "")
        });
        let report = replay();
        door.let_go();
        let compactor = compactor.join().map_err(|_| anyhow::anyhow!("no compactor"))??;
        for metric in ["runelog_compactor_merges_total", "runelog_compactor_deleted_objects_total"]
        {
            if compactor.metric(metric)? == 0.0 {
                bail!("{metric} is 0: nothing happened during the replay");
            }
        }
        report
    })
}

/// Restarts an ingester amid `replay`, more than once.
fn while_restarting(
    mut restarts: Restarts,
    replay: impl FnOnce() -> Result<Value>,
) -> Result<Value> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let restarting = scope.spawn(|| restarts.run(|| is_over.load(Ordering::SeqCst)));
        let report = replay();
        is_over.store(true, Ordering::SeqCst);
        let count = restarting.join().map_err(|_| anyhow::anyhow!("no restarts"))??;
        eprintln!("an ingester was restarted {count} times");
        if count < 2 {
            bail!("{count} restarts during the replay are too few");
        }
        report
    })
}

/// What the answers were recorded with (tests/conformance/loki.yaml), on ports and folders of ours.
fn configuration(options: &Options, dir: &Path, state: &Path) -> String {
    let recorded = include_str!("../../tests/conformance/loki.yaml");
    let mut config = recorded
        .replace("http_listen_port: 33100", "http_listen_port: 0")
        .replace("grpc_listen_port: 39095", "grpc_listen_port: 0")
        .replace("path_prefix: /tmp/loki-conformance", &format!("path_prefix: {}", state.display()))
        .replace("/tmp/loki-conformance", &dir.join("data").display().to_string());
    if options.rows == Rows::Merging {
        config.push_str("\ncompactor:\n  delete_delay: 0s\n");
    }
    if matches!(options.rows, Rows::Half | Rows::Merging) {
        let overrides = dir.join("overrides.yaml");
        config.push_str(&format!("\nruntime_config:\n  file: {}\n", overrides.display()));
    }
    if let Some(split) = &options.split {
        config = config
            .replace("by_interval: 24h", &format!("by_interval: {split}"))
            .replace("parallelise_shardable_queries: false", "parallelise_shardable_queries: true");
    }
    config
}

/// Pushes the data set and leaves its rows where `rows` says.
fn push(cluster: &Cluster, rows: Rows) -> Result<()> {
    let read = |name: &str| -> Result<Value> {
        let text = std::fs::read_to_string(Path::new(DATASET).join(name))?;
        Ok(serde_json::from_str(&text)?)
    };
    let manifest = read("manifest.json")?;
    let mut files = Vec::new();
    for file in manifest["files"].as_array().context("the manifest lists files")? {
        let name = file["file"].as_str().context("a file has a name")?;
        files.push((file["tenant"].as_str().context("a file has a tenant")?, read(name)?));
    }
    let send = |keep: &dyn Fn(usize) -> bool| -> Result<()> {
        for (tenant, body) in &files {
            let headers = format!("Content-Type: application/json\r\nX-Scope-OrgID: {tenant}\r\n");
            let body = with_rows(body, keep).to_string();
            let path = "/loki/api/v1/push";
            let answer = cluster.distributor.request("POST", path, &headers, body.as_bytes())?;
            if answer.status != 204 {
                bail!("a push was answered {}", answer.text);
            }
        }
        Ok(())
    };
    match rows {
        Rows::Head => send(&|_| true),
        Rows::Parts => {
            send(&|_| true)?;
            cluster.flush()
        }
        Rows::Half => {
            send(&|place| place % 2 == 0)?;
            cluster.flush()?;
            send(&|place| place % 2 == 1)
        }
        Rows::Merging => (0..SLICES).try_for_each(|slice| {
            send(&|place| place % SLICES == slice)?;
            cluster.flush()
        }),
    }
}

/// The push without the rows that `keep` is false for, by their place in their stream. Rows of one
/// instant have one place: their order is that of their arrival.
fn with_rows(body: &Value, keep: &dyn Fn(usize) -> bool) -> Value {
    let mut body = body.clone();
    for stream in body["streams"].as_array_mut().into_iter().flatten() {
        if let Some(values) = stream["values"].as_array_mut() {
            let (mut place, mut last) = (0, Value::Null);
            values.retain(|row| {
                if row[0] != last {
                    place += 1;
                    last = row[0].clone();
                }
                keep(place)
            });
        }
    }
    body
}

struct Case {
    group: String,
    name: String,
    passed: bool,
}

fn cases(report: &Value) -> impl Iterator<Item = Case> + '_ {
    let list = report.as_array().or_else(|| report.get("cases").and_then(Value::as_array));
    list.into_iter().flatten().map(|case| Case {
        group: case["group"].as_str().unwrap_or_default().to_owned(),
        name: case["name"].as_str().unwrap_or_default().to_owned(),
        passed: case["pass"].as_bool().unwrap_or(false),
    })
}

/// Names in the committed list; a line is a case name, `#` begins a comment.
pub fn not_yet() -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(NOT_YET).unwrap_or_default();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn judge(report: &Value, options: &Options) -> Result<()> {
    let listed = not_yet()?;
    let mut failed = BTreeSet::new();
    let mut broken = Vec::new();
    let mut now_passing = Vec::new();
    let mut per_group: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for case in cases(report) {
        let count = per_group.entry(case.group.clone()).or_default();
        count.0 += usize::from(case.passed);
        count.1 += 1;
        match (case.passed, listed.contains(&case.name)) {
            (false, false) => broken.push(case.name.clone()),
            (true, true) => now_passing.push(case.name.clone()),
            _ => {}
        }
        if !case.passed {
            failed.insert(case.name);
        }
    }
    if per_group.is_empty() {
        bail!("no case was run");
    }
    if options.write {
        return shrink(&listed, &failed, options.groups.is_empty());
    }
    let passed: usize = per_group.values().map(|count| count.0).sum();
    let total: usize = per_group.values().map(|count| count.1).sum();
    eprintln!("{passed} of {total} cases pass; {} are listed in {NOT_YET}", listed.len());
    if !broken.is_empty() {
        bail!("{} cases fail that must pass: {}", broken.len(), broken.join(" "));
    }
    if !now_passing.is_empty() {
        bail!(
            "{} listed cases pass now; take them off {NOT_YET}: {}",
            now_passing.len(),
            now_passing.join(" ")
        );
    }
    Ok(())
}

/// Rewrites the list without the cases that pass. It never adds one, unless the list is empty.
fn shrink(listed: &BTreeSet<String>, failed: &BTreeSet<String>, whole: bool) -> Result<()> {
    if !whole {
        bail!("--write needs the whole corpus");
    }
    let kept: Vec<&String> = match listed.is_empty() {
        true => failed.iter().collect(),
        false => listed.intersection(failed).collect(),
    };
    let mut text = String::from(
        "# Recorded cases that may fail, one name a line. The list may only shrink:\n\
         # `cargo xtask conformance --write` takes off what passes and never adds.\n",
    );
    for name in kept {
        text.push_str(name);
        text.push('\n');
    }
    std::fs::write(NOT_YET, text)?;
    Ok(())
}
