//! A store that comes back under another address.

use crate::load::under_load;
use crate::rounds;
use crate::site::Plan;

#[test]
fn a_store_that_comes_back_at_another_address_is_found_there() {
    let mut cluster = Plan::three().start();
    let load = under_load(&mut cluster, |cluster, load| {
        for _ in 0..rounds() {
            let names = cluster.ingesters();
            for (at, name) in names.iter().enumerate() {
                cluster.kill(name);
                load.make_progress(2);
                cluster.move_to_another_port(name);
                cluster.spawn(name);
                cluster.wait_whole();
                load.make_progress(2);
                // It is needed where it is now.
                let next = names[(at + 1) % names.len()];
                cluster.kill(next);
                load.make_progress(3);
                cluster.spawn(next);
                cluster.wait_whole();
                load.make_progress(2);
            }
        }
    });
    load.assert_none_refused();
}
