//! The ring, where rows have several copies: the real state and placement, agreed upon as if Raft
//! were perfect. What is not perfect is who knows it: every process has a state of its own that it
//! reads now and then, and ingesters do their duties when they come to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use base::StoreId;
use base::disk::sim::Keep;
use base::task::sim::Process;
use ingester::Ingester;
use ring::{Command, Duty, Outcome, Phase, Registration, Roles, State, to_be_seen, tokens};
use rpc::ingester::Peer;
use rpc::members::{Members, Ring, View};
use store::{CatalogHandle, RingVersion};
use ulid::Ulid;

use super::breaks::Break;
use super::nodes::Node;
use super::world::{Chance, World, event};

/// Copies of a row.
pub const FACTOR: u8 = 3;
/// What the world calls it: who is cut from it knows what it knew.
pub const NAME: &str = "ring";
/// The zones of the ingesters, in their order; three, if there are no more copies.
const ZONES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What all would agree on.
pub struct Truth {
    world: Arc<World>,
    broken: Break,
    state: Mutex<Arc<State>>,
    /// Stores whose disks were lost, which the ring may not know yet.
    lost: Mutex<Vec<StoreId>>,
}

impl Truth {
    pub fn new(world: &Arc<World>, broken: Break) -> Arc<Truth> {
        let mut state = State::new(Ulid(7));
        // With ingesters that come one after the other it grows.
        state.replication = if world.profile.scales { 0 } else { FACTOR };
        let (state, lost) = (Mutex::new(Arc::new(state)), Mutex::default());
        Arc::new(Truth { world: world.clone(), broken, state, lost })
    }

    pub fn state(&self) -> Arc<State> {
        lock(&self.state).clone()
    }

    pub fn apply(&self, who: &str, command: &Command) -> bool {
        let mut held = lock(&self.state);
        let mut state = State::clone(&held);
        let outcome = ring::apply(&mut state, command);
        if self.broken == Break::LoweredAtOnce {
            state.held_factor = 0;
        }
        *held = Arc::new(state);
        if !matches!(outcome, Outcome::Unchanged { .. }) {
            event!(self.world, who, "ring: {command:?}: {outcome:?}");
        }
        matches!(outcome, Outcome::Done { .. })
    }

    /// As if everybody had read it.
    fn see_all(&self) {
        let state = self.state();
        for by in state.ingesters().map(|instance| instance.store) {
            self.apply("nobody", &Command::Seen { by, version: state.version });
        }
    }

    /// Whether the ring has let go of every store whose disk was lost.
    pub fn has_no_lost(&self) -> bool {
        let state = self.state();
        lock(&self.lost).iter().all(|store| state.instance(*store).is_none())
    }

    /// Whether every store is there and none is on its way in or out: a disk may be lost.
    pub fn is_whole(&self, ingesters: usize) -> bool {
        let state = self.state();
        let is_active = |instance: &ring::Instance| instance.phase == Phase::Active;
        self.has_no_lost()
            && state.ingesters().count() == ingesters
            && state.ingesters().all(is_active)
    }

    /// Whether a disk may be lost: all that was acknowledged is at a majority of three.
    pub fn may_lose(&self, ingesters: usize) -> bool {
        self.state().read_factor() >= FACTOR && self.is_whole(ingesters)
    }

    /// An operator asks for another number of copies.
    pub fn replicate(&self, factor: u8) {
        self.apply("operator", &Command::Replicate { factor });
    }

    /// Whether what was asked for is so: for what is held and for what is written.
    pub fn has_factor(&self, factor: u8) -> bool {
        let state = self.state();
        state.write_factor() == factor && state.read_factor() == factor
    }

    fn is_cut_from(&self, node: &str) -> bool {
        self.world.is_cut(node, NAME)
    }

    /// The stores of a node.
    fn of_node(&self, node: &str) -> Vec<StoreId> {
        let state = self.state();
        let of_node = state.ingesters().filter(|instance| instance.id == node);
        of_node.map(|instance| instance.store).collect()
    }

    /// The disk of a node is lost. An operator may forget it at once: all others are there, so no
    /// batch has its majority on what is lost.
    pub fn lose(&self, node: &str, is_forgotten: bool) {
        let stores = self.of_node(node);
        lock(&self.lost).extend(&stores);
        for store in stores.into_iter().filter(|_| is_forgotten) {
            self.apply("operator", &Command::Gone { store });
            self.apply("operator", &Command::Forget { store });
        }
    }

    /// A node that may well be there is given up.
    pub fn take_for_gone(&self, node: &str) {
        for store in self.of_node(node) {
            self.apply("leader", &Command::Gone { store });
        }
    }

    /// A node's store leaves. `false`: it is the last, or not there.
    pub fn leave(&self, node: &str) -> bool {
        let left = |store| self.apply("operator", &Command::Leave { store });
        self.of_node(node).into_iter().map(left).fold(false, |any, left| any | left)
    }

    /// Whether the ring knows no store of a node.
    pub fn has_left(&self, node: &str) -> bool {
        self.of_node(node).is_empty()
    }

    /// What an operator does when all disks are lost: nothing unflushed can be promised any more.
    pub fn forget_all(&self) {
        for store in self.state().instances.keys() {
            self.apply("operator", &Command::Gone { store: *store });
            self.apply("operator", &Command::Forget { store: *store });
        }
    }
}

/// What one process knows of it.
pub struct Known {
    truth: Arc<Truth>,
    node: String,
    ways: BTreeMap<String, Peer>,
    chance: Chance,
    broken: Break,
    view: Mutex<Arc<View>>,
}

impl Known {
    pub fn new(
        truth: &Arc<Truth>,
        node: &str,
        ways: Vec<Peer>,
        chance: Chance,
        broken: Break,
    ) -> Arc<Known> {
        let ways: BTreeMap<String, Peer> =
            ways.into_iter().map(|peer| (peer.address.clone(), peer)).collect();
        let way = |instance: &ring::Instance| ways[&instance.grpc_address].clone();
        let state = broken.state(truth.state());
        let view = Mutex::new(Arc::new(View::new(state, None, way)));
        Arc::new(Known { truth: truth.clone(), node: node.to_owned(), ways, chance, broken, view })
    }

    /// Reads the ring now and then, as long as its process lives.
    pub fn keep_up(self: &Arc<Known>, process: &Process) {
        let this = self.clone();
        drop(process.spawn(async move {
            loop {
                tokio::time::sleep(this.chance.seconds(0, 8)).await;
                this.read();
            }
        }));
    }

    fn read(&self) {
        if self.truth.is_cut_from(&self.node) {
            return;
        }
        let state = self.broken.state(self.truth.state());
        let mut view = lock(&self.view);
        if view.version() < state.version {
            let way = |instance: &ring::Instance| self.ways[&instance.grpc_address].clone();
            *view = Arc::new(View::new(state, Some(view.placement().clone()), way));
        }
    }
}

#[async_trait]
impl Members for Known {
    fn view(&self) -> Arc<View> {
        lock(&self.view).clone()
    }

    async fn reach(&self, _: u64) -> Arc<View> {
        self.look(None).await
    }

    async fn look(&self, _: Option<StoreId>) -> Arc<View> {
        tokio::time::sleep(self.chance.latency()).await;
        self.read();
        self.view()
    }
}

/// What an ingester knows of it.
pub struct Followed {
    truth: Arc<Truth>,
    node: String,
    broken: Break,
    state: Mutex<Arc<State>>,
}

impl Followed {
    /// What it said that it follows it knows also after a restart.
    pub fn new(truth: &Arc<Truth>, node: &str, broken: Break) -> Arc<Followed> {
        let (state, node) = (Mutex::new(truth.state()), node.to_owned());
        Arc::new(Followed { truth: truth.clone(), node, broken, state })
    }

    /// Does what the ingester owes the ring, as long as its process lives.
    pub fn serve(self: &Arc<Followed>, process: &Process, serves: Serves) {
        let node = &serves.node.name;
        let registration = Registration {
            store: serves.ingester.store(),
            id: node.clone(),
            grpc_address: node.clone(),
            http_address: String::new(),
            zone: ZONES[serves.number % self.truth.world.profile.factor as usize].to_owned(),
            roles: Roles::INGESTER,
            tokens: tokens::generate(base::hash::hash64(node.as_bytes()), tokens::TOKENS),
        };
        let (this, who) = (self.clone(), process.name().to_owned());
        drop(process.spawn(async move {
            loop {
                tokio::time::sleep(serves.chance.seconds(0, 4)).await;
                if this.truth.is_cut_from(&this.node) {
                    continue;
                }
                let state = this.truth.state();
                *lock(&this.state) = state.clone();
                if state.retired.contains_key(&registration.store) {
                    return this.replace(&serves, false).await;
                }
                this.duties(&who, &state, &registration, &serves).await;
                if this.is_departing(&registration) {
                    return this.replace(&serves, true).await;
                }
            }
        }));
    }

    /// Others have begun to clear the store: it cannot come back as itself.
    fn is_departing(&self, registration: &Registration) -> bool {
        let state = self.truth.state();
        let departure = state.instance(registration.store).and_then(|i| i.departure.as_ref());
        departure.is_some_and(|d| d.is_forgotten || (!d.is_leaving && !d.cleared.is_empty()))
    }

    /// The directory becomes another store. What a removed store has acknowledged others have flushed;
    /// one that is on its way out flushes what it can.
    async fn replace(&self, serves: &Serves, is_flushed: bool) {
        if is_flushed && !(serves.ingester.drain(true).await && serves.ingester.is_emptied()) {
            // It is started again as what it was, and tries again.
            event!(self.truth.world, &serves.node.name, "cannot be emptied");
        }
        let store = serves.ingester.store();
        let departure = self.truth.state().instance(store).and_then(|own| own.departure.clone());
        if let Some(departure) = departure.filter(|_| is_flushed && serves.ingester.is_emptied()) {
            let cleared = Command::Cleared { by: store, of: store, since: departure.since };
            self.truth.apply(&serves.node.name, &cleared);
        }
        event!(self.truth.world, &serves.node.name, "its store is replaced");
        self.truth.world.fault(std::time::Duration::ZERO);
        let (node, is_empty) = (serves.node.clone(), !is_flushed || serves.ingester.is_emptied());
        // From outside: with the process this task ends.
        base::task::sim::outside(async move {
            node.kill(Keep::Synced);
            if is_empty {
                node.lose_disk();
            }
        });
        std::future::pending().await
    }

    /// Has the log name a version of the ring, unless that is broken with another rule.
    async fn name(&self, serves: &Serves, state: &State, version: u64) -> Option<()> {
        match self.broken.leaves_ring_unnamed() {
            true => Some(()),
            false => serves.name(state, version).await,
        }
    }

    async fn duties(&self, who: &str, state: &State, registration: &Registration, serves: &Serves) {
        let (store, ingester) = (registration.store, &serves.ingester);
        for duty in ring::duties(state, store) {
            let command = match duty {
                Duty::Register => Command::Register(registration.clone()),
                Duty::See { version } => {
                    let named = to_be_seen(state, store);
                    let Some(()) = self.name(serves, state, named).await else {
                        continue;
                    };
                    Command::Seen { by: store, version }
                }
                Duty::Activate => {
                    if self.broken == Break::JoinUnseen {
                        self.truth.see_all();
                    }
                    let registered = state.instance(store).map_or(0, |own| own.registered);
                    let Some(()) = self.name(serves, state, registered).await else { continue };
                    Command::Activate { store }
                }
                Duty::Clear { of, since } if self.broken == Break::ClearUnseen => {
                    Command::Cleared { by: store, of, since }
                }
                Duty::Clear { of, since } => match ingester.clear(of, since).await {
                    Ok(true) => Command::Cleared { by: store, of, since },
                    _ => continue,
                },
            };
            self.truth.apply(who, &command);
        }
        let (factor, since) = (state.asked_factor(), state.version);
        let own = state.instance(store);
        let is_due = own.is_some_and(|own| own.factor < factor && own.phase == Phase::Active);
        let is_kept = self.broken == Break::FactorAtOnce
            || (is_due && matches!(ingester.require(factor, since).await, Ok(true)));
        if is_due && is_kept {
            self.truth.apply(who, &Command::Factor { by: store, factor, since });
        }
    }
}

/// What a process does its duties with.
pub struct Serves {
    pub node: Arc<Node>,
    /// Among the ingesters.
    pub number: usize,
    pub ingester: Arc<Ingester>,
    /// Where it names the ring.
    pub catalog: CatalogHandle,
    pub chance: Chance,
}

impl Serves {
    /// Has the log name a version of the ring; [`None`] if that has to be tried again.
    async fn name(&self, state: &State, version: u64) -> Option<()> {
        let founder = state.founder?;
        self.catalog.name_ring(RingVersion { founder, version }).await.ok()
    }
}

impl Ring for Followed {
    fn state(&self) -> Arc<State> {
        self.broken.list_state(lock(&self.state).clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
