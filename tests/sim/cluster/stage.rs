//! Scripts: the schedule that breaks a rule, as its counterexample tells it, in a cluster of which
//! nothing else goes wrong. The seed says when each step comes, and what is pushed and asked.
//!
//! A script forces only what a cluster must stand: who is cut off, killed, replaced. Played with
//! every rule kept it keeps every promise.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use ring::Phase;

use super::ask::{Ask, Shape, ask};
use super::bucket;
use super::nodes::{Cluster, Node, Role};
use super::profile::Profile;
use super::push::{Push, TENANTS, send};
use super::record::Record;
use super::ring::{self as known, Truth};
use super::scale::until;
use super::world::{Chance, event};
use super::{heal, start};

/// Who a script speaks of: there is one of each.
pub const DISTRIBUTOR: &str = "distributor-1";
pub const QUERIER: &str = "querier-1";
/// Longer than anybody takes to read the ring, and to do what follows from it.
const SETTLES: Duration = Duration::from_secs(25);

/// A schedule.
pub struct Script {
    pub name: &'static str,
    ingesters: u64,
    late: u64,
    grows: bool,
    play: fn(Stage) -> BoxFuture<'static, ()>,
}

impl Script {
    pub const fn new(
        name: &'static str,
        ingesters: u64,
        play: fn(Stage) -> BoxFuture<'static, ()>,
    ) -> Script {
        Script { name, ingesters, late: 0, grows: false, play }
    }

    /// The last of its ingesters come when they are added.
    pub const fn late(self, late: u64) -> Script {
        Script { late, ..self }
    }

    /// The replication factor grows with its ingesters.
    pub const fn grows(self) -> Script {
        Script { grows: true, ..self }
    }

    pub fn profile(&self) -> Profile {
        Profile::scripted(self.name, self.ingesters, self.grows)
    }
}

/// What a script plays with. Nodes are called by their number among the ingesters, from 1.
pub struct Stage {
    pub cluster: Arc<Cluster>,
    pub record: Arc<Record>,
    pub chance: Chance,
}

/// Plays a script to its end; then everything must heal.
pub async fn perform(script: &Script, cluster: Arc<Cluster>, record: Arc<Record>) {
    let (world, there) = (&cluster.world, (script.ingesters - script.late) as usize);
    let late = cluster.of(Role::Ingester).skip(there);
    late.for_each(|node| node.set_wanted(false));
    // Whatever happens on a stage may be refused; what is answered counts.
    world.begin_fault();
    let keepers = start(&cluster).await;
    let chance = world.chance("script");
    let stage = Stage { cluster: cluster.clone(), record: record.clone(), chance };
    stage.until(|truth| truth.is_whole(there)).await;
    stage.settle().await;
    (script.play)(stage).await;
    world.end_fault();
    if world.violation().is_none() {
        heal(&cluster, &record).await;
    }
    for keeper in keepers {
        keeper.abort();
    }
}

impl Stage {
    pub fn node(&self, number: usize) -> &Arc<Node> {
        let mut ingesters = self.cluster.of(Role::Ingester);
        ingesters.nth(number - 1).expect("an ingester of the script")
    }

    pub fn truth(&self) -> &Truth {
        self.cluster.truth.as_ref().expect("scripts have a ring")
    }

    /// Until the ring is so, or for long.
    pub async fn until(&self, is_so: impl Fn(&Truth) -> bool) {
        until(&self.cluster, || is_so(self.truth())).await;
    }

    /// Until all know what the ring is now, but for those who are cut from it.
    pub async fn settle(&self) {
        tokio::time::sleep(SETTLES + self.chance.seconds(0, 5)).await;
    }

    /// A moment.
    pub async fn wait(&self) {
        tokio::time::sleep(self.chance.seconds(0, 3)).await;
    }

    /// From now on these nodes know of the ring what they know now.
    pub fn cut_from_ring(&self, nodes: &[&str]) {
        for node in nodes {
            event!(self.cluster.world, node, "is cut from the ring");
            self.cluster.world.cut(node, known::NAME);
        }
    }

    pub fn join_ring(&self, nodes: &[&str]) {
        for node in nodes {
            event!(self.cluster.world, node, "hears of the ring");
            self.cluster.world.mend(node, known::NAME);
        }
    }

    /// What one says does not reach the other, or its answer does not come back.
    pub fn cut(&self, from: &str, to: &str) {
        let answers = self.chance.happens(300);
        event!(self.cluster.world, from, "is cut from {to}, {answers}");
        match answers {
            true => self.cluster.world.cut(to, from),
            false => self.cluster.world.cut(from, to),
        }
    }

    /// It hears nothing of what one says.
    pub fn deafen(&self, node: usize, from: &str) {
        let node = &self.node(node).name;
        event!(self.cluster.world, node, "hears nothing of {from}");
        self.cluster.world.cut(from, node);
    }

    /// It answers no querier any more.
    pub fn silence(&self, node: usize) {
        self.cut(QUERIER, &self.node(node).name);
    }

    pub fn cut_from_bucket(&self, node: usize) {
        self.cut(&self.node(node).name, bucket::NAME);
    }

    /// Pushes until so many are acknowledged, or for a while.
    pub async fn push(&self, count: u64) {
        let node = self.cluster.of(Role::Distributor).next().expect("a distributor").clone();
        let mut acknowledged = 0;
        for number in 0..3 * count {
            if acknowledged == count || self.cluster.world.violation().is_some() {
                return;
            }
            let push = Push::random(&self.chance, &self.record, "script", number);
            acknowledged += u64::from(send(&self.cluster, &self.record, &node, &push).await);
        }
    }

    /// Has an ingester flush.
    pub async fn flush(&self, node: usize) -> bool {
        super::trouble::flush(&self.cluster, self.node(node)).await
    }

    /// Adds one who was late.
    pub async fn add(&self, node: usize) {
        let node = self.node(node);
        event!(self.cluster.world, &node.name, "is added");
        node.set_wanted(true);
        // Where this fails its supervisor tries again.
        let _failed = self.cluster.start(node).await.is_err();
    }

    /// Starts one that is gone, or waits until it has been started.
    pub async fn start(&self, node: usize) {
        let node = self.node(node);
        while self.cluster.start(node).await.is_err() || node.running().is_none() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Until a node takes its share, if it may.
    pub async fn may_become_active(&self, node: usize) {
        let name = &self.node(node).name;
        let is_active =
            |instance: &ring::Instance| instance.id == *name && instance.phase == Phase::Active;
        for _ in 0..40 {
            if self.truth().state().ingesters().any(is_active) {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Asks for everything, a few times.
    pub async fn ask(&self) {
        let reader = self.cluster.of(Role::Frontend).next().expect("a frontend").clone();
        for _ in 0..3 {
            for tenant in TENANTS {
                let log = Shape::Log { limit: 5_000, forward: self.chance.happens(500) };
                let counts = Shape::Counts { step_s: 3_600 };
                let shape = self.chance.pick(&[log, Shape::Count, counts, Shape::Apps]).clone();
                let query = Ask::everything(tenant, shape);
                ask(&self.cluster, &self.record, &reader, &query).await;
                if self.cluster.world.violation().is_some() {
                    return;
                }
            }
            self.wait().await;
        }
    }
}
