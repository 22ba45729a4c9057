//! Who is where: addresses of members, and who leads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::StoreId;
use ring::State;
use tokio::sync::Notify;
use ulid::Ulid;

use crate::api::{Contact, Dialer, MetaApi, Update};
use crate::publish::Publisher;

/// What this process knows of others.
pub(crate) struct Peers {
    pub cluster: Ulid,
    pub own: Contact,
    pub publisher: Publisher,
    dialer: Arc<dyn Dialer>,
    join: Vec<String>,
    book: Mutex<Book>,
    /// Something new is known of the leader.
    pub changed: Notify,
}

#[derive(Default)]
struct Book {
    /// Where a store was last heard or said to be.
    addresses: BTreeMap<StoreId, String>,
    /// Where the ring's state said it was.
    stated: BTreeMap<StoreId, String>,
    /// Who leads as this node's own Raft says, unless that one was found not to.
    own_leader: Option<StoreId>,
    /// Who leads as others say. It counts while this node's own Raft knows nothing.
    heard_leader: Option<StoreId>,
    /// Who has a voice, as whoever answered last said.
    voters: Vec<StoreId>,
    /// Whom to ask next while nobody leads.
    turn: usize,
}

impl Book {
    fn leader(&self) -> Option<StoreId> {
        self.own_leader.or(self.heard_leader)
    }
}

impl Peers {
    pub(crate) fn new(
        cluster: Ulid,
        own: Contact,
        join: Vec<String>,
        dialer: Arc<dyn Dialer>,
    ) -> Peers {
        let publisher = Publisher::new(cluster);
        let (book, changed) = (Mutex::default(), Notify::new());
        Peers { cluster, own, publisher, dialer, join, book, changed }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to an address.
    pub(crate) fn dial(&self, address: &str) -> Arc<dyn MetaApi> {
        self.dialer.dial(address)
    }

    /// Somebody said where it is. Of stores that no state has named yet, so many are kept as a ring
    /// has.
    pub(crate) fn learn(&self, contact: &Contact) {
        let Contact { store, address } = contact;
        if *store == self.own.store || address.is_empty() || address.len() > ring::MAX_TEXT_BYTES {
            return;
        }
        let mut book = self.book();
        if book.addresses.len() < ring::MAX_INGESTERS || book.addresses.contains_key(store) {
            book.addresses.insert(*store, address.clone());
        }
    }

    /// Takes what the newest state says of addresses. One that has not changed there may be older
    /// than what its owner said itself.
    pub(crate) fn follow(&self, state: &State) {
        let mut book = self.book();
        for instance in state.ingesters() {
            let address = &instance.grpc_address;
            if book.stated.get(&instance.store) != Some(address) {
                book.stated.insert(instance.store, address.clone());
                book.addresses.insert(instance.store, address.clone());
            }
        }
        // Before anybody has registered, all that is known is what was heard.
        if state.ingesters().next().is_some() {
            let Book { addresses, stated, own_leader, heard_leader, voters, .. } = &mut *book;
            let is_known = |store: &StoreId| state.instance(*store).is_some();
            stated.retain(|store, _| is_known(store));
            let needed = |store: &StoreId| {
                let leads = [*own_leader, *heard_leader].contains(&Some(*store));
                is_known(store) || leads || voters.contains(store)
            };
            addresses.retain(|store, _| needed(store));
        }
    }

    /// Where a store is.
    pub(crate) fn address(&self, store: StoreId) -> Option<String> {
        self.book().addresses.get(&store).cloned()
    }

    /// Who leads, as far as anybody said.
    pub(crate) fn leader(&self) -> Option<Contact> {
        let book = self.book();
        let store = book.leader()?;
        if store == self.own.store {
            return Some(self.own.clone());
        }
        let address = book.addresses.get(&store)?.clone();
        Some(Contact { store, address })
    }

    /// Who has a voice, as others said.
    pub(crate) fn voters(&self) -> Vec<StoreId> {
        self.book().voters.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Book)) {
        let mut book = self.book();
        let before = book.leader();
        change(&mut book);
        let is_other = book.leader() != before;
        drop(book);
        if is_other {
            self.changed.notify_waiters();
        }
    }

    /// Who leads as this node's own Raft says now.
    pub(crate) fn set_own_leader(&self, leader: Option<StoreId>) {
        self.change(|book| book.own_leader = leader);
    }

    /// Who leads as another one says. Of itself a node knows better.
    pub(crate) fn hear_leader(&self, leader: StoreId) {
        let heard = Some(leader).filter(|&leader| leader != self.own.store);
        self.change(|book| book.heard_leader = heard);
    }

    /// `leader` did not answer, or says itself that it does not lead. What this node's Raft says of
    /// it is out of date then: a node that was removed hears of no other.
    pub(crate) fn forget_leader(&self, leader: StoreId) {
        self.change(|book| {
            for known in [&mut book.own_leader, &mut book.heard_leader] {
                if *known == Some(leader) {
                    *known = None;
                }
            }
        });
    }

    /// Takes an answer. An undecodable state is an error of whoever sent it.
    pub(crate) fn take(&self, update: &Update) -> Result<(), ring::Error> {
        self.learn(&update.from);
        if let Some(leader) = &update.leader {
            self.learn(leader);
        }
        if !update.voters.is_empty() {
            self.book().voters.clone_from(&update.voters);
        }
        if let Some(bytes) = &update.state {
            let state = State::decode(bytes)?;
            if state.cluster == self.cluster {
                self.follow(&state);
                self.publisher.offer(&Arc::new(state));
            }
        }
        Ok(())
    }

    /// Everybody that may know something, in turn: members of the ring, then `ring.join`.
    pub(crate) async fn others(&self) -> Vec<String> {
        let mut addresses: Vec<String> = Vec::new();
        for entry in &self.join {
            addresses.extend(self.dialer.resolve(entry).await);
        }
        let mut book = self.book();
        addresses.extend(book.addresses.values().cloned());
        addresses.retain(|address| *address != self.own.address);
        addresses.sort_unstable();
        addresses.dedup();
        if !addresses.is_empty() {
            book.turn = (book.turn + 1) % addresses.len();
            addresses.rotate_left(book.turn);
        }
        addresses
    }
}
