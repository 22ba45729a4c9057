//! Everything the cluster agrees on.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{StoreId, TenantId};
use bytes::Bytes;
use ulid::Ulid;

use crate::codec::{Reader, Writer};
use crate::error::Error;
use crate::instance::{Instance, Phase};
use crate::{
    MAX_INGESTERS, MAX_INSTANCES, MAX_LEASES, MAX_OVERRIDE_BYTES, MAX_OVERRIDES,
    MAX_OVERRIDES_BYTES, MAX_RETIRED, MAX_TEXT_BYTES,
};

/// The first two know no founder, and the first no lowered factor: what was written so is written so.
const VERSIONS: [u64; 3] = [1, 2, 3];

/// A tenant's own limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The version of the state at which it was put: its ETag.
    pub version: u64,
    /// The text, which whoever put it has checked.
    pub bytes: Bytes,
}

/// Who does a piece of work that one is enough for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who.
    pub holder: StoreId,
    /// The version of the state at which it was taken.
    pub sequence: u64,
}

/// What the cluster agrees on. Cheap enough to clone for every change: a ring has few of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whose state this is (C6).
    pub cluster: Ulid,
    /// Counts the changes.
    pub version: u64,
    /// The version at which streams were last placed anew.
    pub placement_version: u64,
    /// The replication factor of new batches; 0 = as many as ever joined, at most 3.
    pub replication: u8,
    /// Ingesters that ever became active.
    pub joined: u64,
    /// Most voters.
    pub most_voters: u8,
    /// Who is there. An instance is not changed in place: whoever holds one keeps it.
    pub instances: BTreeMap<StoreId, Arc<Instance>>,
    /// Stores that were removed, with the version at which: they never come back.
    pub retired: BTreeMap<StoreId, u64>,
    /// Limits of tenants.
    pub overrides: BTreeMap<TenantId, Override>,
    /// Who does what.
    pub leases: BTreeMap<String, Lease>,
    /// The version at which the replication factor was last lowered; 0 = never.
    pub lowered: u64,
    /// The factor before that, as long as lists are written under it: until everybody who answers
    /// queries has seen that readers count on less. 0 = none.
    pub held_factor: u8,
    /// Who registered first: versions of two rings that were founded over one bucket, one after the
    /// loss of the other, say nothing about each other.
    pub founder: Option<StoreId>,
    /// The version at which a store that may hold rows was last asked into another zone; 0 = never.
    pub moved: u64,
    /// Who is on its way to which zone: until everybody who answers queries has seen it, because
    /// readers count the zones of stores that do not answer.
    pub moves: BTreeMap<StoreId, String>,
}

impl State {
    /// The state of a cluster that nobody has joined.
    pub fn new(cluster: Ulid) -> State {
        State {
            cluster,
            version: 0,
            placement_version: 0,
            replication: 0,
            joined: 0,
            most_voters: 5,
            instances: BTreeMap::new(),
            retired: BTreeMap::new(),
            overrides: BTreeMap::new(),
            leases: BTreeMap::new(),
            lowered: 0,
            held_factor: 0,
            founder: None,
            moved: 0,
            moves: BTreeMap::new(),
        }
    }

    /// The instance of a store.
    pub fn instance(&self, store: StoreId) -> Option<&Instance> {
        self.instances.get(&store).map(|instance| &**instance)
    }

    /// Those with a store, in whatever phase.
    pub fn ingesters(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values().map(|instance| &**instance).filter(|i| i.is_ingester())
    }

    /// Those that streams are placed on.
    pub fn placed(&self) -> impl Iterator<Item = &Instance> {
        self.ingesters().filter(|instance| instance.is_placed())
    }

    /// The replication factor that is asked for.
    pub fn asked_factor(&self) -> u8 {
        match self.replication {
            0 => self.joined.clamp(1, 3) as u8,
            factor => factor,
        }
    }

    /// The replication factor of new batches: what is asked for, as soon as a lower one is in force.
    pub fn write_factor(&self) -> u8 {
        self.asked_factor().max(self.held_factor)
    }

    /// The replication factor that readers count on: the least under which a store that is not
    /// cleared may hold acknowledged rows, now or soon.
    pub fn read_factor(&self) -> u8 {
        let held = self.ingesters().filter(|i| i.may_hold_rows()).map(|i| i.factor);
        held.chain([self.asked_factor()]).min().unwrap_or(1).max(1)
    }

    /// Whether every ingester that answers queries follows the state to `version`: each answer says
    /// so to readers who do not. While nobody answers nobody has seen it, nor had the log name it.
    pub(crate) fn is_seen(&self, version: u64) -> bool {
        let answering = self.ingesters().filter(|instance| instance.answers());
        answering.map(|instance| instance.seen).min().is_some_and(|seen| seen >= version)
    }

    /// The zone that an instance has or is on its way to.
    pub fn next_zone<'a>(&'a self, instance: &'a Instance) -> &'a str {
        self.moves.get(&instance.store).unwrap_or(&instance.zone)
    }

    /// Who has still to say `cleared(store)` before it is removed (R1b): all who may hold rows, the
    /// gone among them. Those that an operator forgot while `store` was there only if the two may share
    /// rows alone: until it has cleared them, emptied its log, or been forgotten, too. Empty also when
    /// nobody can: then only an operator removes it.
    pub fn uncleared_by(&self, store: StoreId) -> Vec<StoreId> {
        let Some(instance) = self.instance(store) else { return Vec::new() };
        let Some(departure) = &instance.departure else { return Vec::new() };
        let is_given_up = instance.is_forgotten() || departure.cleared.contains(&store);
        let needed = self.ingesters().filter(|other| match &other.departure {
            _ if other.store == store => instance.phase == Phase::Leaving,
            // It says nothing any more. But if `store` was there when the operator gave his word, what
            // both of them hold, and nobody else, is not forgotten with the one.
            Some(given_up) if given_up.is_forgotten => {
                // A departure that began as a leave does not say since when it is gone.
                let was_there = departure.is_leaving || departure.since > given_up.forgotten_at;
                was_there && !is_given_up && !given_up.cleared.contains(&store)
            }
            _ => other.may_hold_rows(),
        });
        let needed = needed.map(|other| other.store);
        needed.filter(|other| !departure.cleared.contains(other)).collect()
    }

    /// As bytes: `docs/formats/ring.md`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        let was_lowered = self.lowered > 0;
        out.uvarint(match self.founder {
            Some(_) => VERSIONS[2],
            None => VERSIONS[usize::from(was_lowered)],
        });
        out.ulid(self.cluster);
        out.uvarint(self.version);
        out.uvarint(self.placement_version);
        out.u8(self.replication);
        out.uvarint(self.joined);
        out.u8(self.most_voters);
        out.count(self.instances.len());
        self.instances.values().for_each(|instance| instance.encode(&mut out));
        out.count(self.retired.len());
        for (&store, &version) in &self.retired {
            out.store(store);
            out.uvarint(version);
        }
        out.count(self.overrides.len());
        for (tenant, found) in &self.overrides {
            out.text(tenant.as_str());
            out.uvarint(found.version);
            out.bytes(&found.bytes);
        }
        out.count(self.leases.len());
        for (name, lease) in &self.leases {
            out.text(name);
            out.store(lease.holder);
            out.uvarint(lease.sequence);
        }
        if was_lowered || self.founder.is_some() {
            out.uvarint(self.lowered);
            out.u8(self.held_factor);
        }
        if let Some(founder) = self.founder {
            out.store(founder);
            out.uvarint(self.moved);
            out.count(self.moves.len());
            for (&store, zone) in &self.moves {
                out.store(store);
                out.text(zone);
            }
        }
        out.finish()
    }

    /// Reads what [`State::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<State, Error> {
        let mut input = Reader::new("ring state", bytes);
        let version = input.version_of(&VERSIONS)?;
        let mut state = State::new(input.ulid("cluster")?);
        state.version = input.uvarint("version")?;
        state.placement_version = input.number("placement version", state.version)?;
        state.replication = input.number("replication", crate::MAX_REPLICAS as u64)? as u8;
        state.joined = input.uvarint("joined")?;
        state.most_voters = input.u8("voters")?;
        if !matches!(state.most_voters, 1 | 3 | 5) {
            return Err(input.bad("voters", "neither 1, 3 nor 5"));
        }
        for _ in 0..input.count("instances", 32, MAX_INSTANCES)? {
            let instance = Instance::decode(&mut input)?;
            ascending(&input, "instances", state.instances.last_key_value(), &instance.store)?;
            state.instances.insert(instance.store, Arc::new(instance));
        }
        if state.ingesters().count() > MAX_INGESTERS {
            return Err(input.bad("instances", "too many ingesters"));
        }
        for _ in 0..input.count("retired", 17, MAX_RETIRED)? {
            let store = input.store("retired")?;
            ascending(&input, "retired", state.retired.last_key_value(), &store)?;
            state.retired.insert(store, input.uvarint("retired at")?);
        }
        let mut override_bytes = 0;
        for _ in 0..input.count("overrides", 4, MAX_OVERRIDES)? {
            let tenant = input.tenant()?;
            ascending(&input, "overrides", state.overrides.last_key_value(), &tenant)?;
            let version = input.uvarint("override version")?;
            let bytes = Bytes::copy_from_slice(input.bytes("override", MAX_OVERRIDE_BYTES)?);
            override_bytes += bytes.len();
            state.overrides.insert(tenant, Override { version, bytes });
        }
        if override_bytes > MAX_OVERRIDES_BYTES {
            return Err(input.bad("overrides", "too many bytes"));
        }
        for _ in 0..input.count("leases", 18, MAX_LEASES)? {
            let name = input.text("lease", MAX_TEXT_BYTES)?.to_owned();
            ascending(&input, "leases", state.leases.last_key_value(), &name)?;
            let holder = input.store("holder")?;
            state.leases.insert(name, Lease { holder, sequence: input.uvarint("sequence")? });
        }
        if version >= VERSIONS[1] {
            state.lowered = input.number("lowered", state.version)?;
            state.held_factor = input.number("held factor", crate::MAX_REPLICAS as u64)? as u8;
        }
        if version == VERSIONS[1] && state.lowered == 0 {
            return Err(input.bad("lowered", "never"));
        }
        if version == VERSIONS[2] {
            state.founder = Some(input.store("founder")?);
            state.moved = input.number("moved", state.version)?;
            for _ in 0..input.count("moves", 17, MAX_INGESTERS)? {
                let store = input.store("moves")?;
                ascending(&input, "moves", state.moves.last_key_value(), &store)?;
                if !state.instances.contains_key(&store) {
                    return Err(input.bad("moves", "of a store that is not there"));
                }
                state.moves.insert(store, input.text("zone", MAX_TEXT_BYTES)?.to_owned());
            }
        }
        input.end()?;
        Ok(state)
    }
}

fn ascending<K: Ord, V>(
    input: &Reader<'_>,
    field: &'static str,
    last: Option<(&K, &V)>,
    key: &K,
) -> Result<(), Error> {
    match last {
        Some((last, _)) if last >= key => Err(input.bad(field, "not in ascending order")),
        _ => Ok(()),
    }
}
