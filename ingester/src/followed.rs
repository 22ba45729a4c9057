//! Batches of which another store is first: what is known of them, without their rows (W3).
//!
//! There may be as many as the log has records, so an entry is small, lists are shared, and nothing
//! walks all entries that a list or an id can answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{BatchId, StoreId};
use catalog::IdSet;

use crate::day::Held;

/// Memory of one entry, its share of a list and of the tree's nodes included.
pub(crate) const ENTRY_BYTES: u64 = 256;

/// A batch that another store answers for and flushes while it is there.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub held: Held,
    /// When it came, monotonic nanoseconds.
    pub began_ns: u64,
    /// What its rows will take in memory.
    pub bytes: u64,
    /// Its record could not be read: nobody tries again but a query that needs it.
    pub is_damaged: bool,
}

/// The followed batches of a day.
#[derive(Default)]
pub(crate) struct Index {
    batches: BTreeMap<BatchId, Followed>,
    /// How many of them have this list.
    lists: BTreeMap<Arc<[StoreId]>, usize>,
}

impl Index {
    /// What is known of a batch.
    pub(crate) fn get(&self, id: &BatchId) -> Option<&Followed> {
        self.batches.get(id)
    }

    /// Whether the batch is followed.
    pub(crate) fn contains(&self, id: &BatchId) -> bool {
        self.batches.contains_key(id)
    }

    /// Number of batches.
    pub(crate) fn len(&self) -> usize {
        self.batches.len()
    }

    /// Whether nothing is followed.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// All of them, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&BatchId, &Followed)> {
        self.batches.iter()
    }

    /// The lists that batches have.
    pub(crate) fn lists(&self) -> impl Iterator<Item = &[StoreId]> {
        self.lists.keys().map(|list| &**list)
    }

    /// Adds a batch that is not in it.
    pub(crate) fn insert(&mut self, id: BatchId, mut followed: Followed) {
        if let Some((known, _)) = self.lists.get_key_value(&followed.held.members) {
            followed.held.members = known.clone();
        }
        *self.lists.entry(followed.held.members.clone()).or_insert(0) += 1;
        let before = self.batches.insert(id, followed);
        assert!(before.is_none(), "batch {id} is followed once");
    }

    /// Takes a batch out.
    pub(crate) fn remove(&mut self, id: &BatchId) -> Option<Followed> {
        let followed = self.batches.remove(id)?;
        let members = &followed.held.members;
        let count = self.lists.get_mut(members).expect("every batch counts for its list");
        *count -= 1;
        if *count == 0 {
            self.lists.remove(members);
        }
        Some(followed)
    }

    /// The record of a batch could not be read.
    pub(crate) fn set_damaged(&mut self, id: &BatchId) {
        if let Some(followed) = self.batches.get_mut(id) {
            followed.is_damaged = true;
        }
    }

    /// Batches that `own` has to answer if only `asked` are asked.
    pub(crate) fn owed(&self, own: StoreId, asked: &[StoreId]) -> Vec<BatchId> {
        let owed = self.lists().filter(|list| is_owed(list, own, asked));
        if owed.count() == 0 {
            return Vec::new();
        }
        let owed = self.batches.iter().filter(|(_, f)| is_owed(&f.held.members, own, asked));
        owed.map(|(&id, _)| id).collect()
    }

    /// Whether a batch has `store` in its list.
    pub(crate) fn names(&self, store: StoreId) -> bool {
        self.lists().any(|list| list.contains(&store))
    }

    /// Those of `claims` that are followed.
    pub(crate) fn among(&self, claims: &IdSet) -> Vec<BatchId> {
        let mut among = Vec::new();
        for (incarnation, owner, ranges) in claims.iter() {
            for (first, last) in ranges.iter() {
                let id = |sequence| BatchId { incarnation, owner, sequence };
                among.extend(self.batches.range(id(first)..=id(last)).map(|(&id, _)| id));
            }
        }
        among
    }
}

/// The stores before `own` in a list: while one of them is there, it answers and flushes.
pub(crate) fn ahead(list: &[StoreId], own: StoreId) -> &[StoreId] {
    let own = list.iter().position(|&member| member == own);
    &list[..own.unwrap_or(list.len())]
}

/// Whether `own` is the first of the list among `asked`.
pub(crate) fn is_owed(list: &[StoreId], own: StoreId, asked: &[StoreId]) -> bool {
    ahead(list, own).iter().all(|store| !asked.contains(store))
}

#[cfg(test)]
mod tests {
    use base::Incarnation;
    use ulid::Ulid;

    use super::*;

    fn store(n: u128) -> StoreId {
        StoreId(Ulid(n))
    }

    fn id(owner: u128, sequence: u64) -> BatchId {
        BatchId { incarnation: Incarnation(Ulid(1)), owner: store(owner), sequence }
    }

    fn followed(list: &[u128]) -> Followed {
        let members = list.iter().map(|&n| store(n)).collect();
        let held = Held { attempt: 1, factor: 3, members, appended: 1 };
        Followed { held, began_ns: 0, bytes: 10, is_damaged: false }
    }

    #[test]
    fn an_entry_takes_no_more_than_is_counted_for_it() {
        let entry = std::mem::size_of::<(BatchId, Followed)>();
        // Nodes of a tree that was filled in order are half full at worst.
        assert!(2 * entry as u64 <= ENTRY_BYTES, "{entry}");
    }

    #[test]
    fn lists_are_shared_and_say_who_owes_what() {
        let mut index = Index::default();
        for sequence in 1..=3 {
            index.insert(id(7, sequence), followed(&[7, 9]));
        }
        index.insert(id(8, 1), followed(&[8, 7, 9]));
        assert_eq!(index.lists().count(), 2);
        let (first, second) = (index.get(&id(7, 1)).unwrap(), index.get(&id(7, 2)).unwrap());
        assert!(Arc::ptr_eq(&first.held.members, &second.held.members));
        assert_eq!(index.owed(store(9), &[store(7), store(8)]), []);
        assert_eq!(index.owed(store(9), &[store(8)]), [id(7, 1), id(7, 2), id(7, 3)]);
        assert_eq!(index.owed(store(9), &[store(7)]), []);
        assert_eq!(index.owed(store(9), &[]).len(), 4, "nobody else is asked");
        assert!(index.names(store(8)));
        assert!(index.remove(&id(8, 1)).is_some() && index.remove(&id(8, 1)).is_none());
        assert!(!index.names(store(8)));
    }

    #[test]
    fn what_a_commit_claims_is_found_by_its_ranges() {
        let mut index = Index::default();
        for sequence in 1..=9 {
            index.insert(id(7, sequence), followed(&[7, 9]));
            index.insert(id(8, sequence), followed(&[8, 9]));
        }
        let mut claims = IdSet::default();
        claims.insert_range(Incarnation(Ulid(1)), store(7), 3, 4);
        claims.insert_range(Incarnation(Ulid(1)), store(7), 9, 20);
        claims.insert_range(Incarnation(Ulid(2)), store(8), 1, 20);
        assert_eq!(index.among(&claims), [id(7, 3), id(7, 4), id(7, 9)]);
    }
}
