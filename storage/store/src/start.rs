//! Starting from the newest checkpoint that can be read (P4, P8).

use std::collections::BTreeSet;

use catalog::{Catalog, Damage, DayCheckpoint, DayEntry, IdTable, Manifest, paths};
use futures::StreamExt;

use crate::error::Error;
use crate::handle::{CatalogHandle, LastCheckpoint};
use crate::metrics::{CORRUPT, RESTARTS};

/// Day objects read at the same time.
const CONCURRENT_READS: usize = 16;

/// Bound on any object of a checkpoint.
const MAX_CHECKPOINT_BYTES: u64 = 256 << 20;

/// A checkpoint that was read; `damage` names the days that could not be.
pub(crate) struct Loaded {
    pub(crate) catalog: Catalog,
    days: BTreeSet<DayEntry>,
}

impl CatalogHandle {
    /// Loads the state at process start.
    pub(crate) async fn start(&self) -> Result<(), Error> {
        let _tail = self.inner.tail.lock().await;
        let floor = self.read_floor().await?;
        let loaded = self.load(floor, 0).await?;
        self.install(loaded).await;
        let version = self.version();
        let listed = self.bucket().list(paths::LOG, &paths::commit(version)).await?;
        let greatest = listed.iter().filter_map(|object| paths::number_of(&object.path)).max();
        self.follow_round(greatest.unwrap_or(0)).await
    }

    /// Goes back to a checkpoint because the log's floor has passed us.
    pub(crate) async fn start_over(&self) -> Result<(), Error> {
        let _tail = self.inner.tail.lock().await;
        self.restart().await
    }

    /// The caller holds `tail`.
    pub(crate) async fn restart(&self) -> Result<(), Error> {
        metrics::counter!(RESTARTS).increment(1);
        let floor = self.read_floor().await?;
        let version = self.version();
        if version >= floor {
            return Ok(()); // somebody else has done it
        }
        tracing::warn!(version, floor, "the log was cleaned past us; starting over");
        let loaded = self.load(floor, version).await?;
        self.install(loaded).await;
        Ok(())
    }

    async fn install(&self, loaded: Loaded) {
        let version = loaded.catalog.version();
        let mut last = self.inner.checkpoint.lock().await;
        *last = LastCheckpoint { version, days: loaded.days };
        drop(last);
        self.change(|catalog| *catalog = loaded.catalog);
        let catalog = self.read(Catalog::clone);
        let observers: Vec<_> = self.observers().clone();
        for observer in observers {
            observer.restarted(&catalog);
        }
        self.publish();
    }

    /// The newest checkpoint at or after `floor` that is whole; else the whole log, if it is all
    /// there; else the newest checkpoint that lacks some days, which are named as damage.
    async fn load(&self, mut floor: u64, at_least: u64) -> Result<Loaded, Error> {
        loop {
            let newest = self.newest_checkpoint(floor.max(at_least)).await?;
            let partial = match newest {
                Some(loaded) if !loaded.catalog.is_damaged() => return Ok(loaded),
                _ if floor == 0 && at_least == 0 => {
                    return Ok(Loaded { catalog: Catalog::new(), days: BTreeSet::new() });
                }
                partial => partial,
            };
            // A cleaner may have deleted what was being read.
            let raised = self.read_floor().await?;
            if raised > floor {
                floor = raised;
                continue;
            }
            return partial.ok_or_else(|| {
                let problem = format!("it is {floor}, and no checkpoint from there on can be read");
                self.bucket().damaged(paths::FLOOR, problem)
            });
        }
    }

    /// Goes over a commit that cannot be read if a whole checkpoint covers it. The caller holds
    /// `tail`.
    pub(crate) async fn jump_over(&self, number: u64) -> Result<bool, Error> {
        match self.newest_checkpoint(number).await? {
            Some(loaded) if !loaded.catalog.is_damaged() => {
                self.install(loaded).await;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The newest whole checkpoint at or after `version`, else the newest that lacks some days.
    async fn newest_checkpoint(&self, version: u64) -> Result<Option<Loaded>, Error> {
        // Listings begin after a name; numbers are at least 1.
        let before = paths::manifest(version.max(1) - 1);
        let listed = self.bucket().list(paths::MANIFESTS, &before).await?;
        let versions = listed.iter().filter_map(|object| paths::number_of(&object.path));
        let mut versions: Vec<u64> = versions.collect();
        versions.sort_unstable();
        let mut partial = None;
        for &version in versions.iter().rev() {
            match self.load_checkpoint(version).await {
                Ok(loaded) if !loaded.catalog.is_damaged() => return Ok(Some(loaded)),
                Ok(loaded) => partial = partial.or(Some(loaded)),
                Err(error) => {
                    self.report(error)?;
                }
            }
        }
        Ok(partial)
    }

    pub(crate) async fn load_checkpoint(&self, version: u64) -> Result<Loaded, Error> {
        let manifest = self.manifest(version).await?;
        let table = self
            .read_object(&paths::id_table(version), |bytes| IdTable::decode(version, bytes))
            .await?;
        // Owned entries: with borrowed ones the compiler cannot show that this future is `Send`.
        let reads = futures::stream::iter(manifest.days.clone())
            .map(|entry| async move { self.load_day(&entry).await });
        let mut reads = reads.buffered(CONCURRENT_READS);
        let (mut days, mut known, mut damage) = (Vec::new(), BTreeSet::new(), Vec::new());
        let mut entries = manifest.days.iter();
        while let (Some(entry), Some(read)) = (entries.next(), reads.next().await) {
            match read {
                Ok(day) => {
                    known.insert(entry.clone());
                    days.push(day);
                }
                Err(error) => damage.push(Damage {
                    object: paths::day_checkpoint(&entry.tenant, entry.day, entry.changed_at),
                    problem: self.report(error)?,
                    scope: Some((entry.tenant.clone(), entry.day)),
                }),
            }
        }
        let catalog = Catalog::from_checkpoint(&manifest, table, days, damage);
        Ok(Loaded { catalog, days: known })
    }

    /// The manifest of the checkpoint of `version`.
    pub async fn manifest(&self, version: u64) -> Result<Manifest, Error> {
        let decode = |bytes: &[u8]| Manifest::decode(version, bytes);
        self.read_object(&paths::manifest(version), decode).await
    }

    async fn load_day(&self, entry: &DayEntry) -> Result<DayCheckpoint, Error> {
        let path = paths::day_checkpoint(&entry.tenant, entry.day, entry.changed_at);
        self.read_object(&path, |bytes| DayCheckpoint::decode(entry, bytes)).await
    }

    async fn read_object<T>(
        &self,
        path: &str,
        decode: impl Fn(&[u8]) -> Result<T, catalog::Error>,
    ) -> Result<T, Error> {
        let bytes = self.bucket().get(path, MAX_CHECKPOINT_BYTES).await?;
        decode(&bytes).map_err(|source| self.bucket().catalog_error(path, source))
    }

    /// A damaged or missing object of a checkpoint is news, and goes on as a text; that the store
    /// does not answer is an error.
    fn report(&self, error: Error) -> Result<String, Error> {
        match error {
            Error::Catalog { .. } | Error::Damaged { .. } | Error::NotFound { .. } => {
                tracing::error!(%error, "an object of a checkpoint cannot be used");
                metrics::counter!(CORRUPT, "object" => "checkpoint").increment(1);
                Ok(error.to_string())
            }
            other => Err(other),
        }
    }
}
