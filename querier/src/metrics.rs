//! Names of the querier's metrics, counted once per job, never per line.

/// Jobs that started over. Label `reason`: `behind`, `removed` (a store left the ring, or is needed no more),
/// `part_gone`.
pub const REPEATS: &str = "runelog_querier_repeats_total";
/// Jobs that failed because a stored object is damaged.
pub const CORRUPT: &str = "runelog_querier_corrupt_objects_total";
/// Times an ingester did not answer a job. Label `ingester`.
pub const SILENT: &str = "runelog_querier_silent_ingesters_total";
/// Jobs running now.
pub const INFLIGHT: &str = "loki_querier_worker_inflight_queries";
/// Jobs that may run at the same time.
pub const CONCURRENCY: &str = "loki_querier_worker_concurrency";
