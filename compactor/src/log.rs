//! The log of commits and its checkpoints (C3).
//!
//! 1. The newest checkpoint that is old enough is chosen, and `log/floor` is raised to it: from then
//!    on no number at or below it counts, whatever object bears it.
//! 2. Only then are commits at or below the floor deleted, and what stands before it: manifests, id
//!    tables, and objects of days that the checkpoint at the floor does not name.
//!
//! What is deleted is decided by the floor that was read, which only rises: a cleaner that stalled
//! deletes what a faster one would have deleted too.

use base::HashSet;
use catalog::paths;
use metrics::counter;

use crate::compactor::{Compactor, Pass, ns};
use crate::error::Error;
use crate::metrics::DELETED;

/// Checkpoints that are tried when some are damaged.
const MAX_TRIES: usize = 8;

impl Compactor {
    /// Raises the floor if there is a checkpoint to raise it to, then deletes what lies below it.
    pub(crate) async fn clean_log(&self, pass: &mut Pass) -> Result<(), Error> {
        let catalog = &self.deps.catalog;
        let head = catalog.follow().await?.version();
        if catalog.checkpoints().await?.last().is_none_or(|&newest| newest < head) {
            // Nobody may be flushing who would write one.
            catalog.maybe_checkpoint().await?;
        }
        self.raise_floor().await?;
        // The floor as it stands, whoever raised it: a pass before this one may have been cut off.
        let floor = catalog.floor().await?;
        pass.floor = floor;
        if floor == 0 {
            return Ok(());
        }
        pass.commits = self.delete_numbered(paths::LOG, floor + 1, "log").await?;
        pass.checkpoint_objects = self.clean_checkpoints(floor).await?;
        Ok(())
    }

    async fn raise_floor(&self) -> Result<(), Error> {
        let catalog = &self.deps.catalog;
        let (floor, head) = (catalog.floor().await?, catalog.snapshot().version());
        let mut versions = catalog.checkpoints().await?;
        versions.retain(|&version| floor < version && version <= head);
        let oldest = self.deps.clock.now().0.saturating_sub(ns(self.config.log_retention));
        // The times of checkpoints ascend as their versions do, or the clocks are wrong: then some
        // stay longer or go earlier, which harms nobody.
        let (mut old, mut young) = (0, versions.len());
        while old < young {
            let middle = old + (young - old) / 2;
            match catalog.manifest(versions[middle]).await {
                Ok(manifest) if manifest.at.0 <= oldest => old = middle + 1,
                Ok(_) => young = middle,
                Err(error) if error.kind() == base::ErrorKind::Unavailable => {
                    return Err(error.into());
                }
                // Damaged or gone: left out.
                Err(error) => {
                    tracing::error!(%error, "a checkpoint cannot be used");
                    versions.remove(middle);
                    young -= 1;
                }
            }
        }
        for &version in versions[..old].iter().rev().take(MAX_TRIES) {
            match catalog.raise_floor(version).await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == base::ErrorKind::Unavailable => {
                    return Err(error.into());
                }
                Err(error) => tracing::error!(%error, version, "the floor cannot rise to here"),
            }
        }
        Ok(())
    }

    /// Deletes objects under `prefix` whose number is below `end`, ascending.
    async fn delete_numbered(
        &self,
        prefix: &str,
        end: u64,
        kind: &'static str,
    ) -> Result<u64, Error> {
        let bucket = self.deps.catalog.bucket();
        let mut below = Vec::new();
        bucket
            .walk(prefix, |object| {
                if let Some(number) = paths::number_of(&object.path).filter(|&n| n < end) {
                    below.push((number, object.path));
                }
            })
            .await?;
        below.sort_unstable();
        for (_, path) in &below {
            bucket.delete(path).await?;
            counter!(DELETED, "kind" => kind).increment(1);
        }
        Ok(below.len() as u64)
    }

    /// Deletes what only checkpoints before the floor consist of.
    async fn clean_checkpoints(&self, floor: u64) -> Result<u64, Error> {
        let (bucket, kind) = (self.deps.catalog.bucket(), "checkpoint");
        let mut deleted = self.delete_numbered(paths::MANIFESTS, floor, kind).await?;
        deleted += self.delete_numbered(paths::ID_TABLES, floor, kind).await?;
        // A checkpoint after the floor, one that is being written included, names a day that did
        // not change since the floor as this one does. So older objects that it does not name are
        // named by none.
        let manifest = match self.deps.catalog.manifest(floor).await {
            Ok(manifest) => manifest,
            Err(error) if error.kind() == base::ErrorKind::Unavailable => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "objects of days stay: nothing says which are needed");
                return Ok(deleted);
            }
        };
        let names = manifest
            .days
            .iter()
            .map(|entry| paths::day_checkpoint(&entry.tenant, entry.day, entry.changed_at));
        let named: HashSet<String> = names.collect();
        let mut superseded = Vec::new();
        bucket
            .walk(paths::DAYS, |object| {
                let is_older = paths::number_of(&object.path).is_some_and(|at| at <= floor);
                if is_older && !named.contains(&object.path) {
                    superseded.push(object.path);
                }
            })
            .await?;
        for path in &superseded {
            bucket.delete(path).await?;
            counter!(DELETED, "kind" => kind).increment(1);
        }
        Ok(deleted + superseded.len() as u64)
    }
}
