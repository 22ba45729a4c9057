//! The ingesters that a tenant is kept to (`ingestion_tenant_shard_size`).
//!
//! The places of a shard are worked out once per tenant and placement of the ring; a push only takes
//! them. Readers ask every ingester, so another size, or none, needs nothing of them.
//!
//! **Invariant:** a shard is never smaller than the replication factor: its lists are as long as
//! those of the whole ring, and in as many zones.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use base::TenantId;
use ring::Placement;

use crate::peers::Roster;

/// One tenant's shard.
#[derive(Debug)]
pub(crate) struct Shard {
    /// Ingesters; 0 = all.
    size: usize,
    known: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    /// Of which it is a part. An idle tenant does not keep it alive.
    whole: Weak<Placement>,
    size: usize,
    part: Arc<Placement>,
}

impl Shard {
    /// Of `size` ingesters; 0 = all there are.
    pub(crate) fn new(size: usize) -> Shard {
        Shard { size, known: Mutex::default() }
    }

    /// What `tenant` is kept to of `whole`.
    pub(crate) fn of(&self, tenant: &TenantId, whole: Arc<Roster>) -> Arc<Roster> {
        let size = self.size.max(whole.factor());
        if self.size == 0 || size >= whole.len() {
            return whole;
        }
        let part = self.part(tenant, whole.placement(), size);
        Arc::new(whole.kept_to(part))
    }

    fn part(&self, tenant: &TenantId, whole: &Arc<Placement>, size: usize) -> Arc<Placement> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref()
            && known.size == size
            && std::ptr::eq(known.whole.as_ptr(), Arc::as_ptr(whole))
        {
            return known.part.clone();
        }
        let part = Arc::new(whole.shard(tenant, size));
        *known = Some(Known { whole: Arc::downgrade(whole), size, part: part.clone() });
        part
    }
}

#[cfg(test)]
mod tests {
    use base::StoreId;
    use ring::{Instance, Phase, Roles, State, tokens};
    use ulid::Ulid;

    use super::*;

    fn ring_of(count: u64) -> Arc<Placement> {
        let mut state = State::new(Ulid(1));
        for number in 0..count {
            let instance = Instance {
                store: StoreId(Ulid(number.into())),
                id: String::new(),
                grpc_address: String::new(),
                http_address: String::new(),
                zone: format!("zone-{}", number % 3),
                has_moved: false,
                roles: Roles::INGESTER,
                phase: Phase::Active,
                is_up: true,
                registered: 0,
                seen: 0,
                factor: 3,
                tokens: tokens::generate(number, tokens::TOKENS),
                departure: None,
            };
            state.instances.insert(instance.store, Arc::new(instance));
        }
        Arc::new(Placement::new(&state))
    }

    #[test]
    fn places_are_worked_out_once_as_long_as_the_ring_is_the_same() {
        let (tenant, shard) = (TenantId::new("a").unwrap(), Shard::new(4));
        let six = ring_of(6);
        let first = shard.part(&tenant, &six, 4);
        assert!(Arc::ptr_eq(&first, &shard.part(&tenant, &six, 4)));
        assert_eq!(first.members().len(), 4);
        let zones: std::collections::BTreeSet<u16> =
            first.members().iter().map(|member| member.zone).collect();
        assert_eq!(zones.len(), 3, "a list finds as many zones as in the whole ring");
        let five = shard.part(&tenant, &six, 5);
        assert_eq!(five.members().len(), 5, "the replication factor was raised");
        let seven = shard.part(&tenant, &ring_of(7), 4);
        assert!(!Arc::ptr_eq(&first, &seven));
        let stores = |part: &Placement| -> Vec<StoreId> {
            part.members().iter().map(|member| member.store).collect()
        };
        let kept = stores(&first).iter().filter(|&s| stores(&seven).contains(s)).count();
        assert!(kept >= 3, "one that joins takes the place of at most one");
    }
}
