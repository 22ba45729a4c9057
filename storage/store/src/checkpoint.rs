//! Writing checkpoints, so that a start need not read the whole log.

use bytes::Bytes;
use catalog::{Catalog, DayEntry, paths};
use futures::{StreamExt, TryStreamExt};

use crate::bucket::Created;
use crate::error::Error;
use crate::handle::{CatalogHandle, LastCheckpoint};
use crate::metrics::CHECKPOINTS;

/// Day objects written at the same time.
const CONCURRENT_WRITES: usize = 8;

impl CatalogHandle {
    /// Writes a checkpoint if [`crate::CatalogConfig::checkpoint_every`] commits have been applied
    /// since the last one; returns the version it covers.
    pub async fn maybe_checkpoint(&self) -> Result<Option<u64>, Error> {
        let due = self.inner.config.checkpoint_every.max(1);
        let Ok(last) = self.inner.checkpoint.try_lock() else {
            return Ok(None); // one is being written
        };
        let behind = self.version().saturating_sub(last.version);
        drop(last);
        if behind < due { Ok(None) } else { self.checkpoint().await }
    }

    /// Writes a checkpoint of the present version. `None`: there is nothing new, or some object
    /// could not be read and a checkpoint would make its loss permanent.
    pub async fn checkpoint(&self) -> Result<Option<u64>, Error> {
        let mut last = self.inner.checkpoint.lock().await;
        let catalog = self.read(Catalog::clone);
        if catalog.version() <= last.version || catalog.is_damaged() {
            return Ok(None);
        }
        let written = self.write_checkpoint(&catalog, &last).await;
        let result = if written.is_ok() { "success" } else { "failure" };
        metrics::counter!(CHECKPOINTS, "result" => result).increment(1);
        *last = written?;
        Ok(Some(last.version))
    }

    /// Days first, then the id table, the manifest last: it names what must be there.
    async fn write_checkpoint(
        &self,
        catalog: &Catalog,
        last: &LastCheckpoint,
    ) -> Result<LastCheckpoint, Error> {
        let manifest = catalog.manifest(self.inner.deps.clock.now());
        let changed = manifest.days.iter().filter(|entry| !last.days.contains(entry));
        let changed: Vec<DayEntry> = changed.cloned().collect();
        let writes = futures::stream::iter(changed)
            .map(|entry| async move { self.write_day(catalog, &entry).await });
        writes.buffer_unordered(CONCURRENT_WRITES).try_collect::<()>().await?;
        let version = manifest.version;
        let table = Bytes::from(catalog.table().encode(version));
        self.bucket().put(&paths::id_table(version), vec![table]).await?;
        let bytes = Bytes::from(manifest.encode());
        // Whoever was first said when it was: the others wrote the same objects.
        match self.bucket().create(&paths::manifest(version), bytes).await? {
            Created::Now | Created::Exists => {}
        }
        Ok(LastCheckpoint { version, days: manifest.days.into_iter().collect() })
    }

    async fn write_day(&self, catalog: &Catalog, entry: &DayEntry) -> Result<(), Error> {
        let day = catalog.day_checkpoint(entry).expect("the manifest names what the state has");
        let path = paths::day_checkpoint(&entry.tenant, entry.day, entry.changed_at);
        self.bucket().put(&path, vec![day.encode().into()]).await
    }
}
