use std::sync::Arc;

use clap::Parser;

use super::*;
use crate::terminal::output::LabelSet;
use crate::terminal::testing::{Replay, ok};

fn entry(ts_ns: i64, line: &str) -> Entry {
    let labels = Arc::new(LabelSet::from([("app".to_owned(), "a".to_owned())]));
    Entry { stream: 0, labels, ts_ns, line: line.to_owned() }
}

/// One walk over `entries`; what of it is new.
fn walk(follow: &mut Follow, now_ns: i64, entries: &[(i64, &str)]) -> Vec<String> {
    follow.begin_walk();
    let (mut new, from_ns) = (Vec::new(), follow.from_ns);
    for &(ts_ns, line) in entries.iter().filter(|(ts_ns, _)| *ts_ns >= from_ns) {
        if follow.is_new(&entry(ts_ns, line)) {
            new.push(line.to_owned());
        }
    }
    follow.advance(now_ns);
    new
}

#[test]
fn a_late_line_within_the_overlap_is_printed_once() {
    let mut follow = Follow::new(10);
    follow.begin(0, 100, &[entry(50, "a"), entry(60, "b")], false);
    assert_eq!(walk(&mut follow, 110, &[(50, "a"), (60, "b"), (100, "c")]), ["c"]);
    assert_eq!(follow.from_ns, 90);
    assert_eq!(walk(&mut follow, 120, &[(92, "late"), (100, "c"), (101, "d")]), ["late", "d"]);
    assert_eq!(walk(&mut follow, 130, &[(92, "late"), (100, "c"), (101, "d")]), [""; 0]);
}

#[test]
fn rows_that_look_the_same_are_all_printed() {
    let mut follow = Follow::new(10);
    follow.begin(0, 100, &[], false);
    assert_eq!(walk(&mut follow, 110, &[(50, "a"), (50, "a")]), ["a", "a"]);
    assert_eq!(walk(&mut follow, 120, &[(50, "a"), (50, "a"), (50, "a")]), ["a"]);
    assert_eq!(walk(&mut follow, 120, &[(50, "a"), (50, "a"), (50, "a")]), [""; 0]);
}

#[test]
fn a_line_from_the_future_does_not_hide_the_present() {
    let mut follow = Follow::new(10);
    follow.begin(0, 100, &[], false);
    assert_eq!(walk(&mut follow, 110, &[(9_000, "future")]), ["future"]);
    assert_eq!(follow.from_ns, 100);
    assert_eq!(walk(&mut follow, 120, &[(105, "now"), (9_000, "future")]), ["now"]);
}

#[test]
fn without_any_line_nothing_is_passed_over() {
    let mut follow = Follow::new(10);
    follow.begin(40, 100, &[], false);
    assert_eq!(walk(&mut follow, 500, &[]), [""; 0]);
    assert_eq!(follow.from_ns, 40);
    // What the beginning cut off stays cut off.
    let mut follow = Follow::new(10);
    follow.begin(40, 100, &[entry(95, "x")], true);
    assert_eq!(follow.from_ns, 95);
}

#[test]
fn what_is_remembered_is_bounded_by_the_overlap() {
    let mut follow = Follow::new(10);
    follow.begin(0, 0, &[], false);
    for ts_ns in 0..1_000 {
        assert_eq!(walk(&mut follow, ts_ns, &[(ts_ns, "x")]).len(), 1);
        assert!(follow.known.len() <= 11, "{}", follow.known.len());
    }
}

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    tail: Tail,
}

#[tokio::test]
async fn the_beginning_and_each_poll_ask_for_what_is_missing() {
    let page = |values: &str| {
        ok(&format!(
            r#"{{"status":"success","data":{{"resultType":"streams",
                "result":[{{"stream":{{"app":"a"}},"values":[{values}]}}]}}}}"#
        ))
    };
    let answers = [page(r#"["20","b"],["10","a"]"#), page(r#"["20","b"],["30","c"]"#)];
    let replay = Replay::start(answers).await;
    let words = ["tail", "{app=\"a\"}", "--url", &replay.url, "--overlap", "0", "--limit", "2"];
    let tail = Words::try_parse_from(words).unwrap().tail;
    let connection = tail.connect.open().unwrap();
    let mut follow = Follow::new(time::nanoseconds(tail.overlap));
    let now_ns = 1_000_000_000;
    let history = tail.history(&connection, now_ns, &mut follow).await.unwrap();
    let lines: Vec<&str> = history.iter().map(|entry| entry.line.as_str()).collect();
    assert_eq!(lines, ["a", "b"]);
    let mut out = Vec::new();
    tail.poll(&connection, now_ns, &mut follow, &mut out).await.unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.ends_with("{app=\"a\"} c\n") && out.lines().count() == 1, "{out}");
    let asked = replay.asked();
    let param = |at: usize, name: &str| asked[at].params[name].clone();
    assert_eq!((param(0, "direction"), param(0, "limit")), ("backward".into(), "2".into()));
    assert_eq!((param(1, "direction"), param(1, "start")), ("forward".into(), "20".into()));
}
