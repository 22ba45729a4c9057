//! Names of this crate's metrics.

/// Counter {operation}: requests to the object store.
pub const OPERATIONS: &str = "loki_objstore_bucket_operations_total";
/// Counter {operation}: requests that failed ("not found" and "exists already" are answers).
pub const FAILURES: &str = "loki_objstore_bucket_operation_failures_total";
/// Histogram {operation}: seconds per request.
pub const DURATION: &str = "loki_objstore_bucket_operation_duration_seconds";
/// Counter {operation}: bytes read and written.
pub const FETCHED: &str = "loki_objstore_bucket_operation_fetched_bytes_total";

/// Counter {object = commit | checkpoint | floor | part | cluster}: stored objects that were
/// damaged when read.
pub const CORRUPT: &str = "runelog_store_corrupt_objects_total";
/// Counter {outcome = committed | rebuild | ended | failed}: calls of `commit`.
pub const COMMITS: &str = "runelog_catalog_commits_total";
/// Counter: PUTs of commits that found their number taken.
pub const COLLISIONS: &str = "runelog_catalog_commit_collisions_total";
/// Gauge: the version followed to.
pub const VERSION: &str = "runelog_catalog_version";
/// Gauge: ranges in the id table.
pub const ID_RANGES: &str = "runelog_catalog_id_ranges";
/// Counter: times the log had to be started over from a checkpoint.
pub const RESTARTS: &str = "runelog_catalog_restarts_total";
/// Counter: rules found broken by a commit that was read.
pub const ANOMALIES: &str = "runelog_catalog_anomalies_total";
/// Counter {result = success | failure}: checkpoints written.
pub const CHECKPOINTS: &str = "runelog_catalog_checkpoints_total";

/// Gauge {cache}: bytes held.
pub const CACHE_BYTES: &str = "loki_embeddedcache_memory_bytes";
/// Gauge {cache}: entries held.
pub const CACHE_ENTRIES: &str = "loki_embeddedcache_entries";
/// Counter {cache, result = hit | miss | damaged}: look-ups.
pub const CACHE_REQUESTS: &str = "runelog_store_cache_requests_total";
/// Gauge: bytes of the disk cache's files.
pub const DISK_CACHE_BYTES: &str = "runelog_store_disk_cache_bytes";
/// Counter {reason = busy | failed | large}: pieces that the disk cache did not take.
pub const DISK_CACHE_SKIPPED: &str = "runelog_store_disk_cache_skipped_total";
/// Counter {operation = read | write}: times that the disk failed, which pauses the disk cache.
pub const DISK_CACHE_FAILURES: &str = "runelog_store_disk_cache_failures_total";

/// Counter: pages that scans decoded and handed to the engine, of parts and of sealed units.
pub const PAGES_SCANNED: &str = "runelog_store_pages_scanned_total";
