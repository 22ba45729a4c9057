//! The limits of a tenant that the ingester obeys.

use std::time::Duration;

use base::TenantId;

/// Tenant limits, read anew for every request, so that a reload counts at once.
pub trait Limits: Send + Sync + 'static {
    /// How far behind the newest row of its stream a row may be; zero = any age
    /// (`limits_config.out_of_order_window`).
    fn out_of_order_window(&self, tenant: &TenantId) -> Duration;
    /// Most active streams of the tenant on this ingester; 0 = no limit
    /// (`max_streams_per_user`, `max_global_streams_per_user`: the smaller that is not 0).
    fn max_streams(&self, tenant: &TenantId) -> usize;
    /// Bytes per second of one stream; 0 = no limit (`per_stream_rate_limit`).
    fn per_stream_rate_bytes(&self, tenant: &TenantId) -> u64;
    /// Most bytes of one stream at once (`per_stream_rate_limit_burst`).
    fn per_stream_rate_burst_bytes(&self, tenant: &TenantId) -> u64;
}
