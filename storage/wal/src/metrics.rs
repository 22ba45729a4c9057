//! Names of the metrics this crate writes, with their labels beside them.

use metrics::{Counter, Gauge, counter, gauge};

/// fdatasync calls that made appends durable. Counter.
pub const FSYNCS: &str = "runelog_wal_fsyncs_total";
/// Failed fdatasync calls and writes: each ends a segment. Counter.
pub const DEAD_SEGMENTS: &str = "runelog_wal_dead_segments_total";
/// Bytes of all segments on the disk. Gauge.
pub const SIZE_BYTES: &str = "runelog_wal_size_bytes";
/// Records written. Counter.
pub const RECORDS_LOGGED: &str = "loki_ingester_wal_records_logged_total";
/// Bytes written. Counter.
pub const LOGGED_BYTES: &str = "loki_ingester_wal_logged_bytes_total";
/// Bytes of the writer's buffer. Gauge.
pub const BYTES_IN_USE: &str = "loki_ingester_wal_bytes_in_use";
/// Appends refused because the disk was full. Counter.
pub const DISK_FULL_FAILURES: &str = "loki_ingester_wal_disk_full_failures_total";
/// Used part of the file system, 0..1. Gauge.
pub const DISK_USAGE: &str = "loki_ingester_wal_disk_usage_percent";
/// Damaged places found by replay. Counter; `type` = `record`, `segment_header`, `torn_tail`.
pub const CORRUPTIONS: &str = "loki_ingester_wal_corruptions_total";
/// Bytes of records given back by replay. Counter.
pub const RECOVERED_BYTES: &str = "loki_ingester_wal_recovered_bytes_total";
/// Records of an id that replay had seen before. Counter.
pub const DUPLICATE_ENTRIES: &str = "loki_ingester_wal_duplicate_entries_total";

/// Handles of what the writer touches with every group.
pub(crate) struct Metrics {
    pub fsyncs: Counter,
    pub dead_segments: Counter,
    pub size_bytes: Gauge,
    pub records: Counter,
    pub logged_bytes: Counter,
    pub bytes_in_use: Gauge,
    pub disk_full: Counter,
    pub disk_usage: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        Metrics {
            fsyncs: counter!(FSYNCS),
            dead_segments: counter!(DEAD_SEGMENTS),
            size_bytes: gauge!(SIZE_BYTES),
            records: counter!(RECORDS_LOGGED),
            logged_bytes: counter!(LOGGED_BYTES),
            bytes_in_use: gauge!(BYTES_IN_USE),
            disk_full: counter!(DISK_FULL_FAILURES),
            disk_usage: gauge!(DISK_USAGE),
        }
    }
}
