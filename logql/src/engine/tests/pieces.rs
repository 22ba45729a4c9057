//! Origins, cuts of time, and partials that come from anywhere.

use super::*;
use crate::engine::portable::*;
use crate::plan::{Origin, Shard, TimeRange};

fn leaf(query: &str, params: &Params) -> Arc<Leaf> {
    let plan = Plan::new(&syntax::parse(query).unwrap(), params).unwrap();
    Arc::clone(&plan.leaves()[0])
}

fn rows() -> (Vec<Labels>, Vec<TestRow>) {
    let streams = (0..5).map(|n| Labels::from_pairs([("app", "a"), ("n", &n.to_string())]));
    let row = |at: i64| TestRow {
        stream: at as usize % 5,
        ts_ns: at,
        line: format!("line {at}"),
        metadata: vec![("k".to_owned(), format!("v{}", at % 3))],
    };
    (streams.collect(), (0..40).map(row).collect())
}

fn partial(leaf: &Arc<Leaf>) -> Partial {
    let (streams, rows) = rows();
    let overlaps = Arc::new(Overlaps::between(&[
        &ranges(&streams, &rows[..20]),
        &ranges(&streams, &rows[10..]),
    ]));
    let mut worker = leaf.worker(Arc::clone(&overlaps));
    worker.source(&StreamSource { streams, order: 3 }).unwrap();
    feed(leaf, &mut worker, &pages(&rows, 7), &overlaps).unwrap();
    worker.finish()
}

#[test]
fn time_is_cut_at_multiples_and_in_the_order_in_which_it_matters() {
    let show = |leaf: &Leaf, span: i64, most: usize| -> Vec<(i64, i64)> {
        leaf.cut(span, most).iter().map(|range| (range.from_ns, range.to_ns)).collect()
    };
    let mut params = params(-5, 27, 0);
    let forward = leaf("{app=\"a\"}", &params);
    assert_eq!(show(&forward, 10, 100), [(-5, 0), (0, 10), (10, 20), (20, 27)]);
    params.direction = Direction::Backward;
    let backward = leaf("{app=\"a\"}", &params);
    assert_eq!(show(&backward, 10, 100), [(20, 27), (10, 20), (0, 10), (-5, 0)]);
    for (span, most) in [(1, 2), (1, 5), (7, 3), (100, 2), (i64::MAX, 9), (0, 0), (1, 33)] {
        let ranges = show(&forward, span, most);
        assert!(ranges.len() <= most.max(2), "{span} {most} {ranges:?}");
        assert_eq!((ranges[0].0, ranges[ranges.len() - 1].1), (-5, 27));
        assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0));
    }
    let piece = forward.piece(TimeRange { from_ns: 3, to_ns: 3 }, Shard::WHOLE);
    assert_eq!(piece.cut(10, 10), []);
}

#[test]
fn a_piece_knows_whether_more_pieces_matter() {
    let mut params = params(0, 40, 0);
    (params.limit, params.direction) = (10, Direction::Backward);
    let leaf = leaf("{app=\"a\"}", &params);
    let pieces = leaf.cut(10, 100);
    let mut merged = leaf.empty();
    let mut looked_at = 0;
    for range in pieces {
        if !merged.needs(range) {
            break;
        }
        looked_at += 1;
        merged.merge(partial(&leaf.piece(range, Shard::WHOLE))).unwrap();
    }
    assert_eq!(looked_at, 1);
    assert!(merged.needs(TimeRange { from_ns: 0, to_ns: 31 }), "30 may have an equal yet");
    assert!(!merged.needs(TimeRange { from_ns: 0, to_ns: 30 }));
}

#[test]
fn a_leaf_and_its_partials_go_to_other_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Leaf>();
    shared::<Partial>();
}

#[test]
fn shards_divide_streams_without_remainder() {
    let (streams, _) = rows();
    let leaf = leaf("{app=\"a\"}", &params(0, 40, 0));
    for of in [1, 2, 3, 7] {
        for labels in &streams {
            let holders = (0..of)
                .filter(|&index| leaf.piece(leaf.range(), Shard { index, of }).selects(labels));
            assert_eq!(holders.count(), 1);
        }
    }
}

#[test]
fn an_origin_that_makes_no_sense_is_an_error() {
    let good = leaf("sum(rate({app=\"a\"}[5m])) / 2", &params(0, 40, 0)).origin();
    assert_eq!(good.leaf().unwrap().origin(), good);
    let bad = [
        Origin { query: "sum(".into(), ..good.clone() },
        Origin { query: "{}".into(), ..good.clone() },
        Origin { query: "1".into(), ..good.clone() },
        Origin { leaf: 1, ..good.clone() },
        Origin { patterns: vec![String::new(); 1025].into(), ..good.clone() },
        Origin { patterns: ["<x>".to_owned()].into(), ..good.clone() },
        Origin { leaf: u32::MAX, ..good.clone() },
        Origin { shard: Shard { index: 2, of: 2 }, ..good.clone() },
        Origin { shard: Shard { index: 0, of: 0 }, ..good.clone() },
    ];
    let params = Params { end: UnixNanos(i64::MAX), step_ns: 1, ..good.params };
    let many = Origin { params, ..good.clone() };
    for origin in bad.into_iter().chain([many]) {
        assert!(matches!(origin.leaf(), Err(QueryError::Invalid(_))), "{origin:?}");
    }
    let (from_ns, to_ns) = (i64::MAX, i64::MIN);
    let empty = Origin { range: TimeRange { from_ns, to_ns }, ..good };
    assert_eq!(empty.leaf().unwrap().cut(1, 10), []);
}

const QUERIES: &[&str] = &[
    "{app=\"a\"} |= \"line\"",
    "count_over_time({app=\"a\"}[1ms])",
    "sum by (k) (bytes_rate({app=\"a\"}[2ms]))",
];

#[test]
fn what_is_no_partial_of_the_leaf_is_an_error() {
    let log = leaf("{app=\"a\"} |= \"line\"", &params(0, 40, 0));
    let metric = leaf("count_over_time({app=\"a\"}[1ms])", &params(40, 40, 0));
    let (lines, samples) = (partial(&log).to_portable(), partial(&metric).to_portable());
    assert!(Partial::from_portable(&metric, lines.clone()).is_err());
    assert!(Partial::from_portable(&log, samples.clone()).is_err());
    let Some(PortableHeld::Entries(entries)) = &lines.held else { panic!("lines") };
    let read = |change: fn(&mut PortableEntries)| {
        let mut entries = entries.clone();
        change(&mut entries);
        let held = Some(PortableHeld::Entries(entries));
        Partial::from_portable(&log, PortablePartial { held, ..lines.clone() }).unwrap_err()
    };
    for (error, want) in [
        (read(|e| e.ts_ns[0] = 40), "a row out of the time range"),
        (read(|e| e.stream[0] = 5), "a row without stream"),
        (read(|e| e.lines.ends[0] = 1_000), "ends of strings"),
        (read(|e| e.row.truncate(1)), "lengths of columns"),
        (read(|e| e.metadata_lengths[0] = 2), "lengths of metadata"),
        (read(|e| e.streams.texts.bytes[0] = 0xff), "label sets"),
        (read(|e| e.streams.texts.bytes[0] = b'z'), "label sets"),
        (read(|e| e.streams.texts.bytes[3] = b'b'), "a stream that is not selected"),
    ] {
        assert_eq!(error, PortableError::Malformed(want));
    }
    let Some(PortableHeld::Samples(columns)) = &samples.held else { panic!("samples") };
    assert!(!columns.apart.ts_ns.is_empty() && !columns.panes.is_empty());
    let read = |change: fn(&mut PortableSamples)| {
        let mut columns = columns.clone();
        change(&mut columns);
        let held = Some(PortableHeld::Samples(columns));
        Partial::from_portable(&metric, PortablePartial { held, ..samples.clone() }).unwrap_err()
    };
    let other = read(|c| c.values = PortableCells::Extremes { values: Vec::new() });
    assert_eq!(other.kind(), base::ErrorKind::Corrupt);
    for (error, want) in [
        (read(|c| c.panes[0] = 9), "panes of cells"),
        (read(|c| c.cells[0] += 1), "lengths of columns"),
        (read(|c| c.apart.series[0] = 99), "a row without series"),
        (read(|c| c.apart.ts_ns[0] = 41), "a row out of all windows"),
        (read(|c| c.apart.sample.truncate(1)), "lengths of columns"),
        (
            read(|c| c.values = PortableCells::Counts { samples: vec![u64::MAX; c.panes.len()] }),
            "numbers of samples",
        ),
    ] {
        assert_eq!(error, PortableError::Malformed(want));
    }
}

#[test]
fn any_columns_are_a_partial_or_an_error() {
    use base::random::{Random, SeededRandom};
    let random = SeededRandom::new(11);
    let mut read = 0;
    for query in QUERIES {
        let leaf = leaf(query, &params(40, 60, if query.starts_with('{') { 0 } else { 1_000_000 }));
        let good = partial(&leaf).to_portable();
        for _ in 0..4_000 {
            let mut columns = good.clone();
            for _ in 0..=random.next_u64() % 2 {
                damage(&mut columns, &mut || random.next_u64());
            }
            if let Ok(partial) = Partial::from_portable(&leaf, columns) {
                read += 1;
                let again = partial.to_portable();
                let mut merged = Partial::from_portable(&leaf, again.clone()).unwrap();
                merged.merge(partial).unwrap();
                assert_eq!(merged.to_portable().held.is_some(), again.held.is_some());
            }
        }
    }
    assert!(read > 100, "some damage is none: {read}");
}

enum Column<'c> {
    Small(&'c mut Vec<u32>),
    Large(&'c mut Vec<u64>),
    Instants(&'c mut Vec<i64>),
    Floats(&'c mut Vec<f64>),
    Bytes(&'c mut Vec<u8>),
}

/// Changes one element of one column, or its length.
fn damage(portable: &mut PortablePartial, random: &mut impl FnMut() -> u64) {
    use Column::*;
    let mut columns = match portable.held.as_mut().expect("rows were looked at") {
        PortableHeld::Entries(e) => vec![
            Small(&mut e.streams.lengths),
            Small(&mut e.streams.texts.ends),
            Bytes(&mut e.streams.texts.bytes),
            Instants(&mut e.ts_ns),
            Small(&mut e.stream),
            Large(&mut e.order),
            Large(&mut e.row),
            Small(&mut e.lines.ends),
            Bytes(&mut e.lines.bytes),
            Small(&mut e.metadata_lengths),
            Small(&mut e.metadata.ends),
            Bytes(&mut e.metadata.bytes),
        ],
        PortableHeld::Samples(s) => {
            let mut columns = vec![
                Small(&mut s.series.lengths),
                Small(&mut s.series.texts.ends),
                Bytes(&mut s.series.texts.bytes),
                Small(&mut s.cells),
                Small(&mut s.panes),
            ];
            columns.extend(rows_columns(&mut s.apart));
            columns.extend(match &mut s.values {
                PortableCells::Counts { samples } => vec![Large(samples)],
                PortableCells::Lengths { samples, bytes } => vec![Large(samples), Large(bytes)],
                PortableCells::Volumes { samples, bytes, oldest_ns, newest_ns } => {
                    vec![Large(samples), Large(bytes), Instants(oldest_ns), Instants(newest_ns)]
                }
                PortableCells::Sums { samples, high, low } => {
                    vec![Large(samples), Floats(high), Floats(low)]
                }
                PortableCells::Moments { samples, high, low, square_high, square_low } => vec![
                    Large(samples),
                    Floats(high),
                    Floats(low),
                    Floats(square_high),
                    Floats(square_low),
                ],
                PortableCells::Extremes { values } => vec![Floats(values)],
                PortableCells::Multisets { lengths, values, counts } => {
                    vec![Small(lengths), Floats(values), Large(counts)]
                }
                PortableCells::Points { lengths, points } => {
                    let mut columns = rows_columns(points);
                    columns.push(Small(lengths));
                    columns
                }
            });
            columns
        }
    };
    let at = random() as usize % columns.len();
    match &mut columns[at] {
        Small(column) => change(column, random, |n| n as u32),
        Large(column) => change(column, random, |n| n),
        Instants(column) => change(column, random, |n| n as i64),
        Floats(column) => change(column, random, f64::from_bits),
        Bytes(column) => change(column, random, |n| n as u8),
    }
}

fn rows_columns(rows: &mut PortableRows) -> Vec<Column<'_>> {
    use Column::*;
    vec![
        Small(&mut rows.series),
        Large(&mut rows.stream),
        Instants(&mut rows.ts_ns),
        Large(&mut rows.hash_high),
        Large(&mut rows.hash_low),
        Large(&mut rows.order),
        Large(&mut rows.row),
        Large(&mut rows.sample),
    ]
}

fn change<T: Copy>(column: &mut Vec<T>, random: &mut impl FnMut() -> u64, of: fn(u64) -> T) {
    let value = of(match random() % 4 {
        0 => u64::MAX,
        1 => 1 << (random() % 64),
        _ => random() % 50,
    });
    match random() % 8 {
        0 => drop(column.pop()),
        1 => column.push(value),
        _ if column.is_empty() => {}
        _ => {
            let at = random() as usize % column.len();
            column[at] = value;
        }
    }
}
