//! The end of a store: its directory becomes a new one.

use crate::promises::Promises;
use crate::replay::segments;
use crate::store_file;
use crate::{Config, Env, Error};

/// Takes the segments and then the id out of the directory: the next start makes a new store of it.
/// Only for a log that is closed and whose every batch a commit claims. Blocking; when it fails half
/// way, what is left is the same store with less in it, and it can be called again.
pub fn retire(config: &Config, env: &Env) -> Result<(), Error> {
    let dir = &config.dir;
    for path in segments(&*env.disk, dir)? {
        env.disk.remove(&path).map_err(|error| Error::disk("remove", &path, error))?;
    }
    // The id goes after the last segment is durably gone: else a segment would bring it back.
    env.disk.sync_dir(dir).map_err(|error| Error::disk("fsync", dir, error))?;
    store_file::remove(&*env.disk, dir)?;
    env.disk.sync_dir(dir).map_err(|error| Error::disk("fsync", dir, error))?;
    // Until here they were this store's; whoever makes the next one removes them, too.
    Promises::remove(&*env.disk, dir)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use base::StoreId;
    use base::disk::SimDisk;
    use base::disk::sim::Keep;
    use base::random::SeededRandom;
    use base::time::ManualClock;
    use ulid::Ulid;

    use super::*;
    use crate::{Required, Verdict, Wal, store_id};

    #[test]
    fn a_retired_directory_is_a_new_store() {
        let disk = SimDisk::new();
        let config = Config { dir: Path::new("wal").into(), ..Config::default() };
        let env = |seed| Env {
            disk: Arc::new(disk.clone()),
            clock: Arc::new(ManualClock::default()),
            random: Arc::new(SeededRandom::new(seed)),
        };
        let first = store_id(&config, &env(1)).unwrap();
        let (wal, _) = Wal::open(config.clone(), env(2), |_| Verdict::Keep).unwrap();
        assert_eq!(wal.store(), first);
        wal.refuse(Ulid(7), StoreId(Ulid(1)), 5).unwrap();
        wal.require(Ulid(7), Required { since: 6, factor: 5 }).unwrap();
        wal.close();
        drop(wal);
        // A power cut between the last two steps leaves them to the next store, which made none.
        let cut = disk.crash(Keep::Synced);
        store_file::remove(&cut, Path::new("wal")).unwrap();
        let after = Env { disk: Arc::new(cut), ..env(7) };
        assert_ne!(store_id(&config, &after).unwrap(), first);
        let (wal, _) = Wal::open(config.clone(), after, |_| Verdict::Keep).unwrap();
        assert_eq!(wal.promises(), Promises::default());
        retire(&config, &env(3)).unwrap();
        let second = store_id(&config, &env(4)).unwrap();
        assert_ne!(second, first);
        retire(&config, &env(5)).unwrap();
        retire(&config, &env(6)).unwrap();
    }
}
