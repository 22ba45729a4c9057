use std::collections::BTreeMap;

use base::RowsBuilder;
use proptest::prelude::*;

use super::*;
use crate::engine::StreamSource;
use crate::engine::overlap::Overlaps;

fn asked(from_ns: i64, to_ns: i64, step_ns: i64) -> VolumesOf {
    VolumesOf {
        patterns: Arc::default(),
        matchers: Vec::new(),
        range: TimeRange { from_ns, to_ns },
        step_ns,
        max_memory_bytes: 0,
    }
}

fn streams() -> Vec<Labels> {
    vec![
        Labels::from_pairs([("app", "a"), ("env", "dev")]),
        Labels::from_pairs([("app", "b"), ("env", "dev")]),
        Labels::from_pairs([("job", "j")]),
    ]
}

/// Volumes of rows `(stream, instant, length)`, each with two pairs of metadata that the labels are
/// not to see.
fn volumes(
    plan: &VolumesPlan,
    rows: &[(usize, i64, usize)],
) -> BTreeMap<String, Vec<(u32, Volume)>> {
    // As another process has it.
    let leaf = plan.leaf().origin().leaf().unwrap();
    assert_eq!(leaf.range(), plan.leaf().range());
    let mut worker = leaf.worker(Overlaps::none().into());
    worker.source(&StreamSource { streams: streams(), order: 0 }).unwrap();
    let mut builder = RowsBuilder::default();
    for &(stream, ts_ns, length) in rows {
        builder.push(stream as u32, ts_ns, &vec![b'x'; length]);
        builder.metadata("job", b"of metadata");
        builder.metadata("__error__", b"of metadata");
    }
    let page = builder.finish();
    worker.page(&page.page(&page.metadata_views())).unwrap();
    let volumes = plan.finish(worker.finish());
    volumes.into_iter().map(|(labels, volumes)| (labels.to_string(), volumes)).collect()
}

#[test]
fn windows_end_at_multiples_of_the_step_and_at_the_end() {
    let ends = |from, to, step| {
        let plan = VolumesPlan::new(&asked(from * MS, to * MS, step * MS)).unwrap();
        plan.window_ends().iter().map(|&end| end / MS).collect::<Vec<_>>()
    };
    assert_eq!(ends(20, 40, 10), [30, 40]);
    assert_eq!(ends(25, 41, 10), [30, 40, 41]);
    assert_eq!(ends(25, 29, 10), [29]);
    assert_eq!(ends(-15, 5, 10), [-10, 0, 5]);
    assert_eq!(ends(25, 41, 0), [41]);
}

proptest! {
    #[test]
    fn volumes_are_the_sums_over_rows(
        rows in prop::collection::vec((0usize..3, -5i64..60, 0usize..9), 0..60),
        (from, length, step) in (0i64..20, 0i64..40, 0i64..15),
        shift in 0i64..3,
    ) {
        // Instants between two milliseconds, and at the edges of windows.
        let at = |ms: i64| ms * MS + shift - 1;
        let rows: Vec<_> = rows.iter().map(|&(stream, ms, length)| (stream, at(ms), length)).collect();
        let (from_ns, to_ns) = (from * MS, (from + length) * MS);
        let plan = VolumesPlan::new(&asked(from_ns, to_ns, step * MS)).unwrap();
        let ends = plan.window_ends();
        let mut want: BTreeMap<String, BTreeMap<u32, Volume>> = BTreeMap::new();
        for &(stream, ts_ns, length) in &rows {
            if ts_ns < from_ns || ts_ns >= to_ns {
                continue;
            }
            let window = ends.iter().position(|&end| ts_ns < end).unwrap() as u32;
            let volumes = want.entry(streams()[stream].to_string()).or_default();
            let volume = volumes.entry(window).or_default();
            volume.lines += 1;
            volume.bytes += length as u64 + 2 * 8;
            volume.oldest_ns = volume.oldest_ns.min(ts_ns);
            volume.newest_ns = volume.newest_ns.max(ts_ns);
        }
        let want: BTreeMap<String, Vec<(u32, Volume)>> =
            want.into_iter().map(|(labels, of)| (labels, of.into_iter().collect())).collect();
        prop_assert_eq!(volumes(&plan, &rows), want);
    }
}
