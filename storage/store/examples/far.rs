//! Runs a query over the parts of a bucket as if every request to it took a while, and says how long
//! the query took and what it asked for, for several numbers of threads.
//!
//! `cargo run --release -p runelog-store --example far -- DIR LATENCY_MS QUERY`
//!
//! DIR is a bucket that is a directory (`parts/` and the commit log are in it). Nothing is kept of
//! one run for the next: every run begins cold. Compare the runs of one call with each other: the
//! times are of this machine, now.

extern crate runelog_store as store;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base::random::{Random, SeededRandom};
use base::shutdown::Shutdown;
use base::time::SystemClock;
use base::{Clock, StoreId, UnixNanos};
use futures::StreamExt;
use futures::future::try_join_all;
use futures::stream::BoxStream;
use logql::engine::Partial;
use logql::plan::{Direction, Leaf, Params, Plan};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use store::scan::{Scan, ScanStats, Scratch, Unit, prune, scan_unit, sort_for};
use store::{Bucket, CatalogConfig, CatalogHandle, Deps, PartRecord, Parts, Requests};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, latency_ms, query] = &args[..] else {
        return Err("usage: far DIR LATENCY_MS QUERY".into());
    };
    let latency = Duration::from_millis(latency_ms.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(compare(dir, latency, query))
}

async fn compare(dir: &str, latency: Duration, query: &str) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let far = Arc::new(Far::new(LocalFileSystem::new_with_prefix(dir)?));
    let bucket = Bucket::new("far".to_owned(), far.clone(), clock.clone());
    let records = records(&bucket, &clock).await?;
    let plan = Arc::new(plan(query, &records)?);
    far.latency_ns.store(latency.as_nanos() as u64, Ordering::Relaxed);
    let cores = std::thread::available_parallelism()?.get();
    println!("{} parts, {cores} cores, {latency:?} a request, {query}", records.len());
    println!("threads  wall ms  CPU ms  counted  requests  MiB  rows");
    for threads in [1, 2, 4, 8, 16].map(|each| each * cores) {
        let parts = Arc::new(Parts::new(bucket.clone(), 64 << 20, 128 << 20));
        far.requests.store(0, Ordering::Relaxed);
        far.bytes.store(0, Ordering::Relaxed);
        let (began, cpu) = (clock.monotonic_ns(), cpu_ms()?);
        let (counted, rows) = run(&parts, &plan, &records, threads).await?;
        println!(
            "{threads:7}  {:7}  {:6}  {counted:7}  {:8}  {:3}  {rows}",
            (clock.monotonic_ns() - began) / 1_000_000,
            cpu_ms()? - cpu,
            far.requests.load(Ordering::Relaxed),
            far.bytes.load(Ordering::Relaxed) >> 20,
        );
    }
    Ok(())
}

async fn records(bucket: &Bucket, clock: &Arc<dyn Clock>) -> Result<Vec<PartRecord>> {
    let random = Arc::new(SeededRandom::new(1));
    let committer = StoreId(random.ulid(&**clock));
    let deps = Deps { bucket: bucket.clone(), committer, random, clock: clock.clone() };
    let catalog = CatalogHandle::open(deps, CatalogConfig::default()).await?;
    Ok(catalog.snapshot().all_parts().map(|record| (**record).clone()).collect())
}

fn plan(query: &str, records: &[PartRecord]) -> Result<Plan> {
    let min_ns = records.iter().map(|record| record.min_ts.0).min().ok_or("no parts")?;
    let max_ns = records.iter().map(|record| record.max_ts.0).max().ok_or("no parts")?;
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
    Ok(Plan::new(&expr, &params)?)
}

/// As a querier does it; gives the requests that were counted, and the rows that were selected.
async fn run(
    parts: &Arc<Parts>,
    plan: &Arc<Plan>,
    records: &[PartRecord],
    threads: usize,
) -> Result<(u64, u64)> {
    let (requests, mut rows) = (Requests::default(), 0);
    for leaf in plan.leaves() {
        let leaf: &Arc<Leaf> = leaf;
        let each = records.len().div_ceil(threads).max(1);
        let opens = records.chunks(each).map(|records| {
            let (parts, leaf, records) = (parts.clone(), leaf.clone(), records.to_vec());
            let requests = requests.clone();
            base::task::blocking("open", move || open(&parts, &leaf, &records, &requests))
        });
        let mut units = Vec::new();
        for opened in try_join_all(opens).await? {
            units.extend(opened?);
        }
        if let Some(direction) = leaf.direction() {
            sort_for(&mut units, direction);
        }
        let queue = Arc::new((units, AtomicUsize::new(0)));
        let scans = (0..threads).map(|_| {
            let (leaf, queue) = (leaf.clone(), queue.clone());
            base::task::blocking("scan", move || scan(&leaf, &queue.0, &queue.1))
        });
        for partial in try_join_all(scans).await? {
            rows += partial?.stats().selected_rows;
        }
    }
    Ok((requests.count(), rows))
}

fn open(
    parts: &Parts,
    leaf: &Leaf,
    records: &[PartRecord],
    requests: &Requests,
) -> Result<Vec<Unit>> {
    let mut units = Vec::new();
    for record in records {
        let scan: Arc<Scan> = Arc::new(parts.open_counting(record, requests)?);
        let mut more = scan.units(leaf);
        prune(&mut more, leaf, &Shutdown::new(), &mut ScanStats::default())?;
        units.append(&mut more);
    }
    Ok(units)
}

fn scan(leaf: &Arc<Leaf>, units: &[Unit], next: &AtomicUsize) -> Result<Partial> {
    let mut worker = leaf.worker(Arc::default());
    let (mut scratch, cancel) = (Scratch::new(Arc::default()), Shutdown::new());
    let mut stats = ScanStats::default();
    while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
        scan_unit(leaf, &mut worker, unit, &mut scratch, &cancel, &mut stats)?;
    }
    Ok(worker.finish())
}

/// CPU time of this process.
fn cpu_ms() -> Result<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += stat.split_whitespace().next().ok_or("schedstat is empty")?.parse::<u64>()?;
    }
    Ok(sum / 1_000_000)
}

/// A directory that answers late.
#[derive(Debug)]
struct Far {
    inner: LocalFileSystem,
    latency_ns: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Far {
    fn new(inner: LocalFileSystem) -> Far {
        let (latency_ns, requests, bytes) = Default::default();
        Far { inner, latency_ns, requests, bytes }
    }
}

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Far({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Far {
    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let latency_ns = self.latency_ns.load(Ordering::Relaxed);
        if latency_ns > 0 {
            tokio::time::sleep(Duration::from_nanos(latency_ns)).await;
        }
        let got = self.inner.get_opts(at, options).await?;
        let Range { start, end } = got.range;
        self.bytes.fetch_add(end - start, Ordering::Relaxed);
        Ok(got)
    }

    // `get_ranges` is that of the trait, which is the one of stores that are far: close ranges are
    // joined, ten requests run at once.

    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    fn delete_stream(
        &self,
        at: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
