use std::collections::BTreeMap;

use clap::Parser;

use super::*;
use crate::terminal::testing::{Answer, Replay};

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    push: Push,
}

/// Pushes `text` as a file; gives what became of it, its counts and the requests.
async fn run(
    text: &[u8],
    words: &[&str],
    answers: Vec<Answer>,
) -> (Result<()>, progress::Counts, Replay) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.log");
    std::fs::write(&file, text).unwrap();
    let replay = Replay::start(answers).await;
    let head = ["push", file.to_str().unwrap(), "--url", &replay.url, "--quiet"];
    let push = Words::try_parse_from(head.iter().chain(words)).unwrap().push;
    let connection = push.connect.open().unwrap();
    let sources: Vec<Source> = push.files.iter().map(|file| Source::new(file)).collect();
    let (clock, random) = (SystemClock, SystemRandom);
    let retries = push.retries;
    let sender = Sender { connection: &connection, retries, clock: &clock, random: &random };
    let progress = Progress::new(&clock, None, true);
    let mut run = Run { push: &push, sources: &sources, sender, progress };
    let ended = run.run().await;
    let counts = *run.progress.counts();
    (ended, counts, replay)
}

fn stored() -> Answer {
    (204, vec![], String::new())
}

/// Streams of a body by labels: timestamps and lines.
type Streams = BTreeMap<String, Vec<(i64, String)>>;

/// Reads a body back with nothing of what wrote it.
fn decode(body: &[u8]) -> Streams {
    let raw = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    let mut streams = Streams::new();
    for (_, stream) in fields(&raw) {
        let parts = fields(stream);
        let labels = String::from_utf8(parts[0].1.to_vec()).unwrap();
        let entries = streams.entry(labels).or_default();
        for (_, entry) in &parts[1..] {
            let entry = fields(entry);
            let mut ts_ns = 0;
            for (field, value) in fields(entry[0].1) {
                let value = number(value).0 as i64;
                ts_ns += if field == 1 { value * 1_000_000_000 } else { value };
            }
            let line = String::from_utf8(entry[1].1.to_vec()).unwrap();
            entries.push((ts_ns, line));
        }
    }
    streams
}

fn number(bytes: &[u8]) -> (u64, usize) {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let value = bytes[..end].iter().rev().fold(0, |n, byte| n << 7 | u64::from(byte & 0x7f));
    (value, end)
}

/// Fields of a message: number, and the bytes of its value.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (tag, at) = number(bytes);
        bytes = &bytes[at..];
        let (value, at) = number(bytes);
        let end = if tag & 7 == 2 { at + value as usize } else { at };
        let from = if tag & 7 == 2 { at } else { 0 };
        out.push((tag >> 3, &bytes[from..end]));
        bytes = &bytes[end..];
    }
    out
}

#[tokio::test]
async fn every_line_arrives_once_in_order_with_growing_timestamps() {
    let lines: Vec<String> = (0..30_000)
        .map(|n| match n % 1000 {
            1 => String::new(),
            2 => "ünïcode → ".repeat(1_000),
            _ => format!("line {n} of a log that is longer than one body"),
        })
        .collect();
    let text = lines.join("\n");
    let words = ["-l", "app=demo", "--no-filename", "--connections", "3"];
    let (ended, counts, replay) = run(text.as_bytes(), &words, vec![stored(); 9]).await;
    ended.unwrap();
    let line_bytes = lines.iter().map(|line| line.len() as u64).sum();
    assert_eq!((counts.lines, counts.line_bytes, counts.rejected), (30_000, line_bytes, 0));
    let asked = replay.asked();
    assert!(asked.len() > 1 && asked.len() as u64 == counts.bodies);
    let mut found = Vec::new();
    for request in &asked {
        assert_eq!(request.path, "/loki/api/v1/push");
        assert_eq!(request.headers["content-type"], "application/x-protobuf");
        let streams = decode(&request.body);
        let (labels, entries) = streams.into_iter().next().unwrap();
        assert_eq!(labels, "{app=\"demo\", job=\"runelog-push\"}");
        found.extend(entries);
    }
    // Several requests were under way: their order is that of the timestamps.
    found.sort_by_key(|(ts_ns, _)| *ts_ns);
    assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(found.into_iter().map(|(_, line)| line).eq(lines));
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_a_refusal_is_counted() {
    let busy = (429, vec![("retry-after", "0".to_owned())], "slow down".to_owned());
    let broken = (503, vec![("retry-after", "0".to_owned())], String::new());
    let answers = vec![busy.clone(), broken, stored()];
    let (ended, counts, replay) = run(b"one\ntwo", &[], answers).await;
    ended.unwrap();
    assert_eq!((counts.lines, counts.retries, counts.rejected), (2, 2, 0));
    let bodies: Vec<_> = replay.asked().into_iter().map(|asked| asked.body).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "the same lines at the same instants");

    let refused = (400, vec![], "max entry size '1' bytes exceeded".to_owned());
    let (ended, counts, _) = run(b"one\ntwo", &[], vec![refused]).await;
    ended.unwrap();
    assert_eq!((counts.lines, counts.rejected, counts.rejected_bodies), (0, 2, 1));

    // Loki's status for a blocked tenant is a success that is none.
    let blocked = (260, vec![], "ingestion blocked".to_owned());
    let (_, counts, _) = run(b"one\ntwo", &[], vec![blocked]).await;
    assert_eq!((counts.lines, counts.rejected), (0, 2));

    let (ended, counts, replay) = run(b"one", &["--retries", "1"], vec![busy; 5]).await;
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("slow down") && error.contains("gave up after 1"), "{error}");
    assert_eq!((counts.lines, replay.asked().len()), (0, 2));
}

#[tokio::test]
async fn what_no_body_would_pass_ends_the_push() {
    let refused = (401, vec![], "no org id".to_owned());
    let (ended, _, replay) = run(b"one", &[], vec![refused]).await;
    assert!(ended.unwrap_err().to_string().contains("401 Unauthorized: no org id"));
    assert_eq!(replay.asked().len(), 1);
}

#[tokio::test]
async fn files_have_their_name_as_a_label_and_lines_their_own_time() {
    let text = b"ts=1700000000 a\nts=1700000000 b\nno time\n\xff";
    let words = ["--timestamp-field", "ts", "-l", "job=\"x\""];
    let (ended, counts, replay) = run(text, &words, vec![stored()]).await;
    ended.unwrap();
    assert_eq!((counts.lines, counts.replaced), (4, 1));
    let streams = decode(&replay.asked()[0].body);
    let (labels, entries) = streams.first_key_value().unwrap();
    assert!(labels.starts_with("{filename=\"/") && labels.ends_with("app.log\", job=\"x\"}"));
    let start = 1_700_000_000_000_000_000;
    let wanted = [
        (start, "ts=1700000000 a"),
        (start + 1, "ts=1700000000 b"),
        (start + 2, "no time"),
        (start + 3, "\u{fffd}"),
    ];
    assert!(entries.iter().map(|(ts, line)| (*ts, line.as_str())).eq(wanted));
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let (ended, counts, _) = run(b"one", &["/nowhere/x.log"], vec![stored()]).await;
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("/nowhere/x.log"), "{error}");
    assert_eq!(counts.lines, 0);
}

#[test]
fn labels_are_name_and_value() {
    assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
    assert_eq!(label("a=\"b\""), Ok(("a".to_owned(), "b".to_owned())));
    for bad in ["a", "=b", "1a=b", "a-b=c"] {
        assert!(label(bad).is_err(), "{bad}");
    }
}
