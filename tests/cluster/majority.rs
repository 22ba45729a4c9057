//! Raft without a majority of its voters: the ring stays as it is, and rows go on.

use serde_json::Value;

use crate::load::under_load;
use crate::rounds;
use crate::site::{Cluster, Plan};

const OVERRIDES: &str = "/api/v1/overrides/somebody";

fn put_limit(cluster: &Cluster, at: &str) -> u16 {
    cluster.ask(at, "PUT", OVERRIDES, b"max_query_series: 7\n").status
}

/// Whether `at` has noticed that the lost lead no more, and does not lead. It may take the other one
/// that is left for the leader: Raft's goes on as one, and says to whoever asks that it is none.
fn knows_no_leader(cluster: &Cluster, at: &str, lost: &[&str]) -> bool {
    let Some(view) = cluster.view(at) else { return false };
    let leads = |shard: &Value| shard["store"] == view["leader"];
    let shards = view["shards"].as_array().into_iter().flatten();
    let mut leaders = shards.filter(|shard| leads(shard)).filter_map(|shard| shard["id"].as_str());
    !leaders.any(|leader| leader == at || lost.contains(&leader))
}

#[test]
fn pushes_and_queries_go_on_without_a_leader_as_long_as_two_zones_are_there() {
    // Five voters, three of them in one zone.
    let more = vec![("ingester-d", 0), ("ingester-e", 0)];
    let mut cluster = Plan { more, ..Plan::three_that_flush() }.start();
    let lost = ["ingester-a", "ingester-d", "ingester-e"];
    let load = under_load(&mut cluster, |cluster, load| {
        load.wait_for("all five have a voice", || {
            let view = cluster.view("ingester-b");
            view.is_some_and(|view| view["voters"].as_array().map(Vec::len) == Some(5))
        });
        for _ in 0..rounds() {
            lost.iter().for_each(|name| cluster.stop(name));
            load.make_progress(5);
            load.wait_for("nobody leads", || {
                ["ingester-b", "ingester-c"].iter().all(|at| knows_no_leader(cluster, at, &lost))
            });
            assert_ne!(put_limit(cluster, "ingester-b"), 204, "nothing is agreed on");
            load.make_progress(5);
            lost.iter().for_each(|name| cluster.go_on(name));
            cluster.wait_whole();
            load.wait_for("the ring goes on", || put_limit(cluster, "ingester-b") == 204);
            load.make_progress(2);
        }
    });
    load.assert_none_refused();
}

#[test]
fn with_two_of_three_zones_away_nothing_is_acknowledged_and_nothing_short_is_answered() {
    // A refusal of theirs may take as long as the server allows for any answer.
    let hasty = vec!["distributor-a", "distributor-b"];
    let mut cluster = Plan { hasty, ..Plan::three_that_flush() }.start();
    let lost = ["ingester-a", "ingester-b"];
    let load = under_load(&mut cluster, |cluster, load| {
        for _ in 0..rounds() {
            let refused = load.refused_pushes().count();
            lost.iter().for_each(|name| cluster.stop(name));
            load.wait_for("pushes are refused", || load.refused_pushes().count() > refused);
            let query =
                "/loki/api/v1/query?query=count_over_time(%7Bclient%3D~%22.%2B%22%7D%5B3h%5D)";
            let answer = cluster.ask("querier-a", "GET", query, b"");
            assert_eq!(answer.status, 503, "{}", answer.text());
            for name in lost {
                let address = cluster.grpc_of(name);
                assert!(answer.text().contains(&address), "{address} in {}", answer.text());
            }
            lost.iter().for_each(|name| cluster.go_on(name));
            cluster.wait_whole();
            load.make_progress(2);
        }
    });
    load.refused_pushes().assert_all("503");
    load.refused_reads().assert_all("503");
}
