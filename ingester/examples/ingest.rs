//! Measures the ingester alone: batches of made-up lines through WAL, head, seal and flush.
//!
//! `cargo run --release -p runelog-ingester --example ingest -- [MB] [DIR]`; prints CPU seconds per
//! raw GB of each thread group after the pushes and after the flush.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::batch::Incarnation;
use base::disk::OsDisk;
use base::random::{Random, SeededRandom, SystemRandom};
use base::time::SystemClock;
use base::{Batch, BatchId, ByteSize, Clock, Day, Labels, RowsBuilder, StoreId, TenantId};
use rpc::IngesterApi;
use runelog_ingester::{Config, Deps, Ingester, Limits};
use store::{Bucket, BucketConfig, CatalogConfig, CatalogHandle};
use ulid::Ulid;

const PUSHERS: u64 = 8;
const STREAMS: usize = 200;
const LINE_BYTES: u64 = 290;

struct NoLimits;

impl Limits for NoLimits {
    fn out_of_order_window(&self, _: &TenantId) -> Duration {
        Duration::ZERO
    }
    fn max_streams(&self, _: &TenantId) -> usize {
        0
    }
    fn per_stream_rate_bytes(&self, _: &TenantId) -> u64 {
        0
    }
    fn per_stream_rate_burst_bytes(&self, _: &TenantId) -> u64 {
        0
    }
}

/// About 1 MB of JSON lines of all streams, in ascending time.
fn batch(random: &SeededRandom, store: StoreId, tenant: &TenantId, sequence: u64) -> Batch {
    let day = Day(20_000);
    let rows = 1_000_000 / LINE_BYTES;
    let mut builder = RowsBuilder::with_capacity(rows as usize, 1 << 20);
    let mut line = String::new();
    for row in 0..rows {
        use std::fmt::Write;
        line.clear();
        let (a, b) = (random.next_u64(), random.next_u64());
        let level = ["info", "info", "info", "warn", "error"][(a % 5) as usize];
        let _fits = write!(
            line,
            "{{\"ts\":\"2026-11-21T10:{:02}:{:02}Z\",\"level\":\"{level}\",\"caller\":\"handler.go:{}\",\
             \"trace_id\":\"{a:016x}{b:016x}\",\"msg\":\"request finished\",\"path\":\"/api/v1/items/{}\",\
             \"status\":{},\"duration_ms\":{}.{},\"user\":\"user-{}\",\"region\":\"eu-west-1\",\
             \"bytes\":{}}}",
            row % 60,
            b % 60,
            a % 900,
            a % 10_000,
            200 + b % 3 * 100,
            b % 1_000,
            a % 10,
            b % 5_000,
            a % 100_000,
        );
        let stream = (row as usize * STREAMS / rows as usize) as u32;
        let ts_ns = day.start_ns() + (sequence * rows + row) as i64 * 100_000;
        builder.push(stream, ts_ns, line.as_bytes());
    }
    let labels = |n| Labels::from_pairs([("app", format!("app-{n}")), ("env", "prod".to_owned())]);
    Batch {
        id: BatchId { incarnation: Incarnation(Ulid(5)), owner: store, sequence },
        attempt: 1,
        members: vec![store],
        factor: 1,
        tenant: tenant.clone(),
        day,
        streams: (0..STREAMS).map(labels).collect(),
        rows: builder.finish(),
    }
}

/// CPU seconds of this process by thread name.
fn cpu() -> Vec<(String, f64)> {
    let read = |path: &std::path::Path| -> Option<(String, f64, f64)> {
        let text = std::fs::read_to_string(path).ok()?;
        let (name, rest) = (text.find('(')?, text.rfind(')')?);
        let fields: Vec<&str> = text[rest + 2..].split(' ').collect();
        let (user, system): (f64, f64) = (fields[11].parse().ok()?, fields[12].parse().ok()?);
        Some((text[name + 1..rest].to_owned(), user / 100.0, system / 100.0))
    };
    let mut by_name: Vec<(String, f64)> = Vec::new();
    let mut add = |name: String, cpu: f64| match by_name.iter_mut().find(|(n, _)| *n == name) {
        Some((_, sum)) => *sum += cpu,
        None => by_name.push((name, cpu)),
    };
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        if let Some((name, user, system)) = read(&task.path().join("stat")) {
            add(format!("{name}(user)"), user);
            add(format!("{name}(system)"), system);
        }
    }
    if let Some((_, user, system)) = read(std::path::Path::new("/proc/self/stat")) {
        add("all(user)".to_owned(), user);
        add("all(system)".to_owned(), system);
    }
    by_name
}

fn report(what: &str, before: &[(String, f64)], gb: f64) {
    print!("{what:10}");
    for (name, cpu) in cpu() {
        let was = before.iter().find(|(known, _)| *known == name).map_or(0.0, |(_, cpu)| *cpu);
        if cpu - was > 0.005 {
            print!("  {name} {:.2}", (cpu - was) / gb);
        }
    }
    println!("  (CPU-s per raw GB)");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mb: u64 = arguments.next().map_or(Ok(300), |text| text.parse())?;
    let temp = tempfile::tempdir()?;
    let dir = arguments.next().map_or_else(|| temp.path().to_owned(), PathBuf::from);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let disk = Arc::new(OsDisk);
    let wal = wal::Config { dir: dir.join("wal"), ..wal::Config::default() };
    let env = wal::Env { disk: disk.clone(), clock: clock.clone(), random: random.clone() };
    let committer = wal::store_id(&wal, &env)?;
    let bucket = BucketConfig::Filesystem { dir: dir.join("bucket") };
    let bucket = Bucket::open(&bucket, clock.clone())?;
    let deps = store::Deps { bucket, committer, random: random.clone(), clock: clock.clone() };
    let catalog = CatalogHandle::open(deps, CatalogConfig::default()).await?;
    let limits = Arc::new(NoLimits);
    let config = Config { wal, flush_bytes: ByteSize(128 << 20), ..Config::default() };
    let ring = Arc::new(rpc::members::NoRing::default());
    let deps = Deps { disk, clock: clock.clone(), random, limits, catalog, ring };
    let ingester = Ingester::start(config, deps).await?;

    let tenant = TenantId::new("bench")?;
    let seeded = SeededRandom::new(3);
    let batches: Vec<Batch> =
        (1..=mb).map(|sequence| batch(&seeded, committer, &tenant, sequence)).collect();
    let gb = batches.iter().map(|batch| batch.rows.raw_bytes()).sum::<usize>() as f64 / 1e9;
    let (before, began) = (cpu(), clock.monotonic_ns());
    let queue = Arc::new(tokio::sync::Mutex::new(batches.into_iter()));
    let mut pushers = Vec::new();
    for _ in 0..PUSHERS {
        let (queue, ingester) = (queue.clone(), ingester.clone());
        pushers.push(base::task::spawn("push", async move {
            loop {
                let Some(batch) = queue.lock().await.next() else { return };
                if let Err(error) = ingester.append(vec![batch]).await {
                    eprintln!("{}", error.error);
                }
            }
        }));
    }
    for pusher in pushers {
        pusher.await?;
    }
    let seconds = (clock.monotonic_ns() - began) as f64 / 1e9;
    report("pushed", &before, gb);
    println!("{:.0} MB/s", gb * 1e3 / seconds);
    ingester.flush_all().await?;
    report("flushed", &before, gb);
    let seconds = (clock.monotonic_ns() - began) as f64 / 1e9;
    println!("{:.0} MB/s with the last flush", gb * 1e3 / seconds);
    let status = std::fs::read_to_string("/proc/self/status")?;
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    ingester.drain(false).await;
    Ok(())
}
