//! Tails: the lines of a log query as they come.
//!
//! 1. [`OpenTails`] counts them against the tenant's limit.
//! 2. [`Follow::begin`] asks for the cursor of the present, then for history: what comes in between
//!    is in both, and told once.
//! 3. [`pump`] asks for what came since the cursor, again and again, and makes frames of it. Whoever
//!    takes them slower than lines come is left behind by a bound, and told.
//!
//! A step is a job in the queue like any other, and everything a tail knows is in its cursor: it
//! outlives every querier.

mod follow;
mod pump;
mod step;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base::TenantId;
use base::shutdown::Shutdown;
use metrics::gauge;

use crate::metrics::TAILS_ACTIVE;

pub use follow::{Follow, Line, TailQuery};
pub use pump::{Frame, pump};
pub use step::Step;

/// The tails that are open in this process.
#[derive(Default)]
pub struct OpenTails {
    counts: Arc<Mutex<BTreeMap<TenantId, usize>>>,
    ending: Shutdown,
}

/// One more than the tenant may have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("max concurrent tail requests limit exceeded, count > limit ({count} > {limit})")]
pub struct TooManyTails {
    count: usize,
    limit: usize,
}

/// One open tail; it is closed when this is dropped.
#[derive(Debug)]
pub struct OpenTail {
    counts: Arc<Mutex<BTreeMap<TenantId, usize>>>,
    tenant: TenantId,
}

impl OpenTails {
    /// Opens one; at most `limit` of a tenant, 0 = any number.
    pub fn open(&self, tenant: &TenantId, limit: usize) -> Result<OpenTail, TooManyTails> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(tenant).copied().unwrap_or(0) + 1;
        if limit > 0 && count > limit {
            return Err(TooManyTails { count, limit });
        }
        counts.insert(tenant.clone(), count);
        gauge!(TAILS_ACTIVE).increment(1.0);
        Ok(OpenTail { counts: self.counts.clone(), tenant: tenant.clone() })
    }

    /// Tells all of them that the process ends.
    pub fn end(&self) {
        self.ending.cancel();
    }

    /// Cancelled when the process ends.
    pub fn ending(&self) -> &Shutdown {
        &self.ending
    }
}

impl Drop for OpenTail {
    fn drop(&mut self) {
        gauge!(TAILS_ACTIVE).decrement(1.0);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests;
