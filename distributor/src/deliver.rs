//! Making the batches of one owner durable, in as many attempts as it takes (B2, B3, B6).
//!
//! The rules, each kept here and nowhere else:
//! 1. A batch gets its id when it is first sent; its rows never change after that. It is sent
//!    whole: while any attempt may be stored somewhere nothing is cut anew.
//! 2. Every attempt has the next number and a list of its own, and goes out after the one before
//!    has ended: what counts is the newest.
//! 3. A batch is acknowledged if the answer bears the number that was sent, or says that a commit
//!    claims it. Nothing else acknowledges it.
//! 4. After the answer to the client no attempt follows.
//! 5. A new id only if it is known that no attempt was stored.

use base::{Batch, ErrorKind, Incarnation, StoreId};
use rpc::ingester::{AppendError, Appended, IngesterError};

use crate::cut::{Cut, Share};
use crate::distributor::Distributor;
use crate::error::Error;
use crate::peers::{Failed, refused};
use crate::placement::Spot;
use crate::tenants::Tenant;

/// Attempts of a batch, and rounds of admission, before the client is told 503: each may last as
/// long as the timeout of a call.
pub(crate) const MAX_ATTEMPTS: u32 = 4;

/// The number of a batch that a commit claims: no attempt of it matters any more.
const CLAIMED: u32 = u32::MAX;

/// The batches of one owner on their way.
struct Delivery {
    batches: Vec<Batch>,
    /// The number of the attempt that was sent last.
    attempt: u32,
    /// An attempt ended without saying that it stored nothing.
    may_be_stored: bool,
    /// The batches have their second ids.
    is_renewed: bool,
}

impl Distributor {
    /// Returns when every batch of `share` is durable, or nobody is left who could take them.
    pub(crate) async fn deliver(&self, tenant: &Tenant, share: Share) -> Result<(), Error> {
        // A batch is one piece: its successors are those of its first stream.
        let spot = Spot::of_tenant(&tenant.id)(share.cuts[0].streams[0].key());
        let (mut failed, mut misplaced) = (Failed::default(), Failed::default());
        let (mut delivery, mut cuts) = (None, Some(share.cuts));
        let mut next = Some(share.owner);
        let mut last = IngesterError::Unavailable(String::new());
        for _ in 0..MAX_ATTEMPTS {
            let Some(peer) = next else { break };
            let sent = match self.peers.store(peer).await {
                Ok(store) => {
                    let cuts = cuts.take();
                    let delivery = delivery.get_or_insert_with(|| {
                        Delivery::new(self.batches(tenant, store, cuts.unwrap_or_default()))
                    });
                    self.attempt(peer, store, delivery).await
                }
                Err(error) => Err(error),
            };
            match sent {
                Ok(()) => return Ok(()),
                // It has another store than it said before: once more, to that one.
                Err(IngesterError::Misplaced(text)) if !misplaced.contains(peer) => {
                    misplaced.insert(peer);
                    last = IngesterError::Misplaced(text);
                }
                Err(IngesterError::Forgotten(text)) => {
                    last = IngesterError::Forgotten(text);
                    if !delivery.as_mut().is_some_and(|delivery| self.renew(delivery)) {
                        return Err(refused(&last));
                    }
                }
                // The fault is the batches': this peer is well, and no other would take them.
                Err(error) if error.kind() == ErrorKind::Invalid => return Err(refused(&error)),
                Err(error) => {
                    self.peers.mark(peer, &error, &*self.clock);
                    failed.insert(peer);
                    last = error;
                    if delivery.as_ref().is_some_and(|delivery| delivery.batches.is_empty()) {
                        // Whoever had them died with them.
                        return Err(refused(&last));
                    }
                    next = self.peers.first(spot, &failed, self.clock.monotonic_ns());
                }
            }
        }
        Err(self.peers.unavailable(&failed, &last))
    }

    /// The first batches of `cuts`: from here on their rows do not change.
    fn batches(&self, tenant: &Tenant, owner: StoreId, cuts: Vec<Cut>) -> Vec<Batch> {
        let batch = |Cut { day, streams, rows }| Batch {
            id: self.ids.next(owner),
            attempt: 0,
            members: Vec::new(),
            tenant: tenant.id.clone(),
            day,
            streams,
            rows,
        };
        cuts.into_iter().map(batch).collect()
    }

    /// Sends the batches once more, to one store.
    async fn attempt(
        &self,
        peer: usize,
        store: StoreId,
        delivery: &mut Delivery,
    ) -> Result<(), IngesterError> {
        delivery.attempt += 1;
        for batch in &mut delivery.batches {
            assert!(batch.attempt < delivery.attempt, "attempts count up");
            batch.attempt = delivery.attempt;
            batch.members.clear();
            batch.members.push(store);
        }
        let batches = std::mem::take(&mut delivery.batches);
        let sent = Sent::of(&batches);
        match self.peers.append(peer, batches).await {
            Ok(appended) => acknowledged(&appended, sent.count, delivery.attempt),
            Err(AppendError { error, batches }) => {
                let is_stored_nowhere =
                    matches!(error, IngesterError::Misplaced(_) | IngesterError::Forgotten(_));
                delivery.may_be_stored |= !is_stored_nowhere;
                if matches!(error, IngesterError::Misplaced(_)) {
                    self.peers.forget_store(peer);
                }
                if sent == Sent::of(&batches) {
                    delivery.batches = batches;
                }
                Err(error)
            }
        }
    }

    /// New ids for batches that no ingester can judge any more, if it is sure that none is stored.
    fn renew(&self, delivery: &mut Delivery) -> bool {
        let Some(forgotten) = delivery.incarnation() else { return false };
        if delivery.may_be_stored || std::mem::replace(&mut delivery.is_renewed, true) {
            return false;
        }
        self.ids.renew(forgotten);
        for batch in &mut delivery.batches {
            batch.id = self.ids.next(batch.id.owner);
            batch.attempt = 0;
        }
        delivery.attempt = 0;
        true
    }
}

impl Delivery {
    fn new(batches: Vec<Batch>) -> Delivery {
        Delivery { batches, attempt: 0, may_be_stored: false, is_renewed: false }
    }

    fn incarnation(&self) -> Option<Incarnation> {
        self.batches.first().map(|batch| batch.id.incarnation)
    }
}

/// What tells that batches that came back are those that were sent.
#[derive(PartialEq, Eq)]
struct Sent {
    count: usize,
    rows: usize,
}

impl Sent {
    fn of(batches: &[Batch]) -> Sent {
        Sent { count: batches.len(), rows: batches.iter().map(|batch| batch.rows.len()).sum() }
    }
}

/// Whether an answer acknowledges `count` batches of this attempt (B3).
fn acknowledged(appended: &Appended, count: usize, attempt: u32) -> Result<(), IngesterError> {
    if appended.attempts.len() != count {
        let text =
            format!("an ingester answered for {} batches of {count}", appended.attempts.len());
        return Err(IngesterError::Internal(text));
    }
    match appended.attempts.iter().find(|&&held| held != attempt && held != CLAIMED) {
        None => Ok(()),
        Some(held) => Err(IngesterError::Unavailable(format!(
            "an ingester holds attempt {held} of a batch that was sent as attempt {attempt}"
        ))),
    }
}
