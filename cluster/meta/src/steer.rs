//! What the leader does for the ring without being asked: says who is up, makes nodes of new
//! ingesters, chooses voters, takes the dead out.
//!
//! Each round looks at the state and at Raft's membership, and does at most one thing of each kind.
//! A round that fails is followed by another: nothing is remembered between them but silences.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::StoreId;
use base::shutdown::Shutdown;
use openraft::metrics::RaftMetrics;
use openraft::{BasicNode, ChangeMembers};
use ring::{Command, Phase, State, choose_voters};

use crate::beats::Beats;
use crate::config::Config;
use crate::member::leads;
use crate::peers::Peers;
use crate::propose::commit;
use crate::types::{NodeId, Raft};

/// Pause between rounds in which nothing else happens.
const ROUND: Duration = Duration::from_millis(500);
/// How long a change of the membership may take. Without a majority it would wait for ever.
const CHANGE: Duration = Duration::from_secs(5);
/// Entries by which a node may be behind when it gets a voice.
const LAG: u64 = 64;

type Metrics = RaftMetrics<NodeId, BasicNode>;

pub(crate) struct Steer {
    raft: Raft,
    peers: Arc<Peers>,
    beats: Arc<Beats>,
    own: NodeId,
    patience: Duration,
    down_after: Duration,
    gone_after: Duration,
}

impl Steer {
    pub(crate) fn new(config: &Config, raft: Raft, peers: Arc<Peers>, beats: Arc<Beats>) -> Steer {
        let own = NodeId(config.store);
        let patience = config.heartbeat * 8;
        let (down_after, gone_after) = (config.down_after, config.gone_after);
        Steer { raft, peers, beats, own, patience, down_after, gone_after }
    }

    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut newest = self.peers.publisher.states();
        loop {
            newest.newest();
            let round = async {
                if leads(&self.raft, &self.peers, self.patience) {
                    self.round().await;
                } else {
                    self.beats.rest();
                }
                let _ = tokio::time::timeout(ROUND, newest.changed()).await;
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = round => {}
            }
        }
    }

    async fn round(&self) {
        let state = self.peers.publisher.newest();
        let metrics = self.raft.metrics().borrow().clone();
        self.add_nodes(&state, &metrics).await;
        self.choose(&state, &metrics).await;
        self.remove_nodes(&state, &metrics).await;
        self.listen(&state).await;
    }

    /// Commits who is up and who is not, and who has been silent for too long.
    async fn listen(&self, state: &State) {
        self.beats.keep(|store| state.instance(store).is_some());
        for instance in state.instances.values() {
            let store = instance.store;
            if store == self.own.0 || instance.phase == Phase::Gone {
                continue;
            }
            let silence = self.beats.silence(store);
            let is_up = silence < self.down_after;
            let command = if silence >= self.gone_after {
                Command::Gone { store }
            } else if is_up != instance.is_up {
                Command::Health { store, is_up }
            } else {
                continue;
            };
            tracing::info!(%store, ?command, "the ring's leader noticed");
            if let Err(error) = commit(&self.raft, command, &self.peers).await {
                tracing::warn!(%store, %error, "could not say who is up");
                return;
            }
        }
        let own = state.instance(self.own.0);
        if own.is_some_and(|own| !own.is_up && own.phase != Phase::Gone) {
            let command = Command::Health { store: self.own.0, is_up: true };
            let _ = commit(&self.raft, command, &self.peers).await;
        }
    }

    /// Every ingester is a node: it has the state at hand when it is needed as a voter.
    async fn add_nodes(&self, state: &State, metrics: &Metrics) {
        let nodes = metrics.membership_config.membership();
        for instance in state.ingesters().filter(|instance| instance.phase != Phase::Gone) {
            let id = NodeId(instance.store);
            if nodes.get_node(&id).is_none() {
                let node = BasicNode::new(&instance.grpc_address);
                let added = self.raft.add_learner(id, node, false);
                report("add a node", tokio::time::timeout(CHANGE, added).await);
            }
        }
    }

    /// Gives voices to whom the state says, when they have caught up.
    async fn choose(&self, state: &State, metrics: &Metrics) {
        let membership = metrics.membership_config.membership();
        let configs = membership.get_joint_config();
        let Some(current) = configs.last() else { return };
        let current: BTreeSet<StoreId> = current.iter().map(|node| node.0).collect();
        let wanted = choose_voters(state, &current);
        if wanted == current && configs.len() == 1 {
            return;
        }
        let last = metrics.last_log_index.unwrap_or(0);
        let has_caught_up = |store: &StoreId| {
            let id = NodeId(*store);
            let matched = metrics.replication.as_ref().and_then(|nodes| nodes.get(&id).copied());
            id == self.own || matched.flatten().is_some_and(|at| at.index + LAG >= last)
        };
        // Who has a voice already keeps it even if it is late.
        if !wanted.iter().all(|store| current.contains(store) || has_caught_up(store)) {
            return;
        }
        tracing::info!(?current, ?wanted, "the ring's voters change");
        let wanted: BTreeSet<NodeId> = wanted.into_iter().map(NodeId).collect();
        let change = self.raft.change_membership(wanted, true);
        report("change the voters", tokio::time::timeout(CHANGE, change).await);
    }

    /// Takes out nodes that are no ingesters any more.
    async fn remove_nodes(&self, state: &State, metrics: &Metrics) {
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        // Before the founder has registered, nobody is known.
        if state.placed().next().is_none() {
            return;
        }
        let is_there = |id: &NodeId| state.instance(id.0).is_some_and(|i| i.phase != Phase::Gone);
        let nodes = membership.nodes().map(|(id, _)| *id);
        let left: BTreeSet<NodeId> =
            nodes.filter(|id| !voters.contains(id) && !is_there(id)).collect();
        if left.is_empty() {
            return;
        }
        let change = self.raft.change_membership(ChangeMembers::RemoveNodes(left), true);
        report("remove nodes", tokio::time::timeout(CHANGE, change).await);
    }
}

/// The next round tries again.
fn report<T, E: std::fmt::Display>(
    what: &str,
    result: Result<Result<T, E>, tokio::time::error::Elapsed>,
) {
    match result {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::info!("could not {what}: {error}"),
        Err(_) => tracing::warn!("could not {what} in {CHANGE:?}"),
    }
}
