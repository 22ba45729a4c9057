use std::path::{Path, PathBuf};

use base::random::{Random, SeededRandom};
use serde_json::{Value, json};

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn golden(file: &str) -> Vec<u8> {
    std::fs::read(root().join(file)).unwrap()
}

fn files_of(dir: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(root().join(dir)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn text(report: &Report) -> String {
    let mut out = Vec::new();
    report.write(&mut out, Zone::Utc, true).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_part_shows_what_is_in_it() {
    let bytes = golden("storage/part/golden/v1-zstd.part");
    let footer = ::part::Footer::open(&bytes, bytes.len() as u64).unwrap();
    let report = look(bytes.clone(), None, 3);
    assert!(report.is_sound());
    let json = report.json("x");
    assert_eq!(json["kind"], "part");
    assert_eq!(json["rows"], footer.rows());
    assert_eq!(json["tenant"], footer.tenant().as_str());
    assert_eq!(json["size"], bytes.len());
    let streams = json["streams_by_rows"].as_array().unwrap();
    let rows: Vec<u64> = streams.iter().map(|stream| stream["rows"].as_u64().unwrap()).collect();
    assert_eq!(rows.len(), footer.streams().len());
    assert_eq!(rows.iter().sum::<u64>(), footer.rows());
    assert!(rows.windows(2).all(|pair| pair[0] >= pair[1]));
    assert_eq!(json["groups"].as_array().unwrap().len(), footer.groups().len());
    assert_eq!(json["first_rows"].as_array().unwrap().len(), 3);
    let pieces = json["pieces"].as_array().unwrap();
    assert!(pieces.iter().all(|piece| piece["checksum"] == "ok"));
    assert!(pieces.iter().any(|piece| piece["piece"] == "group 0 trigram sketch"));
    assert!(pieces.iter().any(|piece| piece["codec"] == "zstd"));
    assert!(text(&report).contains("section directory"));
}

#[test]
fn a_damaged_page_is_named_and_the_other_rows_are_shown() {
    let mut bytes = golden("storage/part/golden/v1-lz4.part");
    let rows = |report: &Report| report.json("x")["first_rows"].as_array().unwrap().len();
    let all = rows(&look(bytes.clone(), None, usize::MAX));
    bytes[3] ^= 1;
    let report = look(bytes, None, usize::MAX);
    let (offset, what) = &report.problems[0];
    assert_eq!((*offset, what.starts_with("group 0 page 0 lines")), (0, true), "{what}");
    let left = rows(&report);
    assert!(left > 0 && left < all, "{left} of {all}");
    assert!(text(&report).contains("DAMAGED at byte 0"));
}

#[test]
fn a_bundle_shows_its_parts_and_what_belongs_to_none() {
    let part = golden("storage/part/golden/v1-none.part");
    let mut bundle = part.clone();
    bundle.resize(bundle.len().next_multiple_of(16), 0);
    let second = bundle.len();
    bundle.extend_from_slice(&part);
    let report = look(bundle.clone(), None, 0);
    assert!(report.is_sound(), "{:?}", report.problems);
    let json = report.json("x");
    assert_eq!(json["kind"], "bundle of parts");
    let offsets: Vec<&Value> =
        json["parts"].as_array().unwrap().iter().map(|part| &part["offset"]).collect();
    assert_eq!(offsets, [&json!(0), &json!(second)]);
    // The trailer of the first part is damaged: the second is shown, the first is a gap.
    bundle[part.len() - 5] ^= 1;
    let report = look(bundle, None, 0);
    assert_eq!(report.parts.len(), 1);
    assert_eq!(report.problems[0].0, 0);
}

#[test]
fn a_segment_shows_its_records_and_where_it_is_torn() {
    let mut bytes = golden("storage/wal/golden/v1.wal");
    let report = look(bytes.clone(), None, 4);
    assert!(report.is_sound(), "{:?}", report.problems);
    let json = report.json("x");
    let records = json["records"].as_array().unwrap();
    let rows: u64 = records.iter().map(|record| record["rows"].as_u64().unwrap()).sum();
    assert_eq!(json["rows"], rows);
    assert_eq!(records[0]["offset"], 64);
    for column in ["id", "attempt", "members", "tenant", "day", "bytes"] {
        assert!(!records[0][column].is_null(), "{column}");
    }
    bytes.truncate(bytes.len() - 1);
    let torn = look(bytes, Some("0000000000000007.wal"), 0);
    let last = records.last().unwrap()["offset"].as_u64().unwrap();
    assert_eq!(torn.problems.len(), 1);
    assert_eq!(torn.problems[0].0, last);
    assert!(torn.problems[0].1.contains("never acknowledged"), "{:?}", torn.problems);
}

#[test]
fn objects_of_the_catalog_show_what_they_say() {
    let commit = look(golden("storage/catalog/golden/commit.v1"), None, 0);
    assert!(commit.is_sound());
    let json = commit.json("x");
    assert_eq!(json["kind"], "commit");
    assert!(json["number"].as_u64().unwrap() > 0);
    for list in ["batches", "parts_added", "parts_removed", "predicates_added"] {
        assert!(json[list].as_array().is_some(), "{list}: {json}");
    }
    let ring = look(golden("storage/catalog/golden/commit-ring.v1"), None, 0).json("x");
    assert_eq!(ring["ring_version"], 300, "{ring}");
    assert!(ring["ring_founder"].is_string() && json["ring_version"].is_null());
    for (file, kind) in [
        ("day-checkpoint.v1", "day checkpoint"),
        ("floor.v1", "log floor"),
        ("id-table.v1", "id table"),
        ("manifest.v1", "checkpoint manifest"),
    ] {
        let mut bytes = golden(&format!("storage/catalog/golden/{file}"));
        let sound = look(bytes.clone(), None, 0);
        assert!(sound.is_sound() && sound.kind == kind, "{file}");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let bad = look(bytes, None, 0);
        assert_eq!(bad.problems[0].0, last as u64 - 3, "{file}");
        assert_eq!(bad.facts, sound.facts, "{file}");
    }
}

#[test]
fn small_files_are_known_too_and_damage_in_them_is_seen() {
    let dir = "server/fuzz/corpus/fuzz_inspect";
    let (cluster, store) = (golden(&format!("{dir}/cluster")), golden(&format!("{dir}/store")));
    for (mut bytes, kind) in [(cluster, "cluster.json"), (store, "store file")] {
        let report = look(bytes.clone(), None, 0);
        assert!(report.is_sound() && report.kind.starts_with(kind), "{}", report.kind);
        let at = bytes.len() - 4;
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        let report = look(bytes, None, 0);
        assert!(!report.is_sound() && report.kind.starts_with(kind), "{}", report.kind);
    }
    let unknown = look(b"hello".to_vec(), None, 0);
    assert!(!unknown.is_sound() && unknown.kind == "unknown");
    assert!(!look(Vec::new(), None, 0).is_sound());
}

#[test]
fn no_bytes_break_who_looks_into_them() {
    let mut inputs = files_of("server/fuzz/corpus/fuzz_inspect");
    for dir in ["storage/part/golden", "storage/wal/golden", "storage/catalog/golden"] {
        inputs.extend(files_of(dir));
    }
    inputs.push(Vec::new());
    inputs.iter().for_each(|input| crate::fuzz::fuzz_inspect(input));
    let random = SeededRandom::new(5);
    let below = |limit: usize| (random.next_u64() % limit.max(1) as u64) as usize;
    for _ in 0..3_000 {
        let mut input = inputs[below(inputs.len())].clone();
        for _ in 0..=below(4) {
            let at = below(input.len());
            match below(4) {
                0 => input.truncate(at),
                1 if at < input.len() => input[at] ^= 1 << below(8),
                2 if at < input.len() => input[at] = [0, 0x7f, 0x80, 0xff][below(4)],
                _ => {
                    let end = (at + below(64)).min(input.len());
                    let piece = input[at..end].to_vec();
                    input.extend(piece);
                }
            }
        }
        crate::fuzz::fuzz_inspect(&input);
    }
}

#[test]
fn text_from_a_file_cannot_move_the_cursor() {
    let mut report = Report::new("x");
    report.fact("name", Cell::text("a\x1b[2Jb\nc"));
    assert_eq!(text(&report), "x\n  name  a\\u{1b}[2Jb\\nc\n");
}
