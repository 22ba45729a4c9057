//! The distributor: what a push goes through after its body is read.

use std::sync::Arc;

use base::random::Random;
use base::{Clock, TenantId};
use rpc::IngesterApi;

use crate::config::Config;
use crate::error::Error;
use crate::limits::Limits;

/// How a push body is written, after its content encoding is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `PushRequest` of `/loki/api/v1/push`, decompressed.
    Protobuf,
    /// JSON of `/loki/api/v1/push`.
    Json,
    /// JSON of the time before version 1: `labels` as text, `ts` as RFC 3339.
    LegacyJson,
}

/// Accepts pushes. One per process; shared by all requests.
pub struct Distributor {
    config: Config,
    limits: Arc<dyn Limits>,
    ingester: Arc<dyn IngesterApi>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Distributor {
    /// A distributor in front of one ingester. `random` draws the incarnation (B2).
    pub fn new(
        config: Config,
        limits: Arc<dyn Limits>,
        ingester: Arc<dyn IngesterApi>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Distributor {
        Distributor { config, limits, ingester, clock, random }
    }

    /// Stores the entries of `body`. `Ok` means that every one is durable; an error may still have
    /// stored the valid entries beside those it names.
    pub async fn push(&self, tenant: &TenantId, format: Format, body: &[u8]) -> Result<(), Error> {
        let _ = (tenant, format, body, self.limits.push(tenant), self.clock.now());
        let _ = (&self.config, self.ingester.store(), self.random.next_u64());
        Err(Error::new(503, "pushes are not accepted yet"))
    }
}
