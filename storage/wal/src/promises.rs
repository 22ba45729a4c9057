//! What the store has promised, as empty files whose names say it: an entry of the directory is
//! durable or not there, and one that is there although nobody was told of it only promises more than
//! it must.
//!
//! A promise is made to one ring and says at which version of its state: there it holds until a newer
//! state says otherwise, elsewhere it means nothing. It is of this store: a new store in the directory
//! has made none.

use std::collections::BTreeMap;
use std::path::Path;

use base::StoreId;
use base::disk::Disk;
use ulid::Ulid;

use crate::Error;

/// `refuses-<store>-<since>-<ring>`.
const REFUSES: &str = "refuses-";
/// `requires-<factor>-<since>-<ring>`.
const REQUIRES: &str = "requires-";

/// The promises of one store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    /// By ring, stores whose name on a list makes an append refused (R1b), with the version of the
    /// ring at which the departure began that this belongs to.
    pub refuses: BTreeMap<(Ulid, StoreId), u64>,
    /// By ring, which factor the batches have that are taken.
    pub requires: BTreeMap<Ulid, Required>,
}

/// Appends are refused that were sent under a lower replication factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Required {
    /// The version of the ring that asked for it: the newest counts.
    pub since: u64,
    /// The factor.
    pub factor: u8,
}

impl Promises {
    /// Those of `dir`.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Promises, Error> {
        let names = disk.list(dir).map_err(|error| Error::disk("list", dir, error))?;
        let mut promises = Promises::default();
        for name in names {
            if let Some((ring, store, since)) = parse_refuses(&name) {
                let known = promises.refuses.entry((ring, store)).or_insert(since);
                *known = since.max(*known);
            } else if let Some((ring, required)) = parse_requires(&name) {
                let known = promises.requires.entry(ring).or_insert(required);
                *known = required.max(*known);
            }
        }
        Ok(promises)
    }

    /// Takes all of them out of `dir`: they were another store's.
    pub(crate) fn remove(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
        let names = disk.list(dir).map_err(|error| Error::disk("list", dir, error))?;
        let is_promise = |name: &&String| name.starts_with(REFUSES) || name.starts_with(REQUIRES);
        let mut is_changed = false;
        for name in names.iter().filter(is_promise) {
            let path = dir.join(name);
            disk.remove(&path).map_err(|error| Error::disk("remove", &path, error))?;
            is_changed = true;
        }
        if is_changed {
            disk.sync_dir(dir).map_err(|error| Error::disk("fsync", dir, error))?;
        }
        Ok(())
    }

    /// Durable when it returns. A repeated promise costs nothing.
    pub(crate) fn refuse(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        (ring, store): (Ulid, StoreId),
        since: u64,
    ) -> Result<(), Error> {
        if self.refuses.get(&(ring, store)).is_some_and(|&known| known >= since) {
            return Ok(());
        }
        keep(disk, dir, &format!("{REFUSES}{store}-{since}-{ring}"))?;
        self.refuses.insert((ring, store), since);
        Ok(())
    }

    /// Durable when it returns. The same factor again is the same promise.
    pub(crate) fn require(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        ring: Ulid,
        required: Required,
    ) -> Result<(), Error> {
        if self.requires.get(&ring).is_some_and(|known| *known >= required) {
            return Ok(());
        }
        let Required { since, factor } = required;
        keep(disk, dir, &format!("{REQUIRES}{factor}-{since}-{ring}"))?;
        self.requires.insert(ring, required);
        Ok(())
    }
}

fn parse_refuses(name: &str) -> Option<(Ulid, StoreId, u64)> {
    let (store, rest) = name.strip_prefix(REFUSES)?.split_once('-')?;
    let (since, ring) = rest.split_once('-')?;
    let store = StoreId(Ulid::from_string(store).ok()?);
    Some((Ulid::from_string(ring).ok()?, store, since.parse().ok()?))
}

fn parse_requires(name: &str) -> Option<(Ulid, Required)> {
    let (factor, rest) = name.strip_prefix(REQUIRES)?.split_once('-')?;
    let (since, ring) = rest.split_once('-')?;
    let required = Required { since: since.parse().ok()?, factor: factor.parse().ok()? };
    Some((Ulid::from_string(ring).ok()?, required))
}

fn keep(disk: &dyn Disk, dir: &Path, name: &str) -> Result<(), Error> {
    let path = dir.join(name);
    let file = match disk.create(&path) {
        // A try before that failed half-way.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => disk.open(&path),
        created => created,
    };
    let file = file.map_err(|error| Error::disk("create", &path, error))?;
    file.sync_data().map_err(|error| Error::disk("fdatasync", &path, error))?;
    disk.sync_dir(dir).map_err(|error| Error::disk("fsync", dir, error))
}

#[cfg(test)]
mod tests {
    use base::disk::SimDisk;
    use base::disk::sim::{Fault, Keep};

    use super::*;

    const RING: Ulid = Ulid(7);

    #[test]
    fn a_promise_survives_a_power_cut_from_when_it_was_given() {
        let (disk, dir) = (SimDisk::new(), Path::new("wal"));
        disk.create_dir_all(dir).unwrap();
        let (a, b) = ((RING, StoreId(Ulid(1))), (RING, StoreId(Ulid(2))));
        let required = |factor, since| Required { since, factor };
        let mut promises = Promises::read(&disk, dir).unwrap();
        assert_eq!(promises, Promises::default());
        promises.refuse(&disk, dir, a, 5).unwrap();
        promises.refuse(&disk, dir, b, 6).unwrap();
        promises.refuse(&disk, dir, a, 9).unwrap();
        promises.require(&disk, dir, RING, required(5, 3)).unwrap();
        promises.require(&disk, dir, RING, required(4, 8)).unwrap();
        promises.require(&disk, dir, Ulid(8), required(2, 1)).unwrap();
        let operations = disk.operations();
        promises.refuse(&disk, dir, a, 9).unwrap();
        promises.require(&disk, dir, RING, required(5, 7)).unwrap();
        assert_eq!(disk.operations(), operations, "given already");
        let disk = disk.crash(Keep::Synced);
        let read = Promises::read(&disk, dir).unwrap();
        assert_eq!(read, promises);
        assert_eq!((read.refuses[&a], read.refuses[&b]), (9, 6));
        assert_eq!(read.requires[&RING], required(4, 8), "what was asked for last");
        Promises::remove(&disk, dir).unwrap();
        let read = Promises::read(&disk.crash(Keep::Synced), dir).unwrap();
        assert_eq!(read, Promises::default());
    }

    #[test]
    fn a_promise_that_could_not_be_written_was_not_given_and_is_tried_again() {
        for fault_at in 0..3 {
            let (disk, dir) = (SimDisk::new(), Path::new("wal"));
            disk.create_dir_all(dir).unwrap();
            let mut promises = Promises::default();
            disk.fail_at(disk.operations() + fault_at, Fault::Eio);
            let store = (RING, StoreId(Ulid(1)));
            assert!(promises.refuse(&disk, dir, store, 5).is_err(), "{fault_at}");
            assert!(promises.refuses.is_empty());
            promises.refuse(&disk, dir, store, 5).unwrap();
            let read = Promises::read(&disk.crash(Keep::Synced), dir).unwrap();
            assert_eq!(read.refuses.get(&store), Some(&5));
        }
    }
}
