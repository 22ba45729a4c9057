//! The ingesters of the ring, for the services that call them: a view per version of the state, a
//! connection per address.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use base::StoreId;
use base::time::Clock;
use ring::{Instance, State};
use rpc::IngesterApi;
use rpc::grpc::{ClientConfig, IngesterClient};
use rpc::ingester::Peer;
use rpc::members::{Members, Ring, View};
use tokio::time::timeout;

use super::Membership;

/// What the ingester of this process is called where others have an address.
pub const IN_PROCESS: &str = "in-process";
/// How long a version is waited for that somebody has answered with: it is on its way to everybody.
const REACH: Duration = Duration::from_secs(1);
/// How long the ring is given to hear of what a caller has found out.
const LOOK: Duration = Duration::from_millis(100);
/// What an instance is dialled by whose address is none: nobody listens there.
const NOWHERE: &str = "0.0.0.0:0";

/// Members as the ring says.
pub struct RingMembers {
    ring: Membership,
    /// The ingester of this process.
    own: Option<Arc<dyn IngesterApi>>,
    config: ClientConfig,
    clock: Arc<dyn Clock>,
    view: ArcSwap<View>,
    /// Connections by address. Whoever makes a new view holds it.
    known: Mutex<BTreeMap<String, Peer>>,
}

impl RingMembers {
    /// Those of `ring`. Calls of its own store go to `own`, if there is one.
    pub fn new(
        ring: Membership,
        own: Option<Arc<dyn IngesterApi>>,
        config: ClientConfig,
        clock: Arc<dyn Clock>,
    ) -> RingMembers {
        let nobody = Arc::new(State::new(ring.cluster()));
        let view = View::new(nobody, None, |_| unreachable!("nobody is in it"));
        let (view, known) = (ArcSwap::from_pointee(view), Mutex::default());
        RingMembers { ring, own, config, clock, view, known }
    }

    /// Makes the view of `state`, unless somebody was quicker.
    fn renew(&self, state: Arc<State>) -> Arc<View> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.view.load_full();
        if before.version() >= state.version {
            return before;
        }
        // Connections to addresses where nobody is any more end here.
        let mut used = BTreeMap::new();
        for instance in ring::reads::asked(&state) {
            let peer = known.remove(&instance.grpc_address);
            let peer = peer.unwrap_or_else(|| self.connect(instance));
            used.insert(instance.grpc_address.clone(), peer);
        }
        *known = used;
        let own = self.ring.own().store;
        let way = |instance: &Instance| match &self.own {
            Some(api) if instance.store == own => {
                Peer { address: IN_PROCESS.to_owned(), api: api.clone() }
            }
            _ => known[&instance.grpc_address].clone(),
        };
        let view = Arc::new(View::new(state, Some(before.placement().clone()), way));
        self.view.store(view.clone());
        view
    }

    fn connect(&self, instance: &Instance) -> Peer {
        let address = &instance.grpc_address;
        let client = IngesterClient::new(address, &self.config, self.clock.clone());
        let client = client.or_else(|error| {
            tracing::error!(%error, store = %instance.store, "an ingester has no address");
            IngesterClient::new(NOWHERE, &self.config, self.clock.clone())
        });
        let client = client.expect("the address of nobody is one");
        Peer { address: address.clone(), api: Arc::new(client) }
    }
}

#[async_trait]
impl Members for RingMembers {
    fn view(&self) -> Arc<View> {
        let state = self.ring.newest();
        let view = self.view.load_full();
        if view.version() >= state.version { view } else { self.renew(state) }
    }

    async fn reach(&self, version: u64) -> Arc<View> {
        let mut states = self.ring.watch();
        let known = states.wait_for(|state| state.version >= version);
        let _in_time = timeout(REACH, known).await;
        self.view()
    }

    async fn look(&self, _: Option<StoreId>) -> Arc<View> {
        let version = self.view.load().version();
        let mut states = self.ring.watch();
        let newer = states.wait_for(|state| state.version > version);
        let _in_time = timeout(LOOK, newer).await;
        self.view()
    }
}

impl Ring for Membership {
    fn state(&self) -> Arc<State> {
        self.newest()
    }
}
