//! `kill -9` under load: what was acknowledged is there exactly once, and nothing else.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use base::random::{Random, SeededRandom};

use crate::harness::{START_NS, Server, Site, body_of};

const ROUNDS: u64 = 20;
const CONNECTIONS: u64 = 8;
const LINES_PER_PUSH: u64 = 25;

/// What happened to the pushes of one round.
#[derive(Default)]
struct Ledger {
    /// First line number of every push that was sent, and whether its 204 came.
    pushes: Mutex<BTreeMap<u64, bool>>,
}

fn line_of(round: u64, number: u64) -> String {
    format!("round={round} line={number}")
}

/// Pushes until the connection breaks. Line numbers are unique in the round.
fn push_until_dead(address: &str, round: u64, next: &AtomicU64, acks: &AtomicU64, ledger: &Ledger) {
    let Ok(mut connection) = crate::http::Connection::open(address) else { return };
    loop {
        let first = next.fetch_add(LINES_PER_PUSH, Ordering::SeqCst);
        let numbers = first..first + LINES_PER_PUSH;
        let lines = numbers.map(|n| (START_NS + n as i64, line_of(round, n)));
        // Four streams a round, shared by all connections: their rows interleave.
        let body = body_of(&format!("r{round}s{}", (first / LINES_PER_PUSH) % 4), lines);
        ledger.pushes.lock().expect("no panic").insert(first, false);
        let headers = [("Content-Type", "application/json")];
        let text = body.to_string();
        match connection.request("POST", "/loki/api/v1/push", &headers, text.as_bytes()) {
            Ok(response) => {
                assert_eq!(response.status, 204, "{}", response.text());
                ledger.pushes.lock().expect("no panic").insert(first, true);
                acks.fetch_add(1, Ordering::SeqCst);
            }
            Err(_) => return,
        }
    }
}

fn check(server: &Server, round: u64, ledger: &Ledger) {
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for line in server.lines(&format!(r#"{{app=~"r{round}s.*"}}"#)) {
        *found.entry(line).or_default() += 1;
    }
    let pushes = ledger.pushes.lock().expect("no panic");
    let mut sent = 0;
    for (&first, &acked) in pushes.iter() {
        for number in first..first + LINES_PER_PUSH {
            let line = line_of(round, number);
            let times = found.remove(&line).unwrap_or(0);
            sent += times;
            assert!(times <= 1, "{line} came {times} times");
            assert!(times == 1 || !acked, "{line} was acknowledged and is gone");
        }
    }
    assert!(found.is_empty(), "foreign lines: {found:?}");
    let count = server.number(&format!(r#"sum(count_over_time({{app=~"r{round}s.*"}}[3h]))"#));
    assert_eq!(count, sent as f64, "the count agrees with the lines of round {round}");
}

#[test]
fn kill_9_under_load_loses_nothing_acknowledged_and_doubles_nothing() {
    let random = SeededRandom::new(20_241_101);
    let site = Site::new();
    let mut ledgers: Vec<Ledger> = Vec::new();
    for round in 0..ROUNDS {
        let server = site.start();
        if let Some(last) = ledgers.last() {
            check(&server, round - 1, last);
        }
        let ledger = Ledger::default();
        let (next, acks) = (AtomicU64::new(0), AtomicU64::new(0));
        let kill_after = 5 + random.next_u64() % 200;
        // Every third round a flush runs into the kill.
        let flush_after = (round % 3 == 2).then_some(kill_after / 2);
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| push_until_dead(&server.address, round, &next, &acks, &ledger));
            }
            let mut flushed = false;
            while acks.load(Ordering::SeqCst) < kill_after {
                if flush_after.is_some_and(|at| acks.load(Ordering::SeqCst) >= at) && !flushed {
                    flushed = true;
                    assert_eq!(server.post("/flush", &[], b"").status, 204);
                }
                std::thread::yield_now();
            }
            server.signal("-KILL");
        });
        server.wait();
        ledgers.push(ledger);
    }
    let server = site.start();
    for (round, ledger) in ledgers.iter().enumerate() {
        check(&server, round as u64, ledger);
    }
    server.flush();
    for (round, ledger) in ledgers.iter().enumerate() {
        check(&server, round as u64, ledger);
    }
}
