//! Metrics of the compactor. Loki's names where its dashboards and alerts use them.

/// Gauge: 1 while a compactor runs in this process.
pub const RUNNING: &str = "loki_boltdb_shipper_compactor_running";
/// Counter {status}: passes, `success` or `failure`.
pub const PASSES: &str = "loki_boltdb_shipper_compact_tables_operation_total";
/// Gauge: seconds the last pass took.
pub const PASS_DURATION: &str = "loki_boltdb_shipper_compact_tables_operation_duration_seconds";
/// Gauge: when the last good pass ended, seconds since 1970; 0 before the first.
pub const LAST_SUCCESS: &str =
    "loki_boltdb_shipper_compact_tables_operation_last_successful_run_timestamp_seconds";
/// Counter {kind}: objects deleted: `log`, `checkpoint`, `part`, `orphan`.
pub const DELETED: &str = "runelog_compactor_deleted_objects_total";
/// Gauge: objects that nothing names and that are too young to go.
pub const WAITING: &str = "runelog_compactor_waiting_objects";
/// Gauge: commits at or below it are gone.
pub const FLOOR: &str = "runelog_compactor_log_floor";
/// Gauge: parts that are inputs of the merges that pay now.
pub const PENDING: &str = "runelog_compactor_pending_parts";
/// Gauge: objects that merges and retention of this process removed and that are not deleted yet.
pub const GARBAGE: &str = "runelog_compactor_garbage_parts";
/// Counter {outcome}: merges `committed`, `ended` (an input was gone) or `failed`.
pub const MERGES: &str = "runelog_compactor_merges_total";
/// Counter: bytes of the parts that merges wrote.
pub const MERGED_BYTES: &str = "runelog_compactor_merged_bytes_total";
/// Counter: line bytes, before compression, of pages that merges copied as they are.
pub const COPIED_BYTES: &str = "runelog_compactor_copied_line_bytes_total";
/// Counter {status}: rounds of retention, `success` or `failure`.
pub const RETENTIONS: &str = "loki_compactor_apply_retention_operation_total";
/// Gauge: seconds the last round of retention took.
pub const RETENTION_DURATION: &str = "loki_compactor_apply_retention_operation_duration_seconds";
/// Gauge: when the last good round of retention ended, seconds since 1970.
pub const RETENTION_LAST_SUCCESS: &str =
    "loki_compactor_apply_retention_last_successful_run_timestamp_seconds";
/// Counter: parts that retention removed.
pub const EXPIRED: &str = "runelog_compactor_expired_parts_total";
