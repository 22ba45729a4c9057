//! An ingester that stands still and keeps its connections.

use crate::load::under_load;
use crate::rounds;
use crate::site::Plan;

#[test]
fn an_ingester_that_stands_still_for_a_while_is_done_without_and_comes_back() {
    let mut cluster = Plan::three_that_flush().start();
    let load = under_load(&mut cluster, |cluster, load| {
        for _ in 0..rounds() {
            for name in cluster.ingesters() {
                cluster.stop(name);
                load.make_progress(5);
                let others = cluster.distributors_and_queriers();
                load.wait_for("its silence is noticed", || {
                    let state = |at: &&str| cluster.state_at(at, name);
                    others.iter().all(|at| state(at).as_deref() == Some("UNHEALTHY"))
                });
                load.make_progress(5);
                cluster.go_on(name);
                cluster.wait_whole();
                load.make_progress(2);
            }
        }
    });
    load.assert_none_refused();
}
