//! The ingesters that a distributor knows: who they are, how their calls went lately.
//!
//! **Invariant:** nothing here decides what is stored. A mark or a cached store id may be wrong: an
//! ingester refuses batches that name another store, and a marked peer is used when no other is
//! left (B6).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Batch, Clock, ErrorKind, StoreId};
use metrics::{Counter, counter, gauge};
use rpc::ingester::{self, Admission, AdmitRequest, AppendError, Appended, IngesterError};

use crate::error::Error;
use crate::metrics::{
    INGESTER_APPEND_FAILURES, INGESTER_APPEND_TIMEOUTS, INGESTER_APPENDS, INGESTER_CLIENTS,
};
use crate::placement::{Placement, Spot};

/// How long a peer is passed over after a failed call, nanoseconds (B6).
const MARK_NS: u64 = 5_000_000_000;

/// All ingesters.
pub(crate) struct Peers {
    list: Vec<Peer>,
    placement: Placement,
}

/// One ingester.
struct Peer {
    address: String,
    api: std::sync::Arc<dyn rpc::IngesterApi>,
    /// What it answered when it was asked who it is.
    store: Mutex<Option<StoreId>>,
    /// Passed over until then, monotonic nanoseconds.
    marked_until_ns: AtomicU64,
    appends: Counter,
    failures: Counter,
    timeouts: Counter,
}

/// The peers that failed one push. They are not asked again for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failed(Vec<usize>);

impl Failed {
    pub(crate) fn insert(&mut self, peer: usize) {
        if !self.0.contains(&peer) {
            self.0.push(peer);
        }
    }

    pub(crate) fn contains(&self, peer: usize) -> bool {
        self.0.contains(&peer)
    }
}

impl Peers {
    /// An address that stands there twice is one peer.
    pub(crate) fn new(ingesters: Vec<ingester::Peer>) -> Peers {
        assert!(!ingesters.is_empty(), "a distributor has an ingester");
        let mut list: Vec<Peer> = Vec::with_capacity(ingesters.len());
        for ingester::Peer { address, api } in ingesters {
            if list.iter().all(|known| known.address != address) {
                list.push(Peer::new(address, api));
            }
        }
        gauge!(INGESTER_CLIENTS).set(list.len() as f64);
        let placement = Placement::new(list.iter().map(|peer| &*peer.address));
        Peers { list, placement }
    }

    /// The only peer, if there is one: nothing has to be placed.
    pub(crate) fn only(&self) -> Option<usize> {
        (self.list.len() == 1).then_some(0)
    }

    /// The first peer in the order of `spot` that did not fail this push; marked ones are last.
    pub(crate) fn first(&self, spot: Spot, failed: &Failed, now_ns: u64) -> Option<usize> {
        let is_marked =
            |peer: usize| self.list[peer].marked_until_ns.load(Ordering::Relaxed) > now_ns;
        let may = |peer| !failed.contains(peer);
        self.placement
            .first(spot, |peer| may(peer) && !is_marked(peer))
            .or_else(|| self.placement.first(spot, may))
    }

    /// Passes over `peer` for a while.
    pub(crate) fn mark(&self, peer: usize, error: &IngesterError, clock: &dyn Clock) {
        let until_ns = clock.monotonic_ns().saturating_add(MARK_NS);
        self.list[peer].marked_until_ns.store(until_ns, Ordering::Relaxed);
        tracing::warn!(ingester = self.list[peer].address, %error, "passed over for a while");
    }

    /// The store of `peer`: asked once, and again after [`Peers::forget_store`].
    pub(crate) async fn store(&self, peer: usize) -> Result<StoreId, IngesterError> {
        let peer = &self.list[peer];
        if let Some(store) = *lock(&peer.store) {
            return Ok(store);
        }
        let identity = peer.api.identify().await?;
        *lock(&peer.store) = Some(identity.store);
        Ok(identity.store)
    }

    /// The peer has another store than it said.
    pub(crate) fn forget_store(&self, peer: usize) {
        *lock(&self.list[peer].store) = None;
    }

    pub(crate) async fn admit(
        &self,
        peer: usize,
        request: AdmitRequest,
    ) -> Result<Admission, IngesterError> {
        self.list[peer].api.admit(request).await
    }

    pub(crate) async fn append(
        &self,
        peer: usize,
        batches: Vec<Batch>,
    ) -> Result<Appended, AppendError> {
        let peer = &self.list[peer];
        peer.appends.increment(1);
        let appended = peer.api.append(batches).await;
        if let Err(refused) = &appended {
            peer.failures.increment(1);
            if refused.error.kind() == ErrorKind::Timeout {
                peer.timeouts.increment(1);
            }
        }
        appended
    }

    /// What a client reads when nobody could take its rows. `last`: why the last one did not.
    pub(crate) fn unavailable(&self, failed: &Failed, last: &IngesterError) -> Error {
        if self.only().is_some() {
            return refused(last);
        }
        let names: Vec<&str> = failed.0.iter().map(|&peer| &*self.list[peer].address).collect();
        let names = names.join(",");
        // Loki's words for a quorum of one that is not there.
        let text = format!(
            "at least 1 live replicas required, could only find 0 - unhealthy instances: {names} \
             ({last})"
        );
        Error::new(503, text)
    }
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
    fn new(address: String, api: std::sync::Arc<dyn rpc::IngesterApi>) -> Peer {
        Peer {
            appends: counter!(INGESTER_APPENDS, "ingester" => address.clone()),
            failures: counter!(INGESTER_APPEND_FAILURES, "ingester" => address.clone()),
            timeouts: counter!(INGESTER_APPEND_TIMEOUTS, "ingester" => address.clone()),
            address,
            api,
            store: Mutex::default(),
            marked_until_ns: AtomicU64::new(0),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
