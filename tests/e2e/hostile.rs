//! Hostile bodies get Loki's status; the process lives and its memory stays bounded.

use std::io::Write;

use crate::harness::{START_NS, Shape, Site, in_one_and_in_separate_processes};

in_one_and_in_separate_processes!(hostile_bodies_are_refused_and_memory_stays_bounded,);

const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");
const PUSH: &str = "/loki/api/v1/push";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

/// Zeros, compressed a thousand times smaller.
fn gzip_bomb(megabytes: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let block = vec![b' '; 1 << 20];
    for _ in 0..megabytes {
        encoder.write_all(&block).expect("in memory");
    }
    encoder.finish().expect("in memory")
}

fn hostile_bodies_are_refused_and_memory_stays_bounded(shape: Shape) {
    let site = Site::new(shape);
    let server = site.start();
    server.push_lines("good", [(START_NS, "before".to_owned())]);

    // A gigabyte of spaces out of a megabyte.
    let bomb = server.post(PUSH, &[JSON, ("Content-Encoding", "gzip")], &gzip_bomb(1_024));
    assert!([400, 413, 503].contains(&bomb.status), "{} {}", bomb.status, bomb.text());

    // A snappy preamble that promises 100 MB and holds nothing.
    let promise = server.post(PUSH, &[PROTOBUF], &[0x80, 0x84, 0xaf, 0x2f, 0x00]);
    assert_eq!(promise.status, 400, "{}", promise.text());

    let deep = format!("{{\"streams\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(server.post(PUSH, &[JSON], deep.as_bytes()).status, 400);

    let labels: Vec<String> = (0..20_000).map(|n| format!("\"l{n}\":\"v\"")).collect();
    let many = format!(
        "{{\"streams\":[{{\"stream\":{{{}}},\"values\":[[\"{START_NS}\",\"x\"]]}}]}}",
        labels.join(",")
    );
    let many = server.post(PUSH, &[JSON], many.as_bytes());
    assert_eq!(many.status, 400);
    // A discovered service_name is shown and not counted.
    assert!(many.text().contains("has 20000 label names; limit 15"), "{:.200}", many.text());

    // Invalid UTF-8 in a line is stored and answered with replacement characters, as Loki.
    let mut invalid =
        format!("{{\"streams\":[{{\"stream\":{{\"app\":\"u\"}},\"values\":[[\"{START_NS}\",\"a")
            .into_bytes();
    invalid.extend_from_slice(&[0xff, 0xfe]);
    invalid.extend_from_slice(b"z\"]]}]}");
    let invalid = server.post(PUSH, &[JSON], &invalid);
    assert!([204, 400].contains(&invalid.status), "{}", invalid.text());

    for garbage in [&b"\x1f\x8b\x08garbage"[..], b"", b"\x00", b"{", &gzip(b"{\"streams\":[{")] {
        let answer = server.post(PUSH, &[JSON, ("Content-Encoding", "gzip")], garbage);
        assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.text());
    }

    assert!(server.resident_bytes() < 700 << 20, "{} bytes resident", server.resident_bytes());
    assert_eq!(server.lines(r#"{app="good"}"#), ["before"]);
    server.push_lines("good", [(START_NS + 1, "after".to_owned())]);
    assert_eq!(server.lines(r#"{app="good"}"#), ["before", "after"]);
}
