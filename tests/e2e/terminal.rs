//! The subcommands, against the process that they belong to.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::{Role, Shape, Site, binary, in_one_and_in_separate_processes};
use crate::process::wait_for;

in_one_and_in_separate_processes!(
    a_pushed_file_comes_back_complete_and_in_order_before_and_after_a_flush,
    a_tail_shows_each_line_once_and_ends_well_with_ctrl_c,
);

/// `runelog WORDS`, without the settings of whoever runs the tests.
fn runelog<'a>(words: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(binary());
    command.args(words).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOKI_")) {
        command.env_remove(name);
    }
    command
}

fn run<'a>(words: impl IntoIterator<Item = &'a str>) -> Output {
    runelog(words).output().expect("run the binary")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Lines of all kinds.
fn lines() -> Vec<String> {
    (0..10_000)
        .map(|n| match n % 1_000 {
            7 => String::new(),
            8 => "  spaces around  ".to_owned(),
            9 => "långe Zeile → 日本語 🦀 ".repeat(2_000),
            _ => format!("level=info n={n} msg=\"a line with \\\"quotes\\\" and ünïcode\""),
        })
        .collect()
}

fn a_pushed_file_comes_back_complete_and_in_order_before_and_after_a_flush(shape: Shape) {
    let site = Site::new(shape);
    let cluster = site.start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("app.log");
    let lines = lines();
    // The last line has no line feed behind it.
    std::fs::write(&file, lines.join("\n")).expect("write the file");
    let path = file.to_str().expect("UTF-8");
    let pushed =
        run(["push", path, "--url", cluster.push_address(), "-l", "app=demo", "--no-filename"]);
    let said = text(&pushed.stdout);
    assert!(pushed.status.success(), "{said}{}", text(&pushed.stderr));
    assert!(said.contains("pushed 10000 lines") && said.contains("0 rejected"), "{said}");

    let url = cluster.process(Role::Frontend).http.clone();
    let all = ["query", "{app=\"demo\"}", "--url", &url, "--limit", "0", "--batch", "777"];
    let wanted = lines.join("\n") + "\n";
    for flushed in [false, true] {
        if flushed {
            cluster.flush();
        }
        let forward = run(all.into_iter().chain(["--forward", "-o", "raw", "--quiet"]));
        assert!(forward.status.success(), "{}", text(&forward.stderr));
        assert!(text(&forward.stdout) == wanted, "forward, flushed: {flushed}");
        let backward = run(all.into_iter().chain(["-o", "raw"]));
        let newest_first: Vec<String> = lines.iter().rev().cloned().collect();
        assert!(text(&backward.stdout) == newest_first.join("\n") + "\n", "flushed: {flushed}");
        let note = text(&backward.stderr);
        assert!(note.starts_with("Common labels: {app=\"demo\""), "{note}");
    }
    let labels = run(["labels", "app", "--url", &url]);
    assert_eq!(text(&labels.stdout), "demo\n");
    let series = run(["series", "{app=\"demo\"}", "--url", &url]);
    let wanted = "{app=\"demo\", job=\"runelog-push\", service_name=\"demo\"}\n";
    assert_eq!(text(&series.stdout), wanted);
    let count = "sum(count_over_time({app=\"demo\"}[1h]))";
    let count = run(["query", count, "--url", &url, "--now", "now"]);
    let count: Value = serde_json::from_slice(&count.stdout).expect("JSON");
    assert_eq!(count[0]["value"][1], "10000");
}

/// A tail whose lines are collected; killed when it is dropped.
struct Tail {
    child: Child,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Tail {
    fn start(url: &str) -> Tail {
        let words = ["tail", "{app=\"tail\"}", "--url", url, "-o", "raw", "--poll", "50ms"];
        let mut child = runelog(words).stdout(Stdio::piped()).spawn().expect("start");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let collect = Arc::clone(&seen);
        let work = move || {
            for line in lines.map_while(Result::ok) {
                collect.lock().expect("no panic").push(line);
            }
        };
        base::task::thread("tail", work).expect("a thread");
        Tail { child, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn push_stdin(url: &str, lines: &[String]) {
    let mut push = runelog(["push", "--url", url, "-l", "app=tail", "--quiet"]);
    let mut push = push.stdin(Stdio::piped()).spawn().expect("start");
    let mut input = push.stdin.take().expect("piped");
    for line in lines {
        writeln!(input, "{line}").expect("write");
    }
    drop(input);
    assert!(push.wait().expect("it ends").success());
}

fn a_tail_shows_each_line_once_and_ends_well_with_ctrl_c(shape: Shape) {
    let site = Site::new(shape);
    let cluster = site.start();
    let url = cluster.process(Role::Frontend).http.clone();
    let mut pushed = Vec::new();
    let mut push = |from: usize, to: usize| {
        let lines: Vec<String> = (from..to).map(|n| format!("line {n}")).collect();
        push_stdin(cluster.push_address(), &lines);
        pushed.extend(lines);
        pushed.clone()
    };
    let before = push(0, 5);
    let mut tail = Tail::start(&url);
    wait_for("the lines before are shown", || tail.seen().len() >= before.len());
    for round in 0..4 {
        if round == 2 {
            cluster.flush();
        }
        let all = push(5 + round * 700, 5 + (round + 1) * 700);
        wait_for("the new lines are shown", || tail.seen().len() >= all.len());
        assert!(tail.seen() == all, "round {round}");
    }
    let pid = tail.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    assert!(tail.child.wait().expect("it ends").success());
}

#[test]
fn what_the_server_refuses_is_shown_and_fails_the_push() {
    let limits = "limits_config:\n  max_line_size: 1KB\n";
    let site = Site::new(Shape::One).with_config(limits);
    let cluster = site.start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("app.log");
    std::fs::write(&file, format!("short\n{}\nend", "x".repeat(2_000))).expect("write the file");
    let path = file.to_str().expect("UTF-8");
    let pushed = run(["push", path, "--url", cluster.push_address(), "-l", "app=big"]);
    assert_eq!(pushed.status.code(), Some(1));
    let said = text(&pushed.stderr);
    assert!(said.contains("400 Bad Request: max entry size"), "{said}");
    assert_eq!(said.matches("max entry size").count(), 1, "shown once: {said}");
    // The other lines were taken.
    let url = &cluster.process(Role::Frontend).http;
    let found = run(["query", "{app=\"big\"}", "--url", url, "-o", "raw", "-q", "--forward"]);
    assert_eq!(text(&found.stdout), "short\nend\n");
    let bad = run(["query", "{app=", "--url", url]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad.stderr).contains("parse error at line 1"), "{}", text(&bad.stderr));
    assert_eq!(run(["nosuch"]).status.code(), Some(2));
    assert!(text(&run(["help"]).stdout).contains("inspect"));
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("entry").path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// What `inspect` says about a file, and whether it is sound.
fn inspect(file: &Path) -> Value {
    let output = run(["inspect", "--json", file.to_str().expect("UTF-8")]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(output.status.success(), report["sound"] == true, "{report}");
    let shown = run(["inspect", "--rows", "3", file.to_str().expect("UTF-8")]);
    assert!(text(&shown.stdout).contains(report["kind"].as_str().expect("a kind")));
    report
}

#[test]
fn inspect_reads_the_files_that_the_process_wrote() {
    let site = Site::new(Shape::One);
    let cluster = site.start();
    let lines: Vec<String> = (0..3_000).map(|n| format!("line {n}")).collect();
    push_stdin(cluster.push_address(), &lines);

    let segments: Vec<Value> = files_below(&site.wal())
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .map(|path| inspect(path))
        .collect();
    assert!(segments.iter().all(|report| report["sound"] == true), "{segments:?}");
    let rows: u64 = segments.iter().filter_map(|report| report["rows"].as_u64()).sum();
    assert_eq!(rows, 3_000);
    let store = inspect(&site.wal().join("store"));
    let owner = segments[0]["records"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(owner.split('/').nth(1), store["store"].as_str());

    cluster.flush();
    let mut part = None;
    let (mut rows, mut added) = (0, 0);
    for file in files_below(&site.bucket()) {
        let report = inspect(&file);
        assert_eq!(report["sound"], true, "{report}");
        match report["kind"].as_str() {
            Some("part") => {
                rows += report["rows"].as_u64().expect("rows");
                part = Some(file);
            }
            Some("commit") => added += report["rows_added"].as_u64().expect("rows"),
            Some("cluster.json") => assert_eq!(report["first_voters"][0]["store"], store["store"]),
            _ => {}
        }
    }
    assert_eq!((rows, added), (3_000, 3_000));

    let mut bytes = std::fs::read(part.expect("a part")).expect("read");
    bytes[10] ^= 1;
    let folder = tempfile::tempdir().expect("a folder");
    let bad = folder.path().join("part");
    std::fs::write(&bad, bytes).expect("write");
    let report = inspect(&bad);
    assert_eq!((report["sound"].clone(), report["rows"].clone()), (false.into(), 3_000.into()));
    let problem = report["damage"][0]["problem"].as_str().expect("a text");
    assert!(problem.starts_with("group 0 page 0 lines"), "{problem}");
}
