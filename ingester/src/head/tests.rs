use base::{Day, Incarnation, StoreId, TenantId};
use proptest::prelude::*;
use ulid::Ulid;

use super::*;

/// (stream, timestamp, line, trace id); few values, so that duplicates are frequent.
type Row = (u8, i64, u8, Option<u8>);

fn batch(sequence: u64, rows: &[Row]) -> Batch {
    let mut builder = RowsBuilder::default();
    for &(stream, ts_ns, line, trace) in rows {
        builder.push(u32::from(stream), ts_ns, &[b'a' + line; 3]);
        if let Some(trace) = trace {
            builder.metadata("trace", &[b'0' + trace]);
        }
    }
    let store = StoreId(Ulid::from_parts(1, 1));
    Batch {
        id: BatchId { incarnation: Incarnation(Ulid::from_parts(1, 2)), owner: store, sequence },
        attempt: 1,
        members: vec![store],
        factor: 1,
        tenant: TenantId::new("t").expect("valid"),
        day: Day(0),
        streams: (0..4).map(|n| Labels::from_pairs([("s", n.to_string())])).collect(),
        rows: builder.finish(),
    }
}

/// (labels, timestamp, line, trace).
type Found = (String, i64, Vec<u8>, Option<Vec<u8>>);

fn contents(head: &mut Head) -> Vec<Found> {
    let snapshot = head.snapshot();
    let mut rows_before = 0;
    let mut all = Vec::new();
    for page in &snapshot.pages {
        assert_eq!(page.first_row, rows_before);
        page.rows.assert_consistent();
        let mut from = 0;
        for run in &page.rows.runs {
            let range = snapshot.ranges[run.stream as usize];
            for row in from..run.end as usize {
                let ts_ns = page.rows.ts_ns[row];
                assert!((range.min_ns..=range.max_ns).contains(&ts_ns));
                let trace = page.rows.metadata.first().and_then(|column| column.get(row));
                all.push((
                    snapshot.streams[run.stream as usize].to_string(),
                    ts_ns,
                    page.rows.lines.get(row).to_vec(),
                    trace.map(<[u8]>::to_vec),
                ));
            }
            from = run.end as usize;
        }
        rows_before += page.rows.len() as u64;
    }
    assert_eq!(rows_before, head.rows());
    all
}

proptest! {
    #[test]
    fn a_head_holds_each_distinct_row_once_in_order_of_arrival(
        batches in prop::collection::vec(
            prop::collection::vec(
                (0u8..4, 0i64..6, 0u8..2, prop::option::of(0u8..2)), 1..20), 1..8),
    ) {
        let mut head = Head::default();
        let mut want = Vec::new();
        let mut duplicates = 0;
        for (number, rows) in batches.iter().enumerate() {
            let appended = head.append(batch(number as u64, rows), number as u64);
            let before = want.len();
            for &(stream, ts_ns, line, trace) in rows {
                let labels = Labels::from_pairs([("s", stream.to_string())]).to_string();
                let row =
                    (labels, ts_ns, vec![b'a' + line; 3], trace.map(|trace| vec![b'0' + trace]));
                if want.contains(&row) {
                    duplicates += 1;
                } else {
                    want.push(row);
                }
            }
            prop_assert_eq!(appended.rows, (want.len() - before) as u64);
            prop_assert_eq!(contents(&mut head), want.clone());
        }
        let total: usize = batches.iter().map(Vec::len).sum();
        prop_assert_eq!(head.rows() as usize + duplicates, total);
        prop_assert_eq!(head.batches().len(), batches.len());
    }
}

#[test]
fn rising_timestamps_need_no_lookup_and_an_equal_one_does() {
    let mut head = Head::default();
    head.append(batch(1, &[(0, 1, 0, None), (0, 2, 0, None), (1, 1, 0, None)]), 1);
    assert!(head.seen.is_empty());
    let again = head.append(batch(2, &[(0, 2, 0, None), (0, 2, 1, None), (0, 3, 0, None)]), 2);
    assert!(!head.seen.is_empty());
    assert_eq!((again.rows, again.duplicates, again.duplicate_bytes), (2, 1, 3));
}

#[test]
fn pages_close_at_their_size_and_keep_long_lines_whole() {
    let mut builder = RowsBuilder::default();
    let long = vec![b'x'; 300 << 10];
    builder.push(0, 1, &long);
    for ts_ns in 2..2_002 {
        builder.push(0, ts_ns, &[b'y'; 1_000]);
    }
    let mut big = batch(1, &[(0, 0, 0, None)]);
    big.rows = builder.finish();
    let mut head = Head::default();
    head.append(big, 1);
    let snapshot = head.snapshot();
    assert_eq!(snapshot.pages[0].rows.len(), 1, "a line longer than a page has one of its own");
    let sizes: Vec<usize> = snapshot.pages.iter().map(|page| page.rows.lines.bytes.len()).collect();
    assert!(sizes[1..].iter().all(|&size| size <= PAGE_LINE_BYTES), "{sizes:?}");
    assert_eq!(head.rows(), 2_001);
}

#[test]
fn a_snapshot_does_not_see_later_rows() {
    let mut head = Head::default();
    head.append(batch(1, &[(0, 1, 0, None)]), 1);
    let before = head.snapshot();
    head.append(batch(2, &[(1, 2, 0, None)]), 2);
    assert_eq!(before.pages.iter().map(|page| page.rows.len()).sum::<usize>(), 1);
    assert_eq!(head.snapshot().pages.iter().map(|page| page.rows.len()).sum::<usize>(), 2);
}

#[test]
fn rows_that_all_have_other_metadata_names_close_pages_early() {
    let mut builder = RowsBuilder::default();
    for n in 0..3_000_i64 {
        builder.push(0, n, b"x");
        builder.metadata(&format!("name{n}"), b"v");
    }
    let mut wide = batch(1, &[(0, 0, 0, None)]);
    wide.rows = builder.finish();
    let mut narrow = Head::default();
    let views = wide.rows.metadata_views();
    let page = wide.rows.page(&views);
    // As the distributor cuts it: a few rows a batch.
    for from in (0..3_000).step_by(500) {
        let mut part = RowsBuilder::default();
        part.append(&page, from, from + 500, |stream| stream);
        let mut cut = batch(from as u64 + 2, &[(0, 0, 0, None)]);
        cut.rows = part.finish();
        narrow.append(cut, 1);
    }
    let snapshot = narrow.snapshot();
    for page in &snapshot.pages {
        assert!(code_bytes(&page.rows) < PAGE_CODE_BYTES, "{}", code_bytes(&page.rows));
    }
    assert_eq!(narrow.rows(), 3_000);
    assert!(narrow.raw_bytes() >= 4 * 500 * 500 * 6, "the codes are counted");
}

#[test]
fn a_batch_of_many_streams_that_comes_again_is_compared_in_one_walk() {
    let many = |sequence: u64| {
        let mut builder = RowsBuilder::default();
        for stream in 0..1_000 {
            builder.push(stream, 1, b"x");
            builder.metadata("stream", stream.to_string().as_bytes());
        }
        let streams = (0..1_000).map(|n| Labels::from_pairs([("s", n.to_string())]));
        let rows = builder.finish();
        Batch { streams: streams.collect(), rows, ..batch(sequence, &[(0, 0, 0, None)]) }
    };
    let mut head = Head::default();
    head.append(many(1), 1);
    for sequence in 2..5 {
        let appended = head.append(many(sequence), sequence);
        assert_eq!((appended.rows, appended.duplicates), (0, 1_000));
    }
    assert_eq!(head.visited_runs, 1_000, "each run once");
    // A run that goes on is hashed from where it was left.
    head.append(batch(9, &[(0, 1, 0, None), (0, 1, 1, None)]), 9);
    head.append(batch(10, &[(0, 1, 1, None)]), 10);
    assert_eq!(head.rows(), 1_002);
    assert!(head.visited_runs <= 1_002, "{}", head.visited_runs);
}
