//! Ingesters that come and go while everything else goes on, 1 to 3 to 5 to 3, and an operator who
//! cannot decide how many copies there should be.

use std::sync::Arc;
use std::time::Duration;

use base::disk::sim::Keep;

use super::nodes::{Cluster, Node, Role};
use super::ring::Truth;
use super::world::{Chance, event};

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
        if world.profile.lowers {
            let factors: &[u8] = if count == 3 { &[3, 2, 1] } else { &[5, 3, 2, 1] };
            replicate(&cluster, truth, factors).await;
        }
    }
    for _ in 3..nodes.len() {
        tokio::time::sleep(chance.seconds(5, 25)).await;
        let there = nodes.iter().filter(|node| node.is_wanted()).cloned();
        let there: Vec<Arc<Node>> = there.collect();
        leave(&cluster, truth, chance.pick::<Arc<Node>>(&there)).await;
    }
}

/// Until the condition is so, or for long.
pub async fn until(cluster: &Cluster, is_so: impl Fn() -> bool) {
    for _ in 0..LOOKS {
        if is_so() || cluster.world.violation().is_some() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
    event!(cluster.world, "scale", "goes on");
}

/// Asks for some of these factors and in the end for three.
async fn replicate(cluster: &Cluster, truth: &Truth, factors: &[u8]) {
    // Draws of its own: seeds without it are what they were.
    let chance = cluster.world.chance(&format!("replicate {}", factors.len()));
    for _ in 0..chance.between(1, 4) {
        ask_for(cluster, truth, &chance, *chance.pick(factors)).await;
    }
    ask_for(cluster, truth, &chance, super::ring::FACTOR).await;
}

async fn ask_for(cluster: &Cluster, truth: &Truth, chance: &Chance, factor: u8) {
    tokio::time::sleep(chance.seconds(1, 20)).await;
    // One copy may then be at a store that is lost and that the ring takes for there: that is a case
    // for an operator (ADR 19, 4), who looks first.
    until(cluster, || truth.has_no_lost()).await;
    if !truth.has_no_lost() {
        return;
    }
    // Who hears of it sooner than those who refuse lower factors is refused: here for seconds.
    cluster.world.fault(Duration::from_secs(30));
    truth.replicate(factor);
    // Or the next one comes while this one is on its way.
    if chance.happens(700) {
        until(cluster, || truth.has_factor(factor)).await;
    }
}

pub async fn leave(cluster: &Cluster, truth: &Truth, node: &Node) {
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
