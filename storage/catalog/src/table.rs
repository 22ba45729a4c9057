//! The id table: every batch id that a commit has claimed (B2).
//!
//! An incarnation is forgotten 30 days after its last commit. What is forgotten is known by order,
//! not by a clock: ids of incarnations that are not in the table and not after the greatest one
//! ever forgotten may have been claimed, and are put aside.
//!
//! The days are those of the log: its time goes on with the times of commits, by no more than ten
//! minutes with each. So no clock that is wrong can have an incarnation forgotten that still
//! commits, and none before thousands of commits have come after its last one.

use std::collections::BTreeMap;

use base::{BatchId, Incarnation, StoreId, UnixNanos};

use crate::codec::{self, Kind, Writer};
use crate::commit::{Commit, decode_ranges, encode_ranges};
use crate::error::Error;
use crate::ids::{IdSet, Ranges};

pub(crate) const KIND: Kind = Kind { name: "id table", magic: *b"RLid", version: 1 };

/// How long an incarnation is kept after its last commit.
pub const KEEP_NS: i64 = 30 * base::time::DAY_NS;

/// The most by which one commit moves the time of the log on.
const STEP_NS: i64 = 600_000_000_000;

/// The table is pruned at every commit whose number is a multiple of this, so that every process
/// prunes at the same place of the log.
const PRUNE_EVERY: u64 = 64;

/// What the table says about an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimState {
    /// No commit claims it.
    Free,
    /// A commit claims it: never store, commit or answer it again.
    Claimed,
    /// Older than the table reaches: put it aside with an error that names it.
    Forgotten,
}

/// Claimed ids of all commits up to a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdTable {
    incarnations: BTreeMap<Incarnation, Claims>,
    /// The greatest incarnation that was ever dropped from the table.
    pruned_through: Option<Incarnation>,
    /// The time of the log: that of its first commit, and then of the newest ones, in steps.
    newest_at: UnixNanos,
}

/// Claims of one incarnation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Claims {
    /// Time of the log at the last commit that claims one of its ids.
    last_at: UnixNanos,
    owners: BTreeMap<StoreId, Ranges>,
}

impl IdTable {
    /// What is known about `id`.
    pub fn state(&self, id: &BatchId) -> ClaimState {
        match self.incarnations.get(&id.incarnation) {
            Some(claims) => {
                let ranges = claims.owners.get(&id.owner);
                match ranges.is_some_and(|ranges| ranges.contains(id.sequence)) {
                    true => ClaimState::Claimed,
                    false => ClaimState::Free,
                }
            }
            None if self.reaches(id.incarnation) => ClaimState::Free,
            None => ClaimState::Forgotten,
        }
    }

    /// Whether the table can say of every id of `incarnation` if it was claimed.
    pub fn reaches(&self, incarnation: Incarnation) -> bool {
        self.incarnations.contains_key(&incarnation)
            || self.pruned_through.is_none_or(|pruned| incarnation > pruned)
    }

    /// The ids of `ids` that are claimed.
    pub fn claimed_of(&self, ids: &IdSet) -> IdSet {
        let mut claimed = IdSet::default();
        for (incarnation, owner, ranges) in ids.iter() {
            let Some(claims) = self.incarnations.get(&incarnation) else { continue };
            let Some(known) = claims.owners.get(&owner) else { continue };
            let common = known.intersection(ranges);
            if !common.is_empty() {
                claimed.0.insert((incarnation, owner), common);
            }
        }
        claimed
    }

    /// The ids of `ids` that the table does not reach.
    pub fn forgotten_of(&self, ids: &IdSet) -> IdSet {
        let mut forgotten = IdSet::default();
        for (incarnation, owner, ranges) in ids.iter() {
            if !self.reaches(incarnation) {
                forgotten.0.insert((incarnation, owner), ranges.clone());
            }
        }
        forgotten
    }

    /// The greatest incarnation that was forgotten.
    pub fn pruned_through(&self) -> Option<Incarnation> {
        self.pruned_through
    }

    /// The time of the log.
    pub fn newest_at(&self) -> UnixNanos {
        self.newest_at
    }

    /// Time of the log at the last commit, and claimed sequences, of each (incarnation, owner),
    /// ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Incarnation, UnixNanos, StoreId, &Ranges)> {
        self.incarnations.iter().flat_map(|(&incarnation, claims)| {
            let owners = claims.owners.iter();
            owners.map(move |(&owner, ranges)| (incarnation, claims.last_at, owner, ranges))
        })
    }

    /// Number of ranges: what the table costs.
    pub fn range_count(&self) -> usize {
        let owners = self.incarnations.values().flat_map(|claims| claims.owners.values());
        owners.map(Ranges::range_count).sum()
    }

    /// Takes in the claims of the next commit. Pure: the same log gives the same table.
    pub(crate) fn apply(&mut self, commit: &Commit) {
        let has_begun = self.newest_at.0 != 0 || !self.incarnations.is_empty();
        let step = self.newest_at.0.saturating_add(STEP_NS);
        let reached = if has_begun { commit.at.0.min(step) } else { commit.at.0 };
        self.newest_at = self.newest_at.max(UnixNanos(reached));
        for (incarnation, owner, ranges) in commit.claims.iter() {
            let claims = self.incarnations.entry(incarnation).or_default();
            claims.last_at = self.newest_at;
            let known = claims.owners.entry(owner).or_default();
            ranges.iter().for_each(|(first, last)| known.insert(first, last));
        }
        if commit.number.is_multiple_of(PRUNE_EVERY) {
            self.prune();
        }
    }

    fn prune(&mut self) {
        let newest = self.newest_at.0;
        let mut pruned = self.pruned_through;
        self.incarnations.retain(|&incarnation, claims| {
            let keep = claims.last_at.0.saturating_add(KEEP_NS) >= newest;
            if !keep {
                pruned = pruned.max(Some(incarnation));
            }
            keep
        });
        self.pruned_through = pruned;
    }

    /// The object that says which ids the commits up to `version` claim.
    pub fn encode(&self, version: u64) -> Vec<u8> {
        let mut body = Writer::default();
        body.u64(version);
        body.i64(self.newest_at.0);
        body.u8(u8::from(self.pruned_through.is_some()));
        if let Some(incarnation) = self.pruned_through {
            body.ulid(incarnation.0);
        }
        body.count(self.incarnations.len());
        for (incarnation, claims) in &self.incarnations {
            body.ulid(incarnation.0);
            body.i64(claims.last_at.0);
            body.count(claims.owners.len());
            for (owner, ranges) in &claims.owners {
                body.ulid(owner.0);
                encode_ranges(&mut body, ranges);
            }
        }
        codec::seal(&KIND, body)
    }

    /// Reads the table of commits up to `version`.
    pub fn decode(version: u64, bytes: &[u8]) -> Result<IdTable, Error> {
        let mut body = codec::open(&KIND, bytes)?;
        let found = body.u64("version")?;
        if found != version {
            return Err(body.field("version", format!("{found} stands where {version} belongs")));
        }
        let mut table =
            IdTable { newest_at: UnixNanos(body.i64("newest time")?), ..Default::default() };
        table.pruned_through = match body.u8("pruned")? {
            0 => None,
            1 => Some(Incarnation(body.ulid("pruned through")?)),
            flag => return Err(body.field("pruned", format!("{flag} is no flag"))),
        };
        for _ in 0..body.count("incarnations", 16 + 8 + 1)? {
            let incarnation = Incarnation(body.ulid("incarnation")?);
            let last_at = UnixNanos(body.i64("last time")?);
            let mut owners = BTreeMap::new();
            for _ in 0..body.count("owners", 16 + 3)? {
                let owner = StoreId(body.ulid("owner")?);
                if owners.insert(owner, decode_ranges(&mut body)?).is_some() {
                    return Err(body.field("owners", format!("{owner} stands there twice")));
                }
            }
            if table.incarnations.insert(incarnation, Claims { last_at, owners }).is_some() {
                let problem = format!("{incarnation} stands there twice");
                return Err(body.field("incarnations", problem));
            }
        }
        Ok(table)
    }
}
