//! R2 in one process: whatever was pushed twice, sealed and flushed in whatever order, a row counts
//! once over ingester and parts.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::shutdown::Shutdown;
use base::{Labels, UnixNanos};
use logql::engine::overlap::{Overlaps, StreamRange};
use logql::engine::{Answer, Partial};
use logql::plan::{Direction, Leaf, Params, Plan};
use proptest::prelude::*;
use rpc::IngesterApi;
use rpc::ingester::{SelectAnswer, SelectRequest, StreamsAnswer, StreamsRequest};
use store::Parts;
use store::scan::{Scan, ScanStats, Scratch, scan_unit, sort_for};

use super::harness::{DAY, Machine, seal_all, tenant};
use crate::Ingester;

const SECOND: i64 = 1_000_000_000;

#[derive(Clone, Debug)]
enum Step {
    /// (stream, second of the day, line).
    Push(Vec<(u8, i64, u8)>),
    Freeze,
    Seal,
    Flush,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = prop::collection::vec((0u8..3, 0i64..12, 0u8..3), 1..8);
    let step = prop_oneof![
        6 => rows.prop_map(Step::Push),
        2 => Just(Step::Freeze),
        2 => Just(Step::Seal),
        2 => Just(Step::Flush),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..14)
}

fn params(direction: Direction, limit: usize) -> Params {
    let (from, to) = (DAY.start_ns() + 2 * SECOND, DAY.start_ns() + 10 * SECOND);
    Params {
        start: UnixNanos(from),
        end: UnixNanos(to),
        step_ns: 0,
        interval_ns: 0,
        limit,
        direction,
        max_series: 0,
        max_memory_bytes: 0,
        categorize: false,
        now: UnixNanos(0),
    }
}

/// A query over parts and ingester, by the rules R1 and R2.
async fn answer(ingester: &Arc<Ingester>, text: &str, params: &Params) -> Answer {
    let plan = Plan::new(&logql::syntax::parse(text).unwrap(), params).unwrap();
    let mut partials = Vec::new();
    for leaf in plan.leaves() {
        partials.push(leaf_partial(ingester, leaf).await);
    }
    plan.finish(partials).unwrap()
}

async fn leaf_partial(ingester: &Arc<Ingester>, leaf: &Arc<Leaf>) -> Partial {
    let catalog = ingester.core.deps.catalog.clone();
    let view = catalog.follow().await.unwrap();
    let parts = Parts::new(catalog.bucket().clone(), 1 << 20, 0);
    let records: Vec<_> = view.all_parts().cloned().collect();
    let open = move || -> Vec<Arc<Scan>> {
        (0..)
            .zip(records)
            .map(|(order, part)| Arc::new(parts.open(&part).unwrap().with_order(order)))
            .collect()
    };
    let scans = base::task::blocking("open", open).await.unwrap();
    let part_ranges: Vec<Vec<StreamRange>> = scans.iter().map(|scan| ranges(scan)).collect();
    let mut overlaps = Overlaps::none();
    loop {
        let request = SelectRequest {
            tenant: tenant(),
            leaf: leaf.clone(),
            view: view.version(),
            asked: Vec::new(),
            overlaps: Arc::new(overlaps.clone()),
            store: None,
            cancel: Shutdown::new(),
        };
        let answer = ingester.select(request).await.unwrap();
        let SelectAnswer::Rows { ranges, partial, .. } = answer else { panic!("behind") };
        let mut sources: Vec<&[StreamRange]> = part_ranges.iter().map(Vec::as_slice).collect();
        sources.push(&ranges);
        let found = Overlaps::between(&sources);
        if !leaf.is_log() && !overlaps.contains_all(&found) {
            overlaps.union(&found);
            continue;
        }
        let (leaf, overlaps) = (leaf.clone(), Arc::new(overlaps));
        let scan = move || scan_parts(&leaf, &scans, overlaps);
        let mut stored = base::task::blocking("scan", scan).await.unwrap();
        stored.merge(partial).unwrap();
        return stored;
    }
}

fn ranges(scan: &Scan) -> Vec<StreamRange> {
    let streams = scan.footer().labels().iter().zip(scan.footer().streams());
    let range = |(labels, stream): (&Labels, &part::Stream)| StreamRange {
        stream: labels.key(),
        min_ns: stream.min_ns,
        max_ns: stream.max_ns,
    };
    streams.map(range).collect()
}

fn scan_parts(leaf: &Arc<Leaf>, scans: &[Arc<Scan>], overlaps: Arc<Overlaps>) -> Partial {
    let mut worker = leaf.worker(overlaps.clone());
    let (mut scratch, mut stats) = (Scratch::new(overlaps), ScanStats::default());
    for scan in scans {
        let mut units = scan.units(leaf);
        if let Some(direction) = leaf.direction() {
            sort_for(&mut units, direction);
        }
        for unit in units {
            let cancel = Shutdown::new();
            scan_unit(leaf, &mut worker, &unit, &mut scratch, &cancel, &mut stats).unwrap();
        }
    }
    worker.finish()
}

async fn labels(ingester: &Arc<Ingester>) -> BTreeSet<String> {
    let catalog = &ingester.core.deps.catalog;
    let view = catalog.follow().await.unwrap();
    let request = StreamsRequest {
        tenant: tenant(),
        selectors: Vec::new(),
        from_ns: DAY.start_ns(),
        to_ns: DAY.start_ns() + 100 * SECOND,
        view: view.version(),
        asked: Vec::new(),
        store: None,
        templates: false,
    };
    match ingester.streams(request).await.unwrap() {
        StreamsAnswer::Streams { streams, .. } => streams.iter().map(Labels::to_string).collect(),
        StreamsAnswer::Behind { .. } => panic!("a view just read is never below the floor"),
    }
}

type Want = BTreeSet<(String, i64, String)>;

async fn check(ingester: &Arc<Ingester>, pushed: &Want, unflushed: &BTreeSet<String>) {
    let inside = |ts_ns: i64| (2..10).contains(&((ts_ns - DAY.start_ns()) / SECOND));
    let want: Vec<_> = pushed.iter().filter(|(_, ts_ns, _)| inside(*ts_ns)).cloned().collect();
    for direction in [Direction::Backward, Direction::Forward] {
        let all = answer(ingester, r#"{app=~".+"}"#, &params(direction, 1_000)).await;
        let Answer::Streams(streams) = all else { panic!("a log query answers streams") };
        let mut found = Vec::new();
        for stream in &streams {
            // Structured metadata is among the labels of a result's stream.
            let app = Labels::from_pairs([("app", stream.labels.get("app").unwrap())]);
            for entry in &stream.entries {
                let line = String::from_utf8(entry.line.clone()).unwrap();
                found.push((app.to_string(), entry.ts_ns, line));
            }
        }
        found.sort();
        assert_eq!(found, want, "{direction:?}");
        let few = answer(ingester, r#"{app=~".+"}"#, &params(direction, 3)).await;
        let Answer::Streams(streams) = few else { panic!("a log query answers streams") };
        let mut times: Vec<i64> =
            streams.iter().flat_map(|s| &s.entries).map(|entry| entry.ts_ns).collect();
        times.sort_unstable();
        let mut first: Vec<i64> = want.iter().map(|&(_, ts_ns, _)| ts_ns).collect();
        first.sort_unstable();
        let skip = if direction == Direction::Backward { first.len().saturating_sub(3) } else { 0 };
        let first: Vec<i64> = first.into_iter().skip(skip).take(3).collect();
        assert_eq!(times, first, "{direction:?} with a limit");
    }
    // The range (1, 9] holds the same instants.
    let instant = Params {
        start: UnixNanos(DAY.start_ns() + 9 * SECOND),
        end: UnixNanos(DAY.start_ns() + 9 * SECOND),
        ..params(Direction::Backward, 100)
    };
    let text = r#"sum(count_over_time({app=~".+"}[8s]))"#;
    let Answer::Vector(vector) = answer(ingester, text, &instant).await else {
        panic!("an instant query answers a vector")
    };
    let count: f64 = vector.iter().map(|(_, sample)| sample.value).sum();
    assert_eq!(count as usize, want.len(), "count_over_time");
    assert_eq!(labels(ingester).await, *unflushed);
}

async fn run(steps: Vec<Step>) {
    let mut machine = Machine::new();
    let mut ingester = machine.start().await;
    let (mut pushed, mut unflushed) = (Want::new(), BTreeSet::new());
    for step in steps {
        match step {
            Step::Push(rows) => {
                let rows: Vec<(u8, i64, String)> = rows
                    .into_iter()
                    .map(|(s, at, line)| (s, at * SECOND, format!("line {line}")))
                    .collect();
                let batch = machine.batch_of(&ingester, &rows);
                for (stream, ts_ns, line) in rows {
                    let labels = batch.streams[usize::from(stream)].to_string();
                    unflushed.insert(labels.clone());
                    pushed.insert((labels, DAY.start_ns() + ts_ns, line));
                }
                ingester.append(vec![batch]).await.unwrap();
            }
            Step::Freeze => ingester.core.days(None).iter().for_each(|day| {
                day.lock().freeze();
            }),
            Step::Seal => seal_all(&ingester).await,
            Step::Flush => {
                ingester.flush_all().await.unwrap();
                unflushed.clear();
            }
            Step::Restart => {
                drop(ingester);
                machine = machine.power_cut();
                ingester = machine.start().await;
            }
        }
        check(&ingester, &pushed, &unflushed).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_row_counts_once_whatever_was_pushed_twice_sealed_flushed_or_replayed(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
