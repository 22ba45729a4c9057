//! `kill -9` of any one.

use crate::load::under_load;
use crate::rounds;
use crate::site::Plan;

#[test]
fn kill_9_of_any_one_in_turn_loses_nothing_doubles_nothing_and_refuses_nothing() {
    let mut cluster = Plan::three_that_flush().start();
    let load = under_load(&mut cluster, |cluster, load| {
        for _ in 0..rounds() {
            for name in cluster.names() {
                cluster.kill(name);
                load.make_progress(5);
                cluster.spawn(name);
                cluster.wait_whole();
                load.make_progress(2);
            }
        }
    });
    load.assert_none_refused();
}
