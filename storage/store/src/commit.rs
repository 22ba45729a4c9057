//! `commit()`: the PUT loop around the pure step (C2, C3). The only way into the log, for flush,
//! merge, orphan cleaner and deletes alike.

use bytes::Bytes;
use catalog::{Commit, Draft, EndReason, IdSet, PartId, Step, paths};

use crate::bucket::Created;
use crate::error::Error;
use crate::handle::CatalogHandle;
use crate::metrics::{COLLISIONS, COMMITS};

/// The same PUT is tried this often before the caller is told that its answer is lost. The clients
/// of remote stores have retried with backoff inside each of them.
const PUT_ATTEMPTS: u32 = 4;

/// Each attempt means that somebody else's commit went through: this many in a row do not happen
/// unless something is broken.
const NUMBER_ATTEMPTS: u32 = 1000;

/// What became of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is commit `n` of the log, for good; observers have been told.
    Committed(u64),
    /// Build it again: call [`CatalogHandle::draft`], leave out and put aside what is named, upload
    /// all parts under new ids, and commit that. If no id is left there is nothing to do.
    Rebuild {
        /// Ids whose rows are in other parts already.
        claimed: IdSet,
        /// Ids that are older than the id table reaches: put aside with an error that names them.
        forgotten: IdSet,
        /// Own parts that a cleaner has removed, or may have.
        upload_again: Vec<PartId>,
    },
    /// It has become pointless; its parts are left to the orphan cleaner.
    Ended(EndReason),
}

impl CatalogHandle {
    /// Puts `draft` at the head of the log. Its parts must be uploaded.
    ///
    /// # Errors
    /// After an error it is unknown whether the draft was committed: try the **same** draft again
    /// (same nonce), and drop no WAL record before an outcome says so. Dropping the future is the
    /// same as an error.
    pub async fn commit(&self, draft: &Draft) -> Result<Outcome, Error> {
        let outcome = self.commit_draft(draft).await;
        let label = match &outcome {
            Ok(Outcome::Committed(_)) => "committed",
            Ok(Outcome::Rebuild { .. }) => "rebuild",
            Ok(Outcome::Ended(_)) => "ended",
            Err(_) => "failed",
        };
        metrics::counter!(COMMITS, "outcome" => label).increment(1);
        outcome
    }

    async fn commit_draft(&self, draft: &Draft) -> Result<Outcome, Error> {
        let _turn = self.inner.committing.lock().await;
        for _ in 0..NUMBER_ATTEMPTS {
            // The compare and the number come from one state: every commit before it is compared.
            let (number, step) =
                self.read(|catalog| (catalog.version() + 1, self.compare(catalog, draft)));
            match step {
                Step::Put => {}
                Step::Done(number) => {
                    self.finish_round().await;
                    return Ok(Outcome::Committed(number));
                }
                Step::Rebuild { claimed, forgotten, upload_again } => {
                    return Ok(Outcome::Rebuild { claimed, forgotten, upload_again });
                }
                Step::Ended(reason) => return Ok(Outcome::Ended(reason)),
            }
            let commit = draft.at_number(number, self.inner.deps.committer);
            match self.put_at(&commit).await? {
                Created::Now if self.is_below_floor(number).await? => {
                    // The number was used and cleaned long ago: the commit never happened.
                    self.start_over().await?;
                }
                Created::Now => {
                    self.apply_own(&commit).await;
                    return Ok(Outcome::Committed(number));
                }
                // Another commit to compare, or an earlier try of ours whose answer was lost: the
                // next compare knows its nonce then. Or it was cleaned in between: then the floor
                // is found.
                Created::Exists => {
                    metrics::counter!(COLLISIONS).increment(1);
                    self.follow().await?;
                }
            }
        }
        let (store, head) = (self.bucket().name().to_owned(), self.version());
        Err(Error::Contended { store, attempts: NUMBER_ATTEMPTS, head })
    }

    fn compare(&self, catalog: &catalog::Catalog, draft: &Draft) -> Step {
        #[cfg(any(test, feature = "testing"))]
        if self.inner.knobs.skip_compare {
            return Step::Put;
        }
        catalog::step(catalog, draft)
    }

    /// Makes an object exist at the commit's number. A lost answer is followed by the same PUT.
    async fn put_at(&self, commit: &Commit) -> Result<Created, Error> {
        let path = paths::commit(commit.number);
        let bytes = Bytes::from(commit.encode());
        let mut attempt = 1;
        loop {
            match self.bucket().create(&path, bytes.clone()).await {
                Ok(created) => return Ok(created),
                Err(error) if attempt == PUT_ATTEMPTS => return Err(error),
                Err(error) => tracing::warn!(%error, attempt, "put the same commit again"),
            }
            attempt += 1;
        }
    }

    async fn is_below_floor(&self, number: u64) -> Result<bool, Error> {
        #[cfg(any(test, feature = "testing"))]
        if self.inner.knobs.skip_floor_check {
            return Ok(false);
        }
        Ok(self.read_floor().await? >= number)
    }
}

#[cfg(test)]
mod tests;
