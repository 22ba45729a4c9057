//! A flipped byte is news, not death (P8): a clear error that names the file, and the rest served.

use std::path::{Path, PathBuf};

use crate::harness::{Cluster, START_NS, Shape, Site, in_one_and_in_separate_processes};

in_one_and_in_separate_processes!(
    a_damaged_part_fails_its_queries_by_name_and_the_rest_is_served,
    a_damaged_commit_is_named_and_what_other_commits_hold_is_served,
    a_damaged_wal_record_is_named_and_the_others_are_replayed,
    a_damaged_checkpoint_is_named_and_the_log_serves_everything,
);

fn files_under(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files_under(&path, found) } else { found.push(path) }
    }
}

/// The files of the bucket whose path below it contains `piece`, sorted.
fn objects(site: &Site, piece: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files_under(&site.bucket(), &mut found);
    let bucket = site.bucket();
    found.retain(|path| {
        path.strip_prefix(&bucket).is_ok_and(|p| p.to_string_lossy().contains(piece))
    });
    found.sort();
    found
}

fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = std::fs::read(path).expect("read");
    let at = at(bytes.len());
    bytes[at] ^= 0x40;
    std::fs::write(path, bytes).expect("write");
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

fn push_and_flush(server: &Cluster, app: &str) {
    let lines = (0..300).map(|n| (START_NS + n * 1_000, format!("{app} line {n}")));
    server.push_lines(app, lines);
    server.flush();
}

fn a_damaged_part_fails_its_queries_by_name_and_the_rest_is_served(shape: Shape) {
    let site = Site::new(shape);
    let server = site.start();
    push_and_flush(&server, "good");
    let before = objects(&site, "");
    push_and_flush(&server, "bad");
    assert!(server.terminate().success());
    let mut fresh = objects(&site, "");
    fresh.retain(|path| !before.contains(path));
    fresh.retain(|path| !path.to_string_lossy().contains("/log/"));
    fresh.retain(|path| !path.to_string_lossy().contains("checkpoint"));
    let part = fresh.iter().max_by_key(|path| path.metadata().expect("meta").len());
    let part = part.expect("the flush wrote a part");
    flip(part, |_| 100);
    let server = site.start();
    let failed = server.query_range(r#"{app="bad"}"#);
    assert_eq!(failed.status, 500, "{}", failed.text());
    assert!(failed.text().contains(&name(part)), "{} in {}", name(part), failed.text());
    assert_eq!(server.lines(r#"{app="good"}"#).len(), 300);
    assert!(server.metric("runelog_store_corrupt_objects_total").unwrap_or(0.0) > 0.0);
}

fn a_damaged_commit_is_named_and_what_other_commits_hold_is_served(shape: Shape) {
    let site = Site::new(shape);
    let server = site.start();
    push_and_flush(&server, "one");
    let before = objects(&site, "log/");
    push_and_flush(&server, "two");
    push_and_flush(&server, "three");
    assert!(server.terminate().success());
    let mut fresh = objects(&site, "log/");
    fresh.retain(|path| !before.contains(path) && !path.to_string_lossy().contains("floor"));
    let commit = fresh.first().expect("the flush wrote a commit");
    flip(commit, |length| length / 2);
    let server = site.start();
    assert_eq!(server.lines(r#"{app="one"}"#).len(), 300);
    assert_eq!(server.lines(r#"{app="three"}"#).len(), 300);
    assert!(site.log().contains(&name(commit)), "{} in\n{}", name(commit), site.log());
    assert!(server.metric("runelog_store_corrupt_objects_total").unwrap_or(0.0) > 0.0);
}

fn a_damaged_wal_record_is_named_and_the_others_are_replayed(shape: Shape) {
    let site = Site::new(shape);
    let server = site.start();
    for n in 0..50 {
        server.push_lines("a", [(START_NS + n, format!("line {n} {}", "x".repeat(200)))]);
    }
    server.kill();
    let mut segments = Vec::new();
    files_under(&site.wal(), &mut segments);
    let segment = segments.iter().max_by_key(|path| path.metadata().expect("meta").len());
    let segment = segment.expect("a segment");
    flip(segment, |length| length / 2);
    let server = site.start();
    let lines = server.lines(r#"{app="a"}"#);
    assert!((45..50).contains(&lines.len()), "{} of 50 lines", lines.len());
    assert!(site.log().contains(&name(segment)), "{} in\n{}", name(segment), site.log());
    assert!(server.metric("loki_ingester_wal_corruptions_total").unwrap_or(0.0) > 0.0);
    // What is left goes its way into a part, and new rows too.
    server.push_lines("a", [(START_NS + 100, "new".to_owned())]);
    server.flush();
    assert_eq!(server.lines(r#"{app="a"}"#).len(), lines.len() + 1);
}

fn a_damaged_checkpoint_is_named_and_the_log_serves_everything(shape: Shape) {
    let site = Site::new(shape).with_config("ingester:\n  checkpoint_commits: 2\n");
    let server = site.start();
    for app in ["one", "two", "three", "four", "five"] {
        push_and_flush(&server, app);
    }
    assert!(server.terminate().success());
    let checkpoints = objects(&site, "checkpoint");
    assert!(!checkpoints.is_empty(), "no checkpoint among {:?}", objects(&site, ""));
    for checkpoint in &checkpoints {
        flip(checkpoint, |length| length / 2);
    }
    let server = site.start();
    assert_eq!(server.lines(r#"{app=~".+"}"#).len(), 1_500);
    assert!(checkpoints.iter().any(|path| site.log().contains(&name(path))), "{}", site.log());
    assert!(server.metric("runelog_store_corrupt_objects_total").unwrap_or(0.0) > 0.0);
}
