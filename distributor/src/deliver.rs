//! Making the batches of one owner durable, in as many attempts as it takes (B2, B3, B6).
//!
//! The rules, each kept here and nowhere else:
//! 1. A batch gets its id when it is first sent; its rows never change after that. It is sent
//!    whole: while any attempt may be stored somewhere nothing is cut anew.
//! 2. Every attempt has the next number and an ordered list of its own; what counts is the newest.
//! 3. A batch is acknowledged when the first floor(RF/2)+1 of the newest list have answered with the
//!    number that was sent, or that a commit claims it. Nothing else acknowledges it: neither answers
//!    to earlier attempts nor any other majority.
//! 4. After the answer to the client no attempt follows. Calls of the last one may still end.
//! 5. A new id only if it is known that no attempt was stored.

use std::sync::Arc;

use base::{Batch, ErrorKind, Incarnation, StoreId};
use ring::{Replicas, Spot};
use rpc::ingester::{AppendError, Appended, IngesterError};

use crate::cut::{Cut, Share};
use crate::distributor::Distributor;
use crate::error::Error;
use crate::peers::{Failed, Peer, Roster, majority, refused};
use crate::replicate::{Trouble, replicate};
use crate::tenants::Tenant;

/// Attempts of a batch, and rounds of admission, before the client is told 503: each may last as
/// long as the timeout of a call. With several members as many more as there are further members.
pub(crate) const MAX_ATTEMPTS: u32 = 4;

/// Attempts that may end because somebody is late. Where all are slow by turns, more of them would
/// use up the others, and a push would be refused that only had to be waited for.
const MAX_LATE_ATTEMPTS: u32 = 3;

/// Times a store may say that the view is old before it counts as failed. One look is enough where this
/// process is behind; where the store is (a replication factor was just lowered, and it has not heard of it) each
/// look gives it time.
const MAX_LOOKS: usize = 3;

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

/// Who takes part in the attempts of one delivery.
struct Course {
    spot: Spot,
    roster: Arc<Roster>,
    list: Replicas,
    /// Not asked again.
    failed: Failed,
    /// Behind the others from now on.
    late: Failed,
    /// Refused because the view was old, each as often as it stands here.
    misplaced: Vec<StoreId>,
    last: IngesterError,
}

impl Distributor {
    /// Returns when every batch of `share` is durable, or too few are left who could take them.
    pub(crate) async fn deliver(
        &self,
        tenant: &Tenant,
        roster: &Arc<Roster>,
        share: Share,
    ) -> Result<(), Error> {
        // A batch is one piece: its members are those of its first stream, after its owner.
        let spot = Spot::of_tenant(&tenant.id)(share.cuts[0].streams[0].key());
        let list = roster.list_of(share.owner, spot, self.clock.monotonic_ns());
        let owner = roster.peer(share.owner).store;
        let mut course = Course::new(spot, roster.clone(), list);
        let mut delivery = None;
        let mut cuts = Some(share.cuts);
        for _ in 0..MAX_ATTEMPTS + roster.factor() as u32 - 1 {
            let needed = majority(course.roster.factor());
            if course.list.as_slice().len() < needed {
                break;
            }
            let delivery = delivery.get_or_insert_with(|| {
                Delivery::new(self.batches(tenant, owner, cuts.take().unwrap_or_default()))
            });
            let sent = match course.list.as_slice() {
                &[only] => self.attempt(&course.roster, only, delivery).await,
                _ => self.attempt_all(&course, needed, delivery).await,
            };
            match sent {
                Ok(()) => return Ok(()),
                Err(trouble) => self.next(tenant, &mut course, trouble, delivery).await?,
            }
        }
        Err(course.roster.unavailable(&course.failed, &course.last))
    }

    /// The first batches of `cuts`: from here on their rows do not change.
    fn batches(&self, tenant: &Tenant, owner: StoreId, cuts: Vec<Cut>) -> Vec<Batch> {
        let batch = |Cut { day, streams, rows }| Batch {
            id: self.ids.next(owner),
            attempt: 0,
            members: Vec::new(),
            factor: 1,
            tenant: tenant.id.clone(),
            day,
            streams,
            rows,
        };
        cuts.into_iter().map(batch).collect()
    }

    /// Sends the batches once more, to one store. They travel, and come back if it fails.
    async fn attempt(
        &self,
        roster: &Roster,
        only: u16,
        delivery: &mut Delivery,
    ) -> Result<(), Trouble> {
        let peer = roster.peer(only);
        delivery.count_up(&[peer.store], roster.factor());
        let batches = std::mem::take(&mut delivery.batches);
        let sent = Sent::of(&batches);
        let error = match peer.append(batches).await {
            Ok(appended) => match acknowledged(&appended, sent.count, delivery.attempt) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(AppendError { error, batches }) => {
                if sent == Sent::of(&batches) {
                    delivery.batches = batches;
                }
                error
            }
        };
        delivery.may_be_stored |= !is_refused_whole(&error);
        Err(Trouble { failed: vec![(peer.clone(), error)], late: Vec::new(), prompt: Vec::new() })
    }

    /// Sends the batches once more, to all members of the list at once.
    async fn attempt_all(
        &self,
        course: &Course,
        needed: usize,
        delivery: &mut Delivery,
    ) -> Result<(), Trouble> {
        let peers: Vec<Arc<Peer>> =
            course.list.as_slice().iter().map(|&m| course.roster.peer(m).clone()).collect();
        let stores: Vec<StoreId> = peers.iter().map(|peer| peer.store).collect();
        delivery.count_up(&stores, course.roster.factor());
        // Whoever is late leaves the list only for somebody who is not.
        let (batches, attempt) = (&delivery.batches, delivery.attempt);
        let can_do_without = |passed: &[_], prompt: &[_]| {
            attempt <= MAX_LATE_ATTEMPTS && course.can_do_without(passed, prompt, needed)
        };
        let sent = replicate(&peers, needed, batches, attempt, &self.clock, can_do_without).await;
        if let Err(trouble) = &sent {
            let is_stored_nowhere = trouble.failed.len() == peers.len()
                && trouble.failed.iter().all(|(_, error)| is_refused_whole(error));
            delivery.may_be_stored |= !is_stored_nowhere;
        }
        sent
    }

    /// What follows from a failed attempt for the next one.
    async fn next(
        &self,
        tenant: &Tenant,
        course: &mut Course,
        trouble: Trouble,
        delivery: &mut Delivery,
    ) -> Result<(), Error> {
        let is_forgotten = |error: &IngesterError| matches!(error, IngesterError::Forgotten(_));
        if let Some((_, error)) = trouble.failed.iter().find(|(_, error)| is_forgotten(error))
            && !self.renew(delivery)
        {
            return Err(refused(error));
        }
        let is_invalid = |error: &IngesterError| error.kind() == ErrorKind::Invalid;
        if let Some((_, error)) = trouble.failed.iter().find(|(_, error)| is_invalid(error)) {
            // The fault is the batches': this peer is well, and no other would take them.
            return Err(refused(error));
        }
        for peer in trouble.prompt {
            course.late.remove(peer.store);
        }
        for peer in trouble.late {
            let error = IngesterError::Unavailable(format!("{} is late", peer.address));
            peer.mark(&error, &*self.clock);
            course.late.insert(&peer);
            course.last = error;
        }
        for (peer, error) in trouble.failed {
            match &error {
                // It is another store than it was, or the view is old: look, then again.
                IngesterError::Misplaced(_) if course.looks_for(peer.store) < MAX_LOOKS => {
                    course.misplaced.push(peer.store);
                    self.peers.look(peer.store).await;
                }
                IngesterError::Forgotten(_) => {}
                _ => {
                    peer.mark(&error, &*self.clock);
                    course.failed.insert(&peer);
                    if delivery.batches.is_empty() {
                        // Whoever had them died with them.
                        return Err(refused(&error));
                    }
                }
            }
            course.last = error;
        }
        // Meanwhile somebody may have come, or come back at another address.
        course.follow(tenant.shard.of(&tenant.id, self.peers.newest()));
        course.list = course.next_list(self.clock.monotonic_ns());
        Ok(())
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

impl Course {
    fn new(spot: Spot, roster: Arc<Roster>, list: Replicas) -> Course {
        let last = IngesterError::Unavailable(String::new());
        let (failed, late, misplaced) = Default::default();
        Course { spot, roster, list, failed, late, misplaced, last }
    }

    /// Takes a newer view. An attempt is sent by what its list says, whatever view made the last one.
    fn follow(&mut self, newest: Arc<Roster>) {
        if newest.version() > self.roster.version() {
            self.failed.forget_moved(&newest);
            self.late.forget_moved(&newest);
            self.roster = newest;
        }
    }

    /// Whether there is a majority without `passed`. Who was late before and is `prompt` is not late.
    fn can_do_without(&self, passed: &[Arc<Peer>], prompt: &[Arc<Peer>], needed: usize) -> bool {
        let mut passed_over = self.late.clone();
        prompt.iter().for_each(|peer| passed_over.remove(peer.store));
        passed_over.extend(&self.failed);
        passed.iter().for_each(|peer| passed_over.insert(peer));
        let list = self.roster.list(self.spot, self.roster.factor(), &passed_over, 0);
        list.as_slice().len() >= needed
    }

    fn looks_for(&self, store: StoreId) -> usize {
        self.misplaced.iter().filter(|&&misplaced| misplaced == store).count()
    }

    fn passed_over(&self) -> Failed {
        let mut passed_over = self.failed.clone();
        passed_over.extend(&self.late);
        passed_over
    }

    /// Those who neither failed nor were late, then those who were late.
    fn next_list(&self, now_ns: u64) -> Replicas {
        let roster = &self.roster;
        let mut list = roster.list(self.spot, roster.factor(), &self.passed_over(), now_ns);
        roster.demote(&mut list, self.spot, &self.late);
        list
    }
}

impl Delivery {
    fn new(batches: Vec<Batch>) -> Delivery {
        Delivery { batches, attempt: 0, may_be_stored: false, is_renewed: false }
    }

    /// Gives the batches the number and the list of the next attempt, and the replication factor of
    /// which a majority acknowledges it.
    fn count_up(&mut self, stores: &[StoreId], factor: usize) {
        assert!(stores.len() >= majority(factor), "a list can acknowledge");
        let factor = u8::try_from(factor).expect("the ring bounds it");
        self.attempt += 1;
        for batch in &mut self.batches {
            assert!(batch.attempt < self.attempt, "attempts count up");
            (batch.attempt, batch.factor) = (self.attempt, factor);
            batch.members.clear();
            batch.members.extend_from_slice(stores);
        }
    }

    fn incarnation(&self) -> Option<Incarnation> {
        self.batches.first().map(|batch| batch.id.incarnation)
    }
}

/// Whether an error says that nothing of the call was stored by it.
fn is_refused_whole(error: &IngesterError) -> bool {
    matches!(error, IngesterError::Misplaced(_) | IngesterError::Forgotten(_))
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
pub(crate) fn acknowledged(
    appended: &Appended,
    count: usize,
    attempt: u32,
) -> Result<(), IngesterError> {
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
