//! Which stores hold a stream: a sorted array of tokens, made once per placement version.
//!
//! The list of a spot begins at the first token after it and goes round the ring: the first
//! instance of every zone it meets, until there are as many as the replication factor. An instance
//! without a zone is a zone of its own. One that is passed over, because it is marked as down or
//! already late, moves nobody else: the walk goes on to the next.

use std::collections::BTreeMap;

use base::{StoreId, StreamKey, TenantId};

use crate::instance::Instance;
use crate::state::State;
use crate::tokens::mix;

/// Most replicas of a stream.
pub const MAX_REPLICAS: usize = 9;

/// The places of one placement version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    version: u64,
    members: Vec<Member>,
    zones: usize,
    tokens: Vec<u32>,
    /// The member of each token, with its zone: a walk reads nothing else.
    owners: Vec<Owner>,
    /// For the top bits of a spot, the first token that can be its place.
    starts: Vec<u32>,
    /// How far a spot is shifted to be an index into `starts`.
    shift: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    member: u16,
    zone: u16,
}

/// A store that streams are placed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its store.
    pub store: StoreId,
    /// Equal numbers are one zone.
    pub zone: u16,
    tokens: Vec<u32>,
}

/// Where a stream stands among all streams of all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot(u64);

impl Spot {
    /// The spots of a tenant's streams.
    pub fn of_tenant(tenant: &TenantId) -> impl Fn(StreamKey) -> Spot + use<> {
        let tenant = tenant_hash(tenant);
        move |key| Spot(mix(tenant ^ mix(key.0)))
    }

    #[inline]
    fn token(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

fn tenant_hash(tenant: &TenantId) -> u64 {
    base::hash::hash64(tenant.as_str().as_bytes())
}

/// An ordered list of members, without allocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    members: [u16; MAX_REPLICAS],
    len: u8,
}

impl Replicas {
    /// Indices into [`Placement::members`]; the first is the owner.
    pub fn as_slice(&self) -> &[u16] {
        &self.members[..usize::from(self.len)]
    }

    fn push(&mut self, member: u16) {
        self.members[usize::from(self.len)] = member;
        self.len += 1;
    }
}

impl Placement {
    /// The places of a state.
    pub fn new(state: &State) -> Placement {
        let mut zones: Vec<&str> = Vec::new();
        let mut alone = 0;
        let placed: Vec<&Instance> = state.placed().collect();
        zones.extend(placed.iter().map(|i| i.zone.as_str()).filter(|zone| !zone.is_empty()));
        zones.sort_unstable();
        zones.dedup();
        let member = |instance: &&Instance| {
            let zone = zones.binary_search(&instance.zone.as_str()).unwrap_or_else(|_| {
                alone += 1;
                zones.len() + alone - 1
            });
            let tokens = instance.tokens.clone();
            Member { store: instance.store, zone: zone as u16, tokens }
        };
        let members = placed.iter().map(member).collect();
        Placement::of(state.placement_version, members)
    }

    fn of(version: u64, members: Vec<Member>) -> Placement {
        assert!(members.len() < usize::from(u16::MAX), "the state has a cap on instances");
        let mut zones: Vec<u16> = members.iter().map(|member| member.zone).collect();
        zones.sort_unstable();
        zones.dedup();
        let mut places: Vec<(u32, Owner)> = Vec::new();
        for (index, member) in members.iter().enumerate() {
            let owner = Owner { member: index as u16, zone: member.zone };
            places.extend(member.tokens.iter().map(|&token| (token, owner)));
        }
        places.sort_unstable();
        let (tokens, owners): (Vec<u32>, Vec<Owner>) = places.into_iter().unzip();
        // About one token per start.
        let bits = usize::BITS - tokens.len().leading_zeros();
        let bits = bits.clamp(1, 20);
        let shift = 32 - bits;
        let starts = (0..1u64 << bits)
            .map(|top| tokens.partition_point(|&token| u64::from(token) < top << shift) as u32)
            .collect();
        Placement { version, members, zones: zones.len(), tokens, owners, starts, shift }
    }

    /// The placement version of the state it was made from.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Who has places, by ascending store.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Tokens with their members, ascending.
    pub(crate) fn places(&self) -> impl ExactSizeIterator<Item = (u32, u16)> {
        self.tokens.iter().copied().zip(self.owners.iter().map(|owner| owner.member))
    }

    /// The index of the first token at or after that of the spot.
    #[inline]
    fn start(&self, spot: Spot) -> usize {
        let token = spot.token();
        let mut at = self.starts[(token >> self.shift) as usize] as usize;
        while self.tokens.get(at).is_some_and(|&found| found < token) {
            at += 1;
        }
        at
    }

    /// The list of `spot`: at most `factor` members in distinct zones, in ring order, of those that
    /// `may` be in it. Shorter if there are not so many zones.
    #[inline]
    pub fn replicas(&self, spot: Spot, factor: usize, may: impl Fn(usize) -> bool) -> Replicas {
        let mut found = Replicas::default();
        self.extend(&mut found, spot, factor, may);
        found
    }

    /// Lengthens a list whose members were chosen before, by the next in ring order that `may` be
    /// in it and whose zones are not in it (B6).
    pub fn extend(
        &self,
        found: &mut Replicas,
        spot: Spot,
        factor: usize,
        may: impl Fn(usize) -> bool,
    ) {
        let wanted = factor.min(MAX_REPLICAS).min(self.zones);
        if usize::from(found.len) >= wanted {
            return;
        }
        let mut zones = [0; MAX_REPLICAS];
        for (zone, &member) in zones.iter_mut().zip(found.as_slice()) {
            *zone = self.members[usize::from(member)].zone;
        }
        let (before, after) = self.owners.split_at(self.start(spot));
        for part in [after, before] {
            for owner in part {
                let taken = usize::from(found.len);
                if zones[..taken].contains(&owner.zone) || !may(usize::from(owner.member)) {
                    continue;
                }
                zones[taken] = owner.zone;
                found.push(owner.member);
                if taken + 1 == wanted {
                    return;
                }
            }
        }
    }

    /// `found` without a member: what is left of a list when one is late or has failed.
    pub fn without(&self, found: &Replicas, member: u16) -> Replicas {
        let mut left = Replicas::default();
        found.as_slice().iter().filter(|&&other| other != member).for_each(|&m| left.push(m));
        left
    }

    /// The places of a tenant that is kept to `size` members (0 = all): the same members for as
    /// long as they are there, spread over the zones. Another size adds or takes away, and one
    /// that joins takes the place of at most one. Make it once per tenant and placement version.
    pub fn shard(&self, tenant: &TenantId, size: usize) -> Placement {
        if size == 0 || size >= self.members.len() {
            return self.clone();
        }
        let tenant = tenant_hash(tenant);
        let score = |store: StoreId| {
            let store = store.0.0;
            mix(tenant ^ mix(store as u64 ^ mix((store >> 64) as u64)))
        };
        // The best of every zone come before the second best of any.
        let mut ranked: Vec<(u64, usize)> =
            self.members.iter().enumerate().map(|(i, m)| (score(m.store), i)).collect();
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        let mut taken: BTreeMap<u16, u32> = BTreeMap::new();
        let mut ranked: Vec<(u32, u64, usize)> = ranked
            .into_iter()
            .map(|(score, index)| {
                let rank = taken.entry(self.members[index].zone).or_default();
                *rank += 1;
                (*rank - 1, score, index)
            })
            .collect();
        ranked.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
        let mut chosen: Vec<usize> = ranked[..size].iter().map(|&(_, _, index)| index).collect();
        chosen.sort_unstable();
        let members = chosen.into_iter().map(|index| self.members[index].clone()).collect();
        Placement::of(self.version, members)
    }
}

#[cfg(test)]
mod tests;
