//! Rows that no ingester can give any more: acknowledged, flushed, and their process ended, all
//! between two steps of a tail. They are in parts.
//!
//! **Rule:** of an ingester whose process is not the one that was asked in the step before, the
//! commits since that step are read. One that claims a batch which was not given was not seen
//! coming, and its parts are given whole: they do not say which row came with which batch. Lines
//! among them that were told are known to who tells them.

use std::sync::Arc;

use base::StoreId;
use base::shutdown::Shutdown;
use catalog::IdSet;
use logql::engine::Partial;
use logql::engine::overlap::Overlaps;
use rpc::tail::TailJob;
use store::Requests;

use crate::error::Error;
use crate::querier::Querier;
use crate::rounds::Rounds;
use crate::select::Leaf;

/// An ingester that ended, and how far it had been heard.
pub(super) struct Ended {
    /// Its store.
    pub store: StoreId,
    /// The commit known when it was asked last.
    pub since: u64,
}

impl Querier {
    /// Rows that the `ended` have flushed and not given. Their batches are put into `seen`.
    pub(super) async fn missed(
        &self,
        job: &TailJob,
        ended: &[Ended],
        seen: &mut IdSet,
        cancel: &Shutdown,
    ) -> Result<Vec<Partial>, Error> {
        let Some(first) = ended.iter().map(|of| of.since + 1).min() else {
            return Ok(Vec::new());
        };
        // Read after they are known to have ended: they have made no commit behind it.
        let last = self.catalog.follow().await?.version();
        let mut parts = Vec::new();
        for number in first..=last {
            let Some(commit) = self.catalog.commit_at(number).await? else {
                return Err(Error::TailBehind { of: format!("the log of commits at {number}") });
            };
            let is_of = |of: &&Ended| of.store == commit.committer && of.since < number;
            if !ended.iter().any(|of| is_of(&of)) || commit.claims.difference(seen).is_empty() {
                continue;
            }
            seen.extend(&commit.claims);
            let of_tenant = commit.added.into_iter().filter(|part| part.tenant == job.tenant);
            parts.extend(of_tenant.map(Arc::new));
        }
        let requests = Requests::default();
        let leaf = Leaf { leaf: &job.leaf, tenant: &job.tenant, requests: &requests };
        let (overlaps, mut partials) = (Arc::new(Overlaps::none()), Vec::new());
        for round in Rounds::new(parts, job.leaf.direction()).iter() {
            let opened = self.open_parts(leaf, round, cancel).await?;
            let scanned = self.scan_parts(leaf, opened, &overlaps, None, cancel).await?;
            partials.extend(scanned.partials);
        }
        Ok(partials)
    }
}
