//! Processes, their disks, and the network between them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use base::StoreId;
use base::disk::SimDisk;
use base::disk::sim::Keep;
use base::random::{Random, SeededRandom};
use base::task::sim::Process;
use base::time::{SimClock, UnixNanos};
use bytes::Bytes;
use ring::{Command, Duty, Registration, Roles, State, duties};
use ulid::Ulid;

use crate::codec::Message;
use crate::*;

pub(super) fn store(n: u64) -> StoreId {
    StoreId(Ulid(u128::from(n)))
}

/// Where process `life` of node `n` is dialled.
pub(super) fn address(n: u64, life: u64) -> String {
    format!("10.0.{life}.{n}:9095")
}

pub(super) fn config(cluster: u128, n: u64, address: &str, join: Vec<String>) -> Config {
    let mut config = Config::new(Ulid(cluster), store(n), address);
    config.join = join;
    config.gone_after = Duration::from_secs(60);
    config
}

/// Everybody by address.
#[derive(Default)]
pub(super) struct Net {
    state: Mutex<NetState>,
}

#[derive(Default)]
struct NetState {
    there: BTreeMap<String, (Option<Process>, Meta)>,
    /// Addresses on the other side of a cut.
    cut_off: BTreeSet<String>,
    /// Calls whose answers get lost.
    lost: BTreeSet<String>,
    snapshots: u64,
    /// Questions for a newer state, by the address that was asked.
    questions: BTreeMap<String, u64>,
}

impl Net {
    fn state(&self) -> MutexGuard<'_, NetState> {
        self.state.lock().unwrap()
    }

    pub(super) fn add(&self, address: &str, process: Option<Process>, meta: Meta) {
        self.state().there.insert(address.to_owned(), (process, meta));
    }

    pub(super) fn dialer(self: &Arc<Net>, from: &str) -> NetDialer {
        NetDialer { net: Arc::clone(self), from: from.to_owned() }
    }

    fn is_cut(&self, from: &str, to: &str) -> bool {
        let state = self.state();
        state.cut_off.contains(from) != state.cut_off.contains(to)
    }
}

pub(super) struct NetDialer {
    net: Arc<Net>,
    from: String,
}

struct Call {
    net: Arc<Net>,
    from: String,
    to: String,
}

#[async_trait]
impl Dialer for NetDialer {
    fn dial(&self, address: &str) -> Arc<dyn MetaApi> {
        let (net, from) = (Arc::clone(&self.net), self.from.clone());
        let call = Call { net, from, to: address.to_owned() };
        Arc::new(wire::Remote::new(Arc::new(call)))
    }
}

impl Call {
    /// Answers where the callee runs.
    async fn call(&self, request: Bytes) -> Result<Bytes, Error> {
        let call = |meta: Meta| async move { wire::serve(&meta, &request).await };
        let unreachable = |problem: &str| Error::Unreachable {
            address: self.to.clone(),
            problem: problem.to_owned(),
        };
        tokio::time::sleep(Duration::from_millis(1)).await;
        if self.net.is_cut(&self.from, &self.to) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            return Err(unreachable("no route"));
        }
        let there = self.net.state().there.get(&self.to).cloned();
        let Some((process, meta)) = there else { return Err(unreachable("refused")) };
        let answer = match process {
            Some(process) if process.is_dead() => return Err(unreachable("refused")),
            Some(process) => process.spawn(call(meta)),
            None => base::task::spawn("call", call(meta)),
        };
        let answer = answer.await.map_err(|_| Error::Unanswered(self.to.clone()))?;
        tokio::time::sleep(Duration::from_millis(1)).await;
        let is_lost = self.net.state().lost.contains(&self.to);
        if is_lost || self.net.is_cut(&self.from, &self.to) {
            return Err(Error::Unanswered(self.to.clone()));
        }
        Ok(answer)
    }
}

#[async_trait]
impl wire::Carrier for Call {
    async fn carry(&self, request: Bytes) -> Result<Bytes, Error> {
        self.net.state().snapshots += u64::from(is_snapshot(&request));
        if matches!(wire::Request::decode(&request), Ok(wire::Request::Watch(_))) {
            *self.net.state().questions.entry(self.to.clone()).or_default() += 1;
        }
        self.call(request).await
    }
}

/// Whether a request is a piece of a snapshot.
fn is_snapshot(request: &[u8]) -> bool {
    match wire::Request::decode(request) {
        Ok(wire::Request::Raft(envelope)) => {
            matches!(Message::decode(&envelope.payload), Ok(Message::Snapshot(_)))
        }
        _ => false,
    }
}

/// What an ingester without rows does for the ring.
pub(super) async fn attend(meta: Meta, n: u64, address: String, zone: String) {
    let own = store(n);
    let mut newest = meta.watch();
    loop {
        let state = newest.newest();
        for duty in duties(&state, own) {
            if let Duty::See { version } = duty
                && meta.keep(version).await.is_err()
            {
                return;
            }
            let command = match duty {
                Duty::Register => Command::Register(registration(n, &address, &zone)),
                Duty::See { version } => Command::Seen { by: own, version },
                Duty::Clear { of, since } => Command::Cleared { by: own, of, since },
                Duty::Activate => Command::Activate { store: own },
            };
            // Whatever came of it: the state says what is left to do.
            let _ = meta.propose(command).await;
        }
        let moved = state.instance(own).is_some_and(|i| i.grpc_address != address);
        if moved {
            let _ = meta.propose(Command::Register(registration(n, &address, &zone))).await;
        }
        let behind = state.instance(own).is_some_and(|i| i.factor < state.asked_factor());
        if behind {
            let (factor, since) = (state.asked_factor(), state.version);
            let _ = meta.propose(Command::Factor { by: own, factor, since }).await;
        }
        let _ = tokio::time::timeout(Duration::from_millis(300), newest.changed()).await;
    }
}

pub(super) fn registration(n: u64, address: &str, zone: &str) -> Registration {
    Registration {
        store: store(n),
        id: format!("ingester-{}", n % 100),
        grpc_address: address.to_owned(),
        http_address: String::new(),
        zone: zone.to_owned(),
        roles: Roles::INGESTER,
        tokens: ring::tokens::generate(n, 8),
    }
}

/// A ring under test.
pub(super) struct Cluster {
    pub net: Arc<Net>,
    pub snapshot_after: u64,
    pub id: u128,
    first: Vec<StoreId>,
    clock: SimClock,
    random: Arc<SeededRandom>,
    nodes: BTreeMap<u64, Node>,
    events: Vec<String>,
    began: tokio::time::Instant,
}

struct Node {
    disk: SimDisk,
    process: Process,
    meta: Option<Meta>,
    address: String,
}

impl Cluster {
    pub(super) fn new(seed: u64, first: &[u64]) -> Cluster {
        crate::types::reset(seed);
        Cluster {
            net: Arc::default(),
            snapshot_after: 1000,
            id: 7,
            first: first.iter().copied().map(store).collect(),
            clock: SimClock::new(UnixNanos(1_700_000_000_000_000_000)),
            random: Arc::new(SeededRandom::new(seed)),
            nodes: BTreeMap::new(),
            events: Vec::new(),
            began: tokio::time::Instant::now(),
        }
    }

    /// Starts a node on its disk, or on a new one, at its old address.
    pub(super) async fn start(&mut self, n: u64, zone: &str) {
        self.start_at(n, zone, &address(n, 0)).await.unwrap();
    }

    pub(super) async fn start_at(&mut self, n: u64, zone: &str, at: &str) -> Result<(), Error> {
        let process = Process::new(format!("ingester-{n}"));
        let disk = self.nodes.get(&n).map(|node| node.disk.clone()).unwrap_or_default();
        // The others, where they are now.
        let mut join: Vec<String> = self.nodes.values().map(|node| node.address.clone()).collect();
        join.push(address(1, 0));
        let config = config(self.id, n, at, join);
        let mut member = MemberConfig::new(PathBuf::from("raft"), self.first.clone());
        member.snapshot_after = self.snapshot_after;
        member.keep = 10;
        let env = Env {
            disk: Arc::new(disk.clone()),
            dialer: Arc::new(self.net.dialer(at)),
            clock: Arc::new(self.clock.clone()),
            random: Arc::clone(&self.random) as Arc<dyn Random>,
        };
        let node = Node { disk, process: process.clone(), meta: None, address: at.to_owned() };
        self.nodes.insert(n, node);
        let started = process.spawn(Meta::start(config, member, env)).await;
        let meta = started.expect("nobody kills it")?;
        self.net.add(at, Some(process.clone()), meta.clone());
        let node = self.nodes.get_mut(&n).unwrap();
        node.meta = Some(meta.clone());
        process.spawn(attend(meta, n, at.to_owned(), zone.to_owned()));
        self.event(format!("{n} starts"));
        Ok(())
    }

    /// Kills a node; its disk is what survives.
    pub(super) fn crash(&mut self, n: u64, keep: Keep) {
        let node = self.nodes.get_mut(&n).unwrap();
        node.process.kill();
        node.disk.kill();
        node.disk = node.disk.crash(keep);
        node.meta = None;
        self.event(format!("{n} dies"));
    }

    /// Ends a node's part in the ring as SIGTERM does; its process goes on and answers.
    pub(super) async fn stop(&mut self, n: u64) {
        let meta = self.meta(n).clone();
        let process = self.nodes[&n].process.clone();
        process.spawn(async move { meta.stop().await }).await.expect("nobody kills it");
        self.event(format!("{n} stops"));
    }

    /// How often a node was asked for a newer state.
    pub(super) fn questions(&self, n: u64) -> u64 {
        self.net.state().questions.get(&self.nodes[&n].address).copied().unwrap_or(0)
    }

    /// Its disk is lost.
    pub(super) fn lose(&mut self, n: u64) {
        self.crash(n, Keep::Synced);
        self.nodes.get_mut(&n).unwrap().disk = SimDisk::new();
    }

    pub(super) fn disk(&self, n: u64) -> SimDisk {
        self.nodes[&n].disk.clone()
    }

    /// Cuts these nodes off from all others.
    pub(super) fn cut(&mut self, nodes: &[u64]) {
        let addresses = nodes.iter().map(|n| self.nodes[n].address.clone()).collect();
        self.net.state().cut_off = addresses;
        self.event(format!("{nodes:?} are cut off"));
    }

    pub(super) fn cut_watcher(&self, address: &str) {
        self.net.state().cut_off.insert(address.to_owned());
    }

    pub(super) fn heal(&mut self) {
        self.net.state().cut_off.clear();
        self.net.state().lost.clear();
    }

    /// Answers of this node get lost.
    pub(super) fn lose_answers(&self, n: u64) {
        self.net.state().lost.insert(self.nodes[&n].address.clone());
    }

    pub(super) fn snapshots(&self) -> u64 {
        self.net.state().snapshots
    }

    pub(super) fn meta(&self, n: u64) -> &Meta {
        self.nodes[&n].meta.as_ref().expect("it runs")
    }

    pub(super) fn running(&self) -> impl Iterator<Item = u64> {
        self.nodes.iter().filter(|(_, node)| node.meta.is_some()).map(|(&n, _)| n)
    }

    pub(super) fn state(&self, n: u64) -> Arc<State> {
        self.meta(n).watch().newest()
    }

    pub(super) fn placed(&self, n: u64) -> usize {
        self.state(n).placed().count()
    }

    pub(super) fn voters(&self, n: u64) -> Vec<StoreId> {
        self.meta(n).voters()
    }

    pub(super) fn any_leader(&self) -> Option<u64> {
        self.running().find(|&n| self.meta(n).is_leader())
    }

    pub(super) fn leader(&self) -> u64 {
        self.any_leader().expect("somebody leads")
    }

    /// Whether all that run know the same state, leader and settled set of voters.
    pub(super) fn agree(&self) -> bool {
        let Some(leader) = self.any_leader() else { return false };
        let state = self.state(leader);
        self.running().all(|n| {
            let known = self.meta(n).leader().map(|contact| contact.store);
            let is_settled = !self.meta(n).is_changing();
            is_settled && self.state(n) == state && known == Some(store(leader))
        })
    }

    /// Waits, in virtual time, until something is so.
    pub(super) async fn until(&mut self, what: &str, is_so: impl Fn(&Cluster) -> bool) {
        for _ in 0..60_000 {
            if is_so(self) {
                self.event(what.to_owned());
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let states: Vec<_> = self
            .running()
            .map(|n| (n, self.meta(n).leader(), self.voters(n), self.state(n).version))
            .collect();
        panic!("it never came that {what}: {states:#?} {:#?}", self.events);
    }

    pub(super) fn event(&mut self, what: String) {
        let at = self.began.elapsed().as_millis();
        let known: Vec<String> = self
            .running()
            .map(|n| {
                let leader = self.meta(n).leader().map(|contact| contact.store.0.0);
                format!("{n}: {} of {leader:?}", self.state(n).version)
            })
            .collect();
        self.events.push(format!("{at} {what}"));
        self.events.extend(known);
    }

    pub(super) fn log(self) -> Vec<String> {
        self.events
    }
}
