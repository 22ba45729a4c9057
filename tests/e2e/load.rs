//! Pushes over several connections with a record of what was acknowledged, and the check that all
//! of it is there exactly once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::harness::{Cluster, START_NS, body_of};
use crate::http::Connection;

pub const CONNECTIONS: u64 = 8;
const LINES_PER_PUSH: u64 = 25;

/// The pushes of one round, shared by all connections.
#[derive(Default)]
pub struct Load {
    round: u64,
    next: AtomicU64,
    acks: AtomicU64,
    refused: AtomicU64,
    stop: AtomicBool,
    /// First line number of every push that was sent, and whether its 204 came.
    pushes: Mutex<BTreeMap<u64, bool>>,
    /// Status and text of the last refusal.
    last_refusal: Mutex<(u16, String)>,
}

fn line_of(round: u64, number: u64) -> String {
    format!("round={round} line={number}")
}

impl Load {
    /// Line numbers are unique in the round.
    pub fn new(round: u64) -> Load {
        Load { round, ..Load::default() }
    }

    /// Pushes that were acknowledged so far.
    pub fn acks(&self) -> u64 {
        self.acks.load(Ordering::SeqCst)
    }

    /// Pushes that were answered by anything else so far.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    /// Status and text of the last refusal.
    pub fn last_refusal(&self) -> (u16, String) {
        self.last_refusal.lock().expect("no panic").clone()
    }

    /// The connections end after the push they are at.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Pushes until the connection breaks or the load is stopped.
    pub fn push(&self, address: &str) {
        let Ok(mut connection) = Connection::open(address) else { return };
        while !self.stop.load(Ordering::SeqCst) {
            let first = self.next.fetch_add(LINES_PER_PUSH, Ordering::SeqCst);
            let numbers = first..first + LINES_PER_PUSH;
            let lines = numbers.map(|n| (START_NS + n as i64, line_of(self.round, n)));
            // Four streams a round, shared by all connections: their rows interleave.
            let app = format!("r{}s{}", self.round, (first / LINES_PER_PUSH) % 4);
            let body = body_of(&app, lines).to_string();
            self.pushes.lock().expect("no panic").insert(first, false);
            let headers = [("Content-Type", "application/json")];
            let push = "/loki/api/v1/push";
            match connection.request("POST", push, &headers, body.as_bytes()) {
                Ok(response) if response.status == 204 => {
                    self.pushes.lock().expect("no panic").insert(first, true);
                    self.acks.fetch_add(1, Ordering::SeqCst);
                }
                Ok(response) => {
                    *self.last_refusal.lock().expect("no panic") =
                        (response.status, response.text());
                    self.refused.fetch_add(1, Ordering::SeqCst);
                }
                Err(_) => return,
            }
        }
    }

    /// What was acknowledged is there once, what was not at most once, and nothing else.
    pub fn check(&self, cluster: &Cluster) {
        let round = self.round;
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for line in cluster.lines(&format!(r#"{{app=~"r{round}s.*"}}"#)) {
            *found.entry(line).or_default() += 1;
        }
        let pushes = self.pushes.lock().expect("no panic");
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
        let count = cluster.number(&format!(r#"sum(count_over_time({{app=~"r{round}s.*"}}[3h]))"#));
        assert_eq!(count, sent as f64, "the count agrees with the lines of round {round}");
    }
}
