//! What the store has promised for good, as empty files whose names say it: an entry of the
//! directory is durable or not there, and one that is there although nobody was told of it only
//! promises more than it must.

use std::collections::BTreeMap;
use std::path::Path;

use base::StoreId;
use base::disk::Disk;
use ulid::Ulid;

use crate::Error;

/// `refuses-<store>-<since>`.
const REFUSES: &str = "refuses-";
/// `requires-<factor>`.
const REQUIRES: &str = "requires-";

/// The promises of one store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    /// Stores whose name on a list makes an append refused (R1b), with the version of the ring at
    /// which the departure began that this belongs to.
    pub refuses: BTreeMap<StoreId, u64>,
    /// Appends are refused whose list is shorter than a majority of this factor.
    pub requires: u8,
}

impl Promises {
    /// Those of `dir`.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Promises, Error> {
        let names = disk.list(dir).map_err(|error| Error::disk("list", dir, error))?;
        let mut promises = Promises::default();
        for name in names {
            if let Some((store, since)) = parse_refuses(&name) {
                let known = promises.refuses.entry(store).or_insert(since);
                *known = since.max(*known);
            } else if let Some(factor) = name.strip_prefix(REQUIRES) {
                promises.requires = promises.requires.max(factor.parse().unwrap_or(0));
            }
        }
        Ok(promises)
    }

    /// Durable when it returns. A repeated promise costs nothing.
    pub(crate) fn refuse(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        store: StoreId,
        since: u64,
    ) -> Result<(), Error> {
        if self.refuses.get(&store).is_some_and(|&known| known >= since) {
            return Ok(());
        }
        keep(disk, dir, &format!("{REFUSES}{store}-{since}"))?;
        self.refuses.insert(store, since);
        Ok(())
    }

    /// Durable when it returns.
    pub(crate) fn require(&mut self, disk: &dyn Disk, dir: &Path, factor: u8) -> Result<(), Error> {
        if self.requires < factor {
            keep(disk, dir, &format!("{REQUIRES}{factor}"))?;
            self.requires = factor;
        }
        Ok(())
    }
}

fn parse_refuses(name: &str) -> Option<(StoreId, u64)> {
    let (store, since) = name.strip_prefix(REFUSES)?.split_once('-')?;
    Some((StoreId(Ulid::from_string(store).ok()?), since.parse().ok()?))
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

    #[test]
    fn a_promise_survives_a_power_cut_from_when_it_was_given() {
        let (disk, dir) = (SimDisk::new(), Path::new("wal"));
        disk.create_dir_all(dir).unwrap();
        let (a, b) = (StoreId(Ulid(1)), StoreId(Ulid(2)));
        let mut promises = Promises::read(&disk, dir).unwrap();
        assert_eq!(promises, Promises::default());
        promises.refuse(&disk, dir, a, 5).unwrap();
        promises.refuse(&disk, dir, b, 6).unwrap();
        promises.refuse(&disk, dir, a, 9).unwrap();
        promises.require(&disk, dir, 3).unwrap();
        let operations = disk.operations();
        promises.refuse(&disk, dir, a, 9).unwrap();
        promises.require(&disk, dir, 2).unwrap();
        assert_eq!(disk.operations(), operations, "given already");
        let disk = disk.crash(Keep::Synced);
        let read = Promises::read(&disk, dir).unwrap();
        assert_eq!(read, promises);
        assert_eq!((read.refuses[&a], read.refuses[&b], read.requires), (9, 6, 3));
    }

    #[test]
    fn a_promise_that_could_not_be_written_was_not_given_and_is_tried_again() {
        for fault_at in 0..3 {
            let (disk, dir) = (SimDisk::new(), Path::new("wal"));
            disk.create_dir_all(dir).unwrap();
            let mut promises = Promises::default();
            disk.fail_at(disk.operations() + fault_at, Fault::Eio);
            let store = StoreId(Ulid(1));
            assert!(promises.refuse(&disk, dir, store, 5).is_err(), "{fault_at}");
            assert!(promises.refuses.is_empty());
            promises.refuse(&disk, dir, store, 5).unwrap();
            let read = Promises::read(&disk.crash(Keep::Synced), dir).unwrap();
            assert_eq!(read.refuses.get(&store), Some(&5));
        }
    }
}
