//! From the bytes of a push body to rows in the head and in the fsynced log: a handful of
//! allocations, however many lines there are. All threads are counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::disk::OsDisk;
use base::random::SeededRandom;
use base::time::ManualClock;
use base::{Clock, TenantId, UnixNanos};
use bytes::Bytes;
use distributor::{Config, Distributor, Encoding, Format, Payload, PushLimits};
use ingester::Ingester;
use rpc::http::body::Hold;
use rpc::ingester::Peer;
use rpc::members::{Fixed, NoRing};
use store::{Bucket, BucketConfig, CatalogConfig, CatalogHandle};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Counts the allocations of the process.
struct Counting;

// SAFETY: everything is passed on to the system's allocator as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LINES: usize = 10_000;
const STREAMS: usize = 10;
/// The promise, for [`LINES`] lines of known streams with warm buffers.
const ALLOWED: u64 = 50;
/// 2024-05-01 12:00 UTC.
const NOON: i64 = 1_714_564_800_000_000_000;

struct Open;

impl distributor::Limits for Open {
    fn push(&self, _: &TenantId) -> Arc<PushLimits> {
        Arc::new(PushLimits {
            ingestion_rate_bytes: f64::INFINITY,
            reject_old_samples: false,
            ..PushLimits::default()
        })
    }
}

impl ingester::Limits for Open {
    fn out_of_order_window(&self, _: &TenantId) -> Duration {
        Duration::from_secs(3600)
    }
    fn max_streams(&self, _: &TenantId) -> usize {
        5_000
    }
    fn per_stream_rate_bytes(&self, _: &TenantId) -> u64 {
        0
    }
    fn per_stream_rate_burst_bytes(&self, _: &TenantId) -> u64 {
        0
    }
}

/// One limits object for all pushes, as a server has it.
struct Shared(Arc<PushLimits>);

impl distributor::Limits for Shared {
    fn push(&self, _: &TenantId) -> Arc<PushLimits> {
        Arc::clone(&self.0)
    }
}

async fn start(dir: &std::path::Path) -> Arc<Distributor> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(UnixNanos(NOON)));
    let random = Arc::new(SeededRandom::new(1));
    let disk: Arc<dyn base::disk::Disk> = Arc::new(OsDisk);
    let mut config = ingester::Config::default();
    config.wal.dir = dir.join("wal");
    let env = wal::Env { disk: disk.clone(), clock: clock.clone(), random: random.clone() };
    let committer = wal::store_id(&config.wal, &env).expect("a store id");
    let bucket = Bucket::open(&BucketConfig::InMemory, clock.clone()).expect("a bucket");
    let deps = store::Deps { bucket, committer, random: random.clone(), clock: clock.clone() };
    let catalog = CatalogHandle::open(deps, CatalogConfig::default()).await.expect("a catalog");
    let deps = ingester::Deps {
        disk,
        clock: clock.clone(),
        random: random.clone(),
        limits: Arc::new(Open),
        catalog,
        ring: Arc::new(NoRing::default()),
    };
    let ingester = Ingester::start(config, deps).await.expect("an ingester");
    let limits = Shared(distributor::Limits::push(&Open, &tenant()));
    let limits = Arc::new(limits);
    let peers = vec![Peer { address: "in-process".to_owned(), api: ingester }];
    let members = Arc::new(Fixed::new(peers, 1));
    Arc::new(Distributor::new(Config::default(), limits, members, clock, random))
}

fn tenant() -> TenantId {
    TenantId::new("acme").expect("valid")
}

fn line(round: usize, n: usize) -> String {
    let level = ["info", "warn", "debug"][n % 3];
    format!(r#"{{"level":"{level}","message":"request {round}-{n} served","duration":{}}}"#, n * 7)
}

fn ts_ns(round: usize, n: usize) -> i64 {
    NOON - 60_000_000_000 + (round * LINES + n) as i64
}

fn json(round: usize) -> Vec<u8> {
    let streams: Vec<serde_json::Value> = (0..STREAMS)
        .map(|number| {
            let rows = 0..LINES / STREAMS;
            let values: Vec<serde_json::Value> =
                rows.map(|n| serde_json::json!([ts_ns(round, n).to_string(), line(round, n)])).collect();
            serde_json::json!({"stream": {"app": "checkout", "pod": format!("p{number}")}, "values": values})
        })
        .collect();
    serde_json::json!({"streams": streams}).to_string().into_bytes()
}

fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn protobuf(round: usize) -> Vec<u8> {
    let mut request = Vec::new();
    for number in 0..STREAMS {
        let mut stream = Vec::new();
        field(&mut stream, 1, format!(r#"{{app="checkout", pod="p{number}"}}"#).as_bytes());
        for n in 0..LINES / STREAMS {
            let (mut time, mut entry) = (Vec::new(), Vec::new());
            let ts_ns = ts_ns(round, n);
            time.push(1 << 3);
            varint(&mut time, (ts_ns / 1_000_000_000) as u64);
            time.push(2 << 3);
            varint(&mut time, (ts_ns % 1_000_000_000) as u64);
            field(&mut entry, 1, &time);
            field(&mut entry, 2, line(round, n).as_bytes());
            field(&mut stream, 2, &entry);
        }
        field(&mut request, 1, &stream);
    }
    snap::raw::Encoder::new().compress_vec(&request).expect("compressed")
}

async fn push(distributor: &Arc<Distributor>, format: Format, body: Vec<u8>) -> u64 {
    let body = Bytes::from(body);
    let payload = Payload { format, encoding: Encoding::Identity, body, hold: Hold::unlimited() };
    let before = COUNT.load(Ordering::SeqCst);
    let result = distributor.push_here(&tenant(), payload).await;
    let counted = COUNT.load(Ordering::SeqCst) - before;
    assert!(result.is_ok(), "{result:?}");
    counted
}

#[test]
fn ten_thousand_lines_reach_the_head_with_at_most_fifty_allocations() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let dir = tempfile::tempdir().expect("a folder");
        for (format, body) in [
            (Format::Protobuf, protobuf as fn(usize) -> Vec<u8>),
            (Format::Json, json as fn(usize) -> Vec<u8>),
        ] {
            let distributor = start(&dir.path().join(format!("{format:?}"))).await;
            for round in 0..3 {
                push(&distributor, format, body(round)).await;
            }
            // Several pushes, for what grows by doubling grows in some of them only.
            let rounds = 3..11;
            let allowed = ALLOWED * rounds.len() as u64;
            let mut counted = 0;
            for round in rounds.clone() {
                counted += push(&distributor, format, body(round)).await;
            }
            println!("{format:?}: {counted} allocations in {} pushes", rounds.len());
            assert!(counted <= allowed, "{format:?}: {counted} for {} pushes", rounds.len());
            assert!(counted >= 5 * rounds.len() as u64, "the counter counts");
        }
    });
}
