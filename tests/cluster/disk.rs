//! A disk that is full.

use std::io::Write;

use runelog_tests::disk::SmallDisk;

use crate::load::under_load;
use crate::rounds;
use crate::site::Plan;

const FAILED_APPENDS: &str = "loki_distributor_ingester_append_failures_total";

#[test]
fn an_ingester_whose_disk_is_full_is_done_without_until_there_is_room() {
    let Some(disk) = SmallDisk::mount("64m") else { return };
    let ballast = disk.path().join("ballast");
    let plan = Plan { disk: Some(disk.path().to_owned()), ..Plan::three_that_flush() };
    let mut cluster = plan.start();
    let load = under_load(&mut cluster, |cluster, load| {
        for _ in 0..rounds() {
            let failures = || {
                let failures = |name| cluster.metric(name, FAILED_APPENDS).unwrap_or(0.0);
                failures("distributor-a") + failures("distributor-b")
            };
            let before = failures();
            fill(&ballast);
            load.wait_for("its appends fail", || failures() > before);
            load.make_progress(5);
            std::fs::remove_file(&ballast).expect("removed");
            // Its voice in the ring ended with the write that failed.
            cluster.terminate("ingester-c");
            cluster.spawn("ingester-c");
            cluster.wait_whole();
            load.make_progress(2);
        }
    });
    load.assert_none_refused();
    drop(cluster);
    drop(disk);
}

/// Writes until there is no room.
fn fill(file: &std::path::Path) {
    let mut file = std::fs::File::create(file).expect("a file");
    for piece in [1 << 20, 4 << 10, 1] {
        let piece = vec![7; piece];
        while file.write_all(&piece).is_ok() {}
    }
}
