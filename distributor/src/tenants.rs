//! What the distributor remembers of a tenant between pushes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base::{HashMap, TenantId};

use crate::level::Detector;
use crate::limits::{Limits, PushLimits};
use crate::metrics::TenantMetrics;
use crate::rate::TokenBucket;
use crate::shard::Shard;

/// A tenant under one set of limits. New limits make a new one, which takes over the bucket.
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) limits: Arc<PushLimits>,
    /// Identity in the stream cache; a multiple of [`OWNERS_PER_TENANT`].
    pub(crate) owner: u64,
    pub(crate) detector: Detector,
    pub(crate) bucket: Arc<TokenBucket>,
    pub(crate) metrics: Arc<TenantMetrics>,
    /// The ingesters that it is kept to.
    pub(crate) shard: Shard,
    /// Body bytes per row of the last push: how much room the next one needs.
    pub(crate) row_bytes: AtomicUsize,
}

/// Ways in which labels are written.
pub(crate) const OWNERS_PER_TENANT: u64 = 3;

/// Bytes of a row before any was seen: a usual log line in its envelope.
const FIRST_ROW_BYTES: usize = 200;

/// Tenants kept; beyond it those without a push in flight are forgotten, their buckets full again.
const MAX_TENANTS: usize = 20_000;

/// All tenants seen.
pub(crate) struct Tenants {
    limits: Arc<dyn Limits>,
    known: Mutex<HashMap<TenantId, Arc<Tenant>>>,
    next_owner: AtomicU64,
}

impl Tenants {
    pub(crate) fn new(limits: Arc<dyn Limits>) -> Tenants {
        Tenants { limits, known: Mutex::default(), next_owner: AtomicU64::new(0) }
    }

    /// The tenant under its limits of now.
    pub(crate) fn get(&self, id: &TenantId) -> Arc<Tenant> {
        let limits = self.limits.push(id);
        let mut known = self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let before = known.get(id);
        if let Some(tenant) = before
            && (Arc::ptr_eq(&tenant.limits, &limits) || tenant.limits == limits)
        {
            return tenant.clone();
        }
        let (bucket, metrics) = match before {
            Some(tenant) => (tenant.bucket.clone(), tenant.metrics.clone()),
            None => (Arc::new(TokenBucket::new()), Arc::new(TenantMetrics::new(id))),
        };
        let detector =
            Detector::new(&limits.log_level_fields, limits.log_level_from_json_max_depth);
        let owner = self.next_owner.fetch_add(OWNERS_PER_TENANT, Ordering::Relaxed);
        let row_bytes = AtomicUsize::new(FIRST_ROW_BYTES);
        let (id, shard) = (id.clone(), Shard::new(limits.tenant_shard_size));
        let tenant = Tenant { id, limits, owner, detector, bucket, metrics, shard, row_bytes };
        let tenant = Arc::new(tenant);
        if known.len() >= MAX_TENANTS {
            known.retain(|_, tenant| Arc::strong_count(tenant) > 1);
        }
        known.insert(tenant.id.clone(), tenant.clone());
        tenant
    }
}
