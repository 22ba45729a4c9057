//! More ingesters, and fewer.

use crate::load::{Load, under_load};
use crate::rounds;
use crate::site::{Cluster, Plan};

/// Waits until those who answer clients know of so many voters: they are chosen and replaced without
/// anybody's help.
fn wait_for_voters(cluster: &Cluster, load: &Load, count: usize) {
    load.wait_for("the right number of ingesters has a voice", || {
        cluster.distributors_and_queriers().iter().all(|at| {
            let view = cluster.view(at);
            view.is_some_and(|view| view["voters"].as_array().map(Vec::len) == Some(count))
        })
    });
}

#[test]
fn from_one_ingester_to_three_to_five_and_back_to_three_nothing_is_noticed() {
    for _ in 0..rounds() {
        let more = vec![("ingester-d", 0), ("ingester-e", 1)];
        // Nobody says how many copies there are: as many as ever joined, at most three.
        let mut cluster = Plan { more, first: 1, ..Plan::default() }.start();
        let load = under_load(&mut cluster, |cluster, load| {
            wait_for_voters(cluster, load, 1);
            let more = [("ingester-b", 1), ("ingester-c", 3), ("ingester-d", 3), ("ingester-e", 5)];
            for (name, voters) in more {
                cluster.spawn(name);
                cluster.wait_whole();
                wait_for_voters(cluster, load, voters);
                load.make_progress(3);
            }
            for name in ["ingester-a", "ingester-e"] {
                cluster.shut_down(name);
                cluster.wait_whole();
                wait_for_voters(cluster, load, 3);
                load.make_progress(3);
            }
        });
        load.assert_none_refused();
    }
}
