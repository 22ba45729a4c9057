//! A list of addresses that does not change, without a ring: who is there is what they say.
//!
//! The state is a function of the answers: tokens from the hash of an address, zones as told. So
//! all distributors with one list place streams alike, however it is sorted.
//!
//! What it cannot do is remember. A store that was at an address and is not any more counts as gone
//! for as long as this process lives; one that starts later never hears of it. Where rows have
//! several copies and disks are replaced there should be a ring.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use base::StoreId;
use futures::future::join_all;
use ring::{Departure, Instance, Phase, Roles, State, tokens};

use super::{Members, Nameless, View};
use crate::ingester::{Identity, Peer};

/// Versions are this process's own. An ingester may be in a ring that this process is not in, and
/// answer with the version of that: none is newer than these.
const FIRST_VERSION: u64 = 1 << 63;

/// Members by their addresses.
pub struct Fixed {
    addresses: Vec<Address>,
    factor: u8,
    view: ArcSwap<View>,
    /// Whoever looks holds it: those who come meanwhile take what that look has found.
    looking: tokio::sync::Mutex<u64>,
}

struct Address {
    peer: Peer,
    tokens: Vec<u32>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Who was there when it last said so.
    identity: Option<Identity>,
    /// Another process may be there by now.
    is_doubted: bool,
    /// Who was there before: gone, and not cleared as far as anybody here knows (R1b).
    lost: Vec<Identity>,
    /// Why it has not said who it is.
    why: String,
}

impl Fixed {
    /// The ingesters of `list`, of which each row is at `factor`. An address that stands there twice
    /// is one. Nobody is asked before the first [`Members::look`].
    pub fn new(list: Vec<Peer>, factor: usize) -> Fixed {
        assert!(!list.is_empty(), "a cluster has an ingester");
        let factor = factor.clamp(1, ring::MAX_REPLICAS) as u8;
        let mut addresses: Vec<Address> = Vec::with_capacity(list.len());
        for peer in list {
            if addresses.iter().all(|known| known.peer.address != peer.address) {
                let seed = base::hash::hash64(peer.address.as_bytes());
                let tokens = tokens::generate(seed, tokens::TOKENS);
                let why = "it was not asked yet".to_owned();
                let known = Mutex::new(Known { why, ..Known::default() });
                addresses.push(Address { peer, tokens, known });
            }
        }
        let view = ArcSwap::from_pointee(view_of(&addresses, factor, FIRST_VERSION));
        Fixed { addresses, factor, view, looking: tokio::sync::Mutex::new(FIRST_VERSION) }
    }

    /// Asks everybody who is doubted or never said who it is, each once; then those who are doubted
    /// because of what these said.
    async fn ask(&self) -> bool {
        let mut asked: Vec<&Address> = Vec::new();
        loop {
            let before = asked.len();
            let is_new = |address: &&Address| !asked.iter().any(|of| std::ptr::eq(*of, *address));
            let unsure = self.addresses.iter().filter(|address| address.lock().is_unsure());
            let unsure: Vec<&Address> = unsure.filter(is_new).collect();
            asked.extend(&unsure);
            join_all(unsure.into_iter().map(|address| address.ask(self.factor))).await;
            if asked.len() == before {
                return before > 0;
            }
            self.doubt_doubles(&asked);
        }
    }

    /// A store is in one place: where it was before may be another one, of which nobody would ask for
    /// rows. Stores that have changed places are found so, whichever of them was doubted.
    fn doubt_doubles(&self, asked: &[&Address]) {
        let stores: Vec<StoreId> =
            asked.iter().filter_map(|address| address.lock().sure()).collect();
        for address in &self.addresses {
            let mut known = address.lock();
            let is_double = known.identity.as_ref().is_some_and(|who| stores.contains(&who.store));
            known.is_doubted |= is_double && !asked.iter().any(|of| std::ptr::eq(*of, address));
        }
    }
}

#[async_trait]
impl Members for Fixed {
    fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    async fn reach(&self, _: u64) -> Arc<View> {
        // Versions are this process's own.
        self.view()
    }

    async fn look(&self, doubted: Option<StoreId>) -> Arc<View> {
        if let Some(store) = doubted {
            for address in &self.addresses {
                let mut known = address.lock();
                let is_there = known.identity.as_ref().is_some_and(|who| who.store == store);
                known.is_doubted |= is_there;
            }
        }
        let mut version = self.looking.lock().await;
        if self.ask().await {
            *version += 1;
            self.view.store(Arc::new(view_of(&self.addresses, self.factor, *version)));
        }
        self.view()
    }
}

impl Address {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // Whoever panicked while holding it had only values to write.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, factor: u8) {
        match self.peer.api.identify().await {
            Ok(identity) => self.learn(identity, factor),
            Err(error) => self.lock().why = error.to_string(),
        }
    }

    fn learn(&self, identity: Identity, factor: u8) {
        let mut known = self.lock();
        if let Some(before) = known.identity.replace(identity.clone())
            && before.store != identity.store
        {
            let (address, store, now) = (&self.peer.address, before.store, identity.store);
            tracing::error!(address, %store, %now, "an ingester lost its store");
            // With one copy of a row nobody can answer in its place: what was only there is lost,
            // and waiting for it would refuse every query for ever.
            if factor > 1 {
                known.lost.push(before);
            }
        }
        known.is_doubted = false;
    }

    fn instance(&self, identity: &Identity, phase: Phase, factor: u8) -> Instance {
        let cleared = Default::default();
        let gone = Departure {
            since: 0,
            is_leaving: false,
            is_forgotten: false,
            forgotten_at: 0,
            cleared,
        };
        Instance {
            store: identity.store,
            id: self.peer.address.clone(),
            grpc_address: self.peer.address.clone(),
            http_address: String::new(),
            zone: identity.zone.clone(),
            has_moved: false,
            roles: Roles::INGESTER,
            phase,
            is_up: phase == Phase::Active,
            registered: 0,
            seen: 0,
            factor,
            tokens: self.tokens.clone(),
            departure: (phase == Phase::Gone).then_some(gone),
        }
    }
}

impl Known {
    /// Who is there, if nothing speaks against it.
    fn sure(&self) -> Option<StoreId> {
        self.identity.as_ref().filter(|_| !self.is_doubted).map(|identity| identity.store)
    }

    fn is_unsure(&self) -> bool {
        self.is_doubted || self.identity.is_none()
    }
}

/// What the addresses have said, as a state.
fn view_of(addresses: &[Address], factor: u8, version: u64) -> View {
    let mut state = State::new(ulid::Ulid(0));
    (state.version, state.placement_version, state.replication) = (version, version, factor);
    let mut nameless = Vec::new();
    let mut peers: Vec<(StoreId, Peer)> = Vec::new();
    // Stores that moved between addresses, or came back, are not lost: they are added last.
    for address in addresses {
        for lost in &address.lock().lost {
            let instance = address.instance(lost, Phase::Gone, factor);
            state.instances.insert(lost.store, Arc::new(instance));
        }
    }
    let sure: Vec<StoreId> = addresses.iter().filter_map(|of| of.lock().sure()).collect();
    for address in addresses {
        let known = address.lock();
        // Who was there is somewhere else: whoever is there now has not said who it is.
        let has_moved = |who: &&Identity| known.is_doubted && sure.contains(&who.store);
        let Some(identity) = known.identity.as_ref().filter(|who| !has_moved(who)) else {
            let (address, why) = (address.peer.address.clone(), known.why.clone());
            nameless.push(Nameless { address, why });
            continue;
        };
        let instance = address.instance(identity, Phase::Active, factor);
        state.instances.insert(identity.store, Arc::new(instance));
        peers.push((identity.store, address.peer.clone()));
    }
    state.joined = state.placed().count() as u64;
    let way = |instance: &Instance| {
        let found = peers.iter().rfind(|(store, _)| *store == instance.store);
        found.map(|(_, peer)| peer.clone()).expect("every active instance has an address")
    };
    View { nameless, ..View::new(Arc::new(state), None, way) }
}

#[cfg(test)]
mod tests;
