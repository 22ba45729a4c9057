//! What the services know of the cluster: who holds rows, where streams live, and the way there.
//!
//! A [`View`] is the state of the ring at one version with what follows from it; it does not change.
//! Services take the newest one for each piece of work and keep it until the piece is done. An old
//! view keeps working: whoever is asked says that it is another store, refuses a list, or answers
//! with a newer version, and the caller looks again. What a caller has seen of single stores (that
//! one did not answer lately) is the caller's business.

mod fixed;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base::StoreId;
use ring::{Instance, Placement, State};

use crate::ingester::Peer;
pub use fixed::Fixed;

/// Where views come from.
#[async_trait]
pub trait Members: Send + Sync + 'static {
    /// The newest view that is known here. Does not wait.
    fn view(&self) -> Arc<View>;

    /// A view of at least `version`: somebody has answered with it. The newest view, if it cannot
    /// be had in a short time.
    async fn reach(&self, version: u64) -> Arc<View>;

    /// The view after another look, if one can help. `doubted` was answered for by another store,
    /// or by nobody who would know it; `None`: somebody has not said yet who it is.
    async fn look(&self, doubted: Option<StoreId>) -> Arc<View>;
}

/// The newest state of the ring, for whoever calls nobody: an ingester.
pub trait Ring: Send + Sync + 'static {
    /// The newest state that is known here. Does not wait.
    fn state(&self) -> Arc<State>;
}

/// An ingester that no ring knows of: version 0, nobody in it.
pub struct NoRing(Arc<State>);

impl Default for NoRing {
    fn default() -> NoRing {
        NoRing(Arc::new(State::new(ulid::Ulid(0))))
    }
}

impl Ring for NoRing {
    fn state(&self) -> Arc<State> {
        self.0.clone()
    }
}

/// The cluster at one version of its state.
pub struct View {
    state: Arc<State>,
    placement: Arc<Placement>,
    /// The way to every ingester that is not gone.
    peers: BTreeMap<StoreId, Peer>,
    /// Those of the placement, in its order.
    placed: Vec<Peer>,
    nameless: Vec<Nameless>,
}

/// An address where nobody has said yet which store is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nameless {
    /// The address.
    pub address: String,
    /// Why it did not say.
    pub why: String,
}

impl View {
    /// A view of `state`. `way` gives the handle of an ingester; it is asked for every one that is
    /// not gone, so it should keep its connections. `placement` may be one that was made before, if
    /// the state's placement version is the same.
    pub fn new(
        state: Arc<State>,
        placement: Option<Arc<Placement>>,
        way: impl Fn(&Instance) -> Peer,
    ) -> View {
        let kept = placement.filter(|kept| kept.version() == state.placement_version);
        let placement = kept.unwrap_or_else(|| Arc::new(Placement::new(&state)));
        let peers: BTreeMap<StoreId, Peer> =
            ring::reads::asked(&state).map(|instance| (instance.store, way(instance))).collect();
        let placed = placement.members().iter().map(|member| {
            peers.get(&member.store).cloned().expect("who is placed is active and not gone")
        });
        let placed = placed.collect();
        View { state, placement, peers, placed, nameless: Vec::new() }
    }

    /// The state.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Its version: what an ingester's answers carry.
    pub fn version(&self) -> u64 {
        self.state.version
    }

    /// Where streams live.
    pub fn placement(&self) -> &Arc<Placement> {
        &self.placement
    }

    /// Members of a new list.
    pub fn write_factor(&self) -> usize {
        usize::from(self.state.write_factor())
    }

    /// The factor that readers count on.
    pub fn read_factor(&self) -> usize {
        usize::from(self.state.read_factor())
    }

    /// The way to a member of the placement, by its index there.
    pub fn placed(&self, member: u16) -> &Peer {
        &self.placed[usize::from(member)]
    }

    /// The way to a store, unless it is gone or unknown.
    pub fn peer(&self, store: StoreId) -> Option<&Peer> {
        self.peers.get(&store)
    }

    /// Everybody whom a query asks.
    pub fn peers(&self) -> impl ExactSizeIterator<Item = (StoreId, &Peer)> {
        self.peers.iter().map(|(&store, peer)| (store, peer))
    }

    /// Addresses that may hold rows of a store that nobody can name: a query cannot do without them.
    pub fn nameless(&self) -> &[Nameless] {
        &self.nameless
    }

    /// What people call a store: its address, or its id where it has none any more.
    pub fn name(&self, store: StoreId) -> String {
        match self.state.instance(store) {
            Some(instance) => instance.grpc_address.clone(),
            None => store.to_string(),
        }
    }

    /// The zone of a store; empty where there are none.
    pub fn zone(&self, store: StoreId) -> &str {
        self.state.instance(store).map_or("", |instance| instance.zone.as_str())
    }
}
