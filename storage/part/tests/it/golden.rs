//! One part per codec as version 1 wrote it: today's reader reads it, today's writer writes it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::Labels;
use part::{Codec, Footer, Needle, Options};

use crate::model::{DAY, Row, expected, read_rows, seal_rows};

/// Rows that use every feature of the format: several streams, groups and pages, times in units and
/// not, negative times, metadata of all kinds, an empty line, invalid UTF-8, a long line, ids.
pub fn golden_rows() -> Vec<Row> {
    let streams = [
        Labels::from_pairs([("app", "checkout"), ("env", "prod")]),
        Labels::from_pairs([("app", "gateway"), ("env", "prod"), ("zone", "eu-1")]),
        Labels::from_pairs([("service_name", "caf\u{e9} \"x\"")]),
    ];
    let mut rows = Vec::new();
    for at in 0..150usize {
        let step = [1_000_000_000, 1_000_007, 250_000][at % 3];
        let mut row = Row {
            labels: streams[at % 3].clone(),
            ts_ns: 1_763_683_200_000_000_000 + (at as i64 * 7919 % 150) * step,
            line: format!("level=info msg=\"request {at} served\" took={}ms", at * 37 % 101).into(),
            metadata: BTreeMap::new(),
        };
        if at % 4 == 0 {
            let hash = (at as u128 + 3) * 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978;
            row.metadata.insert("trace_id".into(), format!("{hash:032x}").into());
            row.line = format!("id={hash:032x} error: connection refused").into();
        }
        if at % 3 == 1 {
            row.metadata.insert("detected_level".into(), b"info".to_vec());
        }
        match at {
            20 => row.line = Vec::new(),
            21 => row.line = vec![0xff, 0xfe, 0, b'\n'],
            22 => row.line = vec![b'z'; 3000],
            23 => row.line = "\u{212a}elvin \u{17f}".into(),
            24 => row.ts_ns = -5,
            _ => {}
        }
        rows.push(row);
    }
    let again = rows[30].clone();
    rows.push(again);
    rows
}

fn path(codec: Codec) -> PathBuf {
    let name = match codec {
        Codec::None => "v1-none.part",
        Codec::Lz4 => "v1-lz4.part",
        Codec::Zstd => "v1-zstd.part",
    };
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// `RUNELOG_BLESS=1 cargo test -p runelog-part` writes the files anew, after a change of the format
/// (which needs a new version and leaves the old files) or of a compression library.
#[test]
fn parts_of_version_1_are_read_and_written_byte_for_byte() {
    let rows = golden_rows();
    let want = expected(std::slice::from_ref(&rows));
    assert_eq!(want.len(), 150);
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let options =
            Options { codec, page_bytes: 700, own_page_bytes: 350, group_rows: 60, group_pages: 5 };
        let image = seal_rows(std::slice::from_ref(&rows), &options).unwrap();
        let path = path(codec);
        if std::env::var_os("RUNELOG_BLESS").is_some() {
            std::fs::write(&path, &image.bytes).unwrap();
        }
        let golden = bytes::Bytes::from(std::fs::read(&path).unwrap());
        assert_eq!(read_rows(&golden).unwrap(), want, "{codec:?}");
        assert!(golden == image.bytes, "the writer writes other bytes for {codec:?}");

        let footer = Footer::open(&golden, golden.len() as u64).unwrap();
        assert_eq!((footer.tenant().as_str(), footer.day()), ("team-a", DAY));
        assert_eq!(footer.streams().len(), 3);
        let templates = footer.templates().unwrap().unwrap();
        let text = "level=info msg=\"request <_> served\" took=<_>";
        assert!(templates.iter().any(|t| t.text == text && t.level == "info"), "{templates:?}");
        let needle = Needle { bytes: b"quorum", ignore_case: false };
        for group in 0..footer.groups().len() {
            assert_eq!(footer.page_mask(group, u64::MAX, &[vec![needle]], &golden).unwrap(), 0);
        }
    }
}

/// A part written before there was an `escapes` sketch: every page may hold an escape.
#[test]
fn a_part_without_an_escapes_sketch_is_read_and_says_nothing_of_escapes() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let golden = std::fs::read(dir.join("v1-zstd-without-escapes.part")).unwrap();
    let golden = bytes::Bytes::from(golden);
    assert_eq!(read_rows(&golden).unwrap(), expected(&[golden_rows()]));
    let footer = Footer::open(&golden, golden.len() as u64).unwrap();
    for group in 0..footer.groups().len() {
        assert_eq!(footer.plain_pages(group), 0);
    }
}

/// A part written when streams began in the middle of pages and id filters lay together.
#[test]
fn a_part_with_streams_that_share_pages_is_read() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let golden = std::fs::read(dir.join("v1-zstd-shared-pages.part")).unwrap();
    let golden = bytes::Bytes::from(golden);
    assert_eq!(read_rows(&golden).unwrap(), expected(&[golden_rows()]));
    assert!(part::Survey::of(&golden).unwrap().is_sound());
}

/// A part written before there were counts of pairs.
#[test]
fn a_part_without_pairs_is_read_and_says_so() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let golden = std::fs::read(dir.join("v1-zstd-without-pairs.part")).unwrap();
    let golden = bytes::Bytes::from(golden);
    assert_eq!(read_rows(&golden).unwrap(), expected(&[golden_rows()]));
    let footer = Footer::open(&golden, golden.len() as u64).unwrap();
    assert_eq!(footer.run_pairs(0), None);
    assert!(part::Survey::of(&golden).unwrap().is_sound());
}

/// A part written before there were templates.
#[test]
fn a_part_without_templates_is_read_and_says_so() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    let golden = std::fs::read(dir.join("v1-zstd-without-templates.part")).unwrap();
    let golden = bytes::Bytes::from(golden);
    assert_eq!(read_rows(&golden).unwrap(), expected(&[golden_rows()]));
    let footer = Footer::open(&golden, golden.len() as u64).unwrap();
    assert_eq!(footer.templates().unwrap(), None);
    assert!(part::Survey::of(&golden).unwrap().is_sound());
}
