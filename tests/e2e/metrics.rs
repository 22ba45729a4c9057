//! Metrics that dashboards and alerts use change under traffic, and the exposition is clean.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::harness::{
    Cluster, END_NS, START_NS, Shape, Site, body_of, in_one_and_in_separate_processes, sum_of,
};
use crate::http::encode;

in_one_and_in_separate_processes!(every_metric_of_the_dashboards_changes_under_traffic,);

/// Names of Loki's dashboards that have a meaning here, and ours. Each must change between the
/// first scrape and one after traffic.
const MUST_CHANGE: &[&str] = &[
    "loki_request_duration_seconds_count",
    "loki_request_duration_seconds_sum",
    "loki_response_message_bytes_count",
    "loki_request_message_bytes_count",
    "loki_distributor_bytes_received_total",
    "loki_distributor_lines_received_total",
    "loki_distributor_structured_metadata_bytes_received_total",
    "loki_discarded_samples_total",
    "loki_discarded_bytes_total",
    "loki_ingester_streams_created_total",
    "loki_ingester_chunks_created_total",
    "loki_ingester_chunks_flushed_total",
    "loki_ingester_chunks_stored_total",
    "loki_ingester_chunk_stored_bytes_total",
    "loki_ingester_chunk_size_bytes_count",
    "loki_ingester_chunk_entries_count",
    "loki_ingester_chunk_utilization_count",
    "loki_ingester_chunk_compression_ratio_count",
    "loki_ingester_chunk_age_seconds_count",
    "loki_ingester_wal_records_logged_total",
    "loki_ingester_wal_logged_bytes_total",
    "runelog_wal_fsyncs_total",
    "loki_objstore_bucket_operations_total",
    "loki_objstore_bucket_operation_duration_seconds_count",
    "loki_logql_querystats_latency_seconds_count",
    "logql_query_duration_seconds_count",
    "runelog_querier_pages_read_total",
    "process_cpu_seconds_total",
];

/// Gauges that must move while rows are in memory and come back.
const MUST_RISE_BEFORE_FLUSH: &[&str] =
    &["loki_ingester_memory_streams", "runelog_ingester_unflushed_bytes"];

fn traffic(server: &Cluster) {
    let lines = (0..2_000).map(|n| (START_NS + n * 1_000, format!("level=info n={n}")));
    let mut body = body_of("a", lines);
    let with_metadata = serde_json::json!([(START_NS + 1).to_string(), "x", {"trace_id": "t"}]);
    body["streams"][0]["values"].as_array_mut().expect("values").push(with_metadata);
    assert_eq!(server.push(&body).status, 204);
    let too_long = body_of("b", [(START_NS, "x".repeat(300 << 10))]);
    assert_eq!(server.push(&too_long).status, 400);
    let target =
        format!("/loki/api/v1/query?query={}&time={END_NS}", encode(r#"rate({app="a"}[3h])"#));
    assert_eq!(server.get(&target).status, 200);
    assert_eq!(server.lines(r#"{app="a"} |= "n=7""#).len(), 1 + 10 + 100);
}

fn every_metric_of_the_dashboards_changes_under_traffic(shape: Shape) {
    let site = Site::new(shape);
    let server = site.start();
    let before = server.metrics();
    traffic(&server);
    let during = server.metrics();
    for name in MUST_RISE_BEFORE_FLUSH {
        let (was, is) = (sum_of(&before, name).unwrap_or(0.0), sum_of(&during, name));
        assert!(is.is_some_and(|is| is > was), "{name}: {was} then {is:?}");
    }
    server.flush();
    traffic(&server);
    server.flush();
    let after = server.metrics();
    let unchanged: Vec<&&str> = MUST_CHANGE
        .iter()
        .filter(|name| {
            let (was, is) = (sum_of(&before, name).unwrap_or(0.0), sum_of(&after, name));
            is.is_none_or(|is| is <= was)
        })
        .collect();
    assert!(unchanged.is_empty(), "absent or unchanged: {unchanged:?}");
    assert_eq!(sum_of(&after, "runelog_ingester_unflushed_bytes"), Some(0.0));
    for name in ["loki_build_info", "process_resident_memory_bytes", "process_open_fds"] {
        assert!(sum_of(&after, name).is_some_and(|value| value > 0.0), "{name}");
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_our_own_metrics() {
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        assert!(std::env::var_os("CI").is_none(), "CI must have promtool");
        eprintln!("skipped: promtool is not installed");
        return;
    };
    let site = Site::new(Shape::One);
    let server = site.start();
    traffic(&server);
    server.flush();
    let text = server.metrics();
    promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    let output = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}
