//! From valid rows to durable ones: admission by the owners, batches, appends (B1-B3, B5, B6).

use crate::cut::cut;
use crate::distributor::{Accepted, Distributor};
use crate::error::Error;
use crate::reduce::reduce;
use crate::tenants::Tenant;

impl Distributor {
    /// Has the owners admit the rows and append those they admit. The error tells what is not
    /// stored. When this returns no call is under way and none follows.
    pub(crate) async fn send(&self, tenant: &Tenant, mut accepted: Accepted) -> Result<(), Error> {
        let early = self.streams_before_schema(&accepted);
        let roster = tenant.shard.of(&tenant.id, self.peers.roster(&*self.clock).await);
        let (owners, admission) = self.admit(tenant, &roster, &mut accepted).await?;
        let mut told = None;
        if !admission.rejected.is_empty() || !early.is_empty() {
            told = reduce(tenant, &mut accepted, &admission, &early);
        }
        let Accepted { streams, parts, .. } = accepted;
        let mut shares = cut(&owners, streams, parts, told.is_none());
        if shares.len() > 1 {
            let deliveries = shares.into_iter().map(|share| self.deliver(tenant, &roster, share));
            // All of them to their ends: no attempt follows the answer (B3).
            let delivered = futures::future::join_all(deliveries).await;
            delivered.into_iter().collect::<Result<(), Error>>()?;
        } else if let Some(share) = shares.pop() {
            self.deliver(tenant, &roster, share).await?;
        }
        told.map_or(Ok(()), Err)
    }

    /// Streams whose first row lies before the schema begins: (stream, row, its time).
    fn streams_before_schema(&self, accepted: &Accepted) -> Vec<(u32, u32, i64)> {
        let mut early = Vec::new();
        let Some(from) = self.config().schema_from else { return early };
        if accepted.ts_ns.iter().all(|&ts_ns| ts_ns >= from.0) {
            return early;
        }
        let mut seen = vec![false; accepted.streams.len()];
        let mut row = 0;
        for run in &accepted.runs {
            let ts_ns = accepted.ts_ns[row as usize];
            if !std::mem::replace(&mut seen[run.stream as usize], true) && ts_ns < from.0 {
                early.push((run.stream, row, ts_ns));
            }
            row = run.end;
        }
        early
    }
}
