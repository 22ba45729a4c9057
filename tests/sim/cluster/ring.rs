//! The ring, where rows have several copies: the real state and placement, agreed upon as if Raft
//! were perfect. What is not perfect is who knows it: every process has a state of its own that it
//! reads now and then, and ingesters do their duties when they come to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use base::StoreId;
use base::task::sim::Process;
use ingester::Ingester;
use ring::{Command, Duty, Outcome, Phase, Registration, Roles, State, tokens};
use rpc::ingester::Peer;
use rpc::members::{Members, Ring, View};
use ulid::Ulid;

use super::world::{Chance, World, event};

/// Copies of a row.
pub const FACTOR: u8 = 3;
/// The zones of the ingesters, in their order.
const ZONES: [&str; 3] = ["a", "b", "c"];

/// What all would agree on.
pub struct Truth {
    world: Arc<World>,
    state: Mutex<Arc<State>>,
    /// Stores whose disks were lost, which the ring may not know yet.
    lost: Mutex<Vec<StoreId>>,
}

impl Truth {
    pub fn new(world: &Arc<World>) -> Arc<Truth> {
        let mut state = State::new(Ulid(7));
        state.replication = FACTOR;
        let (state, lost) = (Mutex::new(Arc::new(state)), Mutex::default());
        Arc::new(Truth { world: world.clone(), state, lost })
    }

    pub fn state(&self) -> Arc<State> {
        lock(&self.state).clone()
    }

    pub fn apply(&self, who: &str, command: &Command) -> bool {
        let mut held = lock(&self.state);
        let mut state = State::clone(&held);
        let outcome = ring::apply(&mut state, command);
        *held = Arc::new(state);
        if !matches!(outcome, Outcome::Unchanged { .. }) {
            event!(self.world, who, "ring: {command:?}: {outcome:?}");
        }
        matches!(outcome, Outcome::Done { .. })
    }

    /// Whether every store is there and none is on its way in or out: a disk may be lost.
    pub fn is_whole(&self, ingesters: usize) -> bool {
        let state = self.state();
        let is_active = |instance: &ring::Instance| instance.phase == Phase::Active;
        let is_out = |store: &StoreId| state.instance(*store).is_none();
        lock(&self.lost).iter().all(is_out)
            && state.ingesters().count() == ingesters
            && state.ingesters().all(is_active)
    }

    /// The disk of a node is lost.
    pub fn lose(&self, node: &str) {
        let state = self.state();
        let of_node = state.ingesters().filter(|instance| instance.id == node);
        lock(&self.lost).extend(of_node.map(|instance| instance.store));
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
    ways: BTreeMap<String, Peer>,
    chance: Chance,
    view: Mutex<Arc<View>>,
}

impl Known {
    pub fn new(truth: &Arc<Truth>, ways: Vec<Peer>, chance: Chance) -> Arc<Known> {
        let ways: BTreeMap<String, Peer> =
            ways.into_iter().map(|peer| (peer.address.clone(), peer)).collect();
        let way = |instance: &ring::Instance| ways[&instance.grpc_address].clone();
        let view = Mutex::new(Arc::new(View::new(truth.state(), None, way)));
        Arc::new(Known { truth: truth.clone(), ways, chance, view })
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
        let state = self.truth.state();
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
    state: Mutex<Arc<State>>,
}

impl Followed {
    /// What it said that it follows it knows also after a restart.
    pub fn new(truth: &Arc<Truth>) -> Arc<Followed> {
        Arc::new(Followed { truth: truth.clone(), state: Mutex::new(truth.state()) })
    }

    /// Does what the ingester owes the ring, as long as its process lives.
    pub fn serve(
        self: &Arc<Followed>,
        process: &Process,
        node: &str,
        number: usize,
        ingester: Arc<Ingester>,
        chance: Chance,
    ) {
        let registration = Registration {
            store: ingester.store(),
            id: node.to_owned(),
            grpc_address: node.to_owned(),
            http_address: String::new(),
            zone: ZONES[number % ZONES.len()].to_owned(),
            roles: Roles::INGESTER,
            tokens: tokens::generate(base::hash::hash64(node.as_bytes()), tokens::TOKENS),
        };
        let (this, who) = (self.clone(), process.name().to_owned());
        drop(process.spawn(async move {
            loop {
                tokio::time::sleep(chance.seconds(0, 4)).await;
                let state = this.truth.state();
                *lock(&this.state) = state.clone();
                this.duties(&who, &state, &registration, &ingester).await;
            }
        }));
    }

    async fn duties(
        &self,
        who: &str,
        state: &State,
        registration: &Registration,
        ingester: &Ingester,
    ) {
        let store = registration.store;
        for duty in ring::duties(state, store) {
            let command = match duty {
                Duty::Register => Command::Register(registration.clone()),
                Duty::See { version } => Command::Seen { by: store, version },
                Duty::Activate => Command::Activate { store },
                Duty::Clear { of, since } => match ingester.clear(of, since).await {
                    Ok(true) => Command::Cleared { by: store, of, since },
                    _ => continue,
                },
            };
            self.truth.apply(who, &command);
        }
    }
}

impl Ring for Followed {
    fn state(&self) -> Arc<State> {
        lock(&self.state).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
