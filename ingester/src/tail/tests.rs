//! A tail over random appends, flushes, ends of retention and power cuts.

use std::collections::BTreeMap;
use std::time::Duration;

use base::UnixNanos;
use base::random::{Random, SeededRandom};
use base::shutdown::Shutdown;
use logql::engine::Answer;
use logql::plan::{Direction, Params, Plan};
use rpc::IngesterApi;
use ulid::Ulid;

use super::*;
use crate::Ingester;
use crate::tests::harness::{Machine, seal_all, tenant};

/// What a querier does for a tail with one ingester.
struct Follower {
    plan: Plan,
    process: Ulid,
    order: u64,
    view: u64,
    seen: IdSet,
    /// How often each line was given.
    given: BTreeMap<String, usize>,
}

impl Follower {
    async fn begin(ingester: &Ingester) -> Follower {
        let params = Params {
            start: UnixNanos(-(1 << 62)),
            end: UnixNanos(1 << 62),
            step_ns: 0,
            interval_ns: 0,
            limit: u32::MAX as usize,
            direction: Direction::Forward,
            max_series: 0,
            max_memory_bytes: 0,
            categorize: false,
            now: UnixNanos(0),
        };
        let plan = Plan::new(&logql::syntax::parse("{app=~\".+\"}").unwrap(), &params).unwrap();
        let mut follower = Follower {
            plan,
            process: Ulid::nil(),
            order: 0,
            view: 0,
            seen: IdSet::default(),
            given: BTreeMap::new(),
        };
        let view = ingester.core.deps.catalog.follow().await.unwrap().version();
        let answer = follower.ask(ingester, After::Now { view }).await;
        assert!(follower.take(answer, view), "the present is above the floor");
        assert!(follower.given.is_empty(), "what is there already is not given");
        follower
    }

    async fn ask(&self, ingester: &Ingester, after: After) -> TailAnswer {
        let leaf = self.plan.leaves()[0].clone();
        let request = TailRequest { tenant: tenant(), leaf, after, cancel: Shutdown::new() };
        ingester.tail(request).await.unwrap()
    }

    fn take(&mut self, answer: TailAnswer, view: u64) -> bool {
        let TailAnswer::Rows(rows) = answer else { return false };
        (self.process, self.order, self.view) = (rows.process, rows.place, view);
        self.seen.extend(&rows.batches);
        let Answer::Streams(streams) = self.plan.finish(vec![rows.partial]).unwrap() else {
            panic!("not streams")
        };
        for entry in streams.into_iter().flat_map(|stream| stream.entries) {
            *self.given.entry(String::from_utf8(entry.line).unwrap()).or_default() += 1;
        }
        rows.is_all
    }

    /// Steps until there is no more.
    async fn step(&mut self, ingester: &Ingester) {
        loop {
            let view = ingester.core.deps.catalog.follow().await.unwrap().version();
            let place = After::Place { process: self.process, order: self.order };
            let mut answer = self.ask(ingester, place).await;
            if matches!(answer, TailAnswer::Stranger) {
                let seen = Arc::new(self.seen.clone());
                let mut since = self.view;
                answer = loop {
                    let after = After::Batches { seen: seen.clone(), view: since };
                    match self.ask(ingester, after).await {
                        TailAnswer::Behind { floor } => since = floor,
                        answer => break answer,
                    }
                };
            }
            assert!(!matches!(answer, TailAnswer::Behind { .. }), "it stepped often enough");
            if self.take(answer, view) {
                return;
            }
        }
    }
}

/// Runs one seed; returns how often each line that was acknowledged since the tail began was given.
async fn run(seed: u64, seals: bool) -> Vec<usize> {
    let random = SeededRandom::new(seed);
    let below = |n: u64| random.next_u64() % n;
    let mut machine = Machine::new();
    let mut ingester = machine.start().await;
    ingester.append(vec![machine.batch(&ingester, 5)]).await.unwrap();
    let mut tail = Follower::begin(&ingester).await;
    let mut expected = Vec::new();
    let mut is_flushed = false;
    for _ in 0..40 {
        match below(10) {
            0..=3 => {
                let batches: Vec<_> = (0..1 + below(3))
                    .map(|_| machine.batch(&ingester, 1 + below(40) as usize))
                    .collect();
                for batch in &batches {
                    let rows = 0..batch.rows.len();
                    let line = |row| String::from_utf8(batch.rows.lines.get(row).to_vec()).unwrap();
                    expected.extend(rows.map(line));
                }
                ingester.append(batches).await.unwrap();
            }
            4 | 5 => {
                tail.step(&ingester).await;
                is_flushed = false;
            }
            6 => {
                ingester.flush_all().await.unwrap();
                is_flushed = true;
            }
            7 if seals => seal_all(&ingester).await,
            7 => {
                // Whoever asks every moment is never behind the end of retention.
                tail.step(&ingester).await;
                machine.clock.advance(Duration::from_secs(120).as_nanos() as i64);
                ingester.core.expire_retained();
            }
            8 => {
                // What is flushed and whose process ends before anybody asks is in parts alone.
                if is_flushed {
                    tail.step(&ingester).await;
                }
                drop(ingester);
                machine = machine.power_cut();
                ingester = machine.start().await;
            }
            _ => {
                tail.step(&ingester).await;
                ingester.drain(true).await;
                drop(ingester);
                machine = machine.power_cut();
                ingester = machine.start().await;
            }
        }
    }
    tail.step(&ingester).await;
    if !seals {
        let foreign = tail.given.keys().filter(|line| !expected.contains(line)).count();
        assert_eq!(foreign, 0, "seed {seed}: lines from before the tail");
    }
    expected.iter().map(|line| tail.given.get(line).copied().unwrap_or(0)).collect()
}

#[tokio::test]
async fn a_tail_gives_each_acknowledged_row_once_through_flushes_and_restarts() {
    for seed in 0..60 {
        let given = run(seed, false).await;
        assert!(given.iter().all(|times| *times == 1), "seed {seed}: {given:?}");
    }
}

#[tokio::test]
async fn a_tail_gives_each_acknowledged_row_also_of_sealed_units() {
    for seed in 0..40 {
        let given = run(seed, true).await;
        assert!(given.iter().all(|times| *times >= 1), "seed {seed}: {given:?}");
    }
}

#[tokio::test]
async fn a_tail_that_asks_after_its_rows_were_dropped_is_told() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let tail = Follower::begin(&ingester).await;
    ingester.append(vec![machine.batch(&ingester, 4)]).await.unwrap();
    ingester.flush_all().await.unwrap();
    machine.clock.advance(Duration::from_secs(120).as_nanos() as i64);
    ingester.core.expire_retained();
    let place = After::Place { process: tail.process, order: tail.order };
    assert!(matches!(tail.ask(&ingester, place).await, TailAnswer::Behind { .. }));
}

#[tokio::test]
async fn an_answer_is_bounded_and_the_next_one_goes_on() {
    let machine = Machine::new();
    let ingester = machine.start().await;
    let mut tail = Follower::begin(&ingester).await;
    let long = "x".repeat(1 << 20);
    for n in 0..10 {
        let batch = machine.batch_of(&ingester, &[(0, n, format!("{n} {long}"))]);
        ingester.append(vec![batch]).await.unwrap();
    }
    let place = After::Place { process: tail.process, order: tail.order };
    let answer = tail.ask(&ingester, place).await;
    assert!(!tail.take(answer, 0), "there is more");
    assert!((4..6).contains(&tail.given.len()), "{} lines", tail.given.len());
    tail.step(&ingester).await;
    assert_eq!(tail.given.len(), 10);
}
