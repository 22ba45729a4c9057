//! A member of the ring: an ingester, which keeps the state and may have a voice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::StoreId;
use base::disk::Disk;
use base::random::Random;
use base::shutdown::Shutdown;
use base::time::Clock;
use bytes::Bytes;
use openraft::BasicNode;
use openraft::SnapshotPolicy;
use openraft::error::{InstallSnapshotError, RaftError};
use ring::{Command, Outcome};
use tokio::sync::Semaphore;

use crate::api::{Contact, Dialer, Envelope, MAX_WAIT, MetaApi, Proposal, Update, WatchRequest};
use crate::beats::Beats;
use crate::codec::{Answer, Message};
use crate::config::{Config, MemberConfig};
use crate::error::Error;
use crate::follow;
use crate::log::{Ended, Log, Owner, Syncer};
use crate::machine::Machine;
use crate::metrics::{LEADER, LEADER_CHANGES, LOG_FAILED};
use crate::network::Links;
use crate::peers::Peers;
use crate::propose::{self, Proposer};
use crate::publish::States;
use crate::steer::Steer;
use crate::types::{NodeId, Raft, seed};

/// Most commands of others that are under way here: each is at most 64 KiB.
const MOST_PROPOSALS: usize = 1024;
/// How long Raft may take to bring what the leader has told already.
const KEEP: Duration = Duration::from_secs(5);
/// Pause while Raft brings what the leader has told already.
const KEEP_PAUSE: Duration = Duration::from_millis(20);

/// What a process gives its part in the ring.
#[derive(Clone)]
pub struct Env {
    /// Where the log and the snapshots are.
    pub disk: Arc<dyn Disk>,
    /// The way to others.
    pub dialer: Arc<dyn Dialer>,
    /// For silences.
    pub clock: Arc<dyn Clock>,
    /// For election timeouts and pauses.
    pub random: Arc<dyn Random>,
}

/// A member of the ring. Clones are the same member.
#[derive(Clone)]
pub struct Meta {
    inner: Arc<Inner>,
}

struct Inner {
    peers: Arc<Peers>,
    raft: Raft,
    syncer: Syncer,
    machine: Machine,
    /// For commands of others.
    places: Semaphore,
    proposer: Proposer,
    beats: Arc<Beats>,
    shutdown: Shutdown,
    /// The log's directory is free.
    ended: Ended,
    patience: Duration,
}

impl Meta {
    /// Opens the log, takes up Raft, and founds the ring if that is for this store to do. It
    /// answers others as soon as it returns; it does not wait for a leader.
    pub async fn start(config: Config, member: MemberConfig, env: Env) -> Result<Meta, Error> {
        seed(env.random.next_u64());
        let own = Contact { store: config.store, address: config.address.clone() };
        let peers =
            Arc::new(Peers::new(config.cluster, own, config.join.clone(), Arc::clone(&env.dialer)));
        let owner = Owner::new(config.cluster, config.store);
        let disk = Arc::clone(&env.disk);
        let (dir, opened) = (member.dir.clone(), Arc::clone(&peers));
        let open = move || -> Result<_, Error> {
            let (log, ended) = Log::open(Arc::clone(&disk), dir.clone(), owner)?;
            let publisher = opened.publisher.clone();
            let machine = Machine::open(disk, dir, owner, log.purged(), publisher)?;
            Ok((log, ended, machine))
        };
        let opened = base::task::blocking("raft-open", open).await;
        let (log, ended, machine) = opened.map_err(|e| Error::Stopped(e.to_string()))??;
        let is_fresh = log.is_fresh();
        if is_fresh {
            remembered(&peers, &member.first_voters).await?;
        }
        let links = Links(Arc::clone(&peers));
        let id = NodeId(config.store);
        let syncer = log.syncer();
        let settings = Arc::new(raft_config(&config, &member)?);
        let raft = Raft::new(id, settings, links, log, machine.clone());
        let raft = raft.await.map_err(|fatal| Error::Stopped(fatal.to_string()))?;
        peers.follow(&peers.publisher.newest());
        if is_fresh && member.first_voters.contains(&config.store) {
            found(&raft, &config, &member.first_voters).await?;
        }
        let meta = Meta::run(&config, peers, raft, (syncer, ended, machine), env);
        meta.stand_alone().await;
        Ok(meta)
    }

    fn run(
        config: &Config,
        peers: Arc<Peers>,
        raft: Raft,
        (syncer, ended, machine): (Syncer, Ended, Machine),
        env: Env,
    ) -> Meta {
        let shutdown = Shutdown::new();
        let beats = Arc::new(Beats::new(env.clock));
        let steer = Steer::new(config, raft.clone(), Arc::clone(&peers), Arc::clone(&beats));
        base::task::spawn("ring-steer", steer.run(shutdown.clone()));
        let follow = follow::run(Arc::clone(&peers), env.random, shutdown.clone());
        base::task::spawn("ring-follow", follow);
        base::task::spawn(
            "ring-leader",
            leader(Arc::clone(&peers), raft.clone(), shutdown.clone()),
        );
        base::task::spawn("ring-addresses", addresses(Arc::clone(&peers), shutdown.clone()));
        let proposer = Proposer::new(Arc::clone(&peers), Some(raft.clone()));
        let patience = config.heartbeat * 8;
        let places = Semaphore::new(MOST_PROPOSALS);
        let inner = Inner {
            peers,
            raft,
            syncer,
            machine,
            places,
            proposer,
            beats,
            shutdown,
            ended,
            patience,
        };
        Meta { inner: Arc::new(inner) }
    }

    /// The only voter needs nobody's leave to lead.
    async fn stand_alone(&self) {
        let metrics = self.inner.raft.metrics().borrow().clone();
        let mut voters = metrics.membership_config.voter_ids();
        let own = NodeId(self.inner.peers.own.store);
        if voters.next() == Some(own) && voters.next().is_none() {
            // It leads already, or Raft has stopped and says so to whoever asks.
            let _ = self.inner.raft.trigger().elect().await;
        }
    }

    /// The states that this process learns of.
    pub fn watch(&self) -> States {
        self.inner.peers.publisher.states()
    }

    /// Who leads, as far as this process knows.
    pub fn leader(&self) -> Option<Contact> {
        let leader = self.inner.peers.leader();
        // Raft's own leader goes on as one when a majority is gone.
        leader.filter(|leader| leader.store != self.inner.peers.own.store || self.is_leader())
    }

    /// Whether this process leads and has been heard by a majority lately.
    pub fn is_leader(&self) -> bool {
        let inner = &self.inner;
        !inner.shutdown.is_cancelled() && leads(&inner.raft, &inner.peers, inner.patience)
    }

    /// Who has a voice; empty before the ring is founded. While it changes, all of both sets.
    pub fn voters(&self) -> Vec<StoreId> {
        voters(&self.inner.raft)
    }

    /// Whether this store has a voice. One that was removed while it was away is told so by nobody's
    /// Raft: when the state that it follows has it as removed, what others say of voters counts.
    pub fn has_voice(&self) -> bool {
        let peers = &self.inner.peers;
        let own = peers.own.store;
        let heard = peers.voters();
        let is_removed = peers.publisher.newest().retired.contains_key(&own);
        let was_taken = is_removed && !heard.is_empty() && !heard.contains(&own);
        !was_taken && self.voters().contains(&own)
    }

    /// Whether the voters are just changing: until that is over, a majority of each set is needed.
    pub fn is_changing(&self) -> bool {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow();
        metrics.membership_config.membership().get_joint_config().len() > 1
    }

    /// Commits a command, here or at the leader. [`Error::Unanswered`]: it may have been.
    pub async fn propose(&self, command: Command) -> Result<Outcome, Error> {
        self.inner.proposer.propose(command).await
    }

    /// Makes sure that this member knows at least `version` also after a restart on its own. Call
    /// it before saying [`Command::Seen`]: readers count on it that this store does not forget who
    /// is there. [`Error::Unanswered`]: Raft has not brought it yet.
    pub async fn keep(&self, version: u64) -> Result<(), Error> {
        let kept = tokio::time::timeout(KEEP, self.keep_it(version)).await;
        kept.unwrap_or_else(|_| {
            Err(Error::Unanswered(format!("version {version} has not come by Raft yet")))
        })
    }

    async fn keep_it(&self, version: u64) -> Result<(), Error> {
        while self.inner.machine.version() < version {
            // What was heard from the leader before Raft brought it.
            tokio::time::sleep(KEEP_PAUSE).await;
            if let Some(failure) = self.failure() {
                return Err(Error::Stopped(failure));
            }
        }
        let synced = self.inner.syncer.sync().await;
        synced.map_err(|error| Error::Stopped(error.to_string()))
    }

    /// Why Raft has stopped here, if it has: after a failed write the process must start anew.
    pub fn failure(&self) -> Option<String> {
        let metrics = self.inner.raft.metrics();
        let state = metrics.borrow().running_state.clone();
        state.err().map(|fatal| fatal.to_string())
    }

    /// Ends it; returns when the directory is free.
    pub async fn stop(&self) {
        self.inner.shutdown.cancel();
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!("raft ended badly: {error}");
        }
        let mut ended = self.inner.ended.clone();
        // The worker may have ended with a panic: then nobody will say so.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    fn same_cluster(&self, theirs: ulid::Ulid) -> Result<(), Error> {
        let own = self.inner.peers.cluster;
        if theirs == own { Ok(()) } else { Err(Error::ForeignCluster { own, theirs }) }
    }

    /// Whether the ring knows of `store` as a node; before it knows of any, anybody may be one.
    fn is_node(&self, store: StoreId) -> bool {
        let state = self.inner.peers.publisher.newest();
        if state.instance(store).is_some_and(|instance| instance.is_ingester()) {
            return true;
        }
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow();
        let nodes = metrics.membership_config.membership();
        nodes.get_node(&NodeId(store)).is_some() || nodes.nodes().next().is_none()
    }

    /// Somebody is there. Only a leader listens.
    fn beat(&self, store: StoreId) {
        let own = NodeId(self.inner.peers.own.store);
        if self.inner.raft.metrics().borrow().current_leader == Some(own) {
            self.inner.beats.beat(store);
        }
    }

    fn update(&self, known: u64) -> Update {
        let (peers, raft) = (&self.inner.peers, &self.inner.raft);
        // One that is cut off from the others, or stops, must not keep watchers to itself.
        let leader = match self.is_leader() {
            true => Some(peers.own.clone()),
            false => peers.leader().filter(|leader| leader.store != peers.own.store),
        };
        Update {
            from: peers.own.clone(),
            leader: leader.filter(|_| !self.inner.shutdown.is_cancelled()),
            voters: voters(raft),
            state: peers.publisher.newer(known),
        }
    }
}

#[async_trait]
impl MetaApi for Meta {
    async fn raft(&self, envelope: Envelope) -> Result<Bytes, Error> {
        self.same_cluster(envelope.cluster)?;
        let own = self.inner.peers.own.store;
        if envelope.to != own {
            return Err(Error::OtherStore { own, wanted: envelope.to });
        }
        let message = Message::decode(&envelope.payload)?;
        if self.is_node(envelope.from.store) {
            self.inner.peers.learn(&envelope.from);
        }
        let raft = &self.inner.raft;
        let stopped = |error: String| Error::Stopped(error);
        let answer = match message {
            Message::Append(request) => raft
                .append_entries(request)
                .await
                .map(Answer::Append)
                .map_err(|error| stopped(error.to_string()))?,
            Message::Vote(request) => raft
                .vote(request)
                .await
                .map(Answer::Vote)
                .map_err(|error| stopped(error.to_string()))?,
            Message::Snapshot(request) => match raft.install_snapshot(request).await {
                Ok(answer) => Answer::Snapshot(answer),
                Err(RaftError::APIError(InstallSnapshotError::SnapshotMismatch(_))) => {
                    Answer::Restart
                }
                Err(error) => return Err(stopped(error.to_string())),
            },
        };
        Ok(answer.encode().into())
    }

    async fn propose(&self, proposal: Proposal) -> Result<Outcome, Error> {
        self.same_cluster(proposal.cluster)?;
        let place = self.inner.places.try_acquire();
        let _place = place.map_err(|_| Error::Busy { limit: MOST_PROPOSALS })?;
        if self.inner.shutdown.is_cancelled() || !propose::is_running(&self.inner.raft) {
            return Err(Error::NoLeader);
        }
        propose::commit(&self.inner.raft, proposal.command, &self.inner.peers).await
    }

    async fn watch(&self, request: WatchRequest) -> Result<Update, Error> {
        self.same_cluster(request.cluster)?;
        let peers = &self.inner.peers;
        let from = &request.from;
        // Only members are ever dialled.
        if peers.publisher.newest().instance(from.store).is_some_and(|i| i.is_ingester()) {
            peers.learn(from);
        }
        self.beat(from.store);
        let mut newest = peers.publisher.states();
        let newer = newest.wait_for(|state| state.version > request.known);
        let wait = request.wait.min(MAX_WAIT);
        tokio::select! {
            biased;
            () = self.inner.shutdown.cancelled() => {}
            _ = tokio::time::timeout(wait, newer) => {}
        }
        self.beat(from.store);
        Ok(self.update(request.known))
    }
}

fn raft_config(config: &Config, member: &MemberConfig) -> Result<openraft::Config, Error> {
    let heartbeat = config.heartbeat.as_millis() as u64;
    let raft = openraft::Config {
        cluster_name: config.cluster.to_string(),
        heartbeat_interval: heartbeat,
        election_timeout_min: heartbeat * 4,
        election_timeout_max: heartbeat * 8,
        install_snapshot_timeout: 10_000,
        max_payload_entries: 300,
        replication_lag_threshold: member.snapshot_after + member.keep,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(member.snapshot_after),
        snapshot_max_chunk_size: crate::codec::SNAPSHOT_CHUNK_BYTES as u64,
        max_in_snapshot_log_to_keep: member.keep,
        ..openraft::Config::default()
    };
    raft.validate().map_err(|error| Error::Stopped(error.to_string()))
}

/// Fails if others know this store as a voter although its directory is empty: it would vote a
/// second time in a term in which it has voted. A founder has a voice before it was ever there; it
/// is known by having registered.
async fn remembered(peers: &Peers, founders: &[StoreId]) -> Result<(), Error> {
    let own = peers.own.store;
    for address in peers.others().await {
        let update = follow::ask(peers, &address, Duration::ZERO).await;
        let is_voter = update.is_ok_and(|update| update.voters.contains(&own));
        let was_there = peers.publisher.newest().instance(own).is_some();
        if is_voter && (was_there || !founders.contains(&own)) {
            return Err(Error::Amnesia(own));
        }
    }
    Ok(())
}

/// Founds the ring. Founders that do it at the same time found the same one.
async fn found(raft: &Raft, config: &Config, first: &[StoreId]) -> Result<(), Error> {
    let node = |&store: &StoreId| {
        let address = if store == config.store { config.address.as_str() } else { "" };
        (NodeId(store), BasicNode::new(address))
    };
    let nodes: BTreeMap<NodeId, BasicNode> = first.iter().map(node).collect();
    match raft.initialize(nodes).await {
        // Another founder was quicker.
        Ok(()) | Err(RaftError::APIError(_)) => Ok(()),
        Err(RaftError::Fatal(fatal)) => Err(Error::Stopped(fatal.to_string())),
    }
}

/// Tells everybody in this process who leads.
async fn leader(peers: Arc<Peers>, raft: Raft, shutdown: Shutdown) {
    let mut metrics = raft.metrics();
    let mut last = (0, None);
    let failed = metrics::gauge!(LOG_FAILED);
    failed.set(0.0);
    loop {
        let (now, is_running) = {
            let seen = metrics.borrow_and_update();
            let is_running = seen.running_state.is_ok();
            // Whoever leads again after others is said again: it may have been found not to.
            ((seen.current_term, seen.current_leader.filter(|_| is_running)), is_running)
        };
        if now != last {
            metrics::counter!(LEADER_CHANGES).increment(u64::from(now.1 != last.1));
            tell(&peers, now.1);
            last = now;
        }
        let ends = async { !is_running || metrics.changed().await.is_err() };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            ends = ends => if ends {
                // An order cancels `shutdown` first.
                failed.set(f64::from(u8::from(!shutdown.is_cancelled())));
                break;
            },
        }
    }
    tell(&peers, None);
}

fn tell(peers: &Peers, leader: Option<NodeId>) {
    let leads = leader == Some(NodeId(peers.own.store));
    metrics::gauge!(LEADER).set(f64::from(u8::from(leads)));
    peers.set_own_leader(leader.map(|node| node.0));
}

/// Follows addresses in the state.
async fn addresses(peers: Arc<Peers>, shutdown: Shutdown) {
    let mut newest = peers.publisher.states();
    loop {
        peers.follow(&newest.newest());
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = newest.changed() => {}
        }
    }
}

fn voters(raft: &Raft) -> Vec<StoreId> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow();
    metrics.membership_config.voter_ids().map(|node| node.0).collect()
}

/// Whether this node leads, its Raft works, and a majority heard it within `patience`.
pub(crate) fn leads(raft: &Raft, peers: &Peers, patience: Duration) -> bool {
    let metrics = raft.metrics();
    let metrics = metrics.borrow();
    let is_leader = metrics.current_leader == Some(NodeId(peers.own.store));
    let is_alone = metrics.membership_config.voter_ids().count() <= 1;
    let silence = metrics.millis_since_quorum_ack;
    let is_running = metrics.running_state.is_ok();
    is_running
        && is_leader
        && (is_alone || silence.is_none_or(|ms| u128::from(ms) <= patience.as_millis()))
}
