use base::time::DAY_NS;
use catalog::{PartId, Place};
use proptest::prelude::*;
use ulid::Ulid;

use super::*;

const DAY: Day = Day(20_413);
const MIB: u64 = 1 << 20;

/// A part with rows of these minutes of the day, uploaded in that second since 1970.
fn part(minutes: (i64, i64), mib: u64, second: u64) -> Arc<PartRecord> {
    let at = |minute: i64| UnixNanos(DAY.start_ns() + minute * 60_000_000_000);
    let (min_ts, max_ts) = (at(minutes.0), at(minutes.1));
    Arc::new(PartRecord {
        id: PartId(Ulid::from_parts(second * 1000, u128::from(second))),
        tenant: TenantId::new("a").unwrap(),
        day: DAY,
        place: Place::Object,
        len_bytes: mib * MIB,
        footer_bytes: 0,
        tail_bytes: 0,
        rows: 1,
        raw_bytes: 1,
        streams: 1,
        min_ts,
        max_ts,
        min_key: 0,
        max_key: 0,
        level: 0,
        purged_through: 0,
        rest: Vec::new(),
    })
}

fn at_hour(hours: i64) -> UnixNanos {
    UnixNanos(DAY.start_ns() + hours * HOUR_NS)
}

/// The sizes of the inputs of each merge, and whether it is due.
fn planned(parts: &[Arc<PartRecord>], now: UnixNanos) -> Vec<(Vec<u64>, bool)> {
    let tasks = plan(parts, now, &Rules::default());
    let sizes = |task: &Task| task.inputs.iter().map(|part| part.len_bytes / MIB).collect();
    tasks.iter().map(|task| (sizes(task), task.is_due)).collect()
}

#[test]
fn an_open_hour_waits_for_many_parts_and_an_ended_one_for_four() {
    let few: Vec<_> = (0..15).map(|at| part((60, 62), 12, at)).collect();
    assert_eq!(planned(&few, at_hour(2)), []);
    assert_eq!(planned(&few, at_hour(3)), [(vec![12; 15], true)]);
    assert_eq!(planned(&few[..3], at_hour(3)), []);
    let many: Vec<_> = (0..16).map(|at| part((60, 62), 12, at)).collect();
    assert_eq!(planned(&many, at_hour(2)), [(vec![12; 16], true)]);
}

#[test]
fn hours_are_not_mixed_before_their_six_hours_have_ended_nor_those_before_the_day() {
    let parts = [part((0, 59), 40, 1), part((60, 119), 40, 2), part((400, 410), 40, 3)];
    assert_eq!(planned(&parts, at_hour(6)), []);
    assert_eq!(planned(&parts, at_hour(7)), [(vec![40, 40], true)]);
    assert_eq!(planned(&parts, at_hour(24)), [(vec![40, 40], true)]);
    assert_eq!(planned(&parts, at_hour(25)), [(vec![40, 40, 40], true)]);
    // Rows of both halves of the day.
    let across: Vec<_> = (0..20).map(|at| part((300, 900), 12, at)).collect();
    assert_eq!(planned(&across, at_hour(16)), []);
    assert_eq!(planned(&across, at_hour(25)), [(vec![12; 20], true)]);
}

#[test]
fn a_large_part_is_not_written_again_for_small_ones() {
    let day = [part((0, 1000), 196, 1), part((0, 1000), 5, 2)];
    assert_eq!(planned(&day, at_hour(48)), []);
    let day = [part((0, 1000), 196, 1), part((0, 1000), 5, 2), part((0, 1000), 5, 3)];
    assert_eq!(planned(&day, at_hour(48)), [(vec![5, 5], true)]);
    let full = [part((0, 1000), 256, 1), part((0, 1000), 300, 2)];
    assert_eq!(planned(&full, at_hour(48)), []);
    let nearly = [part((0, 1000), 255, 1), part((0, 1000), 200, 2)];
    assert_eq!(planned(&nearly, at_hour(48)), [(vec![255, 200], true)]);
}

#[test]
fn a_small_merge_waits_until_no_more_parts_come() {
    let seconds = |at: i64| (at_hour(48).0 / 1_000_000_000 - at) as u64;
    let parts = [part((0, 1000), 12, seconds(500)), part((0, 1000), 12, seconds(3))];
    assert_eq!(planned(&parts, at_hour(48)), [(vec![12, 12], false)]);
    let many: Vec<_> = (0..16).map(|at| part((0, 1000), 12, seconds(at))).collect();
    let due: Vec<bool> = planned(&many, at_hour(48)).into_iter().map(|(_, due)| due).collect();
    assert_eq!(due, [true]);
}

#[test]
fn what_a_later_version_wrote_is_left_alone() {
    let mut later = (*part((0, 1000), 12, 1)).clone();
    later.rest = vec![1];
    assert_eq!(planned(&[Arc::new(later), part((0, 1000), 12, 2)], at_hour(48)), []);
}

/// Merges what is planned until nothing is; gives the parts and the bytes written.
fn settle(mut parts: Vec<Arc<PartRecord>>, now: UnixNanos, rules: &Rules) -> (Vec<u64>, u64) {
    let mut written = 0;
    for round in 0.. {
        let tasks = plan(&parts, now, rules);
        if tasks.is_empty() {
            break;
        }
        assert!(round < 50, "merging comes to an end");
        for task in tasks {
            let (first, rest) = task.inputs.split_first().unwrap();
            let mut merged = (**first).clone();
            for part in rest {
                merged.len_bytes += part.len_bytes;
                merged.min_ts = merged.min_ts.min(part.min_ts);
                merged.max_ts = merged.max_ts.max(part.max_ts);
            }
            written += merged.len_bytes;
            parts.retain(|part| task.inputs.iter().all(|input| input.id != part.id));
            parts.push(Arc::new(merged));
        }
    }
    (parts.iter().map(|part| part.len_bytes).collect(), written)
}

proptest! {
    #[test]
    fn merges_are_apart_bounded_within_a_window_and_come_to_an_end(
        shapes in prop::collection::vec((0i64..1440, 0i64..400, 1u64..300), 0..120),
        now in 0i64..30,
    ) {
        let rules = Rules::default();
        let parts: Vec<_> = (0u64..)
            .zip(&shapes)
            .map(|(at, &(from, len, mib))| part((from, (from + len).min(1439)), mib, at))
            .collect();
        let mut seen = std::collections::BTreeSet::new();
        for task in plan(&parts, at_hour(now), &rules) {
            let bytes: u64 = task.inputs.iter().map(|part| part.len_bytes).sum();
            prop_assert!(task.inputs.len() >= 2 && task.inputs.len() <= rules.max_inputs);
            prop_assert!(bytes <= rules.max_bytes);
            prop_assert!(task.inputs.iter().all(|part| seen.insert(part.id)));
            prop_assert!(task.inputs.windows(2).all(|pair| pair[0].id < pair[1].id));
            let min = task.inputs.iter().map(|part| part.min_ts.0).min().unwrap();
            let max = task.inputs.iter().map(|part| part.max_ts.0).max().unwrap();
            let width = WINDOWS_NS.into_iter().find(|w| min.div_euclid(*w) == max.div_euclid(*w));
            let width = width.unwrap_or(DAY_NS);
            let end = (min.div_euclid(width) + 1) * width;
            prop_assert!(width == HOUR_NS || width < DAY_NS && task.inputs.len() >= rules.fan_in
                || end <= at_hour(now).0, "{width}");
        }
        settle(parts, at_hour(now), &rules);
    }

    #[test]
    fn a_day_ends_in_few_parts_and_each_byte_is_written_a_few_times(
        count in 1usize..200,
        mib in 1u64..30,
    ) {
        let parts = (0..count as u64).map(|at| part((0, 1439), mib, at)).collect();
        let (parts, written) = settle(parts, at_hour(48), &Rules::default());
        let total = count as u64 * mib * MIB;
        prop_assert_eq!(parts.iter().sum::<u64>(), total);
        prop_assert!(parts.len() as u64 <= 5 + total / (256 * MIB), "{parts:?}");
        prop_assert!(written <= total * 4, "{} of {}", written / MIB, total / MIB);
    }
}
