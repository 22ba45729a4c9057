//! Every metric of the process: name, kind, help, buckets. Names are Loki's where its dashboards
//! or alerts use them and the thing exists here (a chunk is a sealed unit).

use compactor::metrics as compact;
use distributor::metrics as push;
use ingester::metrics as hold;
use meta::metrics as ring;
use querier::metrics as read;
use query_frontend::metrics as query;
use rpc::grpc::metrics as grpc;
use rpc::http::metrics as http;
use rpc::tls::metrics as tls;
use store::metrics as store;
use wal::metrics as wal;

use super::{BUILD_INFO, LOG_MESSAGES, LOG_MESSAGES_OLD};
use crate::{listen, overrides};

/// What Prometheus is told about a metric.
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

/// Counter, gauge, or histogram with its upper bounds.
#[derive(Clone, Copy)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help }
}

const fn histogram(name: &'static str, buckets: &'static [f64], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram(buckets), help }
}

/// Seconds from a millisecond to minutes: queries and requests to the object store.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Loki's buckets of chunk metrics.
const FRACTIONS: [f64; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];
const CHUNK_BYTES: [f64; 10] =
    [20e3, 40e3, 80e3, 160e3, 320e3, 640e3, 1.28e6, 2.56e6, 5.12e6, 10.24e6];
const CHUNK_ENTRIES: [f64; 9] =
    [200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, 12800.0, 25600.0, 51200.0];
const CHUNK_AGE: [f64; 10] =
    [60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 36000.0, 43200.0, 57600.0];
const CHUNK_HOURS: [f64; 8] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
const RATIOS: [f64; 10] = [0.75, 2.75, 4.75, 6.75, 8.75, 10.75, 12.75, 14.75, 16.75, 18.75];
const PAGES: [f64; 7] = [1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0];
const LINE_BYTES: [f64; 8] = [16.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 65536.0];
const RETRIES: [f64; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
const PIECES: [f64; 9] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0];
/// A megabyte to eight gigabytes per second.
const BYTES_PER_SECOND: [f64; 8] = [1e6, 1e7, 5e7, 1e8, 5e8, 1e9, 2e9, 8e9];

/// In the order of the crates.
pub const TABLE: &[Metric] = &[
    gauge(BUILD_INFO, "What this binary was built from."),
    counter(LOG_MESSAGES, "Lines written to the log."),
    counter(LOG_MESSAGES_OLD, "Lines written to the log (older name)."),
    gauge(
        overrides::LAST_RELOAD_SUCCESSFUL,
        "Whether the runtime config counts as it is in its files.",
    ),
    gauge(listen::TCP_CONNECTIONS, "Open connections."),
    gauge(listen::TCP_CONNECTIONS_LIMIT, "Most connections that may be open."),
    counter(listen::HANDSHAKES_FAILED, "Handshakes of TLS that came to nothing, by reason."),
    counter(tls::RELOADS, "Changed files of TLS that were taken, by block of the configuration."),
    counter(
        tls::RELOAD_FAILURES,
        "Changed files of TLS that could not be used, by block of the configuration.",
    ),
    histogram(http::REQUEST_DURATION, &http::DURATION_BUCKETS, "Time to serve a request, seconds."),
    gauge(http::INFLIGHT_REQUESTS, "Requests being served."),
    histogram(http::REQUEST_BYTES, &http::BYTES_BUCKETS, "Size of request bodies."),
    histogram(http::RESPONSE_BYTES, &http::BYTES_BUCKETS, "Size of response bodies."),
    gauge(compact::RUNNING, "1 while a compactor runs in this process."),
    counter(compact::PASSES, "Passes of the compactor over the bucket, by status."),
    gauge(compact::PASS_DURATION, "Seconds that the compactor's last pass took."),
    gauge(compact::LAST_SUCCESS, "When the compactor's last good pass ended, Unix seconds."),
    counter(compact::DELETED, "Objects that the compactor deleted, by kind."),
    gauge(compact::PENDING, "Parts that are inputs of the merges that pay now."),
    gauge(compact::GARBAGE, "Objects of removed parts that are not deleted yet."),
    counter(compact::MERGES, "Merges of parts, by outcome."),
    counter(compact::MERGED_BYTES, "Bytes of the parts that merges wrote."),
    counter(compact::COPIED_BYTES, "Line bytes of pages that merges copied as they are."),
    counter(compact::RETENTIONS, "Rounds of retention, by status."),
    gauge(compact::RETENTION_DURATION, "Seconds that the last round of retention took."),
    gauge(
        compact::RETENTION_LAST_SUCCESS,
        "When the last good round of retention ended, Unix seconds.",
    ),
    counter(compact::EXPIRED, "Parts that retention removed."),
    gauge(compact::WAITING, "Objects that nothing names and that are too young to go."),
    gauge(compact::FLOOR, "Commits up to this one are gone from the log."),
    gauge(ring::LEADER, "Whether this process leads the ring."),
    counter(ring::LEADER_CHANGES, "Changes of the ring's leader that this process saw."),
    gauge(ring::LOG_FAILED, "Whether the ring's log has failed: the process must start anew."),
    gauge(ring::VERSION, "Version of the ring's state that this process follows."),
    counter(ring::LOG_SYNCS, "Syncs of the ring's log."),
    counter(ring::PROPOSALS, "Changes of the ring that this process asked for, by outcome."),
    gauge(http::BODY_BYTES, "Bytes held by request bodies and what is decompressed from them."),
    gauge(http::BODY_LIMIT_BYTES, "Most bytes request bodies may hold."),
    counter(http::BODIES_REFUSED, "Request bodies that were not taken, by reason."),
    histogram(
        grpc::INGESTER_CLIENT_DURATION,
        &http::DURATION_BUCKETS,
        "Calls of ingesters, seconds.",
    ),
    counter(grpc::RETRIES, "Reads over gRPC that were tried again."),
    counter(grpc::RETRIES_REFUSED, "Reads over gRPC that failed with no retry left in the budget."),
    counter(grpc::CONNECT_FAILURES, "Connects over gRPC that failed."),
    counter(http::PANICS, "Panics of handlers that were answered with 500."),
    counter(
        push::BYTES_RECEIVED,
        "Bytes of lines and structured metadata received, before validation.",
    ),
    counter(push::LINES_RECEIVED, "Lines received, before validation."),
    counter(
        push::METADATA_BYTES_RECEIVED,
        "Bytes of structured metadata received, before validation.",
    ),
    counter(push::PUSHES, "Pushes."),
    counter(push::DISCARDED_SAMPLES, "Lines refused, by reason."),
    counter(push::DISCARDED_BYTES, "Bytes of refused lines, by reason."),
    counter(push::MUTATED_SAMPLES, "Lines that were cut."),
    counter(push::MUTATED_BYTES, "Bytes cut off lines."),
    counter(push::INGESTER_APPENDS, "Append calls to an ingester."),
    counter(push::INGESTER_APPEND_FAILURES, "Append calls to an ingester that failed."),
    counter(push::INGESTER_APPEND_TIMEOUTS, "Append calls that ended at their deadline."),
    gauge(push::INGESTER_CLIENTS, "Ingesters that the distributor knows."),
    gauge(push::REPLICATION_FACTOR, "Members that hold each row."),
    histogram(push::BYTES_PER_LINE, &LINE_BYTES, "Mean bytes per line of each push."),
    counter(wal::FSYNCS, "fdatasync calls that made appends durable."),
    counter(wal::DEAD_SEGMENTS, "Failed fdatasync calls and writes: each ends a segment."),
    gauge(wal::SIZE_BYTES, "Bytes of all segments on the disk."),
    counter(wal::RECORDS_LOGGED, "Records written."),
    counter(wal::LOGGED_BYTES, "Bytes written."),
    gauge(wal::BYTES_IN_USE, "Bytes of the buffer of the writer."),
    counter(wal::DISK_FULL_FAILURES, "Appends refused because the disk was full."),
    gauge(wal::DISK_USAGE, "Used part of the file system, from 0 to 1."),
    counter(wal::CORRUPTIONS, "Damaged places found by replay."),
    counter(wal::RECOVERED_BYTES, "Bytes of records given back by replay."),
    counter(wal::DUPLICATE_ENTRIES, "Records of a batch that replay had seen before."),
    gauge(hold::MEMORY_STREAMS, "Active streams."),
    gauge(hold::MEMORY_CHUNKS, "Heads with rows, and units that no commit holds yet."),
    gauge(hold::FLUSH_QUEUE_LENGTH, "Flushes that wait or run."),
    counter(hold::CHUNKS_FLUSHED, "Row groups of committed parts, by reason."),
    counter(hold::CHUNKS_STORED, "Row groups of committed parts."),
    counter(hold::CHUNK_STORED_BYTES, "Bytes of committed parts."),
    counter(hold::CHUNKS_CREATED, "Heads begun."),
    counter(hold::CHUNKS_ENCODED, "Row groups made, by tenant."),
    counter(hold::SEALED_UNITS, "Units compressed in memory because raw rows took too much."),
    counter(hold::FLUSH_REQUESTS, "Flushes begun."),
    counter(hold::FLUSH_FAILURES, "Flushes that failed; their rows are kept and flushed later."),
    counter(hold::STREAMS_CREATED, "Streams that became active."),
    counter(hold::STREAMS_REMOVED, "Streams that are not active any more."),
    histogram(
        hold::CHUNK_UTILIZATION,
        &FRACTIONS,
        "Line bytes of a row group over those of a full one.",
    ),
    histogram(hold::CHUNK_SIZE, &CHUNK_BYTES, "Compressed bytes of a row group."),
    histogram(hold::CHUNK_ENTRIES, &CHUNK_ENTRIES, "Rows of a row group."),
    histogram(hold::SAMPLES_PER_CHUNK, &CHUNK_ENTRIES, "Rows of a row group (other name)."),
    histogram(
        hold::CHUNK_AGE,
        &CHUNK_AGE,
        "Age of the first append of a unit when it is flushed, seconds.",
    ),
    histogram(
        hold::CHUNK_BOUNDS,
        &CHUNK_HOURS,
        "Time between the oldest and the newest row of a unit, hours.",
    ),
    histogram(hold::CHUNK_RATIO, &RATIOS, "Raw over compressed bytes of a part."),
    histogram(hold::BLOCKS_PER_CHUNK, &PAGES, "Pages of a row group."),
    histogram(hold::CHUNK_ENCODE_TIME, &SECONDS, "Time to make a part, seconds."),
    counter(hold::DUPLICATE_BYTES, "Line bytes of rows that were here already."),
    counter(hold::WAL_RECOVERED_CHUNKS, "Batches given back by replay."),
    counter(hold::WAL_RECOVERED_ENTRIES, "Rows given back by replay."),
    counter(hold::WAL_RECOVERED_STREAMS, "Streams given back by replay."),
    counter(hold::WAL_DISCARDED_SAMPLES, "Rows in the log that are put aside, by reason."),
    counter(
        hold::WAL_DISCARDED_BYTES,
        "Line bytes of rows in the log that are put aside, by reason.",
    ),
    gauge(hold::WAL_REPLAY_ACTIVE, "1 while the log is replayed."),
    gauge(hold::WAL_REPLAY_FLUSHING, "1 while replay flushes because memory is full."),
    gauge(hold::WAL_REPLAY_SECONDS, "Time of the last replay, seconds."),
    gauge(hold::SHUTDOWN_MARKER, "1 while a shutdown was prepared."),
    gauge(
        hold::UNFLUSHED_BYTES,
        "Bytes of rows that no commit holds: raw in heads, compressed in sealed units.",
    ),
    gauge(hold::FOLLOWED_BYTES, "Memory of what is known of batches that another store flushes."),
    gauge(hold::RETAINED_BYTES, "Bytes of flushed units kept for queries with an older view."),
    counter(hold::REFUSED, "Appends refused, by reason."),
    counter(
        hold::REBUILT_UNITS,
        "Units built anew because the commit of somebody else claimed some of their batches.",
    ),
    counter(
        hold::ADOPTED_BATCHES,
        "Batches of which other stores are first that were read back to be answered or flushed here.",
    ),
    counter(store::OPERATIONS, "Requests to the object store."),
    counter(store::FAILURES, "Requests to the object store that failed."),
    histogram(store::DURATION, &SECONDS, "Time of requests to the object store, seconds."),
    counter(store::FETCHED, "Bytes read from and written to the object store."),
    counter(store::PAGES_SCANNED, "Pages decoded and evaluated, of parts and of sealed units."),
    counter(store::CORRUPT, "Stored objects that were damaged when read."),
    counter(store::COMMITS, "Attempts to commit, by outcome."),
    counter(store::COLLISIONS, "Commits that found their number taken."),
    gauge(store::VERSION, "Number of the newest commit that was read."),
    gauge(store::ID_RANGES, "Ranges in the table of claimed batches."),
    counter(store::RESTARTS, "Times the commit log had to be started over from a checkpoint."),
    counter(store::ANOMALIES, "Rules found broken by a commit that was read."),
    counter(store::CHECKPOINTS, "Checkpoints written, by result."),
    gauge(store::CACHE_BYTES, "Bytes held by a cache."),
    gauge(store::CACHE_ENTRIES, "Entries held by a cache."),
    counter(store::CACHE_REQUESTS, "Look-ups in a cache, by result."),
    gauge(store::DISK_CACHE_BYTES, "Bytes of the disk cache's files."),
    counter(store::DISK_CACHE_SKIPPED, "Pieces of parts that the disk cache did not take."),
    counter(store::DISK_CACHE_FAILURES, "Times that the disk of the disk cache failed."),
    histogram(query::QUERY_DURATION, &SECONDS, "Time of queries, seconds."),
    histogram(query::LATENCY, &SECONDS, "Time of queries, seconds, by status, type and range."),
    histogram(query::BYTES_PER_SECOND, &BYTES_PER_SECOND, "Bytes looked at per second of a query."),
    counter(query::BYTES, "Bytes looked at."),
    histogram(query::DOWNLOAD_LATENCY, &SECONDS, "Time a query spent reading row groups, seconds."),
    counter(query::DOWNLOADED, "Row groups read."),
    counter(query::INGESTER_LINES, "Rows that ingesters selected."),
    counter(query::FETCHED_BYTES, "Stored bytes read for queries."),
    counter(query::FETCHED_SERIES, "Streams that queries matched."),
    counter(query::PAGES_READ, "Pages decoded and evaluated, of parts and of ingesters."),
    counter(query::STORE_REQUESTS, "Requests to the object store that queries needed, by type."),
    counter(query::PAGES_PRUNED, "Pages in range and of selected streams that were not decoded."),
    counter(read::REPEATS, "Pieces of queries that started over, by reason."),
    counter(read::CORRUPT, "Pieces of queries that failed because a stored object is damaged."),
    counter(read::SILENT, "Times an ingester did not answer a piece of a query."),
    gauge(read::INFLIGHT, "Pieces of queries running."),
    gauge(read::CONCURRENCY, "Pieces of queries that may run at the same time."),
    gauge(query::IN_PROGRESS, "Queries waiting or running."),
    gauge(query::CONNECTED, "Workers of queriers that are connected."),
    gauge(query::QUEUE_LENGTH, "Pieces of queries that wait for a querier."),
    histogram(query::QUEUE_DURATION, &SECONDS, "Time a piece waited for a querier, seconds."),
    counter(query::DISCARDED, "Pieces refused because too many of the tenant wait."),
    counter(query::BLOCKED, "Queries refused by blocked_queries."),
    gauge(query::TAILS_ACTIVE, "Open tails."),
    counter(query::TAIL_DROPPED, "Lines of tails that their clients were too slow for."),
    histogram(query::RETRIES, &RETRIES, "Repetitions of a piece of a query."),
    histogram(query::PARTITIONS, &PIECES, "Pieces by time of a query."),
    histogram(query::SHARD_FACTOR, &PIECES, "Pieces by stream of a piece by time."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_described_once_with_rising_buckets() {
        let mut names: Vec<&str> = TABLE.iter().map(|metric| metric.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for metric in TABLE {
            if let Kind::Histogram(buckets) = metric.kind {
                assert!(buckets.is_sorted() && !buckets.is_empty(), "{}", metric.name);
            }
            let is_total = metric.name.ends_with("_total");
            let is_counter = matches!(metric.kind, Kind::Counter);
            assert!(!is_total || is_counter, "{} is no counter", metric.name);
        }
    }
}
