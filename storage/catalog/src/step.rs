//! The pure step of every commit (C2): one function for flush, merge, orphan cleaner and deletes.

use base::{HashSet, StoreId, UnixNanos};
use ulid::Ulid;

use crate::commit::{Commit, NewPredicate};
use crate::ids::IdSet;
use crate::part_record::{PartId, PartRecord, PartRef};
use crate::predicate::PredicateId;
use crate::ring_version::RingVersion;
use crate::state::Catalog;

/// What somebody wants to commit. Its parts are uploaded already.
///
/// Contents never change under a nonce: a rebuilt draft draws a new one, and its parts new ids.
/// Nobody deletes the parts of a draft that was not committed: an answer may have been lost, and
/// the orphan cleaner finds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Tells the committer its own commit.
    pub nonce: u128,
    /// The version of the catalog **before** the first part of the draft was uploaded.
    pub began_at: u64,
    /// Now. Only ages the id table.
    pub at: UnixNanos,
    /// The batches whose rows are in `added`.
    pub claims: IdSet,
    /// Parts to add.
    pub added: Vec<PartRecord>,
    /// Inputs of a merge: parts that must exist and will exist no longer.
    pub removed: Vec<PartRef>,
    /// Uploaded objects that no commit names, to be deleted after this commit (C4): the ids that
    /// their names end with ([`PartRecord::object_id`]).
    pub orphans: Vec<Ulid>,
    /// Predicates whose rows the draft left out of `added` (a purging merge): all must stand.
    pub applied: Vec<PredicateId>,
    /// Deletes to add.
    pub predicates: Vec<NewPredicate>,
    /// Deletes to cancel; all must stand.
    pub cancelled: Vec<PredicateId>,
    /// A version of the ring to name.
    pub ring: Option<RingVersion>,
}

/// What a draft may do next, given every commit before its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is in the way: put it at the next number.
    Put,
    /// It is commit `n` already.
    Done(u64),
    /// It must be built again, under a new nonce.
    Rebuild {
        /// Ids that are claimed already: leave them out, their rows are in other parts.
        claimed: IdSet,
        /// Ids older than the table reaches: put them aside with a named error.
        forgotten: IdSet,
        /// Own parts that were removed since the draft began: upload anew, under new ids.
        upload_again: Vec<PartId>,
    },
    /// It has become pointless.
    Ended(EndReason),
}

/// Why a draft has become pointless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Somebody else merged or expired an input.
    InputRemoved(PartRef),
    /// A predicate that it applied, or wants to cancel, does not stand.
    PredicateCancelled(PredicateId),
    /// What it takes for an orphan holds this part, which a commit added.
    OrphanIsLive(PartRef),
}

impl Draft {
    /// An empty draft.
    pub fn new(nonce: u128, began_at: u64, at: UnixNanos) -> Draft {
        Draft {
            nonce,
            began_at,
            at,
            claims: IdSet::default(),
            added: Vec::new(),
            removed: Vec::new(),
            orphans: Vec::new(),
            applied: Vec::new(),
            predicates: Vec::new(),
            cancelled: Vec::new(),
            ring: None,
        }
    }

    /// The commit that this draft becomes at `number`.
    pub fn at_number(&self, number: u64, committer: StoreId) -> Commit {
        if self.removed.is_empty() {
            let purged = self.added.iter().find(|part| part.purged_through > 0);
            assert!(purged.is_none(), "a flush purges nothing (R3): {purged:?}");
        }
        let mut added = self.added.clone();
        added.sort_by(|a, b| (&a.tenant, a.day, a.id).cmp(&(&b.tenant, b.day, b.id)));
        let orphans = self.orphans.iter().map(|&object| PartRef::orphan(object));
        let mut removed: Vec<PartRef> = self.removed.iter().cloned().chain(orphans).collect();
        removed.sort();
        removed.dedup();
        Commit {
            number,
            nonce: self.nonce,
            committer,
            at: self.at,
            claims: self.claims.clone(),
            added,
            removed,
            predicates: self.predicates.clone(),
            cancelled: self.cancelled.clone(),
            ring: self.ring,
            rest: Vec::new(),
        }
    }
}

/// Compares a draft with every commit that `catalog` has applied. Only after [`Step::Put`] may the
/// draft be put, and only at number `catalog.version() + 1`.
pub fn step(catalog: &Catalog, draft: &Draft) -> Step {
    if let Some(number) = catalog.number_of_nonce(draft.nonce) {
        return Step::Done(number);
    }
    if let Some(reason) = end_reason(catalog, draft) {
        return Step::Ended(reason);
    }
    let claimed = catalog.table().claimed_of(&draft.claims);
    let forgotten = catalog.table().forgotten_of(&draft.claims);
    let removed = |part: &&PartRecord| catalog.may_be_removed_since(part, draft.began_at);
    let upload_again: Vec<PartId> = draft.added.iter().filter(removed).map(|p| p.id).collect();
    if claimed.is_empty() && forgotten.is_empty() && upload_again.is_empty() {
        return Step::Put;
    }
    Step::Rebuild { claimed, forgotten, upload_again }
}

fn end_reason(catalog: &Catalog, draft: &Draft) -> Option<EndReason> {
    if let Some(part) = draft.removed.iter().find(|part| !catalog.is_live(part)) {
        return Some(EndReason::InputRemoved(part.clone()));
    }
    let mut needed = draft.applied.iter().chain(&draft.cancelled);
    if let Some(&predicate) = needed.find(|&&predicate| !catalog.stands(predicate)) {
        return Some(EndReason::PredicateCancelled(predicate));
    }
    if draft.orphans.is_empty() {
        return None;
    }
    let orphans: HashSet<Ulid> = draft.orphans.iter().copied().collect();
    let snapshot = catalog.snapshot();
    let live = snapshot.all_parts().find(|part| orphans.contains(&part.object_id()))?;
    Some(EndReason::OrphanIsLive(live.reference()))
}
