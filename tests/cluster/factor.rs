//! More copies of a row, and fewer.

use crate::load::under_load;
use crate::rounds;
use crate::site::Plan;

#[test]
fn from_three_copies_to_five_and_back_by_a_rolling_restart_nothing_is_noticed() {
    let more = vec![("ingester-d", 3), ("ingester-e", 4)];
    let mut cluster = Plan { more, ..Plan::three() }.start();
    let load = under_load(&mut cluster, |cluster, load| {
        for _ in 0..rounds() {
            for factor in [5, 3] {
                cluster.set_factor(factor);
                for name in cluster.ingesters() {
                    cluster.terminate(name);
                    load.make_progress(1);
                    cluster.spawn(name);
                    // Writers and readers count on it as soon as the first asks for it.
                    cluster.wait_whole();
                    load.make_progress(1);
                }
                // Of three copies one may be away, of five two.
                let away = &cluster.ingesters()[..usize::from(factor / 2)];
                away.iter().for_each(|name| cluster.kill(name));
                load.make_progress(3);
                away.iter().for_each(|name| cluster.spawn(name));
                cluster.wait_whole();
                load.make_progress(2);
            }
        }
    });
    load.assert_none_refused();
}
