//! The counterexamples of rules that random trouble does not find, as schedules.

use base::disk::sim::Keep;

use super::scale;
use super::stage::{DISTRIBUTOR, QUERIER, Script, Stage};
use super::trouble::lose_disk;
use super::world::event;

/// The disk of the first is lost right after an ack by two of three; the second is silent.
pub const LOST_DISK: Script =
    Script::new("lost disk", 3, |stage| Box::pin(lost_disk(stage, false)));

/// The same, and the next at the address of the lost one has not told the ring yet.
pub const NEXT_AT_THE_ADDRESS: Script =
    Script::new("next at the address", 3, |stage| Box::pin(lost_disk(stage, true)));

/// A store joins and takes first copies, and a querier has not heard of it.
pub const OLD_READER: Script =
    Script::new("old reader", 4, |stage| Box::pin(joiner(stage, false))).late(1);

/// The same, and those whom the querier asks have not heard of it either.
pub const UNSEEN_JOINER: Script =
    Script::new("unseen joiner", 4, |stage| Box::pin(joiner(stage, true))).late(1);

/// What one store alone has acknowledged is not flushed when there are three; it is silent.
pub const GROWTH: Script =
    Script::new("growth", 3, |stage| Box::pin(growth(stage, false))).late(2).grows();

/// The same, and that store cannot flush.
pub const GROWTH_WITHOUT_A_FLUSH: Script =
    Script::new("growth without a flush", 3, |stage| Box::pin(growth(stage, true))).late(2).grows();

/// One copy instead of three, of which most ingesters and a querier have not heard.
pub const LOWERED: Script = Script::new("lowered", 3, |stage| Box::pin(lowered(stage)));

/// A store that was cleared, and a distributor that knows nothing of it, are still there.
pub const ZOMBIE: Script = Script::new("zombie", 4, |stage| Box::pin(zombie(stage)));

/// Between a querier's look at the log and its questions an ingester flushes and is restarted.
pub const RESTART: Script = Script::new("restart", 3, |stage| Box::pin(restart(stage)));

/// Who flushed has left, and the other one who held it is silent.
pub const LEFT: Script = Script::new("left", 3, |stage| Box::pin(left(stage)));

/// An ingester comes back with its disk when the log does not reach back any more.
pub const RETURN: Script = Script::new("return", 3, |stage| Box::pin(late_return(stage)));

/// Who has flushed is silent, and those who answer in its place cannot read what it has committed.
pub const UNREAD: Script = Script::new("unread", 3, |stage| Box::pin(unread(stage)));

/// A distributor knows the first of three stores alone.
pub const OLD_WRITER: Script =
    Script::new("old writer", 3, |stage| Box::pin(old_writer(stage))).late(2).grows();

/// A store that alone has rows is taken for gone.
pub const ALONE: Script = Script::new("alone", 3, |stage| Box::pin(alone(stage)));

/// A disk is lost, and one copy asked for before anybody has cleared its store.
pub const LOST_AND_LOWERED: Script =
    Script::new("lost and lowered", 3, |stage| Box::pin(lost_and_lowered(stage)));

/// A store that was joining when a querier read the ring takes first copies.
pub const ACTIVATED: Script =
    Script::new("activated", 4, |stage| Box::pin(activated(stage))).late(1);

/// All of them.
pub const SCRIPTS: [&Script; 16] = [
    &LOST_DISK,
    &NEXT_AT_THE_ADDRESS,
    &OLD_READER,
    &UNSEEN_JOINER,
    &GROWTH,
    &GROWTH_WITHOUT_A_FLUSH,
    &LOWERED,
    &ZOMBIE,
    &RESTART,
    &LEFT,
    &RETURN,
    &UNREAD,
    &OLD_WRITER,
    &ALONE,
    &LOST_AND_LOWERED,
    &ACTIVATED,
];

async fn lost_disk(stage: Stage, is_unknown: bool) {
    // The third gets nothing: lists begin with the first and the second.
    stage.deafen(3, DISTRIBUTOR);
    stage.push(stage.chance.between(1, 4)).await;
    stage.silence(2);
    if is_unknown {
        // Nothing that the ring tells comes between.
        stage.cut_from_ring(&[QUERIER, "ingester-1", "ingester-2", "ingester-3"]);
    }
    lose_disk(&stage.cluster, &stage.record, stage.node(1), || false);
    stage.start(1).await;
    for _ in 0..3 {
        stage.ask().await;
    }
}

async fn joiner(stage: Stage, is_unseen: bool) {
    stage.cut_from_ring(&[QUERIER]);
    if is_unseen {
        stage.cut_from_ring(&["ingester-1", "ingester-3"]);
    }
    stage.add(4).await;
    first_copies_at_the_fourth(stage).await;
}

/// When it takes its share lists begin with it, or with the second, who is silent then.
async fn first_copies_at_the_fourth(stage: Stage) {
    stage.may_become_active(4).await;
    stage.settle().await;
    stage.deafen(3, DISTRIBUTOR);
    stage.push(stage.chance.between(3, 6)).await;
    stage.silence(2);
    stage.ask().await;
}

async fn growth(stage: Stage, is_cut: bool) {
    stage.push(stage.chance.between(1, 5)).await;
    for (node, name) in [(2, "ingester-2"), (3, "ingester-3")] {
        stage.add(node).await;
        stage.until(|truth| !truth.has_left(name)).await;
        if is_cut {
            // It waits: the first has to say in the log that it knows of it.
            stage.cut_from_ring(&[name]);
        }
        stage.wait().await;
    }
    if is_cut {
        stage.settle().await;
        stage.cut_from_bucket(1);
        stage.join_ring(&["ingester-2", "ingester-3"]);
    }
    stage.until(|truth| truth.is_whole(3)).await;
    stage.settle().await;
    stage.silence(1);
    stage.ask().await;
}

async fn lowered(stage: Stage) {
    stage.push(stage.chance.below(2)).await;
    stage.cut_from_ring(&[QUERIER, "ingester-2", "ingester-3"]);
    stage.truth().replicate(1);
    stage.settle().await;
    stage.push(stage.chance.between(3, 6)).await;
    stage.silence(1);
    stage.ask().await;
    if stage.chance.happens(500) {
        stage.join_ring(&[QUERIER, "ingester-2", "ingester-3"]);
        stage.until(|truth| truth.has_factor(1)).await;
        stage.push(2).await;
        stage.ask().await;
        stage.truth().replicate(3);
        stage.wait().await;
        stage.ask().await;
    }
}

async fn zombie(stage: Stage) {
    stage.cut_from_ring(&[DISTRIBUTOR, "ingester-1"]);
    stage.truth().take_for_gone("ingester-1");
    stage.until(|truth| truth.has_left("ingester-1")).await;
    stage.settle().await;
    stage.deafen(3, DISTRIBUTOR);
    stage.push(stage.chance.between(3, 6)).await;
    stage.silence(2);
    stage.ask().await;
}

async fn restart(stage: Stage) {
    stage.push(stage.chance.between(1, 4)).await;
    let (world, held) = (&stage.cluster.world, stage.chance.between(1, 3) as usize);
    world.hold(QUERIER);
    let asking = stage.ask();
    let restarting = async {
        stage.wait().await;
        stage.flush(held).await;
        stage.wait().await;
        let keep = *stage.chance.pick(&[Keep::Synced, Keep::Written, Keep::PageCache]);
        event!(world, &stage.node(held).name, "is killed, its disk keeps {keep:?}");
        stage.node(held).kill(keep);
        stage.start(held).await;
        world.release(QUERIER);
    };
    tokio::join!(biased; asking, restarting);
}

async fn left(stage: Stage) {
    stage.deafen(3, DISTRIBUTOR);
    stage.push(stage.chance.between(1, 4)).await;
    scale::leave(&stage.cluster, stage.truth(), stage.node(1)).await;
    stage.settle().await;
    stage.silence(2);
    stage.ask().await;
}

async fn late_return(stage: Stage) {
    let (world, away) = (&stage.cluster.world, stage.node(1).clone());
    stage.push(stage.chance.between(2, 4)).await;
    event!(world, &away.name, "is away");
    away.set_wanted(false);
    away.kill(*stage.chance.pick(&[Keep::Synced, Keep::PageCache]));
    // What it holds others flush, and enough besides that the log is cleaned.
    for _ in 0..3 {
        stage.push(2).await;
        for node in [2, 3] {
            stage.flush(node).await;
        }
        tokio::time::sleep(stage.chance.seconds(120, 600)).await;
    }
    tokio::time::sleep(stage.chance.seconds(25 * 3600, 30 * 3600)).await;
    stage.add(1).await;
    stage.wait().await;
    stage.flush(1).await;
    stage.ask().await;
}

async fn unread(stage: Stage) {
    // One push: no row of it is a second one.
    stage.push(1).await;
    for node in [2, 3] {
        stage.cut_from_bucket(node);
    }
    stage.flush(1).await;
    stage.silence(1);
    stage.ask().await;
}

async fn old_writer(stage: Stage) {
    stage.push(stage.chance.between(1, 3)).await;
    stage.cut_from_ring(&[DISTRIBUTOR]);
    stage.add(2).await;
    stage.wait().await;
    stage.add(3).await;
    stage.until(|truth| truth.is_whole(3) && truth.has_factor(3)).await;
    stage.settle().await;
    stage.push(2).await;
    stage.silence(1);
    stage.ask().await;
}

async fn alone(stage: Stage) {
    stage.truth().replicate(1);
    stage.until(|truth| truth.has_factor(1)).await;
    stage.settle().await;
    stage.push(stage.chance.between(3, 6)).await;
    // It hears nothing of it, and would come back.
    stage.cut_from_ring(&["ingester-1"]);
    stage.silence(1);
    stage.truth().take_for_gone("ingester-1");
    stage.settle().await;
    stage.ask().await;
    stage.settle().await;
    stage.ask().await;
}

async fn lost_and_lowered(stage: Stage) {
    stage.push(stage.chance.between(1, 4)).await;
    // All at once: nobody has cleared it yet.
    lose_disk(&stage.cluster, &stage.record, stage.node(1), || false);
    stage.truth().take_for_gone("ingester-1");
    stage.truth().replicate(1);
    stage.start(1).await;
    stage.settle().await;
    stage.ask().await;
}

async fn activated(stage: Stage) {
    stage.add(4).await;
    stage.until(|truth| !truth.has_left("ingester-4")).await;
    stage.cut_from_ring(&["ingester-4"]);
    stage.settle().await;
    stage.cut_from_ring(&[QUERIER, "ingester-1", "ingester-2", "ingester-3"]);
    stage.join_ring(&["ingester-4"]);
    first_copies_at_the_fourth(stage).await;
}
