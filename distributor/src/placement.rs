//! Which stores a batch goes to, and the ids of batches (protocols B1-B3, B6).
//!
//! In this version there is one ingester, so every batch has a list of one. What replication needs
//! is kept here alone: the member list, and sequences that are dense for each owner.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Batch, BatchId, Incarnation, StoreId};
use metrics::{Counter, counter};
use rpc::IngesterApi;
use rpc::ingester::{IngesterError, Peer};

use crate::metrics::{INGESTER_APPEND_FAILURES, INGESTER_APPENDS};

/// The ingesters a distributor knows, and the ids it has given out.
pub(crate) struct Placement {
    incarnation: Incarnation,
    ingester: Arc<dyn IngesterApi>,
    /// Sequences given out for the owner.
    sequences: AtomicU64,
    appends: Counter,
    failures: Counter,
}

impl Placement {
    /// `incarnation` is fresh at every start of the process: ids never repeat.
    pub(crate) fn new(incarnation: Incarnation, ingesters: Vec<Peer>) -> Placement {
        let first = ingesters.into_iter().next().expect("a distributor has an ingester");
        let (named, ingester) = (first.address, first.api);
        Placement {
            incarnation,
            ingester,
            sequences: AtomicU64::new(0),
            appends: counter!(INGESTER_APPENDS, "ingester" => named.clone()),
            failures: counter!(INGESTER_APPEND_FAILURES, "ingester" => named),
        }
    }

    /// The ordered member list for any stream; the first is the owner.
    pub(crate) async fn members(&self) -> Result<Vec<StoreId>, IngesterError> {
        Ok(vec![self.ingester.identify().await?.store])
    }

    /// The ingester that admits rows and appends batches of `members`.
    pub(crate) fn owner(&self) -> &Arc<dyn IngesterApi> {
        &self.ingester
    }

    /// Appends batches of which this process' ingester is the owner.
    pub(crate) async fn append(&self, batches: Vec<Batch>) -> Result<(), IngesterError> {
        self.appends.increment(1);
        let appended = self.ingester.append(batches).await;
        if appended.is_err() {
            self.failures.increment(1);
        }
        appended.map(|_| ()).map_err(|refused| refused.error)
    }

    /// The next id of a batch that `owner` is first to hold; sequences count up from 1.
    pub(crate) fn next_id(&self, owner: StoreId) -> BatchId {
        let sequence = self.sequences.fetch_add(1, Ordering::Relaxed) + 1;
        BatchId { incarnation: self.incarnation, owner, sequence }
    }
}
