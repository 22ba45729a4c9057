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
