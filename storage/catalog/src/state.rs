//! The catalog: the log of commits as state.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base::{HashMap, UnixNanos};
use ulid::Ulid;

use crate::checkpoint::{DayCheckpoint, DayEntry, Manifest};
use crate::commit::Commit;
use crate::ids::IdSet;
use crate::part_record::{PartId, PartRecord, PartRef};
use crate::predicate::{Predicate, PredicateId};
use crate::ring_version::RingVersion;
use crate::snapshot::{Damage, DayParts, Snapshot, Tenants};
use crate::table::IdTable;

/// Commits whose nonces and removals are remembered one by one. A draft begun before the oldest
/// of them is treated as if all its parts had been removed.
const TAIL_COMMITS: usize = 16 * 1024;

/// The state after commits `1..=version`, applied in order.
#[derive(Clone, Debug)]
pub struct Catalog {
    version: u64,
    tenants: Arc<Tenants>,
    predicates: Arc<BTreeMap<PredicateId, Predicate>>,
    damage: Arc<Vec<Damage>>,
    ring: Option<RingVersion>,
    table: IdTable,
    tail: Tail,
}

/// What is remembered of single commits: those after `after`.
#[derive(Clone, Debug, Default)]
struct Tail {
    after: u64,
    commits: VecDeque<(u64, u128, Vec<Ulid>)>,
    nonces: HashMap<u128, u64>,
    /// By the id of the part, and by that of the bundle it lay in.
    removed: HashMap<Ulid, Removal>,
}

/// When a part went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The last commit that removed it, or a part of it.
    pub commit: u64,
    /// When that commit was made.
    pub at: UnixNanos,
}

/// What was odd about a commit that was applied. Empty unless a committer broke a rule: log it,
/// count it, go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Ids that an earlier commit had claimed already.
    pub claimed_twice: IdSet,
    /// Parts that existed already.
    pub added_twice: Vec<PartId>,
}

impl Default for Catalog {
    fn default() -> Catalog {
        Catalog::new()
    }
}

impl Catalog {
    /// Before the first commit.
    pub fn new() -> Catalog {
        Catalog {
            version: 0,
            tenants: Arc::default(),
            predicates: Arc::default(),
            damage: Arc::default(),
            ring: None,
            table: IdTable::default(),
            tail: Tail::default(),
        }
    }

    /// The state that a checkpoint describes. Days that could not be read are left out and named
    /// in `damage`.
    pub fn from_checkpoint(
        manifest: &Manifest,
        table: IdTable,
        days: Vec<DayCheckpoint>,
        damage: Vec<Damage>,
    ) -> Catalog {
        let mut tenants = Tenants::new();
        for day in days {
            let parts = day.parts.into_iter().map(|part| (part.id, Arc::new(part))).collect();
            let of_tenant = Arc::make_mut(tenants.entry(day.tenant).or_default());
            of_tenant.insert(day.day, Arc::new(DayParts { changed_at: day.changed_at, parts }));
        }
        let predicates = manifest.predicates.iter().map(|p| (p.id, p.clone())).collect();
        Catalog {
            version: manifest.version,
            tenants: Arc::new(tenants),
            predicates: Arc::new(predicates),
            damage: Arc::new(damage),
            ring: manifest.ring,
            table,
            tail: Tail { after: manifest.version, ..Tail::default() },
        }
    }

    /// V: the last applied commit.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The immutable view of this version.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            version: self.version,
            tenants: Arc::clone(&self.tenants),
            predicates: Arc::clone(&self.predicates),
            damage: Arc::clone(&self.damage),
            ring: self.ring,
        }
    }

    /// The ids that commits up to this version claim.
    pub fn table(&self) -> &IdTable {
        &self.table
    }

    /// Whether the part exists at this version.
    pub fn is_live(&self, part: &PartRef) -> bool {
        let day = self.tenants.get(&part.tenant).and_then(|days| days.get(&part.day));
        day.is_some_and(|day| day.parts.contains_key(&part.id))
    }

    /// Whether the predicate stands at this version.
    pub fn stands(&self, predicate: PredicateId) -> bool {
        self.predicates.contains_key(&predicate)
    }

    /// The number of the commit that bears `nonce`, if it is among those remembered.
    pub fn number_of_nonce(&self, nonce: u128) -> Option<u64> {
        self.tail.nonces.get(&nonce).copied()
    }

    /// Whether a commit after `since` removed the part or its object, or may have.
    pub fn may_be_removed_since(&self, part: &PartRecord, since: u64) -> bool {
        let is_removed = |id| self.removal(id).is_some_and(|removal| removal.commit > since);
        since < self.tail.after || is_removed(part.id.0) || is_removed(part.object_id())
    }

    /// When commits removed the object of this id, or some part of a bundle, if they are among
    /// those remembered. Other parts of a bundle may be live.
    pub fn removal(&self, object: Ulid) -> Option<Removal> {
        self.tail.removed.get(&object).copied()
    }

    /// Applies the next commit.
    ///
    /// # Panics
    /// If it is not number `version + 1`: the state would be that of no log.
    pub fn apply(&mut self, commit: &Commit) -> Applied {
        assert_eq!(commit.number, self.version + 1, "commits are applied in order");
        let mut applied = Applied {
            claimed_twice: self.table.claimed_of(&commit.claims),
            added_twice: Vec::new(),
        };
        self.table.apply(commit);
        let mut removed = Vec::with_capacity(commit.removed.len());
        for part in &commit.removed {
            removed.push(part.id.0);
            let bundle = self.remove(part, commit.number);
            if bundle.is_some_and(|bundle| removed.last() != Some(&bundle)) {
                removed.extend(bundle);
            }
        }
        for part in &commit.added {
            if self.add(part, commit.number) {
                applied.added_twice.push(part.id);
            }
        }
        self.apply_predicates(commit);
        self.ring = RingVersion::then(self.ring, commit.ring);
        self.tail.push(commit, removed);
        self.version = commit.number;
        applied
    }

    /// Goes past a commit that cannot be read (P8): what it said is missing, and named.
    pub fn skip(&mut self, number: u64, damage: Damage) {
        assert_eq!(number, self.version + 1, "commits are skipped in order");
        self.version = number;
        // Its removals are not known.
        self.tail.forget_through(number);
        Arc::make_mut(&mut self.damage).push(damage);
    }

    fn add(&mut self, part: &PartRecord, number: u64) -> bool {
        let tenants = Arc::make_mut(&mut self.tenants);
        let days = Arc::make_mut(tenants.entry(part.tenant.clone()).or_default());
        let day = Arc::make_mut(days.entry(part.day).or_default());
        day.changed_at = number;
        day.parts.insert(part.id, Arc::new(part.clone())).is_some()
    }

    /// Returns the id of the object that the part lay in.
    fn remove(&mut self, part: &PartRef, number: u64) -> Option<Ulid> {
        if !self.is_live(part) {
            return None; // an uploaded object that no commit named (C4)
        }
        let tenants = Arc::make_mut(&mut self.tenants);
        let of_tenant = Arc::make_mut(tenants.get_mut(&part.tenant)?);
        let of_day = Arc::make_mut(of_tenant.get_mut(&part.day)?);
        of_day.changed_at = number;
        let record = of_day.parts.remove(&part.id)?;
        if of_day.parts.is_empty() {
            of_tenant.remove(&part.day);
        }
        if of_tenant.is_empty() {
            tenants.remove(&part.tenant);
        }
        Some(record.object_id())
    }

    fn apply_predicates(&mut self, commit: &Commit) {
        if commit.predicates.is_empty() && commit.cancelled.is_empty() {
            return;
        }
        let predicates = Arc::make_mut(&mut self.predicates);
        for (index, body) in (0..).zip(&commit.predicates) {
            let id = PredicateId { commit: commit.number, index };
            predicates.insert(id, Predicate { id, body: Arc::new(body.clone()) });
        }
        for id in &commit.cancelled {
            predicates.remove(id);
        }
    }

    /// What the next checkpoint consists of: one object per entry (not written again while
    /// `changed_at` stays), the id table, and this manifest last.
    pub fn manifest(&self, at: UnixNanos) -> Manifest {
        let mut days = Vec::new();
        for (tenant, of_tenant) in self.tenants.iter() {
            for (&day, parts) in of_tenant.iter() {
                let changed_at = parts.changed_at;
                days.push(DayEntry { tenant: tenant.clone(), day, changed_at });
            }
        }
        let predicates = self.predicates.values().cloned().collect();
        let (version, ring) = (self.version, self.ring);
        Manifest { version, at, days, predicates, ring, rest: Vec::new() }
    }

    /// The parts of one tenant and day, if there are any.
    pub fn day_checkpoint(&self, entry: &DayEntry) -> Option<DayCheckpoint> {
        let day = self.tenants.get(&entry.tenant)?.get(&entry.day)?;
        Some(DayCheckpoint {
            tenant: entry.tenant.clone(),
            day: entry.day,
            changed_at: day.changed_at,
            parts: day.parts.values().map(|part| part.as_ref().clone()).collect(),
        })
    }

    /// Whether some object could not be read; such a state must not become a checkpoint.
    pub fn is_damaged(&self) -> bool {
        !self.damage.is_empty()
    }
}

impl Tail {
    fn push(&mut self, commit: &Commit, removed: Vec<Ulid>) {
        self.nonces.insert(commit.nonce, commit.number);
        for &object in &removed {
            self.removed.insert(object, Removal { commit: commit.number, at: commit.at });
        }
        self.commits.push_back((commit.number, commit.nonce, removed));
        if self.commits.len() > TAIL_COMMITS
            && let Some(&(oldest, _, _)) = self.commits.front()
        {
            self.forget_through(oldest);
        }
    }

    fn forget_through(&mut self, number: u64) {
        self.after = number;
        while let Some((at, _, _)) = self.commits.front()
            && *at <= number
        {
            let Some((_, nonce, removed)) = self.commits.pop_front() else { return };
            self.nonces.remove(&nonce);
            for object in removed {
                // A later commit may have removed another part of the same bundle.
                if self.removed.get(&object).is_some_and(|removal| removal.commit <= number) {
                    self.removed.remove(&object);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
