//! Names of the metrics of the HTTP edge; Loki's, so that its dashboards work.

/// Histogram, seconds {method, route, status_code, ws}.
pub const REQUEST_DURATION: &str = "loki_request_duration_seconds";
/// Gauge {method, route}.
pub const INFLIGHT_REQUESTS: &str = "loki_inflight_requests";
/// Histogram, bytes {method, route}.
pub const REQUEST_BYTES: &str = "loki_request_message_bytes";
/// Histogram, bytes {method, route}.
pub const RESPONSE_BYTES: &str = "loki_response_message_bytes";
/// Counter: panics that became a 500.
pub const PANICS: &str = "loki_panic_total";
/// Gauge: bytes that request bodies and what is decompressed from them hold.
pub const BODY_BYTES: &str = "runelog_http_body_bytes";
/// Gauge: the most they may hold.
pub const BODY_LIMIT_BYTES: &str = "runelog_http_body_limit_bytes";
/// Counter {reason = too_large | busy}: bodies that were not taken.
pub const BODIES_REFUSED: &str = "runelog_http_bodies_refused_total";

/// Buckets of [`REQUEST_DURATION`].
pub const DURATION_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0];
/// Buckets of [`REQUEST_BYTES`] and [`RESPONSE_BYTES`].
pub const BYTES_BUCKETS: [f64; 8] =
    [1048576.0, 2621440.0, 5242880.0, 10485760.0, 26214400.0, 52428800.0, 104857600.0, 262144000.0];
