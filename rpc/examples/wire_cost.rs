//! What the wire costs: an append of a batch of about 1 MB, as messages and over loopback TCP,
//! beside a copy of its bytes, in CPU time. `cargo run --release -p runelog-rpc --example wire_cost`.

use std::hint::black_box;
use std::sync::Arc;

use async_trait::async_trait;
use base::rows::RowsBuilder;
use base::time::{Day, SystemClock};
use base::{Batch, BatchId, Incarnation, Labels, StoreId, TenantId};
use proto::Wire;
use runelog_rpc::grpc::{
    ClientConfig, IngesterClient, MAX_FRAME_BYTES, MessageLimits, Serving, serve_ingester,
};
use runelog_rpc::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterApi, IngesterError,
    SelectAnswer, SelectRequest, StreamsAnswer, StreamsRequest,
};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use ulid::Ulid;

const ROUNDS: u32 = 4_000;

/// 7,000 lines of 150 bytes in 20 streams, with a level and a trace id each.
fn batch() -> Batch {
    let streams: Vec<Labels> = (0..20)
        .map(|n| Labels::from_pairs([("app", format!("app-{n}").as_str()), ("env", "prod")]))
        .collect();
    let mut rows = RowsBuilder::default();
    for row in 0..7_000_u32 {
        let line =
            format!("level=info request={row} duration=12ms path=/api/v1/things {:x>90}", row);
        rows.push(row / 350, i64::from(row) * 1_000, &line.as_bytes()[..150.min(line.len())]);
        rows.metadata("detected_level", [&b"info"[..], b"warn", b"error"][row as usize % 3]);
        rows.metadata("trace_id", format!("{:032x}", row / 4).as_bytes());
    }
    let id = BatchId { incarnation: Incarnation(Ulid(1)), owner: StoreId(Ulid(2)), sequence: 1 };
    let members = vec![id.owner];
    let tenant = TenantId::new("bench").expect("a tenant id");
    Batch { id, attempt: 1, members, factor: 1, tenant, day: Day(0), streams, rows: rows.finish() }
}

/// Takes batches and forgets them.
struct Sink;

#[async_trait]
impl IngesterApi for Sink {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        Err(IngesterError::Cancelled)
    }
    async fn admit(&self, _: AdmitRequest) -> Result<Admission, IngesterError> {
        Err(IngesterError::Cancelled)
    }
    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        Ok(Appended { attempts: batches.iter().map(|batch| batch.attempt).collect() })
    }
    async fn select(&self, _: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        Err(IngesterError::Cancelled)
    }
    async fn streams(&self, _: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        Err(IngesterError::Cancelled)
    }
}

/// Nanoseconds this thread was on a CPU: other work on the machine does not count.
fn cpu_ns() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default()
}

fn measure<T>(what: &str, bytes: usize, mut work: impl FnMut() -> T) {
    let started = cpu_ns();
    for _ in 0..ROUNDS {
        black_box(work());
    }
    let each = (cpu_ns() - started) / f64::from(ROUNDS);
    println!("{what:<42} {:>8.1} us {:>7.2} GB/s", each / 1e3, bytes as f64 / each);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let batch = batch();
    let message = batch.to_wire();
    let bytes = proto::encode(&message);
    let size = bytes.len();
    println!(
        "{} rows, {} line bytes, {size} bytes as a message",
        batch.rows.len(),
        batch.rows.lines.bytes.len()
    );
    measure("copy of the message", size, || bytes.to_vec());
    measure("clone of the batch", size, || batch.clone());
    measure("batch to message", size, || batch.to_wire());
    measure("message to bytes", size, || proto::encode(&message));
    measure("bytes to message", size, || {
        proto::decode::<proto::v1::Batch>("Batch", bytes.clone()).expect("it was encoded")
    });
    measure("message to batch", size, || Batch::from_wire(message.clone()).expect("it is whole"));
    over_tcp(&batch, size)
}

fn over_tcp(batch: &Batch, size: usize) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clock = Arc::new(SystemClock);
    let client = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let serving = Serving { limits: MessageLimits::default(), clock: clock.clone() };
        let routes = Routes::new(serve_ingester(Arc::new(Sink), &serving));
        let server = tonic::transport::Server::builder()
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .max_frame_size(MAX_FRAME_BYTES)
            .add_routes(routes);
        base::task::spawn("server", server.serve_with_incoming(TcpIncoming::from(listener)));
        let config = ClientConfig::default();
        Ok::<_, Box<dyn std::error::Error>>(IngesterClient::new(&address, &config, clock)?)
    })?;
    measure("append over TCP, both sides on one thread", size, || {
        runtime.block_on(client.append(vec![batch.clone()])).expect("the sink takes all")
    });
    Ok(())
}
