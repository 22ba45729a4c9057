//! What a compactor asks about a tenant.

use std::time::Duration;

use base::TenantId;

/// Limits of single tenants, as they are now.
pub trait Limits: Send + Sync {
    /// How long rows are kept before whole parts go; zero is for ever. A rule that keeps some
    /// streams longer counts for the part they lie in.
    fn keep_for(&self, tenant: &TenantId) -> Duration;
}
