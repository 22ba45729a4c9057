//! Names of the metrics of calls over gRPC. What services answer is counted under the names of the
//! HTTP edge ([`crate::http::metrics`]) with `method="gRPC"`, as Loki's dashboards expect.

/// Histogram, seconds {operation, status_code}: calls of ingesters, seen from the caller.
pub const INGESTER_CLIENT_DURATION: &str = "loki_ingester_client_request_duration_seconds";
/// Counter {operation}: reads that were tried again.
pub const RETRIES: &str = "runelog_rpc_retries_total";
/// Counter {operation}: reads that failed and were not tried again because the budget is spent.
pub const RETRIES_REFUSED: &str = "runelog_rpc_retries_refused_total";
/// Counter {address}: connects that failed.
pub const CONNECT_FAILURES: &str = "runelog_rpc_connect_failures_total";
