//! What breaks: processes, disks, connections, clocks; and what starts processes again.

use std::sync::Arc;
use std::time::Duration;

use base::disk::sim::{Fault, Keep};

use super::breaks::Break;
use super::bucket;
use super::nodes::{Cluster, Node, Role};
use super::record::Record;
use super::world::{Chance, World, event};

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Kill,
    Stall,
    Cut,
    FillDisk,
    FailDisk,
    LoseDisk,
    Skew,
    Flush,
    TakeForGone,
}

/// Breaks something now and then.
pub async fn trouble(cluster: Arc<Cluster>, record: Arc<Record>) {
    let world = cluster.world.clone();
    let chance = world.chance("trouble");
    let p = &world.profile;
    let weights = [
        (Trouble::Kill, p.kill),
        (Trouble::Stall, p.stall),
        (Trouble::Cut, p.cut),
        (Trouble::FillDisk, p.fill_disk),
        (Trouble::FailDisk, p.fail_disk),
        (Trouble::LoseDisk, p.lose_disk),
        (Trouble::Skew, p.skew),
        (Trouble::Flush, p.flush),
        (Trouble::TakeForGone, p.take_for_gone),
    ];
    let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
    for _ in 0..p.troubles {
        tokio::time::sleep(chance.seconds(1, 25)).await;
        if world.violation().is_some() {
            return;
        }
        let mut drawn = chance.below(total);
        for (trouble, weight) in weights {
            if drawn < weight {
                make(&cluster, &record, &chance, trouble).await;
                break;
            }
            drawn -= weight;
        }
    }
    if p.long {
        a_day_passes(&cluster, &chance).await;
    }
}

/// Longer than anything is kept, now and then with somebody asleep.
async fn a_day_passes(cluster: &Arc<Cluster>, chance: &Chance) {
    let world = &cluster.world;
    let day = chance.seconds(25 * 3600, 30 * 3600);
    if chance.happens(700) {
        let node = chance.pick(&cluster.nodes);
        if let Some(process) = node.process() {
            world.stall(&process, day - Duration::from_secs(600));
        }
    }
    event!(world, "time", "{} h pass", day.as_secs() / 3600);
    tokio::time::sleep(day).await;
}

async fn make(cluster: &Arc<Cluster>, record: &Arc<Record>, chance: &Chance, trouble: Trouble) {
    let world = &cluster.world;
    let ingesters: Vec<Arc<Node>> =
        cluster.of(Role::Ingester).filter(|node| node.is_wanted()).cloned().collect();
    let node = match trouble {
        Trouble::Kill | Trouble::Stall | Trouble::Skew | Trouble::Cut => {
            let wanted: Vec<_> = cluster.nodes.iter().filter(|node| node.is_wanted()).collect();
            (*chance.pick(&wanted)).clone()
        }
        _ => chance.pick(&ingesters).clone(),
    };
    let name = &node.name;
    match trouble {
        Trouble::Kill => {
            let keep = *chance.pick(&[Keep::Synced, Keep::Synced, Keep::Written, Keep::PageCache]);
            event!(world, name, "is killed, its disk keeps {keep:?}");
            world.fault(Duration::ZERO);
            node.kill(keep);
        }
        Trouble::Stall => {
            if let Some(process) = node.process() {
                world.stall(&process, chance.seconds(1, 150));
            }
        }
        Trouble::Cut => cut(cluster, chance, name),
        Trouble::FillDisk => fill_disk(cluster, chance, &node),
        Trouble::FailDisk => fail_disk(cluster, chance, &node),
        // A minority: the others must have all that was acknowledged, and say so, before the next.
        Trouble::LoseDisk
            if cluster.truth.as_ref().is_some_and(|ring| !ring.may_lose(ingesters.len())) =>
        {
            event!(world, name, "keeps its disk: the ring is not whole");
        }
        Trouble::TakeForGone => {
            // With one copy of a row, too: nobody speaks for it, and it comes back.
            let truth = cluster.truth.as_ref().filter(|ring| ring.is_whole(ingesters.len()));
            let Some(truth) = truth else { return };
            event!(world, name, "is taken for gone");
            world.fault(Duration::from_secs(30));
            truth.take_for_gone(name);
        }
        Trouble::LoseDisk => {
            if chance.happens(600) {
                flush(cluster, &node).await;
            }
            let forget = world.profile.forget;
            lose_disk(cluster, record, &node, || chance.below(4) < forget);
        }
        Trouble::Skew => {
            let ns = (chance.below(14_400) as i64 - 7_200) * 1_000_000_000;
            event!(world, name, "its clock is {} s off", ns / 1_000_000_000);
            node.clock.set_skew(ns);
        }
        Trouble::Flush => {
            let _failed = !flush(cluster, &node).await;
        }
    }
}

/// A disk is gone for ever, and its process with it. `is_forgotten`: an operator says so at once.
pub fn lose_disk(
    cluster: &Cluster,
    record: &Record,
    node: &Node,
    is_forgotten: impl FnOnce() -> bool,
) {
    let (world, name) = (&cluster.world, &node.name);
    event!(world, name, "its disk is lost");
    world.fault(Duration::ZERO);
    node.kill(Keep::Synced);
    let is_claimed = |id: &_| cluster.history.is_claimed(id);
    let lost = cluster.ledger.lost(name, is_claimed);
    match &cluster.truth {
        // Nobody hears of it.
        Some(_) if cluster.broken == Break::SameStore => {}
        Some(truth) => truth.lose(name, is_forgotten()),
        None => record.lost_disk(&lost),
    }
    match cluster.broken {
        Break::SameStore => node.lose_disk_but_its_name(),
        _ => node.lose_disk(),
    }
}

fn cut(cluster: &Arc<Cluster>, chance: &Chance, name: &str) {
    let world = &cluster.world;
    let other = match chance.happens(300) {
        true => bucket::NAME.to_owned(),
        false => chance.pick(&cluster.nodes).name.clone(),
    };
    let lasting = chance.seconds(3, 120);
    let (there, back) = match chance.below(4) {
        0 => (true, false),
        1 => (false, true),
        _ => (true, true),
    };
    event!(world, name, "is cut from {other} for {} s ({there}, {back})", lasting.as_secs());
    world.fault(lasting);
    if there {
        world.cut(name, &other);
    }
    if back {
        world.cut(&other, name);
    }
    let (world, name) = (world.clone(), name.to_owned());
    base::task::sim::outside(async move {
        tokio::time::sleep(lasting).await;
        world.mend(&name, &other);
        world.mend(&other, &name);
    });
}

/// The disk of a node is full for a while.
fn fill_disk(cluster: &Arc<Cluster>, chance: &Chance, node: &Arc<Node>) {
    let world = &cluster.world;
    let lasting = chance.seconds(2, 60);
    event!(world, &node.name, "its disk is full for {} s", lasting.as_secs());
    world.fault(lasting);
    node.disk().set_free_bytes(Some(chance.below(300)));
    let node = node.clone();
    base::task::sim::outside(async move {
        tokio::time::sleep(lasting).await;
        // Not the disk that was filled: a restart meanwhile went on with a full copy of it.
        node.disk().set_free_bytes(None);
    });
}

/// One of the next operations on the disk fails, or the power is cut in the middle of it.
fn fail_disk(cluster: &Arc<Cluster>, chance: &Chance, node: &Arc<Node>) {
    let world = &cluster.world;
    let keep_bytes = chance.below(600) as usize;
    let faults = [Fault::Eio, Fault::NoSpace, Fault::Crash, Fault::TornCrash { keep_bytes }];
    let fault = *chance.pick(&faults);
    let disk = node.disk();
    let after = chance.below(8);
    disk.fail_at(disk.operations() + after, fault);
    event!(world, &node.name, "its disk: {fault:?} after {after} operations");
    world.begin_fault();
    let (world, node) = (world.clone(), node.clone());
    let keep = *chance.pick(&[Keep::Synced, Keep::Written, Keep::PageCache]);
    base::task::sim::outside(async move {
        for _ in 0..1_200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if disk.is_dead() {
                break;
            }
        }
        die_of_disk(&world, &node, keep);
        world.end_fault();
        // A disk that little is written to fails when nobody expects it any more, and its process
        // must not outlive it. Whoever restarts the process leaves a dead disk behind, too.
        let kills = matches!(fault, Fault::Crash | Fault::TornCrash { .. });
        while kills && !disk.is_dead() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        die_of_disk(&world, &node, keep);
    });
}

/// Ends the process of a node whose disk has failed for good.
fn die_of_disk(world: &World, node: &Node, keep: Keep) {
    if node.process().is_some() && node.disk().is_dead() {
        event!(world, &node.name, "dies of its disk, which keeps {keep:?}");
        world.fault(Duration::ZERO);
        node.kill(keep);
    }
}

/// Has an ingester flush everything, and notes what that makes safe.
pub async fn flush(cluster: &Arc<Cluster>, node: &Arc<Node>) -> bool {
    let world = &cluster.world;
    let Some((process, ingester)) = node.running() else { return false };
    let held = cluster.ledger.held_by(&node.name);
    let flushed = process.spawn(async move { ingester.flush_all().await });
    match tokio::time::timeout(Duration::from_secs(300), flushed).await {
        Ok(Ok(Ok(()))) => {
            event!(world, &node.name, "has flushed");
            cluster.ledger.flushed(&held);
            true
        }
        Ok(Ok(Err(error))) => {
            event!(world, &node.name, "flush: {error}");
            false
        }
        _ => {
            event!(world, &node.name, "flush: no answer");
            false
        }
    }
}

/// Starts a node's process whenever it is gone.
pub async fn supervise(cluster: Arc<Cluster>, node: Arc<Node>) {
    let world = cluster.world.clone();
    let chance = world.chance(&format!("supervisor of {}", node.name));
    loop {
        tokio::time::sleep(chance.seconds(1, 12)).await;
        if node.process().is_none() && node.is_wanted() {
            world.fault(Duration::ZERO);
            // It may have died in the middle of something: its disk has not been cut off yet.
            node.kill(*chance.pick(&[Keep::Synced, Keep::PageCache]));
            tokio::time::sleep(chance.seconds(0, 20)).await;
            world.fault(Duration::ZERO);
            let _failed = cluster.start(&node).await.is_err();
            world.fault(Duration::ZERO);
        }
    }
}
