//! The catalog at one version, for readers.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Day, TenantId, UnixNanos};

use crate::part_record::{PartId, PartRecord};
use crate::predicate::{Predicate, PredicateId};
use crate::ring_version::RingVersion;

/// Parts of one tenant and day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DayParts {
    /// The last commit that added or removed one of them.
    pub changed_at: u64,
    pub parts: BTreeMap<PartId, Arc<PartRecord>>,
}

pub(crate) type Days = BTreeMap<Day, Arc<DayParts>>;
pub(crate) type Tenants = BTreeMap<TenantId, Arc<Days>>;

/// Stored bytes that could not be read; what they said is missing from the catalog (P8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Name of the object.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
    /// The only tenant and day that it concerns, if that is known.
    pub scope: Option<(TenantId, Day)>,
}

/// An immutable view of the catalog after commits `1..=version`. Cheap to clone; shares all days
/// that did not change with other snapshots.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) version: u64,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) predicates: Arc<BTreeMap<PredicateId, Predicate>>,
    pub(crate) damage: Arc<Vec<Damage>>,
    pub(crate) ring: Option<RingVersion>,
}

impl Snapshot {
    /// V: the last commit that is in this view. 0 is the empty log.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version of the ring that the log names: a reader with an older one does not know all
    /// stores that may hold rows.
    pub fn ring(&self) -> Option<RingVersion> {
        self.ring
    }

    /// The parts with rows of `tenant` that may fall into `[start, end]`, both inclusive; by day,
    /// then by id.
    pub fn parts(
        &self,
        tenant: &TenantId,
        start: UnixNanos,
        end: UnixNanos,
    ) -> Vec<Arc<PartRecord>> {
        let Some(days) = self.tenants.get(tenant) else { return Vec::new() };
        if start > end {
            return Vec::new();
        }
        days.range(Day::of(start)..=Day::of(end))
            .flat_map(|(_, day)| day.parts.values())
            .filter(|part| part.overlaps(start, end))
            .cloned()
            .collect()
    }

    /// Every part, for tools and checks: by tenant, day and id.
    pub fn all_parts(&self) -> impl Iterator<Item = &Arc<PartRecord>> {
        self.tenants.values().flat_map(|days| days.values()).flat_map(|day| day.parts.values())
    }

    /// Tenants that have parts.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.tenants.keys()
    }

    /// The standing predicates that can hide rows of `tenant` in `[start, end]`, both inclusive.
    pub fn predicates(
        &self,
        tenant: &TenantId,
        start: UnixNanos,
        end: UnixNanos,
    ) -> Vec<Predicate> {
        let touching = self.predicates.values().filter(|p| p.touches(tenant, start, end));
        touching.cloned().collect()
    }

    /// Objects that could not be read and concern `tenant` in `[start, end]`, both inclusive:
    /// parts may be missing from this view.
    pub fn damage(&self, tenant: &TenantId, start: UnixNanos, end: UnixNanos) -> Vec<&Damage> {
        let days = Day::of(start)..=Day::of(end);
        let concerns = |damage: &&Damage| match &damage.scope {
            Some((damaged, day)) => damaged == tenant && days.contains(day),
            None => true,
        };
        self.damage.iter().filter(concerns).collect()
    }
}
