//! Names of the frontend's metrics and where they are counted: once per query or job, never per
//! line.

use metrics::{counter, histogram};
use rpc::stats::QueryStats;

use crate::query::PieceStats;

/// Seconds per query. Label `query_type`: `metric`, `filter`, `limited`, `labels`, `series`.
pub const QUERY_DURATION: &str = "logql_query_duration_seconds";
/// Seconds per query. Labels `status_code`, `type`, `range`.
pub const LATENCY: &str = "loki_logql_querystats_latency_seconds";
/// Bytes per second of a query. Labels `status_code`, `type`, `range`, `latency_type`, `sharded`.
pub const BYTES_PER_SECOND: &str = "loki_logql_querystats_bytes_processed_per_seconds";
/// Bytes looked at. Label `tenant`.
pub const BYTES: &str = "loki_logql_querystats_bytes_processed_total";
/// Seconds spent reading row groups. Labels `status_code`, `type`, `range`.
pub const DOWNLOAD_LATENCY: &str = "loki_logql_querystats_chunk_download_latency_seconds";
/// Row groups read. Labels `status_code`, `type`, `range`.
pub const DOWNLOADED: &str = "loki_logql_querystats_downloaded_chunk_total";
/// Rows that ingesters selected.
pub const INGESTER_LINES: &str = "loki_logql_querystats_ingester_sent_lines_total";
/// Stored bytes read for queries. Label `user`.
pub const FETCHED_BYTES: &str = "loki_query_fetched_chunks_bytes_total";
/// Streams that queries matched. Label `user`.
pub const FETCHED_SERIES: &str = "loki_query_fetched_series_total";
/// Pages decoded and evaluated, of parts and of ingesters.
pub const PAGES_READ: &str = "runelog_querier_pages_read_total";
/// Pages in time range and selected streams that were not decoded.
pub const PAGES_PRUNED: &str = "runelog_querier_pages_pruned_total";
/// Requests of queries to the object store.
pub const STORE_REQUESTS: &str = "runelog_querier_store_requests_total";
/// Queries running now.
pub const IN_PROGRESS: &str = "loki_query_frontend_queries_in_progress";
/// Workers of queriers that are connected.
pub const CONNECTED: &str = "loki_query_frontend_connected_clients";
/// Jobs that wait for a querier. Label `user`.
pub const QUEUE_LENGTH: &str = "loki_query_scheduler_queue_length";
/// Seconds a job waited for a querier.
pub const QUEUE_DURATION: &str = "loki_query_frontend_queue_duration_seconds";
/// Jobs refused because too many of the tenant wait. Label `user`.
pub const DISCARDED: &str = "loki_query_scheduler_discarded_requests_total";
/// Queries refused by `blocked_queries`. Label `user`.
pub const BLOCKED: &str = "loki_blocked_queries";
/// Repetitions per job.
pub const RETRIES: &str = "loki_query_frontend_retries";
/// Pieces by time per leaf of a query.
pub const PARTITIONS: &str = "loki_query_frontend_partitions";
/// Shards per piece.
pub const SHARD_FACTOR: &str = "loki_query_frontend_shard_factor";

/// Tails that are open.
pub const TAILS_ACTIVE: &str = "loki_querier_tail_active";
/// Lines of tails that their clients were too slow for.
pub const TAIL_DROPPED: &str = "runelog_query_frontend_tail_dropped_lines_total";

/// What is said of every query.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// Whose query.
    pub tenant: &'a str,
    /// `metric`, `filter`, `limited`, `labels` or `series`.
    pub query_type: &'static str,
    /// `range` or `instant`.
    pub range_type: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Nanoseconds from the arrival to the answer.
    pub exec_ns: u64,
}

/// Above this a query is slow, as Loki's metrics have it.
const FAST_NS: u64 = 10_000_000_000;

impl Outcome<'_> {
    /// `fast` or `slow`.
    pub fn latency_type(&self) -> &'static str {
        if self.exec_ns < FAST_NS { "fast" } else { "slow" }
    }

    /// Counts one query.
    pub fn record(&self, stats: &QueryStats, pieces: &PieceStats) {
        let seconds = self.exec_ns as f64 / 1e9;
        let tenant = self.tenant.to_owned();
        let status = self.status.to_string();
        let labels = [
            ("status_code", status.clone()),
            ("type", self.query_type.to_owned()),
            ("range", self.range_type.to_owned()),
        ];
        histogram!(QUERY_DURATION, "query_type" => self.query_type).record(seconds);
        histogram!(LATENCY, &labels).record(seconds);
        histogram!(
            BYTES_PER_SECOND,
            "status_code" => status,
            "type" => self.query_type,
            "range" => self.range_type,
            "latency_type" => self.latency_type(),
            "sharded" => if pieces.shards > pieces.splits { "true" } else { "false" },
        )
        .record(stats.per_second(stats.bytes()) as f64);
        histogram!(DOWNLOAD_LATENCY, &labels).record(stats.parts.scan_ns as f64 / 1e9);
        counter!(DOWNLOADED, &labels).increment(stats.parts.groups_read);
        counter!(BYTES, "tenant" => tenant.clone()).increment(stats.bytes());
        counter!(INGESTER_LINES).increment(stats.ingester.read.rows_selected);
        counter!(FETCHED_BYTES, "user" => tenant.clone()).increment(stats.parts.read.stored_bytes);
        counter!(FETCHED_SERIES, "user" => tenant)
            .increment(stats.parts.streams + stats.ingester.streams);
        let (parts, ingester) = (&stats.parts.read, &stats.ingester.read);
        counter!(STORE_REQUESTS, "type" => self.query_type).increment(stats.parts.requests);
        counter!(PAGES_READ).increment(parts.pages + ingester.pages);
        counter!(PAGES_PRUNED).increment(parts.pages_pruned + ingester.pages_pruned);
    }
}
