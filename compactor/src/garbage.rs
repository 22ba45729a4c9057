//! Objects that this process has had removed, until they are deleted (C4).
//!
//! Only a short way: what is not in here, because another process or a run before this one removed
//! it, the pass over the bucket finds by listing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base::{HashSet, UnixNanos};
use metrics::gauge;
use store::PartRecord;
use ulid::Ulid;

use crate::metrics::GARBAGE;

/// Removed objects by id.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    objects: Mutex<BTreeMap<Ulid, Removed>>,
}

/// An object that no commit names any more.
#[derive(Clone, Debug)]
pub(crate) struct Removed {
    pub(crate) id: Ulid,
    pub(crate) path: String,
    /// When the commit was made.
    pub(crate) at: UnixNanos,
}

impl Garbage {
    /// Takes the objects of `parts`, which a commit made at `at` has removed; a bundle with live
    /// parts is not one.
    pub(crate) fn add<'a>(
        &self,
        parts: impl Iterator<Item = &'a PartRecord>,
        at: UnixNanos,
        named: &HashSet<Ulid>,
    ) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        for part in parts.filter(|part| !named.contains(&part.object_id())) {
            let (id, path) = (part.object_id(), part.path());
            objects.insert(id, Removed { id, path, at });
        }
        gauge!(GARBAGE).set(objects.len() as f64);
    }

    /// Those that `is_old` says yes to.
    pub(crate) fn old(&self, is_old: impl Fn(UnixNanos) -> bool) -> Vec<Removed> {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.values().filter(|removed| is_old(removed.at)).cloned().collect()
    }

    /// It is deleted, or somebody names it.
    pub(crate) fn forget(&self, id: Ulid) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.remove(&id);
        gauge!(GARBAGE).set(objects.len() as f64);
    }
}
