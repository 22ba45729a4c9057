//! Which seeds run.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::breaks::Break;
use super::profile::{LOWERED, REPLICATED};
use super::run;

/// Each thread has a simulation of its own.
const THREADS: usize = 2;

/// Seeds of one ordinary run of the tests; `RUNELOG_SIM_SEEDS=A..B` chooses others.
pub fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("RUNELOG_SIM_SEEDS") else { return 0..120 };
    let (from, to) = text.split_once("..").expect("RUNELOG_SIM_SEEDS is A..B");
    let number = |text: &str| text.trim().parse().expect("seeds are numbers");
    number(from)..number(to)
}

/// The end of a log.
fn tail(log: &str, lines: usize) -> String {
    let all: Vec<&str> = log.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[test]
fn every_seed_keeps_every_promise() {
    all_keep(seeds());
}

#[test]
fn every_seed_with_three_copies_of_a_row_keeps_every_promise() {
    let count = seeds().end - seeds().start;
    all_keep(REPLICATED..REPLICATED + if count == 1 { 0 } else { count.min(120) });
}

#[test]
fn every_seed_whose_number_of_copies_changes_keeps_every_promise() {
    let count = seeds().end - seeds().start;
    all_keep(LOWERED..LOWERED + if count == 1 { 0 } else { count.min(40) });
}

fn all_keep(seeds: std::ops::Range<u64>) {
    let echo = seeds.end - seeds.start == 1;
    let summary = echo || std::env::var_os("RUNELOG_SIM_SUMMARY").is_some();
    let (next, failed) = (Arc::new(AtomicU64::new(seeds.start)), Arc::default());
    let mut threads = Vec::new();
    for _ in 0..if echo { 1 } else { THREADS } {
        let (next, failed, end) = (next.clone(), Arc::clone(&failed), seeds.end);
        let work = move || {
            loop {
                let seed = next.fetch_add(1, Ordering::SeqCst);
                if seed >= end {
                    return;
                }
                one(seed, echo, summary, &failed);
            }
        };
        threads.push(base::task::thread("seeds", work).expect("a thread"));
    }
    for thread in threads {
        assert!(thread.join().is_ok(), "the simulation itself panicked");
    }
    let failed = failed.lock().expect("no seed panics with it");
    assert!(failed.is_empty(), "seeds that break a promise: {failed:?}");
}

fn one(seed: u64, echo: bool, summary: bool, failed: &Mutex<BTreeSet<u64>>) {
    let report = run(seed, Break::Nothing, echo);
    if summary {
        eprintln!("seed {seed}: {}", report.summary);
    }
    if let Some(violation) = report.violation {
        let log = tail(&report.log, if echo { 0 } else { 60 });
        eprintln!("{log}\nseed {seed} breaks a promise: {violation}");
        eprintln!("the whole log: cargo xtask sim --seed {seed}\n");
        failed.lock().expect("no seed panics with it").insert(seed);
    }
}

fn keeps_every_promise(seed: u64) {
    let report = run(seed, Break::Nothing, false);
    assert_eq!(
        report.violation,
        None,
        "seed {seed}: {}\n{}",
        report.summary,
        tail(&report.log, 60)
    );
}

#[test]
fn seed_1539_a_disk_that_fails_late_ends_its_process() {
    keeps_every_promise(1539);
}

#[test]
fn seed_2662_a_full_disk_has_room_again_after_a_restart() {
    keeps_every_promise(2662);
}

#[test]
fn seed_4159_both_disks_fail_late() {
    keeps_every_promise(4159);
}

#[test]
fn seed_4042_a_segment_that_could_not_be_deleted_goes_without_new_pushes() {
    keeps_every_promise(4042);
}

/// Seeds of several kinds of trouble.
const KINDS: [u64; 8] = [1, 4, 5, 8, 9, 19, REPLICATED + 7, REPLICATED + 9];

#[test]
fn the_same_seed_gives_the_same_event_log() {
    for seed in KINDS {
        let (first, second) = (run(seed, Break::Nothing, false), run(seed, Break::Nothing, false));
        let differs = first.log.lines().zip(second.log.lines()).find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.log, second.log, "seed {seed}");
        assert!(first.events > 100, "seed {seed}: {} events", first.events);
    }
}

/// What two processes must agree on.
fn fingerprints() -> Vec<String> {
    let fingerprint = |seed| {
        let log = run(seed, Break::Nothing, false).log;
        format!("seed {seed} log {:032x}", base::hash::hash128(log.as_bytes()))
    };
    KINDS.into_iter().map(fingerprint).collect()
}

#[test]
#[ignore = "the other half of another_process_gives_the_same_event_log"]
fn prints_fingerprints() {
    fingerprints().iter().for_each(|line| println!("\n{line}"));
}

#[test]
fn another_process_gives_the_same_event_log() {
    let me = std::env::current_exe().expect("own path");
    let mut command = std::process::Command::new(me);
    command.args(["--exact", "cluster::seeds::prints_fingerprints", "--ignored", "--nocapture"]);
    let out = command.output().expect("a second process");
    let text = String::from_utf8_lossy(&out.stdout);
    let theirs: Vec<&str> = text.lines().filter(|line| line.starts_with("seed ")).collect();
    assert_eq!(theirs, fingerprints());
}

/// The first of `tries` seeds, `first` and every tenth after it (seeds of one kind of trouble), that
/// notices what is broken; the violation.
fn notices(broken: Break, first: u64, tries: u64) -> (u64, String) {
    for seed in (first..).step_by(10).take(tries as usize) {
        let echo = std::env::var_os("RUNELOG_SIM_ECHO").is_some();
        if let Some(violation) = run(seed, broken, echo).violation {
            return (seed, violation);
        }
    }
    panic!("{broken:?} goes unnoticed by {tries} seeds from {first} on");
}

#[test]
#[ignore = "a tool: which of RUNELOG_SIM_SEEDS notice the rule that RUNELOG_SIM_BREAK names"]
fn prints_who_notices() {
    let name = std::env::var("RUNELOG_SIM_BREAK").expect("RUNELOG_SIM_BREAK is a rule");
    for broken in Break::ALL.into_iter().filter(|broken| format!("{broken:?}") == name) {
        for seed in seeds() {
            if let Some(violation) = run(seed, broken, false).violation {
                println!("\nseed {seed}: {violation:.200}");
            }
        }
    }
}

#[test]
fn an_ack_before_the_fsync_is_noticed() {
    let (_, violation) = notices(Break::AckBeforeSync, 1, 10);
    assert!(violation.contains("P1/P3"), "{violation}");
}

#[test]
fn rows_dropped_on_a_notice_are_noticed() {
    let (_, violation) = notices(Break::DropOnNotice, 0, 10);
    assert!(violation.contains("P1/P3"), "{violation}");
}

#[test]
fn two_owners_that_flush_one_batch_are_noticed() {
    // Rare: both must flush before either has read the other's commit. Any kind of trouble will do.
    let told = |seed| run(seed, Break::NoCompare, false).violation.unwrap_or_default();
    let noticed = (0..400).any(|seed| told(seed).contains("claimed a second time"));
    assert!(noticed, "a batch that two commits claim goes unnoticed by 400 seeds");
}

#[test]
fn a_number_used_twice_is_noticed() {
    // Its maker is left behind: what it dropped is missed, or it cannot answer at the readers' view.
    // So is a reader whose view names parts that a later merge had removed.
    let (_, violation) = notices(Break::NumberUsedTwice, 6, 20);
    let texts = ["P1/P3", "without a fault", "no answer"];
    assert!(texts.iter().any(|text| violation.contains(text)), "{violation}");
}

#[test]
fn an_answer_at_another_view_is_noticed() {
    // Somebody must flush and forget between a look at the log and a question: stalls help, and so
    // do followers, who keep nothing of what was flushed.
    let kinds = [5, 7, 9, REPLICATED + 5, REPLICATED + 7, REPLICATED + 9];
    let seeds = (0..40).flat_map(|n| kinds.map(|kind| kind + 10 * n));
    let told = |seed| run(seed, Break::OtherView, false).violation.unwrap_or_default();
    let noticed = seeds.into_iter().any(|seed| told(seed).contains("P1/P3"));
    assert!(noticed, "answers at other views go unnoticed by 240 seeds");
}

#[test]
fn a_silent_ingester_taken_for_an_empty_one_is_noticed() {
    let (_, violation) = notices(Break::ShortAnswer, 1, 5);
    assert!(violation.contains("P1/P3"), "{violation}");
}

#[test]
fn an_ack_of_any_majority_is_noticed() {
    let (_, violation) = notices(Break::AnyMajority, REPLICATED + 3, 20);
    assert!(violation.contains("B3"), "{violation}");
}

#[test]
fn a_follower_that_does_not_look_at_g_is_noticed() {
    let (_, violation) = notices(Break::NoGone, REPLICATED + 1, 40);
    assert!(violation.contains("P1/P3"), "{violation}");
}

#[test]
fn a_follower_that_drops_on_a_notice_is_noticed() {
    // Rows are missed, or nobody can answer at the readers' view, which knows no such commit.
    let (_, violation) = notices(Break::DropOnNotice, REPLICATED + 7, 40);
    let is_told = ["P1/P3", "no answer"].iter().any(|text| violation.contains(text));
    assert!(is_told, "{violation}");
}

#[test]
fn an_answer_without_most_copies_is_noticed() {
    let (_, violation) = notices(Break::ManyGone, REPLICATED + 6, 20);
    assert!(violation.contains("P1/P3"), "{violation}");
}

#[test]
fn a_store_that_is_cleared_too_early_is_noticed() {
    let (_, violation) = notices(Break::ClearUnseen, REPLICATED + 9, 20);
    assert!(violation.contains("P1/P3"), "{violation}");
}

#[test]
fn a_reader_that_knows_nobody_gives_no_answer() {
    // The founder of the ring has acknowledged rows, and the reader has not heard of it.
    passes(&[REPLICATED + 39]);
}

#[test]
fn a_take_over_without_the_compare_is_noticed() {
    let told = |seed| run(REPLICATED + seed, Break::NoCompare, false).violation;
    let twice = |seed| told(seed).unwrap_or_default().contains("claimed a second time");
    assert!((0..400).any(twice), "a batch that two commits claim goes unnoticed by 400 seeds");
}

/// Seeds that have failed once and must not again.
fn passes(seeds: &[u64]) {
    for &seed in seeds {
        assert_eq!(run(seed, Break::Nothing, false).violation, None, "seed {seed}");
    }
}

#[test]
fn an_ack_after_the_loss_of_its_disk_promises_nothing() {
    // A push of two batches: the disk that took one is lost before the other is answered.
    passes(&[1897, 2277, 2927, 3999]);
}

#[test]
fn a_flush_makes_safe_what_its_own_disk_held() {
    // A row is pushed twice: flushed here before it came here, acknowledged first by a disk lost since.
    passes(&[1117]);
}

#[test]
fn the_first_query_after_all_disks_were_lost_finds_the_new_stores() {
    // Two or three stores while nobody asked: more than a querier looked for again.
    passes(&[2388, 2697, 3137]);
}

#[test]
fn a_store_that_a_newer_ring_does_without_is_read_in_the_parts_of_a_newer_log() {
    passes(&[REPLICATED + 4472]);
}

#[test]
fn a_batch_that_came_late_to_a_follower_only_is_flushed_in_its_turn() {
    // 1,199 seconds late; its owner's disk was full.
    passes(&[REPLICATED + 3849]);
}
