//! The ring, where rows have several copies: the real state and placement, agreed upon as if Raft
//! were perfect. What is not perfect is who knows it: every process has a state of its own that it
//! reads now and then, and ingesters do their duties when they come to it.

mod followed;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use base::StoreId;
use base::task::sim::Process;
use ring::{Command, Outcome, Phase, State};
use rpc::ingester::Peer;
use rpc::members::{Members, View};
use ulid::Ulid;

use super::breaks::Break;
use super::world::{Chance, World, event};

pub use followed::{Followed, Serves};

/// Copies of a row.
pub const FACTOR: u8 = 3;
/// What the world calls it: who is cut from it knows what it knew.
pub const NAME: &str = "ring";

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
        self.broken.agreed(&mut state);
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
