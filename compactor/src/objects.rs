//! Objects of parts (C4).
//!
//! An object goes when nothing names it at the head of the log, read after the listing that showed
//! it, and:
//! - a commit removed its parts, [`crate::Config::delete_delay`] ago: nobody will name it again,
//!   because a draft that does is built anew after the compare with that commit; or
//! - it is an orphan: nobody is known to have removed it, it was made [`crate::Config::orphan_age`]
//!   ago, and this process has seen nothing name it for `delete_delay`. A commit removes it first.
//!   Whoever uploaded it and is about to name it comes before that commit, and then it is found to be
//!   live; or after it, and uploads anew.
//!
//! While an object of the catalog cannot be read nobody knows what it names, and nothing goes.

use base::{ErrorKind, HashSet, UnixNanos};
use catalog::{Catalog, paths};
use metrics::{counter, gauge};
use store::Outcome;
use ulid::Ulid;

use crate::compactor::{Compactor, Pass, ns};
use crate::error::Error;
use crate::metrics::{DELETED, WAITING};

/// Unnamed objects looked at in one pass: bounds memory.
const MAX_UNNAMED: usize = 100_000;
/// Orphans that one commit removes.
const ORPHANS_PER_COMMIT: usize = 1_000;

/// An object that nothing names.
struct Unnamed {
    id: Ulid,
    path: String,
}

impl Compactor {
    /// Deletes objects that nothing names any more.
    pub(crate) async fn clean_objects(&self, pass: &mut Pass) -> Result<(), Error> {
        let unnamed = self.unnamed_objects().await?;
        if self.deps.catalog.read(Catalog::is_damaged) {
            tracing::error!("the catalog lacks something: no object of a part is deleted");
            return Ok(());
        }
        let (now, now_ns) = (self.deps.clock.now(), self.deps.clock.monotonic_ns());
        let mut removed = Vec::new();
        let mut orphans = Vec::new();
        {
            let mut seen = self.lock_unnamed();
            let still: HashSet<Ulid> = unnamed.iter().map(|object| object.id).collect();
            seen.retain(|id, _| still.contains(id));
            for object in unnamed {
                let removal = self.deps.catalog.read(|catalog| catalog.removal(object.id));
                if let Some(removal) = removal {
                    if is_older(removal.at, now, ns(self.config.delete_delay)) {
                        removed.push(object);
                    } else {
                        pass.waiting += 1;
                    }
                    continue;
                }
                let since_ns = *seen.entry(object.id).or_insert(now_ns);
                let unseen = u128::from(now_ns.saturating_sub(since_ns));
                let made = UnixNanos((object.id.timestamp_ms() as i64).saturating_mul(1_000_000));
                if is_older(made, now, ns(self.config.orphan_age))
                    && unseen >= self.config.delete_delay.as_nanos()
                {
                    orphans.push(object);
                } else {
                    pass.waiting += 1;
                }
            }
        }
        gauge!(WAITING).set(pass.waiting as f64);
        for object in &removed {
            self.delete(object.id, &object.path, "part").await?;
            pass.removed_objects += 1;
        }
        for orphans in orphans.chunks(ORPHANS_PER_COMMIT) {
            pass.orphans += self.delete_orphans(orphans).await?;
        }
        Ok(())
    }

    /// Objects of parts that exist and that nothing names at the head of the log.
    async fn unnamed_objects(&self) -> Result<Vec<Unnamed>, Error> {
        let catalog = &self.deps.catalog;
        let mut unnamed = Vec::new();
        let named = named_by(catalog.snapshot());
        for prefix in [paths::PARTS, paths::BUNDLES] {
            catalog
                .bucket()
                .walk(prefix, |object| {
                    let id = paths::object_id_of(&object.path).filter(|id| !named.contains(id));
                    if let Some(id) = id.filter(|_| unnamed.len() < MAX_UNNAMED) {
                        unnamed.push(Unnamed { id, path: object.path });
                    }
                })
                .await?;
        }
        // After the listing: an object that was uploaded and committed meanwhile is named here.
        let named = named_by(catalog.follow().await?);
        unnamed.retain(|object| !named.contains(&object.id));
        Ok(unnamed)
    }

    /// Has a commit remove them, then deletes them.
    async fn delete_orphans(&self, orphans: &[Unnamed]) -> Result<u64, Error> {
        let mut draft = self.deps.catalog.draft();
        draft.orphans = orphans.iter().map(|orphan| orphan.id).collect();
        match self.deps.catalog.commit(&draft).await? {
            Outcome::Committed(number) => {
                tracing::info!(number, objects = orphans.len(), "removed uploads nobody named");
            }
            Outcome::Ended(reason) => {
                tracing::info!(?reason, "an orphan was named after all; the next pass looks again");
                return Ok(0);
            }
            Outcome::Rebuild { .. } => {
                return Err(Error::Rebuilt);
            }
        }
        for orphan in orphans {
            self.delete(orphan.id, &orphan.path, "orphan").await?;
        }
        Ok(orphans.len() as u64)
    }

    /// Deletes an object that nothing names and a commit removed.
    pub(crate) async fn delete(
        &self,
        id: Ulid,
        path: &str,
        kind: &'static str,
    ) -> Result<(), Error> {
        match self.deps.catalog.bucket().delete(path).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        self.lock_unnamed().remove(&id);
        self.garbage.forget(id);
        counter!(DELETED, "kind" => kind).increment(1);
        Ok(())
    }
}

/// The objects that a view names.
pub(crate) fn named_by(snapshot: store::Snapshot) -> HashSet<Ulid> {
    snapshot.all_parts().map(|part| part.object_id()).collect()
}

/// Whether `at` lies `by_ns` or more before `now`.
pub(crate) fn is_older(at: UnixNanos, now: UnixNanos, by_ns: i64) -> bool {
    now.0.saturating_sub(at.0) >= by_ns
}
