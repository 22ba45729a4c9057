//! Whole pushes through the router: limits, partial success, batches, hostile bodies.

#![allow(clippy::unwrap_used)]

extern crate runelog_distributor as distributor;

#[path = "support/bench.rs"]
mod support;

use std::io::Write;
use std::time::Duration;

use base::UnixNanos;
use distributor::testing::FakeLimits;
use distributor::{Config, PushLimits};
use rpc::ingester::{Admission, IngesterError, RejectReason, Rejection};
use support::{Bench, NOON, entry, field, snappy, stream};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

fn push(streams: &[(&str, &[(i64, &str)])]) -> String {
    let streams: Vec<String> = streams
        .iter()
        .map(|(labels, rows)| {
            let rows: Vec<String> =
                rows.iter().map(|(ts, line)| format!(r#"["{ts}","{line}"]"#)).collect();
            format!(r#"{{"stream":{labels},"values":[{}]}}"#, rows.join(","))
        })
        .collect();
    format!(r#"{{"streams":[{}]}}"#, streams.join(","))
}

const A: &str = r#"{"a":"b"}"#;
const A_LABELS: &str = r#"{a="b", service_name="unknown_service"}"#;

#[tokio::test]
async fn rows_are_cut_into_one_batch_per_day_with_dense_ids() {
    let bench = Bench::new(FakeLimits::open());
    let midnight = NOON - NOON % DAY - DAY;
    let body = push(&[
        (A, &[(midnight - 1, "yesterday"), (midnight, "today"), (midnight - 2, "yesterday 2")]),
        (r#"{"c":"d"}"#, &[(midnight + 5, "other")]),
        (A, &[(midnight + DAY - 1, "last")]),
    ]);
    assert_eq!(bench.json(body).await, (204, String::new()));
    assert_eq!(bench.json(push(&[(A, &[(NOON, "next")])])).await.0, 204);
    let batches = bench.ingester.batches.lock().unwrap();
    let seen: Vec<(u64, i32, usize, usize)> = batches
        .iter()
        .map(|batch| (batch.id.sequence, batch.day.0, batch.streams.len(), batch.rows.len()))
        .collect();
    let day = (midnight / DAY) as i32;
    assert_eq!(seen, [(1, day - 1, 1, 2), (2, day, 2, 3), (3, day + 1, 1, 1)]);
    assert!(batches.iter().all(|batch| batch.attempt == 1 && batch.members.len() == 1));
    let first = &batches[0].id;
    assert!(batches.iter().all(|batch| batch.id.incarnation == first.incarnation));
    let admitted = bench.ingester.admitted.lock().unwrap();
    // The owner sees the rows in the order of the body.
    let expected = [midnight - 1, midnight, midnight - 2, midnight + 5, midnight + DAY - 1];
    assert_eq!(admitted[0].ts_ns, expected);
    assert_eq!(admitted[0].sizes, [9, 5, 11, 5, 4]);
    assert_eq!(admitted[0].streams.len(), 2);
}

#[tokio::test]
async fn rejected_rows_leave_their_batches_and_are_told() {
    let bench = Bench::new(FakeLimits::open());
    let midnight = NOON - NOON % DAY;
    let late = RejectReason::TooFarBehind { oldest_ns: NOON };
    let rejected = vec![
        Rejection { stream: 0, rows: vec![(1, late), (2, late)] },
        Rejection { stream: 1, rows: vec![(3, RejectReason::StreamLimit)] },
    ];
    *bench.ingester.admission.lock().unwrap() = Some(Ok(Admission { rejected }));
    let body = push(&[
        (A, &[(midnight - 1, "r0"), (midnight, "r1"), (midnight - 2, "r2")]),
        (r#"{"c":"d"}"#, &[(midnight + 5, "r3")]),
        (r#"{"e":"f"}"#, &[(midnight + 6, "r4")]),
    ]);
    let (status, text) = bench.json(body).await;
    assert_eq!(status, 429);
    assert!(
        text.starts_with("maximum active stream limit exceeded when trying to create"),
        "{text}"
    );
    let rows = bench.rows();
    let lines: Vec<&str> = rows.iter().map(|row| row.2.as_str()).collect();
    assert_eq!(lines, ["r0", "r4"]);
    assert_eq!(rows[1].0, r#"{e="f", service_name="unknown_service"}"#);
    assert_eq!(bench.ingester.batches.lock().unwrap()[1].streams.len(), 1);
}

#[tokio::test]
async fn a_failing_ingester_is_told_by_kind() {
    let bench = Bench::new(FakeLimits::open());
    for (error, status) in [
        (IngesterError::Unavailable("the disk is full".to_owned()), 503),
        (IngesterError::Internal("a bug".to_owned()), 500),
    ] {
        *bench.ingester.appended.lock().unwrap() = Some(Err(error.clone()));
        let answer = bench.json(push(&[(A, &[(NOON, "x")])])).await;
        assert_eq!(answer, (status, error.to_string()));
        *bench.ingester.admission.lock().unwrap() = Some(Err(error.clone()));
        let answer = bench.json(push(&[(A, &[(NOON, "x")])])).await;
        assert_eq!(answer, (status, error.to_string()));
    }
    assert!(bench.rows().is_empty());
}

#[tokio::test]
async fn valid_entries_are_stored_beside_those_that_are_told() {
    let limits = PushLimits {
        reject_old_samples: true,
        reject_old_samples_max_age: Duration::from_secs(3600),
        max_line_size: 10,
        ..FakeLimits::open()
    };
    let bench = Bench::new(limits);
    let old = NOON - 7200 * SECOND;
    let body = push(&[
        (A, &[(old, "x"), (old, "y"), (NOON, "kept"), (NOON + 1, "much too long")]),
        (r#"{"c":"d"}"#, &[(NOON, "kept too")]),
    ]);
    let (status, text) = bench.json(body).await;
    let too_old = format!(
        "2 errors like: entry for stream '{A_LABELS}' has timestamp too old: 2024-05-01T10:00:00Z, \
         oldest acceptable timestamp is: 2024-05-01T11:00:00Z"
    );
    let too_long = format!(
        "1 errors like: max entry size '10' bytes exceeded for stream '{A_LABELS}' while adding \
         an entry with length '13' bytes"
    );
    assert_eq!((status, text), (400, format!("{too_old}; {too_long}")));
    let rows = bench.rows();
    let lines: Vec<&str> = rows.iter().map(|row| row.2.as_str()).collect();
    assert_eq!(lines, ["kept", "kept too"]);
}

#[tokio::test]
async fn a_refused_stream_is_told_once_whatever_its_entries() {
    let limits = PushLimits { enforced_labels: vec!["team".to_owned()], ..FakeLimits::open() };
    let bench = Bench::new(limits);
    let body = push(&[
        (A, &[(NOON, "x"), (NOON, "y")]),
        (r#"{"team":"t"}"#, &[(NOON, "kept")]),
        (r#"{"empty":"stream"}"#, &[]),
    ]);
    let text = format!(
        "missing required labels 'team' for user 'acme' for stream '{A_LABELS}' (policy: '')"
    );
    assert_eq!(bench.json(body).await, (400, text));
    assert_eq!(bench.rows().len(), 1);
}

#[tokio::test]
async fn the_tenants_rate_takes_all_or_nothing() {
    let limits =
        PushLimits { ingestion_rate_bytes: 10.0, ingestion_burst_bytes: 20, ..FakeLimits::open() };
    let bench = Bench::new(limits);
    let body = || push(&[(A, &[(NOON, "0123456789"), (NOON + 1, "abc")])]);
    assert_eq!(bench.json(body()).await.0, 204);
    let text = "ingestion rate limit exceeded for user acme (limit: 10 bytes/sec) while attempting \
        to ingest '2' lines totaling '13' bytes, reduce log volume or contact your Loki \
        administrator to see if the limit can be increased";
    assert_eq!(bench.json(body()).await, (429, text.to_owned()));
    bench.clock.advance(SECOND);
    assert_eq!(bench.json(body()).await.0, 204);
    assert_eq!(bench.rows().len(), 4);
}

#[tokio::test]
async fn blocked_tenants_get_the_configured_status_unless_something_is_invalid() {
    for (code, status) in [(260, 260), (200, 204)] {
        let limits = PushLimits {
            block_ingestion_until: Some(UnixNanos(NOON + SECOND)),
            block_ingestion_status_code: code,
            max_label_value_length: 20,
            ..FakeLimits::open()
        };
        let bench = Bench::new(limits);
        let (got, text) = bench.json(push(&[(A, &[(NOON, "x")])])).await;
        assert_eq!(got, status);
        let blocked = "ingestion blocked for user 'acme' until '2024-05-01T12:00:01Z' with status \
            code '260'";
        assert_eq!(text, if code == 200 { "" } else { blocked });
        let invalid =
            push(&[(r#"{"a":"0123456789012345678901"}"#, &[(NOON, "x")]), (A, &[(NOON, "x")])]);
        assert_eq!(bench.json(invalid).await.0, 400);
        assert!(bench.rows().is_empty());
        bench.clock.advance(SECOND);
        assert_eq!(bench.json(push(&[(A, &[(NOON, "x")])])).await.0, 204);
        assert_eq!(bench.rows().len(), 1);
    }
}

#[tokio::test]
async fn equal_timestamps_are_incremented_where_lines_differ() {
    let limits = PushLimits { increment_duplicate_timestamp: true, ..FakeLimits::open() };
    let bench = Bench::new(limits);
    let body = push(&[(
        A,
        &[(NOON, "a"), (NOON, "b"), (NOON, "c"), (NOON, "c"), (NOON + 100, "d"), (NOON + 100, "e")],
    )]);
    assert_eq!(bench.json(body).await.0, 204);
    let ts: Vec<i64> = bench.rows().iter().map(|row| row.1 - NOON).collect();
    assert_eq!(ts, [0, 1, 2, 0, 100, 101]);
}

#[tokio::test]
async fn long_lines_are_cut_where_the_tenant_wants_it() {
    let limits = PushLimits {
        max_line_size: 8,
        max_line_size_truncate: true,
        max_line_size_truncate_identifier: "...".to_owned(),
        ..FakeLimits::open()
    };
    let bench = Bench::new(limits);
    let body = push(&[(A, &[(NOON, "12345678"), (NOON, "123456789")])]);
    assert_eq!(bench.json(body).await.0, 204);
    let rows = bench.rows();
    assert_eq!((rows[0].2.as_str(), rows[1].2.as_str()), ("12345678", "12345..."));
}

#[tokio::test]
async fn metadata_limits_come_in_lokis_order() {
    let with = |limits: PushLimits, metadata: &'static str| async move {
        let bench = Bench::new(limits);
        let body =
            format!(r#"{{"streams":[{{"stream":{A},"values":[["{NOON}","x",{metadata}]]}}]}}"#);
        bench.json(body).await.1
    };
    let off = PushLimits { allow_structured_metadata: false, ..FakeLimits::open() };
    assert_eq!(with(off.clone(), "{}").await, "");
    let text = with(off, r#"{"a":"b"}"#).await;
    assert!(text.starts_with(&format!("stream '{A_LABELS}' includes structured metadata, but")));
    let small = PushLimits {
        max_structured_metadata_size: 3,
        max_structured_metadata_entries_count: 1,
        ..FakeLimits::open()
    };
    let text = with(small.clone(), r#"{"aa":"bb","c":"d"}"#).await;
    assert!(text.contains("has structured metadata too large: '6' bytes, limit: '3' bytes."));
    let text = with(small, r#"{"a":"","c":""}"#).await;
    assert!(text.contains("has too many structured metadata labels: '2', limit: '1'."));
}

#[tokio::test]
async fn keys_in_any_order_and_twice_mean_what_they_mean_to_loki() {
    let bench = Bench::new(FakeLimits::open());
    let body = format!(
        r#"{{"streams":null,"x":[{{}}],"Streams":[
            {{"values":[["{NOON}","v1"]],"stream":{{"o":"1"}}}},
            {{"stream":{{"o":"0"}},"values":[["{NOON}","lost"]],"stream":{{"o":"2"}}}},
            {{"stream":{{"o":"3"}},"values":[["{NOON}","lost"]],"values":[["{NOON}","v3"]]}}
        ]}}"#
    );
    assert_eq!(bench.json(body).await, (204, String::new()));
    let rows: Vec<(String, String)> =
        bench.rows().into_iter().map(|(labels, _, line, _)| (labels, line)).collect();
    let named = |n: u8| format!(r#"{{o="{n}", service_name="unknown_service"}}"#);
    assert_eq!(
        rows,
        [(named(1), "v1".to_owned()), (named(2), "lost".to_owned()), (named(3), "v3".to_owned())]
    );
}

#[tokio::test]
async fn protobuf_and_json_store_the_same_rows() {
    let bench = Bench::new(FakeLimits::open());
    let json = format!(
        r#"{{"streams":[{{"stream":{{"b":"2","a":"1"}},"values":[
            ["{NOON}","level=warn x",{{"trace.id":"t","k":"v"}}],["{NOON}","say \"hi\"\n"]]}}]}}"#
    );
    assert_eq!(bench.json(json).await.0, 204);
    let entries = [
        entry(NOON, b"level=warn x", &[("trace.id", "t"), ("k", "v")]),
        entry(NOON, b"say \"hi\"\n", &[]),
    ];
    // Entries before the labels, unknown fields between.
    let mut message: Vec<u8> = entries.iter().flat_map(|entry| field(2, entry)).collect();
    message.extend_from_slice(&[0x18, 5, 0x21, 0, 0, 0, 0, 0, 0, 0, 0, 0x2b, 0x08, 1, 0x2c]);
    message.extend(field(1, br#"{b="2",a="1"}"#));
    let body = snappy(&field(1, &message));
    let answer = bench.push(&[("content-type", "application/x-protobuf")], body).await;
    assert_eq!(answer, (204, String::new()));
    let rows = bench.rows();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[..2], rows[2..]);
    assert_eq!(rows[0].3, "detected_level=warn k=v trace_id=t");
    assert_eq!(rows[1].3, "detected_level=unknown");
}

#[tokio::test]
async fn many_batches_are_cut_where_metadata_names_never_repeat() {
    let bench = Bench::new(FakeLimits::open());
    let entries: Vec<Vec<u8>> = (0..3000)
        .map(|row| {
            let names: Vec<String> = (0..8).map(|n| format!("k{row}_{n}")).collect();
            let pairs: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
            entry(NOON + row, b"x", &pairs)
        })
        .collect();
    let body = snappy(&stream("{a=\"b\"}", &entries));
    let answer = bench.push(&[("content-type", "application/x-protobuf")], body).await;
    assert_eq!(answer, (204, String::new()));
    let batches = bench.ingester.batches.lock().unwrap();
    assert_eq!(batches.iter().map(|batch| batch.rows.len()).sum::<usize>(), 3000);
    let cells: usize =
        batches.iter().map(|batch| batch.rows.metadata.len() * batch.rows.len()).sum();
    assert!(cells < 8 << 20, "{cells} cells in {} batches", batches.len());
    drop(batches);
    let rows = bench.rows();
    assert!(rows.iter().enumerate().all(|(at, row)| row.1 == NOON + at as i64));
    assert!(rows[2999].3.contains("k2999_7=v"));
}

#[tokio::test]
async fn hostile_bodies_get_a_status_and_little_memory() {
    let config = Config {
        max_recv_msg_size: base::ByteSize(4 << 20),
        max_decompressed_size: base::ByteSize(16 << 20),
        ..Config::default()
    };
    let bench = Bench::with(config, FakeLimits::open());
    let json = ("content-type", "application/json");
    let protobuf = ("content-type", "application/x-protobuf");

    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 64 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let gzip = ("content-encoding", "gzip");
    let (status, text) = bench.push(&[json, gzip], bomb.clone()).await;
    assert_eq!(status, 413);
    assert!(text.starts_with("request body too large: "), "{text}");
    assert_eq!(bench.push(&[protobuf, gzip], bomb).await.0, 413);

    let (status, text) = bench.json(vec![b' '; (4 << 20) + 1]).await;
    assert_eq!(status, 413);
    assert!(text.starts_with("request body too large: "), "{text}");

    let liar = vec![0x80, 0xc2, 0xd7, 0x2f, 0, 0];
    let answer = bench.push(&[protobuf], liar).await;
    assert_eq!(answer, (400, "snappy: corrupt input".to_owned()));

    for deep in ["[".repeat(1 << 20), r#"{"a":"#.repeat(200_000), r#"{"streams":["#.repeat(100_000)]
    {
        assert_eq!(bench.json(deep).await.0, 400);
    }
    let deep = format!(
        r#"{{"streams":[{{"stream":{{"a":{}1{}}},"values":[["{NOON}","x"]]}}]}}"#,
        "[".repeat(9_000),
        "]".repeat(9_000)
    );
    assert_eq!(bench.json(deep).await.0, 400, "a label value of 18 KB");

    let labels: Vec<String> = (0..20_000).map(|n| format!(r#""l{n}":"v""#)).collect();
    let body = push(&[(&format!("{{{}}}", labels.join(",")), &[(NOON, "x")])]);
    let (status, text) = bench.json(body).await;
    assert_eq!(status, 400);
    assert!(text.ends_with("has 20000 label names; limit 15"), "{}", text.len());

    let mut invalid = push(&[(A, &[(NOON, "bad ")])]).into_bytes();
    let at = invalid.iter().position(|&byte| byte == b' ').unwrap();
    invalid.splice(at..=at, [0xff, 0xfe, 0xc0, 0x80]);
    assert_eq!(bench.json(invalid).await.0, 204);
    assert_eq!(bench.rows().len(), 1);
    assert_eq!(bench.ingester.batches.lock().unwrap()[0].rows.lines.get(0), b"bad\xff\xfe\xc0\x80");
    assert_eq!(bench.budget.held(), 0, "every hold is given back");
}

#[tokio::test]
async fn malformed_protobuf_gets_the_texts_of_gos_decoders() {
    let bench = Bench::new(FakeLimits::open());
    for (message, text) in [
        (vec![0x0a, 0x05, 1], "unexpected EOF"),
        (vec![0x0a], "unexpected EOF"),
        (vec![0x08, 1], "proto: wrong wireType = 0 for field Streams"),
        (vec![0x02, 0], "proto: PushRequest: illegal tag 0 (wire type 2)"),
        (vec![0x0c], "proto: PushRequest: wiretype end group for non-group"),
        (vec![0x17], "proto: illegal wireType 7"),
        (vec![0x80; 11], "proto: integer overflow"),
        (
            [&[0x0a][..], &[0xff; 9], &[1]].concat(),
            "proto: negative length found during unmarshaling",
        ),
        (field(1, &field(2, &field(1, &[8, 0x80]))), "unexpected EOF"),
        (field(1, &[0x0d, 0, 0, 0, 0]), "proto: wrong wireType = 5 for field Labels"),
    ] {
        let answer =
            bench.push(&[("content-type", "application/x-protobuf")], snappy(&message)).await;
        assert_eq!(answer, (400, text.to_owned()), "{message:?}");
    }
}

#[tokio::test]
async fn a_wrong_method_and_headers_are_refused() {
    let bench = Bench::new(FakeLimits::open());
    let body = || push(&[(A, &[(NOON, "x")])]);
    let answer = bench.push(&[], body()).await;
    assert_eq!(answer, (400, "mime: no media type".to_owned()));
    let answer = bench.push(&[("content-type", "x/"), ("content-encoding", "br")], body()).await;
    assert_eq!(answer, (400, "Content-Encoding \"br\" not supported".to_owned()));
    let get = http::Request::get("/loki/api/v1/push").body(axum::body::Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(bench.router.clone(), get).await.unwrap();
    assert_eq!(response.status(), 405);
}

#[tokio::test]
async fn the_uri_decides_which_json_is_meant() {
    let bench = Bench::new(FakeLimits::open());
    let legacy = r#"{"streams":[{"labels":"{a=\"l\"}","entries":[
        {"ts":"2024-05-01T10:00:00.5Z","line":"old \ud83d","x":1,
         "structuredMetadata":[{"name":"n","value":"v"}]},
        {"ts":null,"line":null}]}]}"#;
    let newer = push(&[(A, &[(NOON, "new")])]);
    for (uri, body) in [
        ("/api/prom/push", legacy.to_owned()),
        ("/api/prom/push?x=/LOKI/api/v1", newer.clone()),
        // Unknown fields of either are skipped: streams without entries remain.
        ("/api/prom/push", newer),
        ("/loki/api/v1/push", legacy.to_owned()),
    ] {
        let request = http::Request::post(uri)
            .header("content-type", "application/json; charset=utf-8")
            .header("x-scope-orgid", "acme");
        let request = request.body(axum::body::Body::from(body)).unwrap();
        assert_eq!(support::send(&bench.router, request).await, (204, String::new()), "{uri}");
    }
    let rows = bench.rows();
    let lines: Vec<(i64, &str)> = rows.iter().map(|row| (row.1, row.2.as_str())).collect();
    // Go's zero time, as its nanoseconds overflow.
    let zero = -6_795_364_578_871_345_152;
    let half = NOON - 7200 * SECOND + SECOND / 2;
    assert_eq!(lines, [(half, "old \u{fffd}"), (zero, ""), (NOON, "new")]);
    assert_eq!(rows[0].3, "detected_level=unknown n=v");
}

#[tokio::test]
async fn limits_that_change_count_for_streams_already_known() {
    let bench = Bench::new(FakeLimits::open());
    let body = || push(&[(r#"{"level":"warn"}"#, &[(NOON, "error")])]);
    assert_eq!(bench.json(body()).await.0, 204);
    let change = |limits: PushLimits| *bench.limits.0.lock().unwrap() = std::sync::Arc::new(limits);
    change(PushLimits { discover_service_name: Vec::new(), ..FakeLimits::open() });
    assert_eq!(bench.json(body()).await.0, 204);
    change(PushLimits { discover_log_levels: false, ..FakeLimits::open() });
    assert_eq!(bench.json(body()).await.0, 204);
    change(PushLimits { max_label_value_length: 3, ..FakeLimits::open() });
    assert_eq!(bench.json(body()).await.0, 400);
    let rows: Vec<(String, String)> =
        bench.rows().into_iter().map(|(labels, _, _, metadata)| (labels, metadata)).collect();
    let named = r#"{level="warn", service_name="unknown_service"}"#;
    let row = |labels: &str, metadata: &str| (labels.to_owned(), metadata.to_owned());
    assert_eq!(
        rows,
        [
            row(named, "detected_level=warn"),
            row(r#"{level="warn"}"#, "detected_level=warn"),
            row(named, "")
        ]
    );
}
