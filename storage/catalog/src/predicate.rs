//! Deletes (R3): a predicate hides rows from the commit that adds it until a commit cancels it.

use std::fmt;
use std::sync::Arc;

use base::{TenantId, UnixNanos};

/// Names a predicate: the commit S that added it and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PredicateId {
    /// The commit that added it.
    pub commit: u64,
    /// Place in that commit, from 0.
    pub index: u32,
}

/// A standing predicate. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    /// Identity.
    pub id: PredicateId,
    /// What it hides.
    pub body: Arc<crate::commit::NewPredicate>,
}

impl Predicate {
    /// Whether it can hide a row of `tenant` within `[start, end]`, both inclusive.
    pub fn touches(&self, tenant: &TenantId, start: UnixNanos, end: UnixNanos) -> bool {
        self.body.tenant == *tenant && self.body.start <= end && self.body.end >= start
    }
}

impl fmt::Display for PredicateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.commit, self.index)
    }
}
