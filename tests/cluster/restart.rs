//! A restart of one after the other.

use crate::load::under_load;
use crate::rounds;
use crate::site::Plan;

#[test]
fn a_rolling_restart_of_all_ingesters_is_not_noticed() {
    let mut cluster = Plan::three().start();
    let load = under_load(&mut cluster, |cluster, load| {
        for _ in 0..rounds() {
            for name in cluster.ingesters() {
                cluster.terminate(name);
                load.make_progress(2);
                cluster.spawn(name);
                cluster.wait_whole();
                load.make_progress(2);
            }
        }
    });
    load.assert_none_refused();
}
