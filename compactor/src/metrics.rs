//! Metrics of the compactor. Loki's names where its dashboards and alerts use them.

/// Gauge: 1 while a compactor runs in this process.
pub const RUNNING: &str = "loki_boltdb_shipper_compactor_running";
