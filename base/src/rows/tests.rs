use super::*;

fn sample() -> Rows {
    let mut builder = RowsBuilder::default();
    builder.push(0, 10, b"first");
    builder.metadata("trace", b"t1");
    builder.push(0, 11, b"");
    builder.push(3, 12, b"third");
    builder.metadata("level", b"info");
    builder.metadata("trace", b"t1");
    builder.finish()
}

#[test]
fn a_builder_fills_runs_arenas_and_padded_dictionaries() {
    let rows = sample();
    assert_eq!(rows.runs, [Run { stream: 0, end: 2 }, Run { stream: 3, end: 3 }]);
    assert_eq!(rows.lines.get(1), b"");
    assert_eq!(rows.lines.get(2), b"third");
    assert_eq!(&*rows.metadata[0].name, "level");
    assert_eq!(rows.metadata[0].codes, [0, 0, 1]);
    assert_eq!(rows.metadata[1].codes, [1, 0, 1]);
    assert_eq!(rows.metadata[1].values.len(), 1);
}

#[test]
fn a_builder_knows_what_its_columns_take() {
    let mut builder = RowsBuilder::default();
    for round in 0..3 {
        for row in 0..50u32 {
            builder.push(row / 7, 10, &vec![b'x'; row as usize]);
            builder.metadata(&format!("name{}", row % 5), b"value");
            builder.metadata("n", row.to_string().as_bytes());
        }
        let bytes = builder.column_bytes();
        let rows = builder.take();
        assert_eq!(rows.column_bytes(), bytes, "round {round}");
        let (lines, codes, values) = (49 * 50 / 2, 6 * 50 * 4, 90 + 5 * 5 + 55 * 4);
        let names = 5 * 5 + 1 + 6 * 12;
        assert_eq!(bytes, lines + 50 * 12 + 8 * 8 + codes + values + names);
        let views = rows.metadata_views();
        builder.append(&rows.page(&views), 0, rows.len(), |stream| stream);
        assert_eq!(builder.column_bytes(), bytes);
        builder.take();
    }
}

#[test]
fn a_taken_builder_starts_empty_and_gives_the_same_rows_again() {
    let mut builder = RowsBuilder::default();
    for _ in 0..3 {
        builder.push(0, 10, b"first");
        builder.metadata("trace", b"t1");
        builder.push(0, 11, b"");
        builder.push(3, 12, b"third");
        let level = builder.column("level");
        assert!(!builder.is_set(level));
        let code = builder.intern(level, b"info");
        builder.set_code(level, code);
        assert!(builder.is_set(level));
        builder.metadata("trace", b"t1");
        assert_eq!(builder.take(), sample());
        assert!(builder.is_empty());
    }
}

#[test]
fn the_runs_of_a_range_are_those_that_have_some_of_its_rows_and_no_others() {
    let ends = [1, 2, 5, 6, 9, 10, 14, 15, 16, 20];
    let runs: Vec<Run> = (0..).zip(ends).map(|(stream, end)| Run { stream, end }).collect();
    for to in 1..=20 {
        for from in 0..to {
            let starts = [0].into_iter().chain(ends);
            let with_rows = runs
                .iter()
                .zip(starts)
                .filter(|(run, start)| (*start as usize) < to && from < run.end as usize);
            let with_rows: Vec<Run> = with_rows.map(|(run, _)| *run).collect();
            assert_eq!(runs_of(&runs, from, to), with_rows, "{from}..{to}");
        }
    }
}

#[test]
fn appending_a_range_keeps_rows_and_maps_streams() {
    let rows = sample();
    let views = rows.metadata_views();
    let page = rows.page(&views);
    let mut builder = RowsBuilder::default();
    builder.push(7, 1, b"zero");
    builder.append(&page, 1, 3, |stream| stream + 100);
    builder.append(&page, 0, 1, |stream| stream + 100);
    let out = builder.finish();
    assert_eq!(out.ts_ns, [1, 11, 12, 10]);
    assert_eq!(out.lines.get(2), b"third");
    assert_eq!(out.lines.get(3), b"first");
    let streams: Vec<(u32, u32)> = out.runs.iter().map(|r| (r.stream, r.end)).collect();
    assert_eq!(streams, [(7, 1), (100, 2), (103, 3), (100, 4)]);
    let trace = &out.metadata[1];
    assert_eq!((trace.get(0), trace.get(2)), (None, Some(&b"t1"[..])));
    assert_eq!(trace.get(3), Some(&b"t1"[..]));
}
