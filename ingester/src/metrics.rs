//! Names of the metrics this crate writes, with their labels beside them. A chunk in memory is a
//! head or unit; a chunk that is flushed is a row group of a part.

use base::TenantId;
use metrics::{Counter, Gauge, counter, gauge};

/// Active streams. Gauge; `tenant`.
pub const MEMORY_STREAMS: &str = "loki_ingester_memory_streams";
/// Heads with rows, and units that no commit holds yet. Gauge.
pub const MEMORY_CHUNKS: &str = "loki_ingester_memory_chunks";
/// Flushes that wait or run. Gauge.
pub const FLUSH_QUEUE_LENGTH: &str = "loki_ingester_flush_queue_length";
/// Row groups of committed parts. Counter; `reason` = `full`, `max_age`, `idle`, `forced`.
pub const CHUNKS_FLUSHED: &str = "loki_ingester_chunks_flushed_total";
/// The same. Counter; `tenant`.
pub const CHUNKS_STORED: &str = "loki_ingester_chunks_stored_total";
/// Bytes of committed parts. Counter; `tenant`.
pub const CHUNK_STORED_BYTES: &str = "loki_ingester_chunk_stored_bytes_total";
/// Heads begun. Counter.
pub const CHUNKS_CREATED: &str = "loki_ingester_chunks_created_total";
/// Row groups of parts made, committed or not. Counter; `user`.
pub const CHUNKS_ENCODED: &str = "loki_ingester_chunks_encoded_total";
/// Flushes begun. Counter.
pub const FLUSH_REQUESTS: &str = "loki_ingester_chunks_flush_requests_total";
/// Flushes that failed; their rows are kept and flushed later. Counter.
pub const FLUSH_FAILURES: &str = "loki_ingester_chunks_flush_failures_total";
/// Streams that became active. Counter; `tenant`.
pub const STREAMS_CREATED: &str = "loki_ingester_streams_created_total";
/// Streams that are not active any more. Counter; `tenant`.
pub const STREAMS_REMOVED: &str = "loki_ingester_streams_removed_total";
/// Line bytes of a row group over those of a full one. Histogram.
pub const CHUNK_UTILIZATION: &str = "loki_ingester_chunk_utilization";
/// Compressed bytes of a row group. Histogram.
pub const CHUNK_SIZE: &str = "loki_ingester_chunk_size_bytes";
/// Rows of a row group. Histogram.
pub const CHUNK_ENTRIES: &str = "loki_ingester_chunk_entries";
/// The same. Histogram.
pub const SAMPLES_PER_CHUNK: &str = "loki_ingester_samples_per_chunk";
/// Age of a unit's first append when it is flushed. Histogram.
pub const CHUNK_AGE: &str = "loki_ingester_chunk_age_seconds";
/// Time between a row group's oldest and newest row. Histogram.
pub const CHUNK_BOUNDS: &str = "loki_ingester_chunk_bounds_hours";
/// Raw over compressed bytes of a part. Histogram.
pub const CHUNK_RATIO: &str = "loki_ingester_chunk_compression_ratio";
/// Pages of a row group. Histogram.
pub const BLOCKS_PER_CHUNK: &str = "loki_ingester_blocks_per_chunk";
/// Time to make a part. Histogram.
pub const CHUNK_ENCODE_TIME: &str = "loki_ingester_chunk_encode_time_seconds";
/// Line bytes of rows that were here already. Counter; `tenant`.
pub const DUPLICATE_BYTES: &str = "loki_ingester_duplicate_log_bytes_total";
/// Batches given back by the WAL. Counter.
pub const WAL_RECOVERED_CHUNKS: &str = "loki_ingester_wal_recovered_chunks_total";
/// Rows given back by the WAL. Counter.
pub const WAL_RECOVERED_ENTRIES: &str = "loki_ingester_wal_recovered_entries_total";
/// Streams given back by the WAL. Counter.
pub const WAL_RECOVERED_STREAMS: &str = "loki_ingester_wal_recovered_streams_total";
/// Rows in the WAL that are put aside. Counter; `reason` = `forgotten`.
pub const WAL_DISCARDED_SAMPLES: &str = "loki_ingester_wal_discarded_samples_total";
/// Their line bytes. Counter; `reason`.
pub const WAL_DISCARDED_BYTES: &str = "loki_ingester_wal_discarded_bytes_total";
/// 1 while the WAL is replayed. Gauge.
pub const WAL_REPLAY_ACTIVE: &str = "loki_ingester_wal_replay_active";
/// 1 while replay flushes because memory is full. Gauge.
pub const WAL_REPLAY_FLUSHING: &str = "loki_ingester_wal_replay_flushing";
/// Time of the last replay. Gauge.
pub const WAL_REPLAY_SECONDS: &str = "loki_ingester_wal_replay_duration_seconds";
/// 1 while a shutdown was prepared. Gauge.
pub const SHUTDOWN_MARKER: &str = "loki_ingester_shutdown_marker";
/// Bytes of rows that no commit holds: raw in heads, compressed in sealed units. Gauge.
pub const UNFLUSHED_BYTES: &str = "runelog_ingester_unflushed_bytes";
/// Memory of what is known of batches of which another store is first. Gauge.
pub const FOLLOWED_BYTES: &str = "runelog_ingester_followed_bytes";
/// Bytes of flushed units kept for older views. Gauge.
pub const RETAINED_BYTES: &str = "runelog_ingester_retained_bytes";
/// Appends refused. Counter; `reason` = `memory`, `wal`, `open_days`, `stopping`.
pub const REFUSED: &str = "runelog_ingester_refused_appends_total";
/// Units sealed in memory because raw rows took too much. Counter.
pub const SEALED_UNITS: &str = "runelog_ingester_sealed_units_total";
/// Batches of a unit that somebody else's commit claimed: the unit was built anew. Counter.
pub const REBUILT_UNITS: &str = "runelog_ingester_rebuilt_units_total";

/// Batches of which other stores are first that were read back to be answered or flushed here.
/// Counter.
pub const ADOPTED_BATCHES: &str = "runelog_ingester_adopted_batches_total";

/// What is counted per tenant, looked up once per (tenant, day).
pub(crate) struct TenantMetrics {
    pub memory_streams: Gauge,
    pub streams_created: Counter,
    pub streams_removed: Counter,
    pub duplicate_bytes: Counter,
    pub chunks_stored: Counter,
    pub stored_bytes: Counter,
    pub encoded: Counter,
}

impl TenantMetrics {
    pub(crate) fn new(tenant: &TenantId) -> TenantMetrics {
        let tenant = || tenant.as_str().to_owned();
        TenantMetrics {
            memory_streams: gauge!(MEMORY_STREAMS, "tenant" => tenant()),
            streams_created: counter!(STREAMS_CREATED, "tenant" => tenant()),
            streams_removed: counter!(STREAMS_REMOVED, "tenant" => tenant()),
            duplicate_bytes: counter!(DUPLICATE_BYTES, "tenant" => tenant()),
            chunks_stored: counter!(CHUNKS_STORED, "tenant" => tenant()),
            stored_bytes: counter!(CHUNK_STORED_BYTES, "tenant" => tenant()),
            encoded: counter!(CHUNKS_ENCODED, "user" => tenant()),
        }
    }
}
