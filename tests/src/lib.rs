//! Tests across crates. `e2e/` starts the real binary; `cluster/` breaks a whole cluster of them;
//! `sim/` attacks the ingester's durable path through a simulated disk and a faulty store;
//! `conformance/` holds recorded requests and answers.
//!
//! Here is what the tests of real processes share.

pub mod disk;
pub mod http;
pub mod process;

use serde_json::Value;

/// First timestamp of test data: 2024-05-01 10:00:00 UTC.
pub const START_NS: i64 = 1_714_557_600_000_000_000;
/// 2024-05-01 12:00:00 UTC.
pub const END_NS: i64 = START_NS + 7_200_000_000_000;

/// Old rows are welcome, and a query may return everything.
pub const LIMITS: &str = "limits_config:\n  reject_old_samples: false\n  \
     max_entries_limit_per_query: 1000000\n  ingestion_rate_mb: 10000\n  \
     ingestion_burst_size_mb: 10000\n  per_stream_rate_limit: 10GB\n  \
     per_stream_rate_limit_burst: 10GB\n  max_query_series: 100000\n  \
     max_global_streams_per_user: 0\n";

/// A push body of one stream.
pub fn body_of(app: &str, lines: impl IntoIterator<Item = (i64, String)>) -> Value {
    let values: Vec<Value> = lines
        .into_iter()
        .map(|(ts_ns, line)| serde_json::json!([ts_ns.to_string(), line]))
        .collect();
    serde_json::json!({"streams": [{"stream": {"app": app}, "values": values}]})
}

/// Sum over all label sets of a metric in an exposition text.
pub fn sum_of(text: &str, name: &str) -> Option<f64> {
    let samples = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
    });
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).reduce(|a, b| a + b)
}
