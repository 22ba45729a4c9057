//! Retention: parts whose newest row is older than their tenant keeps rows are removed by a commit.
//!
//! Whole parts only, so rows stay up to a day longer than they must. Streams that have a shorter
//! time of their own stay as long as the rest of their part.

use base::TenantId;
use catalog::EndReason;
use metrics::{counter, gauge};
use store::{Outcome, PartRecord};

use crate::compactor::{Compactor, ns};
use crate::error::Error;
use crate::metrics::{EXPIRED, RETENTION_DURATION, RETENTION_LAST_SUCCESS, RETENTIONS};
use crate::objects::{is_older, named_by};

/// Parts that one commit removes.
const PARTS_PER_COMMIT: usize = 1_000;
/// Somebody else removed one of them first, this often in a row.
const ATTEMPTS: usize = 5;

impl Compactor {
    /// Removes expired parts, if retention is on and due; gives their number.
    pub(crate) async fn retain(&self) -> Result<u64, Error> {
        let Some(every) = self.config.retention_every else { return Ok(0) };
        let began_ns = self.deps.clock.monotonic_ns();
        {
            let mut last = self.lock_retained();
            let due = last
                .is_none_or(|last| u128::from(began_ns.saturating_sub(last)) >= every.as_nanos());
            if !due {
                return Ok(0);
            }
            *last = Some(began_ns);
        }
        let result = self.remove_expired().await;
        let took_ns = self.deps.clock.monotonic_ns().saturating_sub(began_ns);
        gauge!(RETENTION_DURATION).set(took_ns as f64 / 1e9);
        let status = if result.is_ok() { "success" } else { "failure" };
        counter!(RETENTIONS, "status" => status).increment(1);
        if result.is_ok() {
            gauge!(RETENTION_LAST_SUCCESS).set(self.deps.clock.now().0 as f64 / 1e9);
        }
        result
    }

    async fn remove_expired(&self) -> Result<u64, Error> {
        let (catalog, mut removed) = (&self.deps.catalog, 0);
        let mut lost = 0;
        while lost < ATTEMPTS {
            catalog.follow().await?;
            let expired = self.expired();
            if expired.is_empty() {
                return Ok(removed);
            }
            let mut draft = catalog.draft();
            draft.removed = expired.iter().map(PartRecord::reference).collect();
            match catalog.commit(&draft).await? {
                Outcome::Committed(number) => {
                    tracing::info!(number, parts = expired.len(), "removed expired parts");
                    counter!(EXPIRED).increment(expired.len() as u64);
                    removed += expired.len() as u64;
                    let named = named_by(catalog.snapshot());
                    self.garbage.add(expired.iter(), draft.at, &named);
                }
                Outcome::Ended(EndReason::InputRemoved(_)) => lost += 1,
                Outcome::Ended(_) | Outcome::Rebuild { .. } => return Err(Error::Rebuilt),
            }
        }
        Ok(removed)
    }

    fn expired(&self) -> Vec<PartRecord> {
        let (now, snapshot) = (self.deps.clock.now(), self.deps.catalog.snapshot());
        let mut expired = Vec::new();
        let mut of_tenant: Option<(&TenantId, i64)> = None;
        for part in snapshot.all_parts() {
            let keep_ns = match of_tenant {
                Some((tenant, keep_ns)) if *tenant == part.tenant => keep_ns,
                _ => ns(self.deps.limits.keep_for(&part.tenant)),
            };
            of_tenant = Some((&part.tenant, keep_ns));
            // Older than that, not as old: a row of the very instant stays.
            if keep_ns > 0 && is_older(part.max_ts, now, keep_ns.saturating_add(1)) {
                expired.push((**part).clone());
                if expired.len() == PARTS_PER_COMMIT {
                    break;
                }
            }
        }
        expired
    }
}
