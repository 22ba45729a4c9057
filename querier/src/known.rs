//! What a job goes by: the ring, and the log of commits that was read after it (R1).
//!
//! The order matters. A store may be removed from the ring when all it held is in commits; whoever reads
//! the log first and the ring then would ask nobody for these rows and not find them in the parts of
//! his V either. And the log names a version of the ring before a store takes rows, for those whom
//! nobody else would tell: a ring that is older does not count.

use std::sync::Arc;

use rpc::members::View;
use store::{RingVersion, Snapshot};

use crate::error::Error;
use crate::querier::Querier;

/// Times one job may find that the log, or an answer, names a newer ring.
pub(crate) const MAX_OUTDATED: u32 = 8;

/// The ring and the log, in this order.
pub(crate) struct Known {
    /// The ring. The log names no newer version of it.
    pub ring: Arc<View>,
    /// V: holds every commit that was there before this was read.
    pub log: Snapshot,
}

impl Querier {
    /// Looks at both.
    ///
    /// # Errors
    /// [`Error::OldRing`] if no ring can be had that is as new as the log says.
    pub(crate) async fn look(&self) -> Result<Known, Error> {
        let mut ring = self.members.view();
        let mut looks = 0;
        loop {
            let log = self.catalog.follow().await?;
            let newest = wanted(&ring, log.ring());
            if newest <= ring.version() {
                return Ok(Known { ring, log });
            }
            if looks == MAX_OUTDATED {
                return Err(Error::OldRing { known: ring.version(), newest });
            }
            looks += 1;
            ring = self.members.reach(newest).await;
        }
    }
}

/// The version that a view must have reached by what the log names.
fn wanted(ring: &View, named: Option<RingVersion>) -> u64 {
    match named {
        Some(named) if ring.state().founder == Some(named.founder) => named.version,
        // Nothing is named, or another ring, which this one knows nothing of.
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
