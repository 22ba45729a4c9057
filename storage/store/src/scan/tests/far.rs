//! Sketches of a part that is far away are read together.

use super::*;

/// A part that is far away: counts how often it is asked, and for how much.
struct Far {
    part: Arc<Reader>,
    reads: AtomicU64,
    read_bytes: AtomicU64,
}

impl RangeRead for Far {
    type Error = Error;

    fn read_ranges(&self, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Bytes>, Error> {
        assert!(ranges.is_sorted_by_key(|range| range.start));
        self.reads.fetch_add(1, Ordering::Relaxed);
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.part.read_ranges(ranges)
    }
}

/// Over all of the rows, also of a metric.
fn far_leaf(query: &str) -> Arc<Leaf> {
    let params = params(Direction::Backward, 100, 0);
    let start = if query.starts_with('{') { params.start } else { params.end };
    leaf_of(&plan(query, &Params { start, ..params }))
}

#[test]
fn row_groups_of_a_far_part_are_pruned_together_and_as_each_alone_would_be() {
    let id = |at: usize| format!("{:08x}-7c9e-4d07", (at + 1) * 2_654_435_761);
    let rows: Vec<Row> = many_rows()
        .into_iter()
        .step_by(2)
        .enumerate()
        .map(|(at, row)| Row { line: format!("{} id={}", row.line, id(at)), ..row })
        .collect();
    let alone = scan_of(&rows, 1).unwrap();
    let queries = [
        (r#"count_over_time({app=~".+"} |= "quorum" [1h])"#.to_owned(), 1),
        (format!(r#"count_over_time({{app=~".+"}} |= "{}" [1h])"#, id(1234)), 2),
        (format!(r#"count_over_time({{app=~".+"}} | logfmt | id="{}" [1h])"#, id(77)), 2),
        (format!(r#"count_over_time({{app="a"}} |= "served" | logfmt | id="{}" [1h])"#, id(8)), 4),
        (r#"count_over_time({app="b"} |= "no such text" [1h])"#.to_owned(), 1),
        (format!(r#"{{app=~".+"}} |= "{}""#, id(1234)), 1),
        (r#"{app=~".+"} |= "quorum""#.to_owned(), 1),
    ];
    for (query, most_rounds) in queries {
        let leaf = far_leaf(&query);
        let fresh = scan_of(&rows, 1).unwrap();
        let far = Arc::new(Far {
            part: memory(&fresh),
            reads: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
        });
        let together = Arc::new(Scan::new(fresh.footer().clone(), far.clone()));
        let expected = alone.units(&leaf);
        let mut units = together.units(&leaf);
        let (count, mut stats) = (units.len(), ScanStats::default());
        prune(&mut units, &leaf, &Shutdown::new(), &mut stats).unwrap();
        let mut left = units.iter().peekable();
        for unit in &expected {
            let pruned = unit::candidates(&leaf, unit, &*memory(&alone)).unwrap();
            match left.next_if(|left| left.group == unit.group).map(|left| left.pruned) {
                None => assert_eq!(pruned.pages, 0, "{query}: group {}", unit.group),
                // What it would take to know is read when it is scanned.
                Some(None) => assert!(leaf.is_log(), "{query}"),
                Some(Some(known)) => assert_eq!(known.pages, pruned.pages, "{query}"),
            }
        }
        assert!(left.next().is_none());
        let (rounds, batches) = (far.reads.load(Ordering::Relaxed), count.div_ceil(64) as u64);
        assert!(rounds <= most_rounds * batches, "{query}: {rounds} reads of {count} groups");
        assert_eq!(stats.read_bytes, far.read_bytes.load(Ordering::Relaxed));
    }
}

#[test]
fn a_log_query_reads_no_large_tables_ahead() {
    let random = SeededRandom::new(1);
    let letters = || (b'a' + (random.next_u64() % 26) as u8) as char;
    let rows: Vec<Row> = many_rows()
        .into_iter()
        .step_by(40)
        .map(|row| Row { line: (0..3000).map(|_| letters()).collect(), ..row })
        .collect();
    for (query, reads) in
        [(r#"{app=~".+"} |= "zzzz""#, 0), (r#"count_over_time({app=~".+"} |= "zzzz" [1h])"#, 1)]
    {
        let fresh = scan_of(&rows, 1).unwrap();
        let (part, read_bytes) = (memory(&fresh), AtomicU64::new(0));
        let far = Arc::new(Far { part, reads: AtomicU64::new(0), read_bytes });
        let scan = Arc::new(Scan::new(fresh.footer().clone(), far.clone()));
        let leaf = far_leaf(query);
        let mut units = scan.units(&leaf);
        assert!((10..64).contains(&units.len()), "{}", units.len());
        prune(&mut units, &leaf, &Shutdown::new(), &mut ScanStats::default()).unwrap();
        assert_eq!(far.reads.load(Ordering::Relaxed), reads, "{query}");
        assert!(units.iter().all(|unit| unit.pruned.is_none()) || reads == 1);
    }
}
