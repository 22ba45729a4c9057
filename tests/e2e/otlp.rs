//! Logs by OTLP, as exporters send them: over HTTP and over gRPC, with the generated client.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tonic::Code;

use crate::harness::{Role, START_NS, Shape, Site, in_one_and_in_separate_processes};

in_one_and_in_separate_processes!(records_by_grpc_and_http_are_rows_with_labels_and_metadata);

fn text(value: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(value.to_owned())) }
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text(value)), ..KeyValue::default() }
}

fn request(service: &str, lines: usize) -> ExportLogsServiceRequest {
    let record = |at: usize| LogRecord {
        time_unix_nano: (START_NS + at as i64) as u64,
        severity_number: 17,
        body: Some(text(&format!("{service} {at} žluť\n"))),
        attributes: vec![pair("http.method", "GET")],
        trace_id: (1..=16).collect(),
        ..LogRecord::default()
    };
    let attributes = vec![pair("service.name", service), pair("host.name", "h1")];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_logs: vec![ScopeLogs {
                scope: Some(InstrumentationScope {
                    name: "lib".to_owned(),
                    ..InstrumentationScope::default()
                }),
                log_records: (0..lines).map(record).collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

fn records_by_grpc_and_http_are_rows_with_labels_and_metadata(shape: Shape) {
    let site = Site::new(shape);
    let cluster = site.start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let address = format!("http://{}", cluster.process(Role::Distributor).grpc);
    runtime.block_on(async {
        let mut client = LogsServiceClient::connect(address).await.expect("a connection");
        client.export(request("grpc", 1000)).await.expect("taken");
        let future = LogRecord { time_unix_nano: i64::MAX as u64, ..LogRecord::default() };
        let mut bad = request("grpc", 0);
        bad.resource_logs[0].scope_logs[0].log_records.push(future);
        let refused = client.export(bad).await.expect_err("too new");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("has timestamp too new"), "{refused}");
    });
    let body = json("http", 1000).to_string();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(body.as_bytes()).expect("memory");
    let headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    let pushed = cluster.post("/otlp/v1/logs", &headers, &gzip.finish().expect("memory"));
    assert_eq!((pushed.status, pushed.body.len()), (204, 0), "{}", pushed.text());

    for service in ["grpc", "http"] {
        let query = format!(
            r#"{{service_name="{service}"}} | http_method="GET" | host_name="h1" | scope_name="lib"
               | trace_id="0102030405060708090a0b0c0d0e0f10" | detected_level="error""#
        );
        let mut lines = cluster.lines(&query);
        lines.sort();
        let mut want: Vec<String> = (0..1000).map(|at| format!("{service} {at} žluť\n")).collect();
        want.sort();
        assert_eq!(lines, want);
    }
    assert!(cluster.terminate().success());
}

/// As [`request`], for exporters that write JSON.
fn json(service: &str, lines: usize) -> serde_json::Value {
    let text = |value: &str| serde_json::json!({ "stringValue": value });
    let pair = |key: &str, value: &str| serde_json::json!({ "key": key, "value": text(value) });
    let record = |at: usize| {
        serde_json::json!({
            "timeUnixNano": (START_NS + at as i64).to_string(),
            "severityNumber": 17,
            "body": text(&format!("{service} {at} žluť\n")),
            "attributes": [pair("http.method", "GET")],
            "traceId": "0102030405060708090a0b0c0d0e0f10",
        })
    };
    serde_json::json!({ "resourceLogs": [{
        "resource": { "attributes": [pair("service.name", service), pair("host.name", "h1")] },
        "scopeLogs": [{
            "scope": { "name": "lib" },
            "logRecords": (0..lines).map(record).collect::<Vec<_>>(),
        }],
    }] })
}
