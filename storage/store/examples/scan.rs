//! Runs one query over part files, as a scanning thread of a querier does, and says what it cost.
//!
//! `cargo run --release -p runelog-store --example scan -- DIR TIMES QUERY`
//!
//! DIR holds the parts of one tenant and day. The query is evaluated TIMES times over all rows
//! (metric queries at the newest one, `[6h]` covers the benchmark set); CPU is of this thread. Use
//! it under `valgrind --tool=callgrind` or `perf record`: there is no server around it.

extern crate runelog_store as store;

use std::sync::Arc;

use base::UnixNanos;
use base::shutdown::Shutdown;
use logql::plan::{Direction, Params, Plan};
use part::Footer;
use store::scan::{Memory, Scan, ScanStats, Scratch, Unit, scan_unit, sort_for};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, times, query] = &args[..] else { return Err("usage: scan DIR TIMES QUERY".into()) };
    let times: u32 = times.parse()?;
    let scans = open(dir)?;
    let ranges = || scans.iter().map(|scan| scan.footer().time_range());
    let min_ns = ranges().map(|range| range.0).min().ok_or("no parts")?;
    let max_ns = ranges().map(|range| range.1).max().ok_or("no parts")?;
    let expr = logql::syntax::parse(query)?;
    let log = matches!(expr, logql::syntax::Expr::Log(_));
    let params = Params {
        start: UnixNanos(if log { min_ns } else { max_ns }),
        end: UnixNanos(if log { max_ns + 1 } else { max_ns }),
        step_ns: 0,
        interval_ns: 0,
        limit: 100,
        direction: Direction::Backward,
        max_series: 0,
        max_memory_bytes: 0,
        categorize: false,
        now: UnixNanos(max_ns),
    };
    let plan = Plan::new(&expr, &params)?;
    let before = cpu_ns()?;
    let mut stats = ScanStats::default();
    let mut answer = String::new();
    for _ in 0..times {
        stats = ScanStats::default();
        answer = run(&plan, &scans, params.direction, &mut stats)?;
    }
    let each_ms = (cpu_ns()? - before) as f64 / 1e6 / f64::from(times);
    answer.truncate(300);
    println!("{each_ms:.2} CPU-ms each\n{stats:?}\n{answer}");
    Ok(())
}

fn open(dir: &str) -> Result<Vec<Arc<Scan>>> {
    let entries = std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<_> = entries.collect::<std::io::Result<_>>()?;
    paths.sort();
    let mut scans = Vec::new();
    for (order, path) in paths.iter().enumerate() {
        let bytes = bytes::Bytes::from(std::fs::read(path)?);
        let footer = Arc::new(Footer::open(&bytes, bytes.len() as u64)?);
        let scan = Scan::new(footer, Arc::new(Memory(bytes))).with_order(order as u64);
        scans.push(Arc::new(scan));
    }
    Ok(scans)
}

fn run(
    plan: &Plan,
    scans: &[Arc<Scan>],
    direction: Direction,
    stats: &mut ScanStats,
) -> Result<String> {
    let mut partials = Vec::new();
    for leaf in plan.leaves() {
        let mut units: Vec<Unit> = scans.iter().flat_map(|scan| scan.units(leaf)).collect();
        if leaf.is_log() {
            sort_for(&mut units, direction);
        }
        let overlaps = Arc::default();
        let mut worker = leaf.worker(Arc::clone(&overlaps));
        let mut scratch = Scratch::new(overlaps);
        let cancel = Shutdown::new();
        for unit in &units {
            scan_unit(leaf, &mut worker, unit, &mut scratch, &cancel, stats)?;
        }
        partials.push(worker.finish());
    }
    Ok(format!("{:?}", plan.finish(partials)?))
}

/// CPU time of this thread.
fn cpu_ns() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split_whitespace().next().ok_or("schedstat is empty")?.parse()?)
}
