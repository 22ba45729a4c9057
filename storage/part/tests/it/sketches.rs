//! A sketch never hides a line that contains the needle, and hides most that do not.

use std::collections::BTreeMap;

use base::Labels;
use bytes::Bytes;
use part::{Codec, Error, Footer, Image, Needle, Options};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::model::{Row, read_rows, seal_rows};

fn rows_of(lines: &[String]) -> Vec<Row> {
    let row = |(at, line): (usize, &String)| Row {
        labels: Labels::from_pairs([("app", "a")]),
        ts_ns: at as i64,
        line: line.as_bytes().to_vec(),
        metadata: BTreeMap::new(),
    };
    lines.iter().enumerate().map(row).collect()
}

/// Few lines to a page, several row groups.
fn seal_lines(lines: &[String], codec: Codec) -> Image {
    let options =
        Options { codec, page_bytes: 160, own_page_bytes: 160, group_rows: 1000, group_pages: 9 };
    seal_rows(&[rows_of(lines)], &options).unwrap()
}

/// For each page in order, whether it may hold the needles.
fn masks(part: &Bytes, needles: &[Vec<Needle<'_>>]) -> Result<Vec<bool>, Error> {
    let footer = Footer::open(part, part.len() as u64)?;
    let mut out = Vec::new();
    for group in 0..footer.groups().len() {
        let mask = footer.page_mask(group, u64::MAX, needles, part)?;
        let pages = footer.pages(group).len();
        assert_eq!(if pages == 64 { 0 } else { mask >> pages }, 0, "bits past the last page");
        out.extend((0..pages).map(|page| mask >> page & 1 == 1));
    }
    Ok(out)
}

/// The page of each line.
fn page_numbers(part: &Bytes) -> Vec<usize> {
    let footer = Footer::open(part, part.len() as u64).unwrap();
    let mut out = Vec::new();
    let mut number = 0;
    for group in 0..footer.groups().len() {
        let mut from = 0;
        for page in footer.pages(group) {
            out.extend((from..page.end).map(|_| number));
            number += 1;
            from = page.end;
        }
    }
    out
}

fn exact(text: &str) -> Needle<'_> {
    Needle { bytes: text.as_bytes(), ignore_case: false }
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "(error|Timeout|kiosk|SKIP|connection|[a-z]{1,5}|[A-Z]{2,4})",
        2 => "[0-9a-f]{11,14}",
        2 => "[0-9A-F]{4}-[0-9a-f]{4}-[0-9a-z]{4,9}",
        1 => "[0-9a-zA-Z]{30,300}",
        1 => "[kKsS1-3\u{212a}\u{17f}-]{10,20}",
        2 => "[ \"=:,{}-]{1,2}",
        1 => ".{0,4}",
        1 => "[\u{e9}\u{c9}k\u{130}]{1,3}",
    ]
}

fn line() -> impl Strategy<Value = String> {
    let separated = prop::collection::vec((piece(), "[ \"=:-]?"), 0..6);
    separated.prop_map(|pieces| pieces.into_iter().map(|(word, gap)| word + &gap).collect())
}

/// Another character that `(?i)` takes for `letter`.
fn fold(letter: char, pick: usize) -> char {
    let class: &[char] = match letter {
        'k' | 'K' | '\u{212a}' => &['k', 'K', '\u{212a}'],
        's' | 'S' | '\u{17f}' => &['s', 'S', '\u{17f}'],
        '\u{e9}' | '\u{c9}' => &['\u{e9}', '\u{c9}'],
        _ if letter.is_ascii_alphabetic() => {
            return if pick.is_multiple_of(2) {
                letter.to_ascii_lowercase()
            } else {
                letter.to_ascii_uppercase()
            };
        }
        _ => return letter,
    };
    class[pick % class.len()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pages_with_an_escape_that_stands_for_any_character_are_told_apart(
        lines in prop::collection::vec(r#"[a-c"]{0,9}(\\\\?[nu"])?[a-c]{0,30}"#, 1..60),
    ) {
        let image = seal_lines(&lines, Codec::Lz4);
        let footer = Footer::open(&image.bytes, image.bytes.len() as u64).unwrap();
        let numbers = page_numbers(&image.bytes);
        let mut page = 0;
        for group in 0..footer.groups().len() {
            for at in 0..footer.pages(group).len() {
                let mut own = lines.iter().zip(&numbers).filter(|(_, number)| **number == page);
                let escapes = own.any(|(line, _)| line.contains(r"\u"));
                prop_assert_eq!(footer.plain_pages(group) >> at & 1 == 1, !escapes);
                page += 1;
            }
        }
    }

    #[test]
    fn a_page_whose_line_contains_the_needle_is_kept(
        lines in prop::collection::vec(line(), 1..60),
        picks in prop::collection::vec((any::<Index>(), any::<Index>(), any::<Index>()), 10),
    ) {
        let image = seal_lines(&lines, Codec::Lz4);
        let pages = page_numbers(&image.bytes);
        prop_assert_eq!(pages.len(), lines.len());
        for (which, from, to) in picks {
            let row = which.index(lines.len());
            let line = lines[row].as_bytes();
            let (a, b) = (from.index(line.len() + 1), to.index(line.len() + 1));
            let bytes = &line[a.min(b)..a.max(b)];
            let needle = Needle { bytes, ignore_case: false };
            let found = masks(&image.bytes, &[vec![needle]]).unwrap();
            prop_assert!(found[pages[row]], "{:?} in {:?}", needle, &lines[row]);
        }
    }

    #[test]
    fn a_page_whose_line_contains_the_needle_in_another_case_is_kept(
        lines in prop::collection::vec(line(), 1..60),
        picks in prop::collection::vec((any::<Index>(), any::<Index>(), any::<Index>()), 10),
        folds in prop::collection::vec(any::<usize>(), 40),
    ) {
        let image = seal_lines(&lines, Codec::None);
        let pages = page_numbers(&image.bytes);
        for (which, from, to) in picks {
            let row = which.index(lines.len());
            let chars: Vec<char> = lines[row].chars().collect();
            let (a, b) = (from.index(chars.len() + 1), to.index(chars.len() + 1));
            let text: String = chars[a.min(b)..a.max(b)]
                .iter()
                .enumerate()
                .map(|(at, &letter)| fold(letter, folds[at % folds.len()]))
                .collect();
            let needle = Needle { bytes: text.as_bytes(), ignore_case: true };
            let found = masks(&image.bytes, &[vec![needle]]).unwrap();
            prop_assert!(found[pages[row]], "{:?} in {:?}", text, &lines[row]);
        }
    }

    #[test]
    fn groups_of_needles_are_an_and_of_ors(
        lines in prop::collection::vec(line(), 1..60),
        texts in prop::collection::vec(prop::collection::vec(piece(), 1..3), 1..4),
    ) {
        let image = seal_lines(&lines, Codec::Zstd);
        let one = |text: &String| masks(&image.bytes, &[vec![exact(text)]]).unwrap();
        let mut want = vec![true; one(&texts[0][0]).len()];
        for any in &texts {
            let each: Vec<Vec<bool>> = any.iter().map(one).collect();
            for (page, want) in want.iter_mut().enumerate() {
                *want &= each.iter().any(|mask| mask[page]);
            }
        }
        let needles: Vec<Vec<Needle<'_>>> =
            texts.iter().map(|any| any.iter().map(|text| exact(text)).collect()).collect();
        prop_assert_eq!(masks(&image.bytes, &needles).unwrap(), want);
    }
}

/// 400 lines of two ids each; one word on one line.
fn id_lines() -> Vec<String> {
    let id = |at: u128| {
        format!("{:032x}", (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    };
    let line = |at: usize| {
        let (trace, id) = (id(at as u128), id(at as u128 + 1_000_000));
        let uuid =
            format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
        let word = if at == 250 { "quorum lost" } else { "all fine" };
        format!("{word} trace={trace} id={uuid}")
    };
    (0..400).map(line).collect()
}

fn count(part: &Bytes, text: &str, ignore_case: bool) -> usize {
    let needle = Needle { bytes: text.as_bytes(), ignore_case };
    masks(part, &[vec![needle]]).unwrap().into_iter().filter(|&kept| kept).count()
}

#[test]
fn ids_and_words_find_their_page_and_few_others() {
    let lines = id_lines();
    let image = seal_lines(&lines, Codec::Lz4);
    assert_eq!(read_rows(&image.bytes).unwrap().len(), lines.len());
    let total = masks(&image.bytes, &[]).unwrap().len();
    assert!(total > 300, "{total} pages");
    let (_, trace) = lines[77].split_once("trace=").unwrap();
    let (trace, uuid) = trace.split_once(" id=").unwrap();
    // 12 bits an entry is 0.3 % false positives, tiny filters are worse: a handful of 400.
    for (text, at_least) in [
        (trace.to_owned(), 1),
        (uuid.to_owned(), 1),
        (uuid.to_uppercase(), 0),
        (format!("trace={trace} "), 1),
        (format!("trace={trace}"), 1),
        (trace.replace(['0', '4'], "7"), 0),
        ("7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned(), 0),
        ("quorum".to_owned(), 1),
    ] {
        let kept = count(&image.bytes, &text, false);
        assert!(kept >= at_least && kept < 40, "{text}: {kept} of {total}");
    }
    assert!(count(&image.bytes, &trace.to_uppercase(), true) < 40);
    // A piece of an id is inside a longer run, and short texts say nothing.
    assert!(count(&image.bytes, &trace[1..20], false) >= 1);
    assert_eq!(count(&image.bytes, "0123456789012345", false), total);
    assert_eq!(count(&image.bytes, "4b", false), total);
}

#[test]
fn damaged_sketches_are_errors() {
    let image = seal_lines(&id_lines(), Codec::Lz4);
    let tail = image.bytes.len() - image.footer_bytes as usize;
    let uuid = Needle { bytes: b"7c9e6679-7425-40de-944b-e07fc1f90ae7", ignore_case: false };
    let word = Needle { bytes: b"quorum", ignore_case: false };
    let mut seen = 0;
    // Trigram tables and, before them, id filters.
    for at in (tail - 4096..tail).step_by(7) {
        let mut damaged = image.bytes.to_vec();
        damaged[at] ^= 1;
        let damaged = Bytes::from(damaged);
        for needle in [uuid, word] {
            match masks(&damaged, &[vec![needle]]) {
                Ok(found) => assert_eq!(found, masks(&image.bytes, &[vec![needle]]).unwrap()),
                Err(error) => {
                    assert_eq!(error.kind(), base::ErrorKind::Corrupt);
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 100, "{seen} of 586");
}

#[test]
fn sketches_take_little_room() {
    let line = |(at, line): (usize, String)| {
        format!("{line} request served {at} in {} ms by backend", at % 977)
    };
    let lines: Vec<String> = (0..50).flat_map(|_| id_lines()).enumerate().map(line).collect();
    let image = seal_rows(&[rows_of(&lines)], &Options::sealed()).unwrap();
    let footer = Footer::open(&image.bytes, image.bytes.len() as u64).unwrap();
    let trigrams = u64::from(image.tail_bytes - image.footer_bytes);
    assert!(trigrams * 1000 < footer.line_bytes(), "{trigrams} bytes");
}
