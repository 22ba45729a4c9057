//! Raising `log/floor` (C3).
//!
//! The floor never falls: it is replaced only by who knows what stands there. A cleaner that stalled
//! before its request finds it refused, however much was cleaned meanwhile.

use bytes::Bytes;
use catalog::{Floor, paths};

use crate::bucket::Created;
use crate::error::Error;
use crate::handle::CatalogHandle;

/// Somebody else raised it, or is about to, this often in a row.
const ATTEMPTS: u32 = 8;

impl CatalogHandle {
    /// Commits at or below it are gone for ever.
    pub async fn floor(&self) -> Result<u64, Error> {
        self.read_floor().await
    }

    /// Versions of the checkpoints in the bucket, ascending. Any of them may be damaged.
    pub async fn checkpoints(&self) -> Result<Vec<u64>, Error> {
        let listed = self.bucket().list(paths::MANIFESTS, &paths::manifest(0)).await?;
        let versions = listed.iter().filter_map(|object| paths::number_of(&object.path));
        let mut versions: Vec<u64> = versions.collect();
        versions.sort_unstable();
        Ok(versions)
    }

    /// Raises the floor to the checkpoint of `version` and returns what it is then, which may be
    /// more.
    ///
    /// # Errors
    /// If the checkpoint is not whole: the log before it is all that says what it lacks.
    pub async fn raise_floor(&self, version: u64) -> Result<u64, Error> {
        let loaded = self.load_checkpoint(version).await?;
        if loaded.catalog.is_damaged() {
            let problem = "a day of the checkpoint cannot be read".to_owned();
            return Err(self.bucket().damaged(&paths::manifest(version), problem));
        }
        let raised = Bytes::from(Floor(version).encode());
        for _ in 0..ATTEMPTS {
            let floor = self.read_floor().await?;
            if floor >= version {
                return Ok(floor);
            }
            let is_raised = match floor {
                0 => self.bucket().create(paths::FLOOR, raised.clone()).await? == Created::Now,
                _ => false,
            };
            let expected = Floor(floor).encode();
            if is_raised || self.bucket().replace(paths::FLOOR, &expected, raised.clone()).await? {
                return Ok(version);
            }
        }
        let (store, head) = (self.bucket().name().to_owned(), version);
        Err(Error::Contended { store, attempts: ATTEMPTS, head })
    }
}

#[cfg(test)]
mod tests;
