//! A zone from which nothing comes any more.

use crate::load::under_load;
use crate::net::Net;
use crate::rounds;
use crate::site::Plan;

#[test]
fn a_zone_that_is_cut_off_is_not_noticed() {
    let Some(net) = Net::build(3) else { return };
    // Who answers clients is in the other two.
    let mut cluster = Plan { net: Some(net), ..Plan::three_that_flush() }.start();
    let load = under_load(&mut cluster, |cluster, load| {
        for _ in 0..rounds() {
            cluster.net().cut(2);
            load.make_progress(5);
            load.wait_for("both sides notice", || {
                let state = |at, name| cluster.state_at(at, name);
                state("querier-a", "ingester-c").as_deref() == Some("UNHEALTHY")
                    && cluster.view("ingester-c").is_some_and(|view| view["leader"].is_null())
            });
            load.make_progress(5);
            cluster.net().heal(2);
            cluster.wait_whole();
            load.make_progress(2);
        }
    });
    load.assert_none_refused();
}

#[test]
fn what_is_alone_in_its_zone_acknowledges_nothing_that_others_do_not_have() {
    let Some(net) = Net::build(3) else { return };
    // Who is alone may refuse what it likes, and nobody waits for its long timeouts.
    let hasty = vec!["distributor-b", "querier-b"];
    let mut cluster = Plan { net: Some(net), hasty, ..Plan::three_that_flush() }.start();
    let load = under_load(&mut cluster, |cluster, load| {
        for _ in 0..rounds() {
            let alone = &cluster.distributors()[1];
            let before = load.refused_pushes().count();
            cluster.net().cut(1);
            load.wait_for("it refuses", || load.refused_pushes().count() > before);
            // Their clients go to the other zones, where two of three are.
            load.make_progress(5);
            assert!(load.refused_pushes().last().starts_with(alone), "only the one that is alone");
            cluster.net().heal(1);
            cluster.wait_whole();
            load.make_progress(2);
        }
    });
    let (alone, alone_reads) = (&cluster.distributors()[1], &cluster.frontends()[1]);
    load.refused_pushes().assert_all_from(alone);
    load.refused_reads().assert_all_from(alone_reads);
}
