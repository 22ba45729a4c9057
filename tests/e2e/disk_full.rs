//! A full local disk refuses pushes clearly and loses nothing (P1, P6).

use runelog_tests::disk::SmallDisk;

use crate::harness::{START_NS, Shape, Site, body_of, in_one_and_in_separate_processes};

in_one_and_in_separate_processes!(a_full_disk_answers_503_and_after_space_is_freed_it_goes_on,);

fn a_full_disk_answers_503_and_after_space_is_freed_it_goes_on(shape: Shape) {
    let Some(disk) = SmallDisk::mount("24m") else { return };
    let site = Site::new(shape).with_data(&disk.path().join("data"));
    let server = site.start();
    let mut acked = 0;
    let push = |n: i64| {
        let ts_ns = START_NS + n * 1_000_000;
        let lines = (0..256).map(|k| (ts_ns + k, format!("{n}-{k} {}", noise(n * 256 + k))));
        server.push(&body_of("a", lines))
    };
    let refused = (0..1_000).find_map(|n| {
        let response = push(n);
        if response.status == 204 {
            acked += 1;
            return None;
        }
        Some(response)
    });
    let refused = refused.expect("24 MB cannot hold 250 MB");
    assert_eq!(refused.status, 503, "{}", refused.text());
    let text = refused.text().to_lowercase();
    assert!(text.contains("disk") || text.contains("space") || text.contains("wal"), "{text}");
    for n in 1_000..1_040 {
        let response = push(n);
        assert!([204, 503].contains(&response.status), "{} {}", response.status, response.text());
        acked += i64::from(response.status == 204);
    }
    assert!(server.resident_bytes() < 400 << 20, "memory stays bounded");
    let count = || server.number(r#"sum(count_over_time({app="a"}[3h]))"#);
    assert_eq!(
        count(),
        (acked * 256) as f64,
        "nothing acknowledged is missing, nothing else there"
    );

    disk.resize("200m");
    server.wait_for("pushes go on", || {
        let response = push(2_000 + acked);
        acked += i64::from(response.status == 204);
        response.status == 204
    });
    assert_eq!(count(), (acked * 256) as f64);
    server.flush();
    assert_eq!(count(), (acked * 256) as f64);
}

/// Text that hardly compresses.
fn noise(seed: i64) -> String {
    use base::random::Random;
    let random = base::random::SeededRandom::new(seed as u64);
    (0..60).map(|_| format!("{:016x}", random.next_u64())).collect()
}
