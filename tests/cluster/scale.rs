//! More ingesters, and fewer.

use crate::load::under_load;
use crate::rounds;
use crate::site::Plan;

#[test]
#[ignore = "not for a machine with other work: --include-ignored runs it"]
fn from_one_ingester_to_three_to_five_and_back_to_three_nothing_is_noticed() {
    for _ in 0..rounds() {
        let more = vec![("ingester-d", 0), ("ingester-e", 1)];
        // Nobody says how many copies there are: as many as ever joined, at most three.
        let mut cluster = Plan { more, first: 1, ..Plan::default() }.start();
        let load = under_load(&mut cluster, |cluster, load| {
            for name in ["ingester-b", "ingester-c", "ingester-d", "ingester-e"] {
                cluster.spawn(name);
                cluster.wait_whole();
                load.make_progress(3);
            }
            for name in ["ingester-a", "ingester-e"] {
                cluster.shut_down(name);
                cluster.wait_whole();
                load.make_progress(3);
            }
        });
        load.assert_none_refused();
    }
}
