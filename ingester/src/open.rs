//! How many days of a tenant may have unflushed rows at once (C5): every open day has a head, and
//! becomes a part of its own however few rows it has.

use std::sync::Arc;

use base::{Batch, HashSet};
use rpc::ingester::IngesterError;

use crate::append::refuse;
use crate::core::Core;
use crate::day::{DayKey, DayRows};
use crate::flush::Reason;

/// Most open days of a tenant. An append that would open another one waits for a flush of the
/// oldest; only one append that brings more days than this by itself may pass it.
pub(crate) const MAX_OPEN_DAYS: usize = 64;

impl Core {
    /// Returns when the days of `fresh` may be opened: rows of the oldest open days were flushed,
    /// half of all, so that a stream of old rows does not flush at every append.
    pub(crate) async fn bound_open_days(
        self: &Arc<Self>,
        fresh: &[Batch],
    ) -> Result<(), IngesterError> {
        let own = self.store();
        let mut asked: HashSet<DayKey> = HashSet::default();
        for batch in fresh {
            if batch.members.first() != Some(&own) {
                continue; // followed: no head
            }
            let key = DayKey { tenant: batch.tenant.clone(), day: batch.day };
            if !self.is_open(&key) {
                asked.insert(key);
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let tenants: HashSet<_> = asked.iter().map(|key| key.tenant.clone()).collect();
        for tenant in tenants {
            let mut open = self.open_days(Some(&tenant));
            let more = asked.iter().filter(|key| key.tenant == tenant).count();
            if open.is_empty() || open.len() + more <= MAX_OPEN_DAYS {
                continue;
            }
            // The days are in order: the oldest are first.
            open.truncate(open.len().div_ceil(2).max((open.len() + more) - MAX_OPEN_DAYS));
            if let Err(error) = self.flush(open, Reason::Forced).await {
                let text = format!(
                    "rows of more than {MAX_OPEN_DAYS} days of tenant {tenant} are unflushed \
                     (ingester limit of open days), and flushing the oldest failed: {error}"
                );
                return Err(refuse("open_days", text));
            }
        }
        Ok(())
    }

    /// Whether the day has unflushed rows.
    fn is_open(&self, key: &DayKey) -> bool {
        self.known_day(key).is_some_and(|day| day.lock().oldest_unflushed_ns().is_some())
    }

    /// Days with unflushed rows, by tenant, the oldest day first.
    pub(crate) fn open_days(&self, tenant: Option<&base::TenantId>) -> Vec<Arc<DayRows>> {
        let days = self.days(tenant).into_iter();
        days.filter(|day| day.lock().oldest_unflushed_ns().is_some()).collect()
    }

    /// The oldest days of tenants with more open days than allowed.
    pub(crate) fn days_too_many(&self) -> HashSet<DayKey> {
        let open = self.open_days(None);
        let of_tenants = open.chunk_by(|a, b| a.key.tenant == b.key.tenant);
        let oldest = of_tenants
            .flat_map(|of_tenant| &of_tenant[..of_tenant.len().saturating_sub(MAX_OPEN_DAYS)]);
        oldest.map(|day| day.key.clone()).collect()
    }
}
