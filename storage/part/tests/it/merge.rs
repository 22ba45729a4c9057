//! A merge holds the rows of its inputs, sorted and once, whether it copies pages or not.

use std::sync::Arc;

use bytes::Bytes;
use part::{Codec, Copies, Error, Footer, Image, Input, Merge, Needle, Options, Summary, Survey};
use proptest::prelude::*;

use crate::model::{DAY, Row, expected, read_rows, seal_rows, tenant, tiny};
use crate::round_trip::row;

fn open(image: &Bytes) -> Footer {
    Footer::open(image, image.len() as u64).unwrap()
}

/// Merges, and puts the chunks together.
fn merge(images: &[Image], options: &Options) -> Option<(Image, Copies)> {
    let input = |image: &Image| Input::<Error> {
        footer: Arc::new(open(&image.bytes)),
        reader: Arc::new(image.bytes.clone()),
    };
    let inputs: Vec<Input<Error>> = images.iter().map(input).collect();
    let mut merge = Merge::new(&tenant(), DAY, &inputs, options).unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = merge.next().unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    let copies = merge.copies();
    merge.summary().map(|&summary| (Image { bytes: bytes.into(), summary }, copies))
}

/// Every line is still found by itself: no sketch of a copied page hides it.
fn sketches_hide_nothing(part: &Bytes, rows: &[Row]) {
    let footer = open(part);
    let mut at = 0;
    for group in 0..footer.groups().len() {
        let mut from = 0;
        for (page, entry) in footer.pages(group).iter().enumerate() {
            for row in &rows[at + from..at + entry.end as usize] {
                for ignore_case in [false, true] {
                    let needle = Needle { bytes: &row.line, ignore_case };
                    let mask = footer.page_mask(group, u64::MAX, &[vec![needle]], part).unwrap();
                    assert_eq!(mask >> page & 1, 1, "{:?}", String::from_utf8_lossy(&row.line));
                }
                let escapes = row.line.windows(2).any(|pair| pair == br"\u");
                assert!(!escapes || footer.plain_pages(group) >> page & 1 == 0);
            }
            from = entry.end as usize;
        }
        at += from;
    }
    assert_eq!(at, rows.len());
}

/// The footer knows how many pairs of metadata each run has.
fn pairs_are_counted(part: &Bytes, rows: &[Row]) {
    let footer = open(part);
    let mut rows = rows.iter();
    for group in 0..footer.groups().len() {
        let pairs = footer.run_pairs(group).expect("a writer of today counts them");
        let mut from = 0;
        for (run, &pairs) in footer.runs(group).iter().zip(pairs) {
            let of_run = rows.by_ref().take((run.end - from) as usize);
            assert_eq!(of_run.map(|row| row.metadata.len() as u64).sum::<u64>(), pairs);
            from = run.end;
        }
    }
}

/// Sources whose rows lie at about the same times, or one after the other, with lines that have ids.
fn sources() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let id = "[0-9a-f]{12,20}( |-)(\\\\u)?[a-k\u{212a}]{0,30}";
    let row = (row(), prop::option::of(id), 0i64..40).prop_map(|(mut row, id, ms)| {
        row.ts_ns = 1_763_700_000_000_000_000 + ms * 1_000_000;
        if let Some(id) = id {
            row.line = id.into_bytes();
        }
        row
    });
    let source = (prop::collection::vec(row, 0..80), 0i64..4);
    prop::collection::vec(source, 1..5).prop_map(|sources| {
        let shift = |(rows, hours): (Vec<Row>, i64)| {
            let later = |mut row: Row| {
                row.ts_ns += hours * 30_000_000;
                row
            };
            rows.into_iter().map(later).collect()
        };
        sources.into_iter().map(shift).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_merge_holds_the_rows_of_its_inputs_sorted_and_once(
        sources in sources(),
        again in any::<bool>(),
        codecs in (0usize..3, 0usize..3),
    ) {
        let mut sources = sources;
        if again {
            let copy = sources[0].clone();
            sources.push(copy);
        }
        let [of_inputs, of_output] =
            [codecs.0, codecs.1].map(|at| tiny([Codec::None, Codec::Lz4, Codec::Zstd][at]));
        let seal = |rows: &Vec<Row>| seal_rows(std::slice::from_ref(rows), &of_inputs);
        let images: Vec<Image> = sources.iter().filter_map(seal).collect();
        let want = expected(&sources);
        let Some((merged, copies)) = merge(&images, &of_output) else {
            prop_assert!(want.is_empty());
            return Ok(());
        };
        prop_assert_eq!(&read_rows(&merged.bytes).unwrap(), &want);
        prop_assert!(Survey::of(&merged.bytes).unwrap().is_sound());
        sketches_hide_nothing(&merged.bytes, &want);
        pairs_are_counted(&merged.bytes, &want);
        let plain = seal_rows(&sources, &of_output).unwrap();
        let without_sizes = |image: &Image| Summary {
            part_bytes: 0,
            footer_bytes: 0,
            tail_bytes: 0,
            raw_bytes: 0,
            ..image.summary
        };
        prop_assert_eq!(without_sizes(&merged), without_sizes(&plain));
        prop_assert!(copies.line_bytes <= merged.line_bytes);
        // Again, alone: all of its pages are its own now.
        let (twice, _) = merge(&[merged], &of_output).unwrap();
        prop_assert_eq!(&read_rows(&twice.bytes).unwrap(), &want);
        sketches_hide_nothing(&twice.bytes, &want);
        pairs_are_counted(&twice.bytes, &want);
    }
}

/// `count` rows of 100 bytes from `from` on, 1 ms apart.
fn stream(app: &str, from: i64, count: i64) -> Vec<Row> {
    let row = |at: i64| Row {
        labels: base::Labels::from_pairs([("app", app)]),
        ts_ns: (from + at) * 1_000_000,
        line: format!("{:0>100}", format!("request {:08} of {app}", from + at)).into_bytes(),
        metadata: [("level".to_owned(), b"info".to_vec())].into(),
    };
    (0..count).map(row).collect()
}

#[test]
fn pages_that_do_not_interleave_are_copied_and_the_rest_is_written_anew() {
    let options = Options { page_bytes: 2_000, own_page_bytes: 500, ..Options::flushed() };
    let seal = |rows: Vec<Row>| seal_rows(&[rows], &options).unwrap();
    let parts = [
        seal([stream("a", 0, 60), stream("b", 0, 60), stream("small", 0, 2)].concat()),
        // Its first page of `b` begins within the last one of the part before.
        seal([stream("a", 60, 60), stream("b", 55, 60), stream("small", 2, 2)].concat()),
    ];
    let (merged, copies) = merge(&parts, &options).unwrap();
    assert_eq!((merged.rows, merged.streams), (120 + 115 + 4, 3));
    // Of `a` three pages of each part, of `b` two.
    assert_eq!(copies.pages, 10);
    let footer = open(&merged.bytes);
    let pages = footer.pages(0);
    assert!(pages.iter().all(|page| page.line_bytes >= 500 || page.end == footer.groups()[0].rows));
}

#[test]
fn many_small_streams_share_pages() {
    let rows: Vec<Row> = (0..300).flat_map(|at| stream(&format!("app-{at:03}"), 0, 2)).collect();
    let image = seal_rows(&[rows], &Options::flushed()).unwrap();
    assert_eq!(open(&image.bytes).pages(0).len(), 1);
}
