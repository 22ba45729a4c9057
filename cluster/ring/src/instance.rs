//! One process of the cluster, as the ring knows it.

use std::collections::BTreeSet;

use base::StoreId;

use crate::codec::{Reader, Writer};
use crate::error::Error;
use crate::{MAX_INGESTERS, MAX_TEXT_BYTES, MAX_TOKENS};

/// What a process does, as bits: the targets it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Roles(u8);

impl Roles {
    /// Holds recent rows in a store; the only role with tokens, and with a voice in Raft.
    pub const INGESTER: Roles = Roles(1);
    /// Accepts pushes.
    pub const DISTRIBUTOR: Roles = Roles(2);
    /// Runs pieces of queries.
    pub const QUERIER: Roles = Roles(4);
    /// Queues queries.
    pub const QUERY_FRONTEND: Roles = Roles(8);
    /// Merges and cleans.
    pub const COMPACTOR: Roles = Roles(16);
    /// Evaluates rules.
    pub const RULER: Roles = Roles(32);
    /// The front door.
    pub const GATEWAY: Roles = Roles(64);

    const NAMES: [(Roles, &'static str); 7] = [
        (Roles::INGESTER, "ingester"),
        (Roles::DISTRIBUTOR, "distributor"),
        (Roles::QUERIER, "querier"),
        (Roles::QUERY_FRONTEND, "query-frontend"),
        (Roles::COMPACTOR, "compactor"),
        (Roles::RULER, "ruler"),
        (Roles::GATEWAY, "gateway"),
    ];

    /// Both.
    pub const fn and(self, other: Roles) -> Roles {
        Roles(self.0 | other.0)
    }

    /// Whether all of `other` are among these.
    pub const fn has(self, other: Roles) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names, as in `-target=`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Roles::NAMES.into_iter().filter(move |&(role, _)| self.has(role)).map(|(_, name)| name)
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    pub(crate) fn from_bits(bits: u8) -> Option<Roles> {
        (bits < 128).then_some(Roles(bits))
    }
}

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Registered. No stream is placed there yet; queries ask it.
    Joining,
    /// Takes its share.
    Active,
    /// Takes nothing new and flushes what it has.
    Leaving,
    /// Dead as far as the ring knows, or replaced by a new store.
    Gone,
}

impl Phase {
    /// The lower-case name, as on `/ring`.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Joining => "joining",
            Phase::Active => "active",
            Phase::Leaving => "leaving",
            Phase::Gone => "gone",
        }
    }
}

/// A store's way out of the ring (R1b).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The version of the state at which it began; names it in [`crate::Command::Cleared`].
    pub since: u64,
    /// Whether it asked to leave; otherwise it was taken as gone.
    pub is_leaving: bool,
    /// An operator knows that no batch had its majority on it and on others that are lost: alone it
    /// refuses no answer ([`crate::reads::check`]), and it does not come back.
    pub is_forgotten: bool,
    /// The version at which he said so: whoever went before may be among those others. 0 where it was
    /// said before this was kept.
    pub forgotten_at: u64,
    /// Who has said that it holds no unclaimed batch that names the store and takes none any more.
    /// The store itself says so of its own WAL.
    pub cleared: BTreeSet<StoreId>,
}

/// One process of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its store. A process without one has a ULID made for it at its start.
    pub store: StoreId,
    /// The name its operator gave it, or its host's.
    pub id: String,
    /// `host:port` that others dial.
    pub grpc_address: String,
    /// `host:port` of its HTTP API.
    pub http_address: String,
    /// Its availability zone; empty where there are none.
    pub zone: String,
    /// Whether the zone changed while the store may have held rows: it then counts alone in R1.
    pub has_moved: bool,
    /// What it does.
    pub roles: Roles,
    /// Where it is in its life.
    pub phase: Phase,
    /// Whether the leader hears from it. A hint for routing.
    pub is_up: bool,
    /// The version of the state at which it registered first.
    pub registered: u64,
    /// The newest version of the state that it said it follows.
    pub seen: u64,
    /// The replication factor under which every unclaimed batch was acknowledged that it may hold.
    pub factor: u8,
    /// Its places on the ring, ascending. Empty unless it is an ingester.
    pub tokens: Vec<u32>,
    /// Set while it leaves or is gone.
    pub departure: Option<Departure>,
}

impl Instance {
    /// Whether it has a store with rows.
    pub fn is_ingester(&self) -> bool {
        self.roles.has(Roles::INGESTER)
    }

    /// Whether streams are placed there.
    pub fn is_placed(&self) -> bool {
        self.is_ingester() && self.phase == Phase::Active
    }

    /// Whether it may hold acknowledged rows: every ingester that was ever active.
    pub fn may_hold_rows(&self) -> bool {
        self.is_ingester() && self.phase != Phase::Joining
    }

    /// Whether it answers queries with all that it holds: a reader learns from it what it has seen.
    pub fn answers(&self) -> bool {
        self.is_ingester() && matches!(self.phase, Phase::Active | Phase::Leaving)
    }

    /// Whether an operator has given it up.
    pub fn is_forgotten(&self) -> bool {
        self.departure.as_ref().is_some_and(|departure| departure.is_forgotten)
    }

    /// Whether it is on its way out and others may speak for it: they hold what it acknowledged, or
    /// it flushes that itself. A gone store that may have the only copy of a row is waited for, as
    /// long as nobody gives it up: cleared, it could not come back with it.
    pub fn may_be_cleared(&self) -> bool {
        self.departure.as_ref().is_some_and(|departure| {
            let is_empty = departure.cleared.contains(&self.store);
            self.phase == Phase::Leaving || departure.is_forgotten || is_empty || self.factor > 1
        })
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.store(self.store);
        out.text(&self.id);
        out.text(&self.grpc_address);
        out.text(&self.http_address);
        out.text(&self.zone);
        out.flag(self.has_moved);
        out.u8(self.roles.bits());
        out.u8(self.phase as u8);
        out.flag(self.is_up);
        out.uvarint(self.registered);
        out.uvarint(self.seen);
        out.u8(self.factor);
        encode_tokens(&self.tokens, out);
        out.flag(self.departure.is_some());
        if let Some(departure) = &self.departure {
            out.uvarint(departure.since);
            let forgotten = match (departure.is_forgotten, departure.forgotten_at) {
                (false, _) => 0,
                (true, 0) => 2,
                (true, _) => 6,
            };
            out.u8(u8::from(departure.is_leaving) | forgotten);
            if forgotten == 6 {
                out.uvarint(departure.forgotten_at);
            }
            out.stores(departure.cleared.iter());
        }
    }

    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Instance, Error> {
        let store = input.store("store")?;
        let id = input.text("instance id", MAX_TEXT_BYTES)?.to_owned();
        let grpc_address = input.text("gRPC address", MAX_TEXT_BYTES)?.to_owned();
        let http_address = input.text("HTTP address", MAX_TEXT_BYTES)?.to_owned();
        let zone = input.text("zone", MAX_TEXT_BYTES)?.to_owned();
        let has_moved = input.flag("moved")?;
        let roles = decode_roles(input)?;
        let phase = match input.u8("phase")? {
            0 => Phase::Joining,
            1 => Phase::Active,
            2 => Phase::Leaving,
            3 => Phase::Gone,
            _ => return Err(input.bad("phase", "unknown")),
        };
        let is_up = input.flag("up")?;
        let registered = input.uvarint("registered")?;
        let seen = input.uvarint("seen")?;
        let factor = input.u8("factor")?;
        let tokens = decode_tokens(input)?;
        let mut departure = None;
        if input.flag("departure")? {
            let since = input.uvarint("since")?;
            let kind = input.u8("kind of departure")?;
            if !matches!(kind, 0..4 | 6 | 7) || (kind & 2 != 0 && phase != Phase::Gone) {
                return Err(input.bad("kind of departure", "does not fit the phase"));
            }
            let forgotten_at = if kind & 4 != 0 { input.uvarint("forgotten at")? } else { 0 };
            if kind & 4 != 0 && forgotten_at == 0 {
                return Err(input.bad("forgotten at", "never"));
            }
            let (is_leaving, is_forgotten) = (kind & 1 != 0, kind & 2 != 0);
            let cleared = input.stores("cleared", MAX_INGESTERS)?.into_iter().collect();
            departure = Some(Departure { since, is_leaving, is_forgotten, forgotten_at, cleared });
        }
        if departure.is_some() != matches!(phase, Phase::Leaving | Phase::Gone) {
            return Err(input.bad("departure", "does not fit the phase"));
        }
        if tokens.is_empty() == roles.has(Roles::INGESTER) {
            return Err(input.bad("tokens", "do not fit the roles"));
        }
        Ok(Instance {
            store,
            id,
            grpc_address,
            http_address,
            zone,
            has_moved,
            roles,
            phase,
            is_up,
            registered,
            seen,
            factor,
            tokens,
            departure,
        })
    }
}

pub(crate) fn encode_tokens(tokens: &[u32], out: &mut Writer) {
    out.count(tokens.len());
    tokens.iter().for_each(|&token| out.u32(token));
}

pub(crate) fn decode_tokens(input: &mut Reader<'_>) -> Result<Vec<u32>, Error> {
    let count = input.count("tokens", 4, MAX_TOKENS)?;
    let mut tokens = Vec::with_capacity(count);
    for _ in 0..count {
        let token = input.u32("tokens")?;
        if tokens.last().is_some_and(|&last| last >= token) {
            return Err(input.bad("tokens", "not in ascending order"));
        }
        tokens.push(token);
    }
    Ok(tokens)
}

pub(crate) fn decode_roles(input: &mut Reader<'_>) -> Result<Roles, Error> {
    let roles = Roles::from_bits(input.u8("roles")?);
    roles.filter(|roles| !roles.is_empty()).ok_or(input.bad("roles", "unknown"))
}
