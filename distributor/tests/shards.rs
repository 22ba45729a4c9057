//! Tenants that are kept to some of the ingesters.

#![allow(clippy::unwrap_used)]

extern crate runelog_distributor as distributor;

#[path = "support/cluster.rs"]
mod cluster;

use std::collections::BTreeSet;

use cluster::{Cluster, Fate};
use distributor::PushLimits;
use distributor::testing::FakeLimits;

fn kept_to(size: usize, nodes: usize, factor: usize) -> Cluster {
    let limits = PushLimits { tenant_shard_size: size, ..FakeLimits::open() };
    Cluster::with_limits(nodes, factor, limits)
}

/// Lets tasks that nobody waits for run.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// The nodes that hold rows of a tenant.
fn holders(cluster: &Cluster, tenant: &str) -> BTreeSet<usize> {
    let holds = |at: &usize| {
        let held = cluster.nodes[*at].held();
        held.iter().any(|held| held.batch.tenant.as_str() == tenant)
    };
    (0..cluster.nodes.len()).filter(holds).collect()
}

const STREAMS: [usize; 40] = {
    let mut streams = [0; 40];
    let mut at = 0;
    while at < 40 {
        streams[at] = at;
        at += 1;
    }
    streams
};

async fn shard_of(size: usize, nodes: usize, factor: usize, tenant: &str) -> BTreeSet<usize> {
    let cluster = kept_to(size, nodes, factor);
    cluster.push_as(tenant, &STREAMS, 2).await.unwrap();
    settle().await;
    cluster.check();
    assert_eq!(cluster.rows_held(), STREAMS.len() * 2);
    holders(&cluster, tenant)
}

#[tokio::test(start_paused = true)]
async fn a_tenant_is_kept_to_as_many_ingesters_as_its_limit_says_and_others_to_others() {
    assert_eq!(shard_of(0, 9, 3, "a").await.len(), 9);
    assert_eq!(shard_of(12, 9, 3, "a").await.len(), 9, "there are no more");
    let four = shard_of(4, 9, 3, "a").await;
    assert_eq!(four.len(), 4);
    assert_eq!(shard_of(4, 9, 3, "a").await, four, "every distributor says so");
    let five = shard_of(5, 9, 3, "a").await;
    assert!(five.len() == 5 && five.is_superset(&four), "{five:?} {four:?}");
    let mut shards = BTreeSet::new();
    for tenant in ["b", "c", "d", "e", "f"] {
        shards.insert(shard_of(4, 9, 3, tenant).await);
    }
    assert!(shards.len() > 1, "{shards:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_never_smaller_than_the_number_of_copies() {
    for size in [1, 2, 3] {
        assert_eq!(shard_of(size, 7, 3, "a").await.len(), 3);
    }
    assert_eq!(shard_of(1, 7, 1, "a").await.len(), 1);
    assert_eq!(shard_of(2, 7, 1, "a").await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_one_of_its_ingesters_a_tenant_stays_with_the_others() {
    let cluster = kept_to(3, 9, 3);
    cluster.push_as("a", &STREAMS, 1).await.unwrap();
    settle().await;
    let shard = holders(&cluster, "a");
    assert_eq!(shard.len(), 3);
    let down = *shard.first().unwrap();
    cluster.script_of(down, &[Fate::LostRequest; 200]);
    for _ in 0..5 {
        cluster.push_as("a", &STREAMS, 1).await.unwrap();
        settle().await;
    }
    assert_eq!(holders(&cluster, "a"), shard, "nobody else has anything of it");
    cluster.check();
    // Without a majority of them it is refused, though six others are there.
    let other = *shard.last().unwrap();
    cluster.script_of(down, &[Fate::LostRequest; 200]);
    cluster.script_of(other, &[Fate::LostRequest; 200]);
    let refused = cluster.push_as("a", &STREAMS, 1).await.unwrap_err();
    assert_eq!(refused.status, 503, "{}", refused.text);
    cluster.push_as("b", &STREAMS, 1).await.unwrap_or(());
    assert_eq!(holders(&cluster, "a"), shard);
}
