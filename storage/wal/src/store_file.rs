//! Which store a WAL directory is: a ULID written into it when it is made (B6).

use std::path::Path;

use base::StoreId;
use base::disk::Disk;
use ulid::Ulid;

use crate::promises::Promises;
use crate::reader::read_full;
use crate::{Env, Error};

/// The file's name.
const NAME: &str = "store";
/// 26 characters of the ULID, a space, 8 hex digits of its CRC-32C, a line feed.
const FILE_BYTES: usize = 36;

/// The id of `dir`. `of_segments` is what segment headers say. Without segments nothing was ever
/// acked here, so a missing or torn file makes a new store; with segments their id counts.
pub(crate) fn open(dir: &Path, env: &Env, of_segments: Option<StoreId>) -> Result<StoreId, Error> {
    let path = dir.join(NAME);
    let disk = &*env.disk;
    let exists = disk.list(dir).map_err(|error| Error::disk("list", dir, error))?;
    let exists = exists.iter().any(|name| name == NAME);
    if exists {
        if let Some(store) = read(disk, &path)? {
            // It may be there and not durable: a process that was killed before it synced.
            sync(disk, dir, &path)?;
            return Ok(store);
        }
        tracing::error!(file = %path.display(), "the store id is damaged and is written anew");
        disk.remove(&path).map_err(|error| Error::disk("remove", &path, error))?;
    }
    let store = match of_segments {
        Some(store) => store,
        None => {
            // Whatever was promised here was another store's promise.
            Promises::remove(disk, dir)?;
            StoreId(env.random.ulid(&*env.clock))
        }
    };
    let mut file = disk.create(&path).map_err(|error| Error::disk("create", &path, error))?;
    file.append(&encode(store)).map_err(|error| Error::disk("write", &path, error))?;
    drop(file);
    sync(disk, dir, &path)?;
    Ok(store)
}

/// Takes the id out of `dir`, if it is there.
pub(crate) fn remove(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let names = disk.list(dir).map_err(|error| Error::disk("list", dir, error))?;
    if !names.iter().any(|name| name == NAME) {
        return Ok(());
    }
    let path = dir.join(NAME);
    disk.remove(&path).map_err(|error| Error::disk("remove", &path, error))
}

fn sync(disk: &dyn Disk, dir: &Path, path: &Path) -> Result<(), Error> {
    let file = disk.open(path).map_err(|error| Error::disk("open", path, error))?;
    file.sync_data().map_err(|error| Error::disk("fdatasync", path, error))?;
    disk.sync_dir(dir).map_err(|error| Error::disk("fsync", dir, error))
}

fn encode(store: StoreId) -> Vec<u8> {
    let id = store.to_string();
    format!("{id} {:08x}\n", crc32c::crc32c(id.as_bytes())).into_bytes()
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Option<StoreId>, Error> {
    let file = disk.open(path).map_err(|error| Error::disk("open", path, error))?;
    let mut bytes = [0; FILE_BYTES + 1];
    let read = read_full(&*file, 0, &mut bytes);
    let read = read.map_err(|error| Error::disk("read", path, error))?;
    Ok(decode(&bytes[..read]))
}

/// The id in the bytes of the file; [`None`] if they are damaged.
pub(crate) fn decode(bytes: &[u8]) -> Option<StoreId> {
    let text = std::str::from_utf8(bytes).ok()?;
    let store = StoreId(Ulid::from_string(text.get(..26)?).ok()?);
    (encode(store) == bytes).then_some(store)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::disk::SimDisk;
    use base::disk::sim::Keep;
    use base::random::SeededRandom;
    use base::time::ManualClock;

    use super::*;

    fn env(disk: &SimDisk, seed: u64) -> Env {
        Env {
            disk: Arc::new(disk.clone()),
            clock: Arc::new(ManualClock::default()),
            random: Arc::new(SeededRandom::new(seed)),
        }
    }

    #[test]
    fn the_id_is_made_once_and_survives_a_power_cut() {
        let disk = SimDisk::new();
        let dir = Path::new("wal");
        let first = open(dir, &env(&disk, 1), None).unwrap();
        let disk = disk.crash(Keep::Synced);
        assert_eq!(open(dir, &env(&disk, 2), None).unwrap(), first);
    }

    #[test]
    fn a_damaged_file_takes_the_id_of_the_segments() {
        let disk = SimDisk::new();
        let dir = Path::new("wal");
        let first = open(dir, &env(&disk, 1), None).unwrap();
        disk.flip(&dir.join(NAME), 30, 1);
        assert_eq!(open(dir, &env(&disk, 2), Some(first)).unwrap(), first);
        assert_eq!(open(dir, &env(&disk, 3), None).unwrap(), first);
        assert_eq!(encode(first).len(), FILE_BYTES);
    }
}
