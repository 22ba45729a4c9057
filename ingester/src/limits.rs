//! The limits of a tenant that the ingester obeys.

use std::sync::Arc;
use std::time::Duration;

use base::TenantId;

/// Tenant limits, read anew for every request, so that a reload counts at once.
pub trait Limits: Send + Sync + 'static {
    /// How far behind the newest row of its stream a row may be; zero = any age
    /// (`limits_config.out_of_order_window`).
    fn out_of_order_window(&self, tenant: &TenantId) -> Duration;
    /// Most active streams of the tenant on this ingester; 0 = no limit (`max_streams_per_user`).
    fn max_streams(&self, tenant: &TenantId) -> usize;
    /// The same of all ingesters together; 0 = no limit (`max_global_streams_per_user`).
    fn max_global_streams(&self, _: &TenantId) -> usize {
        0
    }
    /// How many ingesters take the tenant's streams; 0 = all (`ingestion_tenant_shard_size`).
    fn tenant_shard_size(&self, _: &TenantId) -> usize {
        0
    }
    /// Bytes per second of one stream; 0 = no limit (`per_stream_rate_limit`).
    fn per_stream_rate_bytes(&self, tenant: &TenantId) -> u64;
    /// Most bytes of one stream at once (`per_stream_rate_limit_burst`).
    fn per_stream_rate_burst_bytes(&self, tenant: &TenantId) -> u64;
}

/// Limits as one ingester of several obeys them: a stream has one owner, which alone counts it, so each
/// of them takes its part of what is a limit of all.
pub(crate) struct Divided {
    pub limits: Arc<dyn Limits>,
    /// Ingesters that streams are placed on.
    pub ingesters: usize,
}

impl Limits for Divided {
    fn out_of_order_window(&self, tenant: &TenantId) -> Duration {
        self.limits.out_of_order_window(tenant)
    }

    fn max_streams(&self, tenant: &TenantId) -> usize {
        let shard = match self.limits.tenant_shard_size(tenant) {
            0 => self.ingesters,
            size => size.min(self.ingesters),
        };
        let part = self.limits.max_global_streams(tenant).div_ceil(shard.max(1));
        let both = [self.limits.max_streams(tenant), part];
        both.into_iter().filter(|&limit| limit > 0).min().unwrap_or(0)
    }

    fn per_stream_rate_bytes(&self, tenant: &TenantId) -> u64 {
        self.limits.per_stream_rate_bytes(tenant)
    }

    fn per_stream_rate_burst_bytes(&self, tenant: &TenantId) -> u64 {
        self.limits.per_stream_rate_burst_bytes(tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Of {
        local: usize,
        global: usize,
        shard: usize,
    }

    impl Limits for Of {
        fn out_of_order_window(&self, _: &TenantId) -> Duration {
            Duration::ZERO
        }

        fn max_streams(&self, _: &TenantId) -> usize {
            self.local
        }

        fn max_global_streams(&self, _: &TenantId) -> usize {
            self.global
        }

        fn tenant_shard_size(&self, _: &TenantId) -> usize {
            self.shard
        }

        fn per_stream_rate_bytes(&self, _: &TenantId) -> u64 {
            0
        }

        fn per_stream_rate_burst_bytes(&self, _: &TenantId) -> u64 {
            0
        }
    }

    #[test]
    fn a_limit_of_all_ingesters_divides_over_those_that_take_the_tenants_streams() {
        let tenant = TenantId::new("acme").unwrap();
        let most = |local, global, shard, ingesters| {
            let limits = Arc::new(Of { local, global, shard });
            Divided { limits, ingesters }.max_streams(&tenant)
        };
        assert_eq!(most(0, 5000, 0, 0), 5000, "in no ring");
        assert_eq!(most(0, 5000, 0, 3), 1667, "together no less than the limit");
        assert_eq!(most(0, 5000, 2, 9), 2500);
        assert_eq!(most(0, 5000, 9, 3), 1667);
        assert_eq!(most(100, 5000, 0, 3), 100);
        assert_eq!(most(100, 30, 0, 3), 10);
        assert_eq!((most(7, 0, 0, 3), most(0, 0, 0, 3)), (7, 0));
    }
}
