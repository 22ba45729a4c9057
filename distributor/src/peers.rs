//! The ingesters that a distributor knows: where streams live, how calls went lately.
//!
//! **Invariant:** nothing here decides what is stored. A view may be old and a mark may be wrong: an
//! ingester refuses batches whose list does not name its store, and a marked peer is used when too
//! few others are left (B6).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Batch, Clock, ErrorKind, StoreId};
use metrics::{Counter, counter, gauge};
use ring::{Placement, Replicas, Roles, Spot};
use rpc::IngesterApi;
use rpc::ingester::{AppendError, Appended, IngesterError};
use rpc::members::{Members, View};

use crate::error::Error;
use crate::metrics::{
    INGESTER_APPEND_FAILURES, INGESTER_APPEND_TIMEOUTS, INGESTER_APPENDS, INGESTER_CLIENTS,
    REPLICATION_FACTOR,
};

/// How long a peer is passed over after a failed call, nanoseconds (B6), and how often addresses
/// that have not said who they are are asked again.
const MARK_NS: u64 = 5_000_000_000;

/// All ingesters, as the newest view has them.
pub(crate) struct Peers {
    members: Arc<dyn Members>,
    roster: Mutex<Arc<Roster>>,
    /// When nameless addresses are asked again, monotonic nanoseconds.
    look_at_ns: AtomicU64,
}

/// A view, and how calls of its members went. One push works with one of them as long as it can.
pub(crate) struct Roster {
    view: Arc<View>,
    /// Where streams live: the view's, or a tenant's part of it.
    placement: Arc<Placement>,
    /// As the members of the placement.
    peers: Vec<Arc<Peer>>,
    /// Distributors that are up, as far as the view knows; at least this one.
    distributors: usize,
}

/// One ingester.
pub(crate) struct Peer {
    pub(crate) store: StoreId,
    pub(crate) address: String,
    pub(crate) api: Arc<dyn IngesterApi>,
    /// Whether the ring hears from it: a hint as a mark is.
    is_up: bool,
    health: Arc<Health>,
}

/// How calls of one store went; the same in every view.
struct Health {
    /// Passed over until then, monotonic nanoseconds.
    marked_until_ns: AtomicU64,
    appends: Counter,
    failures: Counter,
    timeouts: Counter,
}

/// The stores that failed one push. They are not asked again for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failed(Vec<(StoreId, String)>);

impl Failed {
    pub(crate) fn insert(&mut self, peer: &Peer) {
        if !self.contains(peer.store) {
            self.0.push((peer.store, peer.address.clone()));
        }
    }

    pub(crate) fn extend(&mut self, more: &Failed) {
        for (store, address) in &more.0 {
            if !self.contains(*store) {
                self.0.push((*store, address.clone()));
            }
        }
    }

    pub(crate) fn remove(&mut self, store: StoreId) {
        self.0.retain(|&(failed, _)| failed != store);
    }

    /// Without those who are at another address by now: nobody has failed there.
    pub(crate) fn forget_moved(&mut self, roster: &Roster) {
        let is_there = |store: &StoreId, address: &str| {
            let peer = roster.peers.iter().find(|peer| peer.store == *store);
            peer.is_none_or(|peer| peer.address == address)
        };
        self.0.retain(|(store, address)| is_there(store, address));
    }

    pub(crate) fn contains(&self, store: StoreId) -> bool {
        self.0.iter().any(|&(failed, _)| failed == store)
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|(_, address)| address.as_str()).collect();
        names.join(",")
    }
}

impl Peers {
    pub(crate) fn new(members: Arc<dyn Members>) -> Peers {
        let roster = Arc::new(Roster::new(members.view(), &[]));
        Peers { members, roster: Mutex::new(roster), look_at_ns: AtomicU64::new(0) }
    }

    /// The newest view. Asks around first if it has nobody; without waiting, if it lacks somebody.
    pub(crate) async fn roster(&self, clock: &dyn Clock) -> Arc<Roster> {
        let roster = self.newest();
        if roster.peers.is_empty() {
            return self.take(self.members.look(None).await);
        }
        if !roster.view.nameless().is_empty() {
            let now_ns = clock.monotonic_ns();
            let due_ns = self.look_at_ns.load(Ordering::Relaxed);
            if now_ns >= due_ns {
                self.look_at_ns.store(now_ns.saturating_add(MARK_NS), Ordering::Relaxed);
                let members = self.members.clone();
                base::task::spawn("look for ingesters", async move {
                    members.look(None).await;
                });
            }
        }
        roster
    }

    /// Looks again: `store` turned out to be another one, or has refused a list.
    pub(crate) async fn look(&self, store: StoreId) {
        self.take(self.members.look(Some(store)).await);
    }

    /// The newest view that is known. Does not wait.
    pub(crate) fn newest(&self) -> Arc<Roster> {
        self.take(self.members.view())
    }

    fn take(&self, view: Arc<View>) -> Arc<Roster> {
        let mut roster = lock(&self.roster);
        if !Arc::ptr_eq(&roster.view, &view) && view.version() >= roster.view.version() {
            *roster = Arc::new(Roster::new(view, &roster.peers));
        }
        roster.clone()
    }
}

impl Roster {
    /// What was known of `before` stays known, of those that are still where they were.
    fn new(view: Arc<View>, before: &[Arc<Peer>]) -> Roster {
        let before: BTreeMap<StoreId, &Arc<Peer>> =
            before.iter().map(|peer| (peer.store, peer)).collect();
        let members = view.placement().members();
        let peer = |(index, member): (usize, &ring::Member)| {
            let way = view.placed(index as u16);
            // What went wrong at another address says nothing of this one.
            let known = before.get(&member.store).filter(|peer| peer.address == way.address);
            let known = known.map(|peer| peer.health.clone());
            Arc::new(Peer {
                store: member.store,
                address: way.address.clone(),
                api: way.api.clone(),
                is_up: view.state().instance(member.store).is_some_and(|i| i.is_up),
                health: known.unwrap_or_else(|| Arc::new(Health::new(&way.address))),
            })
        };
        let peers: Vec<Arc<Peer>> = members.iter().enumerate().map(peer).collect();
        gauge!(INGESTER_CLIENTS).set(peers.len() as f64);
        gauge!(REPLICATION_FACTOR).set(view.write_factor() as f64);
        let is_distributor = |i: &&Arc<ring::Instance>| i.is_up && i.roles.has(Roles::DISTRIBUTOR);
        let distributors = view.state().instances.values().filter(is_distributor).count().max(1);
        let placement = view.placement().clone();
        Roster { view, placement, peers, distributors }
    }

    /// The same with no others than the members of `part`, which is a part of its placement.
    pub(crate) fn kept_to(&self, part: Arc<Placement>) -> Roster {
        let all = self.placement.members();
        let peer = |member: &ring::Member| {
            let at = all.binary_search_by_key(&member.store, |other| other.store);
            self.peers[at.expect("a part has no other members")].clone()
        };
        let peers = part.members().iter().map(peer).collect();
        let (view, distributors) = (self.view.clone(), self.distributors);
        Roster { view, placement: part, peers, distributors }
    }

    /// The version of its view.
    pub(crate) fn version(&self) -> u64 {
        self.view.version()
    }

    pub(crate) fn placement(&self) -> &Arc<Placement> {
        &self.placement
    }

    /// Ingesters that streams are placed on.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Distributors that share a tenant's rate.
    pub(crate) fn distributors(&self) -> usize {
        self.distributors
    }

    /// The only peer, if there is one: nothing has to be placed.
    pub(crate) fn only(&self) -> Option<u16> {
        (self.peers.len() == 1).then_some(0)
    }

    pub(crate) fn peer(&self, member: u16) -> &Arc<Peer> {
        &self.peers[usize::from(member)]
    }

    /// Members of a list.
    pub(crate) fn factor(&self) -> usize {
        self.view.write_factor()
    }

    /// The owner of `spot`: the first in its order that did not fail this push; marked ones are last.
    pub(crate) fn owner(&self, spot: Spot, failed: &Failed, now_ns: u64) -> Option<u16> {
        self.list(spot, 1, failed, now_ns).as_slice().first().copied()
    }

    /// The list of `spot`, of those that did not fail this push. Marked ones are in it only if there
    /// would be no majority without them, and then behind the others.
    pub(crate) fn list(&self, spot: Spot, factor: usize, failed: &Failed, now_ns: u64) -> Replicas {
        self.complete(Replicas::default(), spot, factor, failed, now_ns)
    }

    /// The list of `spot` that begins with `owner`.
    pub(crate) fn list_of(&self, owner: u16, spot: Spot, now_ns: u64) -> Replicas {
        let first = self.placement.replicas(spot, 1, |member| member == usize::from(owner));
        self.complete(first, spot, self.factor(), &Failed::default(), now_ns)
    }

    fn complete(
        &self,
        mut list: Replicas,
        spot: Spot,
        factor: usize,
        failed: &Failed,
        now_ns: u64,
    ) -> Replicas {
        let placement = &self.placement;
        let may = |member: usize| !failed.contains(self.peers[member].store);
        let is_well = |member: usize| self.peers[member].is_well(now_ns);
        placement.extend(&mut list, spot, factor, |member| may(member) && is_well(member));
        placement.extend(&mut list, spot, majority(factor), may);
        list
    }

    /// Puts those of `late` behind the others, as far as there is room.
    pub(crate) fn demote(&self, list: &mut Replicas, spot: Spot, late: &Failed) {
        let may = |member: usize| late.contains(self.peers[member].store);
        self.placement.extend(list, spot, self.factor(), may);
    }

    /// What a client reads when too few could take its rows. `last`: why the last one did not.
    pub(crate) fn unavailable(&self, failed: &Failed, last: &IngesterError) -> Error {
        let required = majority(self.factor());
        if required == 1 && self.only().is_some() && self.view.nameless().is_empty() {
            return refused(last);
        }
        let members = self.placement.members().iter();
        let well = members.filter(|member| !failed.contains(member.store));
        let zones: BTreeSet<u16> = well.map(|member| member.zone).collect();
        let found = zones.len().min(required - 1);
        let mut names = failed.names();
        for nameless in self.view.nameless() {
            let comma = if names.is_empty() { "" } else { "," };
            names.push_str(&format!("{comma}{}", nameless.address));
        }
        // Loki's words for a quorum that is not there.
        let mut text = format!(
            "at least {required} live replicas required, could only find {found} - unhealthy \
             instances: {names}"
        );
        let why = last.to_string();
        if !why.is_empty() {
            text.push_str(&format!(" ({why})"));
        }
        Error::new(503, text)
    }
}

/// How many of a list must hold a batch before it is acknowledged (B3).
pub(crate) fn majority(factor: usize) -> usize {
    factor / 2 + 1
}

/// What a client reads when the only ingester says `error`.
pub(crate) fn refused(error: &IngesterError) -> Error {
    let status = match error {
        // Somebody else must act, and the client may try again.
        IngesterError::Misplaced(_) | IngesterError::Forgotten(_) => 503,
        error => rpc::http::status_of(error.kind()).as_u16(),
    };
    Error::new(status, error.to_string())
}

impl Peer {
    fn is_well(&self, now_ns: u64) -> bool {
        self.is_up && self.health.marked_until_ns.load(Ordering::Relaxed) <= now_ns
    }

    /// Passes over it for a while.
    pub(crate) fn mark(&self, error: &IngesterError, clock: &dyn Clock) {
        let until_ns = clock.monotonic_ns().saturating_add(MARK_NS);
        self.health.marked_until_ns.store(until_ns, Ordering::Relaxed);
        tracing::warn!(ingester = self.address, %error, "passed over for a while");
    }

    pub(crate) async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        let health = &self.health;
        health.appends.increment(1);
        let appended = self.api.append(batches).await;
        if let Err(refused) = &appended {
            health.failures.increment(1);
            if refused.error.kind() == ErrorKind::Timeout {
                health.timeouts.increment(1);
            }
        }
        appended
    }
}

impl Health {
    fn new(address: &str) -> Health {
        let address = address.to_owned();
        Health {
            marked_until_ns: AtomicU64::new(0),
            appends: counter!(INGESTER_APPENDS, "ingester" => address.clone()),
            failures: counter!(INGESTER_APPEND_FAILURES, "ingester" => address.clone()),
            timeouts: counter!(INGESTER_APPEND_TIMEOUTS, "ingester" => address),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
