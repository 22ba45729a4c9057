//! Ingesters that come and go while everything else goes on: 1 to 3 to 5 to 3.

use std::sync::Arc;
use std::time::Duration;

use base::disk::sim::Keep;

use super::nodes::{Cluster, Node, Role};
use super::ring::Truth;
use super::world::event;

/// How often the ring is looked at, and how many times: what takes longer is left to itself.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS: u32 = 6_000;

pub async fn scale(cluster: Arc<Cluster>) {
    let world = &cluster.world;
    let Some(truth) = cluster.truth.as_ref().filter(|_| world.profile.scales) else { return };
    let chance = world.chance("scale");
    let nodes: Vec<Arc<Node>> = cluster.of(Role::Ingester).cloned().collect();
    until(&cluster, || truth.is_whole(1)).await;
    for count in [3, nodes.len()] {
        tokio::time::sleep(chance.seconds(5, 25)).await;
        for node in nodes[..count].iter().filter(|node| !node.is_wanted()) {
            event!(world, &node.name, "is added");
            node.set_wanted(true);
            // Where this fails its supervisor tries again.
            let _failed = cluster.start(node).await.is_err();
        }
        until(&cluster, || truth.is_whole(count)).await;
    }
    for _ in 3..nodes.len() {
        tokio::time::sleep(chance.seconds(5, 25)).await;
        let there = nodes.iter().filter(|node| node.is_wanted()).cloned();
        let there: Vec<Arc<Node>> = there.collect();
        leave(&cluster, truth, chance.pick::<Arc<Node>>(&there)).await;
    }
}

/// Until the condition is so, or for long.
async fn until(cluster: &Cluster, is_so: impl Fn() -> bool) {
    for _ in 0..LOOKS {
        if is_so() || cluster.world.violation().is_some() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
    event!(cluster.world, "scale", "goes on");
}

async fn leave(cluster: &Cluster, truth: &Truth, node: &Node) {
    if !truth.leave(&node.name) {
        return;
    }
    event!(cluster.world, &node.name, "leaves");
    until(cluster, || truth.has_left(&node.name)).await;
    if truth.has_left(&node.name) {
        // It has said that its log is empty, and others that they need nothing of it.
        event!(cluster.world, &node.name, "has left");
        node.set_wanted(false);
        node.kill(Keep::Synced);
        node.lose_disk();
    }
}
