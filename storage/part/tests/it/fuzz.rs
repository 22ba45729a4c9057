//! The fuzz targets over their corpus and seeded mutations of it.

use std::path::PathBuf;

use base::random::{Random, SeededRandom};
use part::fuzz::{fuzz_columns, fuzz_footer, fuzz_group, fuzz_survey, fuzz_templates};
use part::{Codec, Options};

use crate::golden::golden_rows;
use crate::model::seal_rows;

/// Mutations of each file of a corpus.
const MUTATIONS: usize = 1_500;

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn replay(target: &str, run: fn(&[u8])) {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no corpus for {target}");
    for (seed, file) in files.iter().enumerate() {
        let data = std::fs::read(file).unwrap();
        run(&data);
        let random = SeededRandom::new(seed as u64);
        for _ in 0..MUTATIONS {
            run(&mutated(&data, &random));
        }
    }
}

/// A few bytes changed, inserted, removed, or the end cut off.
fn mutated(data: &[u8], random: &SeededRandom) -> Vec<u8> {
    let mut data = data.to_vec();
    for _ in 0..random.next_u64() % 4 + 1 {
        let at = random.next_u64() as usize % data.len().max(1);
        let value = match random.next_u64() % 4 {
            0 => 0,
            1 => 0xff,
            _ => random.next_u64() as u8,
        };
        match random.next_u64() % 16 {
            0 => data.truncate(at),
            1 => data.insert(at.min(data.len()), value),
            2 if at < data.len() => drop(data.remove(at)),
            // The footer is at the end and steers everything.
            3..9 if data.len() > 600 => {
                let end = data.len() - 1 - random.next_u64() as usize % 600;
                data[end] = value;
            }
            _ if at < data.len() => data[at] = value,
            _ => {}
        }
    }
    data
}

/// `RUNELOG_BLESS=1` writes the seeds: small parts whose sections are not compressed, so that a
/// changed byte changes a field.
#[test]
fn any_bytes_are_a_part_or_an_error() {
    if std::env::var_os("RUNELOG_BLESS").is_some() {
        for (name, codec, rows) in [("plain", Codec::None, 40), ("lz4", Codec::Lz4, 12)] {
            let options = Options {
                codec,
                page_bytes: 300,
                own_page_bytes: 100,
                group_rows: 20,
                group_pages: 4,
            };
            let image = seal_rows(&[golden_rows()[..rows].to_vec()], &options).unwrap();
            for target in ["fuzz_footer", "fuzz_group", "fuzz_survey"] {
                std::fs::create_dir_all(corpus(target)).unwrap();
                std::fs::write(corpus(target).join(name), &image.bytes).unwrap();
            }
        }
    }
    replay("fuzz_footer", fuzz_footer);
    replay("fuzz_group", fuzz_group);
    replay("fuzz_survey", fuzz_survey);
}

#[test]
fn any_bytes_are_columns_or_an_error() {
    if std::env::var_os("RUNELOG_BLESS").is_some() {
        std::fs::create_dir_all(corpus("fuzz_columns")).unwrap();
        let seeds: [(&str, &[u8]); 4] = [
            ("times", &[2, 1, 0, 3, 8, 6, 5, 3, 0b10_001_010, 0b1, 0]),
            ("numbers", &[1, 0, 0, 1, 4, 0x10, 0x32]),
            ("values", &[1, 0, 1, 3, 2, 2, 0b100100, b'a', b'b', b'c', 3, 0, 0, 0, 0, 0, 0]),
            ("trigrams", &[0, 0, 4, 2, 0, 1, 7, 0, 9, 0, 1, 31]),
        ];
        for (name, bytes) in seeds {
            std::fs::write(corpus("fuzz_columns").join(name), bytes).unwrap();
        }
    }
    replay("fuzz_columns", fuzz_columns);
}

#[test]
fn any_bytes_are_lines_and_templates_or_an_error() {
    if std::env::var_os("RUNELOG_BLESS").is_some() {
        std::fs::create_dir_all(corpus("fuzz_templates")).unwrap();
        let seeds: [(&str, &[u8]); 3] = [
            ("lines", b"level=info a=1 b=\"x y\"\0level=info a=22 b=\"x z\"\0<_> of <x>\0\xff"),
            ("json", b"{\"msg\":\"user bob in\",\"n\":1}\0{\"msg\":\"user eve in\",\"n\":2}"),
            ("section", b"\x02\x04info\x0duser <_> in 7\x80\x01\x02\x01\x02\x00\x03a=b\x05\x00"),
        ];
        for (name, bytes) in seeds {
            std::fs::write(corpus("fuzz_templates").join(name), bytes).unwrap();
        }
    }
    replay("fuzz_templates", fuzz_templates);
}
