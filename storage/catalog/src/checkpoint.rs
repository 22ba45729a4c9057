//! A checkpoint: the state at a version, as objects that let a reader skip the log before it.
//!
//! It consists of one object per tenant and day, the id table, and a manifest that is written last
//! and names them. A day's object is a function of (tenant, day, commit that changed it last), so
//! an unchanged day is not written again, and two writers of the same checkpoint write the same.

use base::{Day, TenantId, UnixNanos};

use crate::codec::{self, Kind, Writer};
use crate::commit::NewPredicate;
use crate::error::Error;
use crate::part_record::PartRecord;
use crate::predicate::{Predicate, PredicateId};
use crate::ring_version::RingVersion;

pub(crate) const DAY: Kind = Kind { name: "day checkpoint", magic: *b"RLdy", version: 1 };
pub(crate) const MANIFEST: Kind = Kind { name: "checkpoint manifest", magic: *b"RLmf", version: 1 };

/// The parts of one tenant and day, as commit `changed_at` left them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayCheckpoint {
    /// Whose parts.
    pub tenant: TenantId,
    /// Their day.
    pub day: Day,
    /// The last commit that added or removed one.
    pub changed_at: u64,
    /// The parts, by id.
    pub parts: Vec<PartRecord>,
}

/// Names one [`DayCheckpoint`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayEntry {
    /// Whose parts.
    pub tenant: TenantId,
    /// Their day.
    pub day: Day,
    /// The last commit that added or removed one.
    pub changed_at: u64,
}

/// What a checkpoint consists of. The id table's name follows from the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The checkpoint covers commits `1..=version`.
    pub version: u64,
    /// When it was written. For people only.
    pub at: UnixNanos,
    /// One entry per tenant and day with parts, sorted.
    pub days: Vec<DayEntry>,
    /// The predicates that stand at the version.
    pub predicates: Vec<Predicate>,
    /// The version of the ring that the commits up to there name.
    pub ring: Option<RingVersion>,
    /// Fields that a later version appended, kept verbatim.
    pub rest: Vec<u8>,
}

impl DayCheckpoint {
    /// The bytes of the object.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Writer::default();
        body.text(self.tenant.as_str());
        body.day(self.day);
        body.u64(self.changed_at);
        body.count(self.parts.len());
        self.parts.iter().for_each(|part| part.encode(&mut body));
        codec::seal(&DAY, body)
    }

    /// Reads the object that `entry` names; another day's object is an error.
    pub fn decode(entry: &DayEntry, bytes: &[u8]) -> Result<DayCheckpoint, Error> {
        let checkpoint = DayCheckpoint::decode_any(bytes)?;
        let found = DayEntry {
            tenant: checkpoint.tenant.clone(),
            day: checkpoint.day,
            changed_at: checkpoint.changed_at,
        };
        if found != *entry {
            let problem = format!("{found:?} stands where {entry:?} belongs");
            return Err(Error::Field { object: DAY.name, field: "identity", problem });
        }
        Ok(checkpoint)
    }

    pub(crate) fn decode_any(bytes: &[u8]) -> Result<DayCheckpoint, Error> {
        let mut body = codec::open(&DAY, bytes)?;
        let tenant = body.tenant()?;
        let day = body.day("day")?;
        let changed_at = body.u64("changed at")?;
        let mut parts = Vec::new();
        for _ in 0..body.count("parts", 1)? {
            parts.push(PartRecord::decode(&mut body, &tenant, day)?);
        }
        Ok(DayCheckpoint { tenant, day, changed_at, parts })
    }
}

impl Manifest {
    /// The bytes of the object.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Writer::default();
        body.u64(self.version);
        body.i64(self.at.0);
        let groups: Vec<&[DayEntry]> = self.days.chunk_by(|a, b| a.tenant == b.tenant).collect();
        body.count(groups.len());
        for group in groups {
            body.text(group[0].tenant.as_str());
            body.count(group.len());
            for entry in group {
                body.day(entry.day);
                body.uvarint(entry.changed_at);
            }
        }
        body.count(self.predicates.len());
        for predicate in &self.predicates {
            body.uvarint(predicate.id.commit);
            body.uvarint(u64::from(predicate.id.index));
            predicate.body.encode(&mut body);
        }
        RingVersion::encode(self.ring, &mut body);
        body.raw(&self.rest);
        codec::seal(&MANIFEST, body)
    }

    /// Reads the manifest of the checkpoint at `version`.
    pub fn decode(version: u64, bytes: &[u8]) -> Result<Manifest, Error> {
        let mut body = codec::open(&MANIFEST, bytes)?;
        let found = body.u64("version")?;
        if found != version {
            return Err(body.field("version", format!("{found} stands where {version} belongs")));
        }
        let at = UnixNanos(body.i64("time")?);
        let mut days = Vec::new();
        for _ in 0..body.count("tenants", 3)? {
            let tenant = body.tenant()?;
            for _ in 0..body.count("days", 2)? {
                let day = body.day("day")?;
                let changed_at = body.uvarint("changed at")?;
                days.push(DayEntry { tenant: tenant.clone(), day, changed_at });
            }
        }
        let mut predicates = Vec::new();
        for _ in 0..body.count("predicates", 3)? {
            let commit = body.uvarint("predicate commit")?;
            let index = body.uvarint32("predicate index")?;
            let new = NewPredicate::decode(&mut body)?;
            predicates.push(Predicate { id: PredicateId { commit, index }, body: new.into() });
        }
        let ring = RingVersion::decode(&mut body)?;
        let rest = body.remaining().to_vec();
        Ok(Manifest { version, at, days, predicates, ring, rest })
    }
}
