use std::collections::BTreeSet;
use std::sync::Arc;

use base::shutdown::Shutdown;
use base::{Bitmap, Day, Labels, RowsBuilder, TenantId};
use logql::engine::Answer;
use logql::plan::{Leaf, MATCHED, Plan, TimeRange, VolumesOf, VolumesPlan};
use part::{Footer, Input, Options, Source};
use proptest::prelude::*;

use crate::scan::{Memory, Scan, ScanStats, Scratch, scan_unit};

const SECOND: i64 = 1_000_000_000;

fn streams() -> Vec<Labels> {
    ["a", "b", "c"].iter().map(|app| Labels::from_pairs([("app", app)])).collect()
}

/// Lines of the streams in turn, one a second.
fn image(lines: &[String]) -> part::Image {
    let mut builder = RowsBuilder::default();
    for (at, line) in lines.iter().enumerate() {
        builder.push(at as u32 % 3, at as i64 * SECOND, line.as_bytes());
        builder.metadata("detected_level", ["info", "warn"][at % 2].as_bytes());
    }
    let rows = builder.finish();
    let (streams, metadata) = (streams(), rows.metadata_views());
    let source = Source { streams: &streams, pages: vec![rows.page(&metadata)] };
    let tenant = TenantId::new("team-a").unwrap();
    part::seal(&tenant, Day(0), &[source], &Options::sealed()).unwrap().unwrap()
}

fn scan(image: &part::Image) -> Arc<Scan> {
    let footer = Footer::open(&image.bytes, image.bytes.len() as u64).unwrap();
    Arc::new(Scan::new(Arc::new(footer), Arc::new(Memory(image.bytes.clone()))))
}

fn partial(leaf: &Arc<Leaf>, scan: &Arc<Scan>) -> logql::engine::Partial {
    let (mut worker, mut scratch) = (leaf.worker(Arc::default()), Scratch::new(Arc::default()));
    for unit in scan.units(leaf) {
        let (cancel, mut stats) = (Shutdown::new(), ScanStats::default());
        scan_unit(leaf, &mut worker, &unit, &mut scratch, &cancel, &mut stats).unwrap();
    }
    worker.finish()
}

/// Lines that the line filter finds.
fn found(scan: &Arc<Scan>, pattern: &str, seconds: i64) -> u64 {
    let query = format!("sum(count_over_time({{app=~\".+\"}} |> {pattern:?} [{seconds}s]))");
    let params = logql::plan::Params {
        start: base::UnixNanos((seconds - 1) * SECOND),
        end: base::UnixNanos((seconds - 1) * SECOND),
        step_ns: 0,
        interval_ns: 0,
        limit: 0,
        direction: logql::plan::Direction::Forward,
        max_series: 0,
        max_memory_bytes: 0,
        categorize: false,
        now: base::UnixNanos(0),
    };
    let plan = Plan::new(&logql::syntax::parse(&query).unwrap(), &params).unwrap();
    match plan.finish(vec![partial(&plan.leaves()[0], scan)]).unwrap() {
        Answer::Vector(series) => series.first().map_or(0, |(_, sample)| sample.value as u64),
        other => panic!("{other:?}"),
    }
}

/// Lines by pattern, all patterns in one pass.
fn counted(scan: &Arc<Scan>, patterns: &[String], seconds: i64, step_ns: i64) -> Vec<u64> {
    let plan = VolumesPlan::new(&VolumesOf {
        matchers: logql::syntax::parse_matchers("{app=~\".+\"}").unwrap(),
        patterns: patterns.into(),
        range: TimeRange { from_ns: 0, to_ns: seconds * SECOND },
        step_ns,
        max_memory_bytes: 0,
    })
    .unwrap();
    // As another process plans it.
    let leaf = plan.leaf().origin().leaf().unwrap();
    let mut counts = vec![0; patterns.len()];
    for (labels, volumes) in plan.finish(partial(&leaf, scan)) {
        for number in labels.get(MATCHED).unwrap().split(',') {
            let lines = volumes.iter().map(|(_, volume)| volume.lines);
            counts[number.parse::<usize>().unwrap()] += lines.sum::<u64>();
        }
    }
    counts
}

fn all() -> Bitmap {
    Bitmap::all(3)
}

/// Lines with words, numbers, keys, and text that looks like a pattern.
fn line() -> impl Strategy<Value = String> {
    let piece = "[ab]{1,2}|[0-9]{1,2}|<_>|<[a-z]>|[a-c]=[0-9a-c]|[ :,\"<>\\\\]|\u{e9}";
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn what_is_mined_is_a_line_pattern_that_counts_what_it_finds(
        lines in prop::collection::vec(line(), 1..40),
        step_s in 0i64..15,
    ) {
        let seconds = lines.len() as i64;
        let scan = scan(&image(&lines));
        let templates = scan.templates(&all(), 0, seconds * SECOND).unwrap();
        let texts: Vec<String> = templates.into_iter().map(|template| template.text).collect();
        let want: Vec<u64> = texts.iter().map(|text| found(&scan, text, seconds)).collect();
        prop_assume!(!texts.is_empty());
        prop_assert_eq!(counted(&scan, &texts, seconds, step_s * SECOND), want);
    }

    #[test]
    fn a_line_looks_like_what_is_mined_of_it_alone(line in line()) {
        let scan = scan(&image(std::slice::from_ref(&line)));
        for template in scan.templates(&all_of_one(), 0, SECOND).unwrap() {
            prop_assert_eq!(found(&scan, &template.text, 1), 1, "{}", template.text);
        }
    }
}

fn all_of_one() -> Bitmap {
    Bitmap::all(1)
}

fn lines(shapes: &[&str], count: usize) -> Vec<String> {
    (0..count).map(|at| shapes[at / 3 % shapes.len()].replace('#', &at.to_string())).collect()
}

fn texts(templates: &[part::Template]) -> Vec<&str> {
    templates.iter().map(|template| template.text.as_str()).collect()
}

#[test]
fn templates_are_told_for_the_streams_that_have_them() {
    let mut lines = lines(&["user # logged in"], 300);
    // Of the second stream alone.
    (1..300).step_by(3).for_each(|at| lines[at] = format!("lease {at} lost"));
    let scan = scan(&image(&lines));
    let of = |streams: &[usize]| {
        let mut selected = Bitmap::none(3);
        streams.iter().for_each(|&stream| selected.set(stream));
        let templates = scan.templates(&selected, 0, i64::MAX).unwrap();
        let mut texts: Vec<String> = templates.into_iter().map(|t| t.text).collect();
        texts.sort();
        texts.dedup();
        texts
    };
    assert_eq!(of(&[0]), ["user <_> logged in"]);
    assert_eq!(of(&[1]), ["lease <_> lost"]);
    assert_eq!(of(&[1, 2]), ["lease <_> lost", "user <_> logged in"]);
}

#[test]
fn a_merged_part_has_the_templates_of_its_inputs() {
    let shapes = [&["user # logged in"][..], &["lease # lost", "user # logged in"]];
    let images = shapes.map(|shapes| image(&lines(shapes, 600)));
    let input = |image: &part::Image| Input::<part::Error> {
        footer: Arc::clone(scan(image).footer()),
        reader: Arc::new(image.bytes.clone()),
    };
    let inputs: Vec<Input<part::Error>> = images.iter().map(input).collect();
    let tenant = TenantId::new("team-a").unwrap();
    let merged = part::merge(&tenant, Day(0), &inputs, &Options::sealed()).unwrap().unwrap();
    let scan = scan(&merged);
    let templates = scan.templates(&all(), 0, i64::MAX).unwrap();
    for text in ["lease <_> lost", "user <_> logged in"] {
        // There is one of each level.
        let of_text = templates.iter().filter(|template| template.text == text);
        let streams: BTreeSet<u32> = of_text.flat_map(|t| t.streams.iter().copied()).collect();
        assert_eq!(streams.into_iter().collect::<Vec<_>>(), [0, 1, 2], "{templates:?}");
    }
    assert_eq!(texts(&templates).into_iter().collect::<BTreeSet<_>>().len(), 2);
}

/// Sections of kind 5 become ones of a kind that nobody knows.
fn without_templates(image: &part::Image) -> part::Image {
    let mut bytes = image.bytes.to_vec();
    let survey = part::Survey::of(&bytes).unwrap();
    let is_of_templates = |piece: &&part::Piece| piece.what == part::What::Section("templates");
    let piece = survey.pieces.iter().find(is_of_templates).unwrap();
    let (at, end) = (piece.offset as usize, (piece.offset + piece.stored_bytes) as usize);
    bytes[at] = 99;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[at..at + 12]), &bytes[at + 16..end]);
    bytes[at + 12..at + 16].copy_from_slice(&crc.to_le_bytes());
    part::Image { bytes: bytes.into(), summary: image.summary }
}

#[test]
fn a_part_without_templates_tells_those_of_some_of_its_rows() {
    let image = image(&lines(&["user # logged in", "lease # lost"], 900));
    let old = scan(&without_templates(&image));
    assert_eq!(old.footer().templates().unwrap(), None);
    let templates = old.templates(&all(), 0, i64::MAX).unwrap();
    let mut told = texts(&templates);
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, ["lease <_> lost", "user <_> logged in"]);
    // Rows out of the range are not looked at.
    assert_eq!(old.templates(&all(), -9, -1).unwrap(), []);
}
