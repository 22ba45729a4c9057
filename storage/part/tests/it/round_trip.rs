//! Seal, merge and read agree with sorting plain rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{DAY, Row, expected, fetch, read_rows, seal_rows, tiny};
use base::{Bitmap, Labels};
use part::{Codec, Columns, Error, Footer, GroupReader, Input, Options};
use proptest::prelude::*;

pub fn row() -> impl Strategy<Value = Row> {
    let labels = (0usize..4, 0usize..3).prop_map(|(app, env)| {
        let app = ["a", "b", "checkout", "zz"][app];
        let pairs = [("app", app), ("env", ["dev", "prod", "test"][env])];
        Labels::from_pairs(pairs.into_iter().take(1 + env))
    });
    let ts_ns = prop_oneof![
        (0i64..30).prop_map(|ms| 1_763_700_000_000_000_000 + ms * 1_000_000),
        (0i64..30).prop_map(|ns| 1_763_700_000_000_000_000 + ns),
        any::<i64>(),
        Just(i64::MAX),
    ];
    let line =
        prop_oneof!["[a-c]{0,3}", ".{0,40}", "[a-z0-9 ]{60,90}"].prop_map(String::into_bytes);
    let metadata =
        prop::collection::btree_map("[xyz]", prop::collection::vec(97u8..100, 0..3), 0..3);
    (labels, ts_ns, line, metadata).prop_map(|(labels, ts_ns, line, metadata)| Row {
        labels,
        ts_ns,
        line,
        metadata: metadata.into_iter().collect::<BTreeMap<String, Vec<u8>>>(),
    })
}

fn sources() -> impl Strategy<Value = Vec<Vec<Row>>> {
    prop::collection::vec(prop::collection::vec(row(), 0..60), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn sealed_rows_come_back_sorted_and_once(sources in sources(), codec in 0usize..3) {
        let codec = [Codec::None, Codec::Lz4, Codec::Zstd][codec];
        let want = expected(&sources);
        for options in [tiny(codec), Options { codec, ..Options::sealed() }] {
            let Some(image) = seal_rows(&sources, &options) else {
                prop_assert!(want.is_empty());
                continue;
            };
            prop_assert_eq!(&read_rows(&image.bytes).unwrap(), &want);
            prop_assert_eq!(image.rows, want.len() as u64);
            let bytes: usize = want.iter().map(|row| row.line.len()).sum();
            prop_assert_eq!(image.line_bytes, bytes as u64);
            prop_assert_eq!(image.min_ns, want.iter().map(|row| row.ts_ns).min().unwrap());
            prop_assert_eq!(image.max_ns, want.iter().map(|row| row.ts_ns).max().unwrap());
        }
    }

    #[test]
    fn the_footer_tells_the_truth_about_streams_runs_and_pages(sources in sources()) {
        let want = expected(&sources);
        let Some(image) = seal_rows(&sources, &tiny(Codec::None)) else { return Ok(()) };
        let footer = Footer::open(&image.bytes, image.bytes.len() as u64).unwrap();
        for (labels, stream) in footer.labels().iter().zip(footer.streams()) {
            let rows: Vec<_> = want.iter().filter(|row| row.labels == *labels).collect();
            prop_assert_eq!(stream.rows, rows.len() as u64);
            prop_assert_eq!(stream.line_bytes, rows.iter().map(|r| r.line.len() as u64).sum::<u64>());
            prop_assert_eq!(stream.min_ns, rows[0].ts_ns);
            prop_assert_eq!(stream.max_ns, rows[rows.len() - 1].ts_ns);
        }
        let mut at = 0;
        for group in 0..footer.groups().len() {
            let mut from = 0;
            for run in footer.runs(group) {
                let rows = &want[at + from..at + run.end as usize];
                prop_assert!(rows.iter().all(|row| row.labels == footer.labels()[run.stream as usize]));
                prop_assert_eq!((run.min_ns, run.max_ns), (rows[0].ts_ns, rows[rows.len() - 1].ts_ns));
                prop_assert_eq!(run.line_bytes, rows.iter().map(|r| r.line.len() as u64).sum::<u64>());
                from = run.end as usize;
            }
            from = 0;
            for page in footer.pages(group) {
                let rows = &want[at + from..at + page.end as usize];
                prop_assert_eq!(page.min_ns, rows.iter().map(|row| row.ts_ns).min().unwrap());
                prop_assert_eq!(page.max_ns, rows.iter().map(|row| row.ts_ns).max().unwrap());
                from = page.end as usize;
            }
            at += from;
        }
        prop_assert_eq!(at, want.len());
    }

    #[test]
    fn candidates_keep_every_page_with_a_selected_row(
        sources in sources(),
        picks in prop::collection::vec(any::<bool>(), 12),
        from in 0i64..30,
        length in 0i64..30,
    ) {
        let want = expected(&sources);
        let Some(image) = seal_rows(&sources, &tiny(Codec::None)) else { return Ok(()) };
        let footer = Footer::open(&image.bytes, image.bytes.len() as u64).unwrap();
        let mut streams = Bitmap::none(footer.streams().len());
        (0..streams.len()).filter(|&at| picks[at]).for_each(|at| streams.set(at));
        let start = 1_763_700_000_000_000_000 + from * 1_000_000;
        let time = start..start + length * 1_000_000;
        let mut at = 0;
        for group in 0..footer.groups().len() {
            let mask = footer.candidates(group, &streams, time.clone());
            for (number, page) in footer.pages(group).iter().enumerate() {
                let start = if number == 0 { 0 } else { footer.pages(group)[number - 1].end };
                let rows = &want[at + start as usize..at + page.end as usize];
                let hit = rows.iter().any(|row| {
                    let stream = footer.labels().binary_search(&row.labels).unwrap();
                    streams.get(stream) && time.contains(&row.ts_ns)
                });
                prop_assert!(!hit || mask >> number & 1 == 1);
            }
            at += footer.groups()[group].rows as usize;
        }
    }
}

fn plain(app: &str, ts_ns: i64, line: &str) -> Row {
    let labels = Labels::from_pairs([("app", app)]);
    Row { labels, ts_ns, line: line.as_bytes().to_vec(), metadata: BTreeMap::new() }
}

#[test]
fn a_matcher_is_asked_once_per_distinct_value() {
    let rows: Vec<Row> = (0..50)
        .map(|at| {
            let env = ["dev", "prod"][at % 2];
            let (app, pairs) = (format!("app{at}"), at % 5 != 0);
            let labels = match pairs {
                true => Labels::from_pairs([("app", app.as_str()), ("env", env)]),
                false => Labels::from_pairs([("app", app.as_str())]),
            };
            Row { labels, ..plain("", at as i64, "x") }
        })
        .collect();
    let image = seal_rows(&[rows], &Options::sealed()).unwrap();
    let footer = Footer::open(&image.bytes, image.bytes.len() as u64).unwrap();
    let mut asked = Vec::new();
    let mut selected = Bitmap::all(footer.streams().len());
    footer.select(&mut selected, "env", &mut |value| {
        asked.push(value.to_owned());
        value == "prod" || value.is_empty()
    });
    asked.sort();
    assert_eq!(asked, ["", "dev", "prod"]);
    for (at, labels) in footer.labels().iter().enumerate() {
        assert_eq!(selected.get(at), labels.get("env") != Some("dev"), "{labels}");
    }
    footer.select(&mut selected, "nobody", &mut |value| !value.is_empty());
    assert!(selected.is_none());
}

#[test]
fn lengths_and_chosen_metadata_are_read_without_line_bytes() {
    let mut rows = vec![plain("a", 1, "first"), plain("a", 2, ""), plain("a", 3, "third line")];
    rows[0].metadata.insert("trace".into(), b"t1".to_vec());
    rows[2].metadata.insert("user".into(), b"u1".to_vec());
    let image = seal_rows(&[rows], &Options::sealed()).unwrap();
    let footer = Footer::open(&image.bytes, image.bytes.len() as u64).unwrap();
    let names = ["user".to_owned(), "none".to_owned()];
    let columns = Columns { line_bytes: false, lengths: true, metadata: Some(&names) };
    let mut ranges = Vec::new();
    footer.column_ranges(0, &columns, &mut ranges);
    assert_eq!(ranges.len(), 3, "timestamps, lengths, user");
    let fetched = fetch(&footer, &image.bytes, 0, &columns).unwrap();
    let mut reader = GroupReader::default();
    reader.group(&footer, 0, &columns, &fetched).unwrap();
    let decoded = reader.page(&footer, 0, None).unwrap();
    let view = decoded.view();
    assert!(view.lines.bytes.is_empty());
    let lengths: Vec<usize> = (0..view.len()).map(|row| view.lines.length(row)).collect();
    assert_eq!(lengths, [5, 0, 10]);
    assert_eq!(view.metadata.len(), 1);
    assert_eq!(view.metadata[0].get(2), Some(&b"u1"[..]));
    assert_eq!(view.metadata[0].get(0), None);

    let columns = Columns { lengths: false, ..columns };
    ranges.clear();
    footer.column_ranges(0, &columns, &mut ranges);
    assert_eq!(ranges.len(), 2, "timestamps, user");
    let fetched = fetch(&footer, &image.bytes, 0, &columns).unwrap();
    reader.group(&footer, 0, &columns, &fetched).unwrap();
    let decoded = reader.page(&footer, 0, None).unwrap();
    assert_eq!((decoded.view().ts_ns, decoded.view().lines.len()), (&[1, 2, 3][..], 0));
    assert_eq!(footer.metadata_names(0).collect::<Vec<_>>(), ["trace", "user"]);
}

#[test]
fn a_part_of_another_tenant_or_day_is_refused() {
    let image = seal_rows(&[vec![plain("a", 1, "x")]], &Options::sealed()).unwrap();
    let footer = Arc::new(Footer::open(&image.bytes, image.bytes.len() as u64).unwrap());
    let inputs = [Input::<Error> { footer, reader: Arc::new(image.bytes) }];
    let other = base::TenantId::new("team-b").unwrap();
    let error = part::merge(&other, DAY, &inputs, &Options::sealed()).unwrap_err();
    let text = "part of tenant team-a day 2025-11-21 cannot go into team-b day 2025-11-21";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_line_longer_than_a_page_and_many_equal_rows_are_taken() {
    let long = "x".repeat(1 << 20);
    let mut rows: Vec<Row> = (0..40).map(|at| plain("a", 5, &format!("{}", at % 20))).collect();
    rows.insert(20, plain("a", 5, &long));
    rows.extend((0..40).map(|_| plain("a", 5, "")));
    let image = seal_rows(&[rows.clone()], &tiny(Codec::Zstd)).unwrap();
    let back = read_rows(&image.bytes).unwrap();
    assert_eq!(back, expected(&[rows]));
    assert_eq!(back.len(), 22);
}

#[test]
fn a_short_tail_says_how_much_is_needed() {
    let image = seal_rows(&[vec![plain("a", 1, "x")]], &Options::sealed()).unwrap();
    let (part, size) = (&image.bytes, image.bytes.len() as u64);
    for have in [0, 10, 32, 40] {
        let error = Footer::open(&part[part.len() - have..], size).unwrap_err();
        let Error::Short { need, .. } = error else { panic!("{error}") };
        assert_eq!(need, if have < 32 { 32 } else { u64::from(image.footer_bytes) });
    }
    let from = part.len() - image.footer_bytes as usize;
    assert!(Footer::open(&part[from..], size).is_ok());
    assert!(Footer::open(&part[from..], size - 1).is_err());
}

#[test]
fn every_flipped_byte_is_an_error_or_changes_nothing() {
    let lines = ["error: connection refused", "id=4bf92f3577b34da6a3ce929d0e0e4736", "ok"];
    let rows: Vec<Row> = (0..60)
        .map(|at| {
            let mut row = plain(["a", "b"][at % 2], at as i64 * 1_000_003, lines[at % 3]);
            row.metadata.insert("user".into(), vec![b'a' + (at % 7) as u8]);
            row
        })
        .collect();
    let image = seal_rows(&[rows], &tiny(Codec::Lz4)).unwrap();
    let whole = read_rows(&image.bytes).unwrap();
    let mut unseen = 0;
    for at in 0..image.bytes.len() {
        let mut damaged = image.bytes.to_vec();
        damaged[at] ^= 0x41;
        match read_rows(&damaged.into()) {
            Ok(rows) => {
                // Only sketches are not read here; they have checksums of their own.
                assert_eq!(rows, whole, "byte {at}");
                unseen += 1;
            }
            Err(error) => assert_eq!(error.kind(), base::ErrorKind::Corrupt, "byte {at}"),
        }
    }
    assert!(unseen < image.bytes.len() / 2);
}
