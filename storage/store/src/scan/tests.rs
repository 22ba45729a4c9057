use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::random::{Random, SeededRandom};
use base::rows::Rows;
use base::shutdown::Shutdown;
use base::{Day, Labels, RowsBuilder, TenantId, UnixNanos};
use bytes::Bytes;
use logql::engine::StreamSource;
use logql::engine::overlap::{Overlaps, StreamRange};
use logql::plan::{Direction, Leaf, Params, Plan, TimeRange, Volume, VolumesOf, VolumesPlan};
use part::{Codec, Footer, Options, Source};
use proptest::prelude::*;

use super::*;

mod far;

/// A row without metadata but a level.
#[derive(Clone, Debug)]
struct Row {
    stream: usize,
    ts_ns: i64,
    line: String,
    level: usize,
}

const LEVELS: [&str; 3] = ["", "info", "error"];
const SECOND: i64 = 1_000_000_000;

fn streams() -> Vec<Labels> {
    let stream = |(app, env)| Labels::from_pairs([("app", app), ("env", env)]);
    [("a", "dev"), ("a", "prod"), ("b", "prod"), ("c", "test")].map(stream).to_vec()
}

fn rows_of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Rows {
    let mut builder = RowsBuilder::default();
    for row in rows {
        builder.push(row.stream as u32, row.ts_ns, row.line.as_bytes());
        if row.level > 0 {
            builder.metadata("level", LEVELS[row.level].as_bytes());
        }
    }
    builder.finish()
}

/// A part of many pages and row groups.
fn scan_of(rows: &[Row], order: u64) -> Option<Arc<Scan>> {
    scan_with(&streams(), rows, order)
}

fn scan_with(streams: &[Labels], rows: &[Row], order: u64) -> Option<Arc<Scan>> {
    let rows = rows_of(rows);
    let metadata = rows.metadata_views();
    let source = Source { streams, pages: vec![rows.page(&metadata)] };
    let options = Options {
        codec: Codec::Lz4,
        page_bytes: 80,
        own_page_bytes: 80,
        group_rows: 25,
        group_pages: 5,
    };
    let tenant = TenantId::new("team-a").unwrap();
    let image = part::seal(&tenant, Day(0), &[source], &options).unwrap()?;
    let footer = Footer::open(&image.bytes, image.bytes.len() as u64).unwrap();
    let scan = Scan::new(Arc::new(footer), Arc::new(Memory(image.bytes)));
    Some(Arc::new(scan.with_order(order)))
}

fn plan(query: &str, params: &Params) -> Plan {
    Plan::new(&logql::syntax::parse(query).unwrap(), params).unwrap()
}

fn params(direction: Direction, limit: usize, step_ns: i64) -> Params {
    Params {
        start: UnixNanos(20 * SECOND),
        end: UnixNanos(180 * SECOND),
        step_ns,
        interval_ns: 0,
        limit,
        direction,
        max_series: 0,
        max_memory_bytes: 0,
        categorize: false,
        now: UnixNanos(0),
    }
}

/// The answer of one worker per two parts' units, pulled in turns.
fn scanned(
    query: &str,
    params: &Params,
    scans: &[Arc<Scan>],
    overlaps: &Arc<Overlaps>,
) -> (String, ScanStats) {
    scanned_with(false, query, params, scans, overlaps)
}

/// As [`scanned`], with [`keep_first`] before it where `times_first` says.
fn scanned_with(
    times_first: bool,
    query: &str,
    params: &Params,
    scans: &[Arc<Scan>],
    overlaps: &Arc<Overlaps>,
) -> (String, ScanStats) {
    let plan = plan(query, params);
    let mut stats = ScanStats::default();
    let mut partials = Vec::new();
    for leaf in plan.leaves() {
        let mut units: Vec<Unit> = scans.iter().flat_map(|scan| scan.units(leaf)).collect();
        if leaf.is_log() {
            sort_for(&mut units, params.direction);
        }
        if times_first {
            let mut scratch = Scratch::new(Arc::default());
            keep_first(&mut units, leaf, None, &mut scratch, &mut stats).unwrap();
        }
        let mut threads: Vec<_> = (0..2)
            .map(|_| (leaf.worker(overlaps.clone()), Scratch::new(overlaps.clone())))
            .collect();
        for (at, unit) in units.iter().enumerate() {
            let (worker, scratch) = &mut threads[at % 2];
            let cancel = Shutdown::new();
            scan_unit(leaf, worker, unit, scratch, &cancel, &mut stats).unwrap();
        }
        let mut merged = leaf.empty();
        for (worker, _) in threads {
            merged.merge(worker.finish()).unwrap();
        }
        partials.push(merged);
    }
    (format!("{:?}", plan.finish(partials).unwrap()), stats)
}

/// The answer of one worker that sees all rows as one page.
fn direct(query: &str, params: &Params, rows: &[Row]) -> String {
    direct_with(&streams(), query, params, rows)
}

fn direct_with(streams: &[Labels], query: &str, params: &Params, rows: &[Row]) -> String {
    let plan = plan(query, params);
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(|row| row.ts_ns);
    let rows = rows_of(&sorted);
    let metadata = rows.metadata_views();
    let mut partials = Vec::new();
    for leaf in plan.leaves() {
        let mut worker = leaf.worker(Arc::default());
        worker.source(&StreamSource { streams: streams.to_vec(), order: 0 }).unwrap();
        worker.page(&rows.page(&metadata)).unwrap();
        partials.push(worker.finish());
    }
    format!("{:?}", plan.finish(partials).unwrap())
}

fn row() -> impl Strategy<Value = Row> {
    let word = prop_oneof![
        "(error|Timeout|connection refused|ok)",
        "id=[0-3]{13}",
        "[a-c]{1,3}",
        "KISS \u{212a}i\u{17f}\u{17f}",
    ];
    let words = prop::collection::vec(word, 0..4).prop_map(|words| words.join(" "));
    // The same value, now and then written with an escape.
    let value = r#"(error|[0-3]{13}|\\u0065rror|0123012301230|\\u0030123012301230)"#;
    let object = (prop::sample::select(vec!["id", "env"]), value)
        .prop_map(|(key, value)| format!("{{\"{key}\":\"{value}\",\"n\":1}}"));
    let line = prop_oneof![2 => words, 1 => object];
    (0usize..4, 0i64..200, line, 0usize..3).prop_map(|(stream, second, line, level)| Row {
        stream,
        ts_ns: second * SECOND,
        line,
        level,
    })
}

const QUERIES: [&str; 20] = [
    r#"{app=~".+"}"#,
    r#"{app="a"}"#,
    r#"{app="nobody"}"#,
    r#"{env="prod"} |= "error""#,
    r#"{app=~".+"} |~ "(?i)timeout|kiss" != "refused""#,
    r#"{app=~"a|b"} |= "id=0123012301230" or "connection""#,
    r#"{env!="dev", app=~".+"} | level="error""#,
    r#"{app=~".+"} | json | id="0123012301230""#,
    r#"{app=~".+"} | json | id=~"err.*|01.*" | n>0"#,
    r#"{app=~".+"} | json | env="error""#,
    r#"count_over_time({app=~".+"}[1m])"#,
    r#"sum by (env) (count_over_time({app=~".+"} |= "error" [30s]))"#,
    r#"sum(bytes_over_time({env="prod"}[1m]))"#,
    r#"sum by (level) (count_over_time({app=~".+"} | level=~".+" [2m]))"#,
    r#"sum by (app) (count_over_time({app=~".+"}[20s]))"#,
    r#"sum by (level, env) (bytes_over_time({app=~".+"}[40s]))"#,
    r#"sum by (env) (bytes_rate({app!="b", app=~".+"}[10m] offset 7s))"#,
    r#"count(count by (app) (rate({app=~".+"}[5m])))"#,
    r#"sum without (level) (count_over_time({app=~".+"}[90s]))"#,
    r#"absent_over_time({app="c"}[20s])"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn scanning_parts_answers_as_one_worker_over_all_rows(
        rows in prop::collection::vec((row(), any::<bool>()), 0..150),
        limit in 1usize..12,
    ) {
        // One row per instant: rows of one instant may come in any order of streams.
        let unique = |(at, (mut row, first)): (usize, (Row, bool))| {
            row.ts_ns += at as i64;
            (row, first)
        };
        let rows: Vec<(Row, bool)> = rows.into_iter().enumerate().map(unique).collect();
        let part = |wanted: bool| -> Vec<Row> {
            rows.iter().filter(|(_, first)| *first == wanted).map(|(row, _)| row.clone()).collect()
        };
        let scans: Vec<Arc<Scan>> =
            [scan_of(&part(true), 1), scan_of(&part(false), 2)].into_iter().flatten().collect();
        let all: Vec<Row> = rows.iter().map(|(row, _)| row.clone()).collect();
        for query in QUERIES {
            for direction in [Direction::Forward, Direction::Backward] {
                let params = params(direction, limit, 15 * SECOND);
                let whole = direct(query, &params, &all);
                for times_first in [false, true] {
                    let (answer, stats) =
                        scanned_with(times_first, query, &params, &scans, &Arc::default());
                    prop_assert_eq!(&answer, &whole, "{}", query);
                    prop_assert!(stats.pages_scanned <= stats.pages_considered);
                }
            }
        }
    }

    #[test]
    fn rows_in_two_parts_count_once_where_overlaps_say_so(
        rows in prop::collection::vec(row(), 1..80),
        twice in prop::collection::vec(any::<bool>(), 80),
        limit in prop_oneof![1usize..12, Just(1000)],
    ) {
        let mut rows = rows;
        rows.iter_mut().enumerate().for_each(|(at, row)| row.ts_ns += at as i64);
        let again: Vec<Row> =
            rows.iter().zip(&twice).filter(|(_, twice)| **twice).map(|(row, _)| row.clone()).collect();
        let scans: Vec<Arc<Scan>> =
            [scan_of(&rows, 1), scan_of(&again, 2)].into_iter().flatten().collect();
        let ranges: Vec<Vec<StreamRange>> = scans.iter().map(|scan| ranges(scan)).collect();
        let sources: Vec<&[StreamRange]> = ranges.iter().map(Vec::as_slice).collect();
        let overlaps = Arc::new(Overlaps::between(&sources));
        for query in QUERIES {
            let params = params(Direction::Backward, limit, 15 * SECOND);
            let (answer, _) = scanned_with(true, query, &params, &scans, &overlaps);
            prop_assert_eq!(answer, direct(query, &params, &rows), "{}", query);
        }
    }
}

fn ranges(scan: &Scan) -> Vec<StreamRange> {
    let range = |(labels, stream): (&Labels, &part::Stream)| StreamRange {
        stream: labels.key(),
        min_ns: stream.min_ns,
        max_ns: stream.max_ns,
    };
    scan.footer().labels().iter().zip(scan.footer().streams()).map(range).collect()
}

fn many_rows() -> Vec<Row> {
    (0..4000)
        .map(|at| Row {
            stream: at % 4,
            ts_ns: 20 * SECOND + at as i64 * SECOND / 25,
            line: if at == 2000 { "quorum lost".into() } else { format!("request served {at}") },
            level: at % 3,
        })
        .collect()
}

fn leaf_of(plan: &Plan) -> Arc<Leaf> {
    plan.leaves()[0].clone()
}

#[test]
fn a_log_query_stops_at_its_limit() {
    let scans = [scan_of(&many_rows(), 1).unwrap()];
    for direction in [Direction::Forward, Direction::Backward] {
        let params = params(direction, 5, 0);
        let query = r#"{app=~".+"}"#;
        let (answer, limited) = scanned(query, &params, &scans, &Arc::default());
        assert_eq!(answer, direct(query, &params, &many_rows()));
        let all = Params { limit: 100_000, ..params };
        let (_, whole) = scanned(query, &all, &scans, &Arc::default());
        // A worker sets its threshold after some hundred rows.
        assert!(limited.pages_scanned < whole.pages_scanned / 4, "{limited:?} {whole:?}");
        assert!(limited.read_bytes < whole.read_bytes / 4, "{limited:?} {whole:?}");
    }
}

#[test]
fn lines_are_read_only_of_pages_with_rows_of_the_answer() {
    let scans = [scan_of(&many_rows(), 1).unwrap(), scan_of(&many_rows()[..3000], 2).unwrap()];
    for direction in [Direction::Forward, Direction::Backward] {
        let params = params(direction, 6, 0);
        let query = r#"{app=~".+"} | json"#;
        let (answer, first) = scanned_with(true, query, &params, &scans, &Arc::default());
        assert_eq!(answer, direct(query, &params, &many_rows()));
        // The last instants are in the first part alone, the first in both.
        assert!(first.pages_scanned <= 12 && first.pages_considered > 300, "{first:?}");
        let (_, threshold) = scanned(query, &params, &scans, &Arc::default());
        assert!(first.pages_scanned < threshold.pages_scanned / 4, "{first:?} {threshold:?}");
    }
    // Filters, and rows that the pipeline may make equal, need the lines.
    for query in [r#"{app="a"} |= "e""#, r#"{app="a"} | line_format "x""#] {
        assert_eq!(leaf_of(&plan(query, &params(Direction::Forward, 6, 0))).takes_first(), None);
    }
}

/// Many streams of a few rows each: every page covers nearly all of the time, so that most pages
/// have rows on both sides of the threshold.
#[test]
fn pages_across_the_threshold_are_read() {
    let stream = |at: usize| Labels::from_pairs([("app", format!("app{at}"))]);
    let streams: Vec<Labels> = (0..400).map(stream).collect();
    let rows: Vec<Row> = (0..4000)
        .map(|at| Row {
            stream: at % 400,
            ts_ns: 20 * SECOND + (at as i64 * 2_654_435_761) % (160 * SECOND),
            line: format!("request served {at}"),
            level: 0,
        })
        .collect();
    let scans = [scan_with(&streams, &rows, 1).unwrap()];
    for direction in [Direction::Forward, Direction::Backward] {
        let params = params(direction, 150, 0);
        let query = r#"{app=~".+"}"#;
        let (answer, stats) = scanned(query, &params, &scans, &Arc::default());
        assert_eq!(answer, direct_with(&streams, query, &params, &rows));
        assert!(stats.pages_scanned < stats.pages_considered, "{stats:?}");
    }
}

#[test]
fn a_rare_word_reads_few_pages_and_no_line_is_read_for_a_count() {
    let scans = [scan_of(&many_rows(), 1).unwrap()];
    let params = params(Direction::Backward, 100, 0);
    let (answer, stats) = scanned(r#"{app=~".+"} |= "quorum""#, &params, &scans, &Arc::default());
    assert!(answer.contains("Entry"), "{answer}");
    assert!(stats.pages_scanned <= 2 && stats.pages_considered > 200, "{stats:?}");

    let counting = Params { start: params.end, step_ns: 0, ..params };
    let query = "count_over_time({app=~\".+\"}[5m])";
    let (_, counted) = scanned(query, &counting, &scans, &Arc::default());
    let query = "count_over_time({app=~\".+\"} |= \"e\" [5m])";
    let (_, searched) = scanned(query, &counting, &scans, &Arc::default());
    assert_eq!(counted.pages_scanned, searched.pages_scanned);
    assert!(counted.read_bytes < searched.read_bytes / 2, "{counted:?} {searched:?}");
}

#[test]
fn what_the_directory_tells_is_not_read() {
    let scans = [scan_of(&many_rows(), 1).unwrap()];
    // All rows are within 160 seconds from second 20 on; groups of 25 rows are a few seconds.
    let counted = |query: &str, step_ns: i64| {
        let whole = params(Direction::Backward, 100, step_ns);
        let params =
            Params { start: UnixNanos(200 * SECOND), end: UnixNanos(200 * SECOND), ..whole };
        let (answer, stats) = scanned(query, &params, &scans, &Arc::default());
        assert_eq!(answer, direct(query, &params, &many_rows()), "{query}");
        stats
    };
    let whole = counted(r#"sum(count_over_time({app=~".+"}[10m]))"#, 0);
    assert_eq!((whole.rows, whole.pages_scanned, whole.read_bytes), (4000, 0, 0));
    let whole = counted(r#"sum by (app) (bytes_over_time({app=~".+"}[10m]))"#, 0);
    assert_eq!((whole.pages_scanned, whole.read_bytes), (0, 0));
    assert_eq!(whole.line_bytes, many_rows().iter().map(|row| row.line.len() as u64).sum::<u64>());
    let one = counted(r#"sum(count_over_time({app="c"}[10m]))"#, 0);
    assert_eq!((one.rows, one.read_bytes), (1000, 0));
    // The window cuts one row group of each stream.
    let cut = counted(r#"sum(count_over_time({app=~".+"}[90s]))"#, 0);
    assert!((1..40).contains(&cut.pages_scanned) && cut.rows < 4000, "{cut:?}");
    let bytes = counted(r#"sum(bytes_over_time({app=~".+"}[90s]))"#, 0);
    assert!(bytes.read_bytes > cut.read_bytes, "lengths are another column");
    let by_level = counted(r#"sum by (level) (count_over_time({app=~".+"}[10m]))"#, 0);
    assert!(by_level.pages_scanned > 200, "metadata decides row by row");
}

#[test]
fn volumes_are_told_from_the_directory_and_cut_runs_from_all_columns() {
    let scan = scan_of(&many_rows(), 1).unwrap();
    let volumes = |to_ns: i64, step_ns: i64| {
        let range = TimeRange { from_ns: 0, to_ns };
        let (matchers, patterns) = (Vec::new(), Arc::default());
        let of = VolumesOf { matchers, patterns, range, step_ns, max_memory_bytes: 0 };
        let plan = VolumesPlan::new(&of).unwrap();
        let leaf = plan.leaf();
        let mut stats = ScanStats::default();
        let mut worker = leaf.worker(Arc::default());
        let mut scratch = Scratch::new(Arc::default());
        for unit in scan.units(leaf) {
            let cancel = Shutdown::new();
            scan_unit(leaf, &mut worker, &unit, &mut scratch, &cancel, &mut stats).unwrap();
        }
        let mut found: Vec<_> = plan.finish(worker.finish());
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let mut want = Vec::new();
        for (stream, labels) in streams().into_iter().enumerate() {
            let mut of_stream: Vec<Volume> = vec![Volume::default(); plan.window_ends().len()];
            for row in many_rows().iter().filter(|row| row.stream == stream) {
                let window = plan.window_ends().iter().position(|&end| row.ts_ns < end);
                let Some(window) = window else { continue };
                let volume = &mut of_stream[window];
                volume.lines += 1;
                volume.bytes += (row.line.len() + 8 * usize::from(row.level > 0)) as u64;
                volume.oldest_ns = volume.oldest_ns.min(row.ts_ns);
                volume.newest_ns = volume.newest_ns.max(row.ts_ns);
            }
            let present = (0u32..).zip(of_stream).filter(|(_, volume)| volume.lines > 0);
            want.push((labels, present.collect::<Vec<_>>()));
        }
        assert_eq!(found, want);
        stats
    };
    let whole = volumes(200 * SECOND, 0);
    assert_eq!((whole.rows, whole.pages_scanned, whole.read_bytes), (4000, 0, 0));
    let cut = volumes(100 * SECOND, 30 * SECOND);
    assert!((1..100).contains(&cut.pages_scanned), "{cut:?}");
}

#[test]
fn runs_outside_the_range_are_not_counted_as_read() {
    let row = |at: i64| Row {
        stream: (at / 10) as usize,
        ts_ns: (20 + at / 10 * 130 + at % 10) * SECOND,
        line: "x".to_owned(),
        level: 0,
    };
    // One row group: a stream that ends before the window begins, and one inside it.
    let rows: Vec<Row> = (0..20).map(row).collect();
    let scans = [scan_of(&rows, 1).unwrap()];
    let end = UnixNanos(200 * SECOND);
    let params = Params { start: end, end, ..params(Direction::Backward, 100, 0) };
    let query = r#"sum by (app) (bytes_over_time({app=~".+"}[90s]))"#;
    let (answer, stats) = scanned(query, &params, &scans, &Arc::default());
    assert_eq!(answer, direct(query, &params, &rows));
    assert_eq!((stats.groups, stats.rows, stats.line_bytes, stats.read_bytes), (1, 10, 10, 0));
}

#[test]
fn a_cancelled_scan_reads_no_further_page() {
    let scan = scan_of(&many_rows(), 1).unwrap();
    let plan = plan(r#"{app=~".+"}"#, &params(Direction::Backward, 100, 0));
    let leaf = leaf_of(&plan);
    let cancel = Shutdown::new();
    let cancelling = Cancelling { part: memory(&scan), cancel: cancel.clone() };
    let scan = Arc::new(Scan::new(scan.footer().clone(), Arc::new(cancelling)));
    let units = scan.units(&leaf);
    let (mut worker, mut stats) = (leaf.worker(Arc::default()), ScanStats::default());
    let mut scratch = Scratch::new(Arc::default());
    let outcome = scan_unit(&leaf, &mut worker, &units[0], &mut scratch, &cancel, &mut stats);
    assert!(matches!(outcome, Err(ScanError::Cancelled)));
    assert_eq!((stats.pages_scanned, stats.groups), (0, 1));
}

/// Somebody cancels while the columns are being read.
struct Cancelling {
    part: Arc<Reader>,
    cancel: Shutdown,
}

impl RangeRead for Cancelling {
    type Error = Error;

    fn read_ranges(&self, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Bytes>, Error> {
        self.cancel.cancel();
        self.part.read_ranges(ranges)
    }
}

fn memory(scan: &Scan) -> Arc<Reader> {
    Arc::clone(&scan.reader)
}

#[test]
fn damage_names_the_object_and_leaves_other_groups_readable() {
    let whole = scan_of(&many_rows(), 1).unwrap();
    let damaging = Damaging { part: memory(&whole), reads: AtomicU64::new(0) };
    let scan = Scan::new(whole.footer().clone(), Arc::new(damaging));
    let scan = Arc::new(scan.with_name("s3://logs", "parts/1.part"));
    let plan = plan(r#"{app=~".+"}"#, &params(Direction::Backward, 100_000, 0));
    let leaf = leaf_of(&plan);
    let (mut worker, mut stats) = (leaf.worker(Arc::default()), ScanStats::default());
    let mut scratch = Scratch::new(Arc::default());
    let mut errors = Vec::new();
    for unit in scan.units(&leaf) {
        let cancel = Shutdown::new();
        let outcome = scan_unit(&leaf, &mut worker, &unit, &mut scratch, &cancel, &mut stats);
        errors.extend(outcome.err().map(|error| error.to_string()));
    }
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("s3://logs: part parts/1.part: part is damaged at byte"));
    assert!(stats.pages_scanned > 200);
}

/// Flips a byte in the first read.
struct Damaging {
    part: Arc<Reader>,
    reads: AtomicU64,
}

impl RangeRead for Damaging {
    type Error = Error;

    fn read_ranges(&self, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let mut read = self.part.read_ranges(ranges)?;
        if self.reads.fetch_add(1, Ordering::Relaxed) == 0 {
            let mut bytes = read[0].to_vec();
            bytes[0] ^= 1;
            read[0] = bytes.into();
        }
        Ok(read)
    }
}
