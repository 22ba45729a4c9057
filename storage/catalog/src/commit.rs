//! One numbered change of the catalog.

use std::collections::BTreeMap;

use base::{Day, Incarnation, StoreId, TenantId, UnixNanos};

use crate::codec::{self, Kind, Reader, Writer};
use crate::error::Error;
use crate::ids::{IdSet, Ranges};
use crate::part_record::{PartId, PartRecord, PartRef};
use crate::predicate::PredicateId;
use crate::ring_version::RingVersion;

pub(crate) const KIND: Kind = Kind { name: "commit", magic: *b"RLcm", version: 1 };

/// A delete request's query text is bounded by Loki's `max_query_length` in practice; this is
/// what a reader accepts.
const MAX_QUERY_BYTES: usize = 128 * 1024;
const MAX_REQUEST_ID_BYTES: usize = 256;
const MAX_PREDICATE_BYTES: usize = 256 * 1024;

/// One object of the log. Written once, never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its place in the log, from 1; also its object's name.
    pub number: u64,
    /// Drawn anew whenever the contents below change: tells the committer its own commit (C2).
    pub nonce: u128,
    /// Who made it.
    pub committer: StoreId,
    /// When its draft was made. Only ages the id table.
    pub at: UnixNanos,
    /// The batches whose rows are in `added`.
    pub claims: IdSet,
    /// Parts that exist from now on, sorted by tenant, day and id.
    pub added: Vec<PartRecord>,
    /// Parts that exist no longer, sorted. May name an uploaded part that no commit added (C4).
    pub removed: Vec<PartRef>,
    /// Deletes that hold from now on (R3).
    pub predicates: Vec<NewPredicate>,
    /// Deletes that hold no longer.
    pub cancelled: Vec<PredicateId>,
    /// Readers with an older ring do not know all stores that may hold rows from now on.
    pub ring: Option<RingVersion>,
    /// Fields that a later version appended, kept verbatim.
    pub rest: Vec<u8>,
}

/// A delete request as a commit adds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPredicate {
    /// The request's id, by which the API makes a repeated request idempotent.
    pub request_id: String,
    /// Whose rows.
    pub tenant: TenantId,
    /// A LogQL selector with line filters.
    pub query: String,
    /// First instant it hides.
    pub start: UnixNanos,
    /// Last instant it hides (inclusive); not after the request.
    pub end: UnixNanos,
    /// When the request came.
    pub created: UnixNanos,
    /// Fields that a later version appended, kept verbatim.
    pub rest: Vec<u8>,
}

impl Commit {
    /// The bytes of the object. Parts are written in sorted order whatever order they stand in.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.number > 0, "commits count from 1");
        let mut body = Writer::default();
        body.u64(self.number);
        body.u128(self.nonce);
        body.ulid(self.committer.0);
        body.i64(self.at.0);
        encode_ids(&mut body, &self.claims);
        encode_added(&mut body, &self.added);
        encode_removed(&mut body, &self.removed);
        body.count(self.predicates.len());
        for predicate in &self.predicates {
            predicate.encode(&mut body);
        }
        body.count(self.cancelled.len());
        for id in &self.cancelled {
            body.uvarint(id.commit);
            body.uvarint(u64::from(id.index));
        }
        RingVersion::encode(self.ring, &mut body);
        body.raw(&self.rest);
        codec::seal(&KIND, body)
    }

    /// Reads commit `number`; an object that bears another number is an error.
    pub fn decode(number: u64, bytes: &[u8]) -> Result<Commit, Error> {
        let mut body = codec::open(&KIND, bytes)?;
        let found = body.u64("number")?;
        if found != number || number == 0 {
            return Err(body.field("number", format!("{found} stands where {number} belongs")));
        }
        let nonce = body.u128("nonce")?;
        let committer = StoreId(body.ulid("committer")?);
        let at = UnixNanos(body.i64("time")?);
        let claims = decode_ids(&mut body)?;
        let added = decode_added(&mut body)?;
        let removed = decode_removed(&mut body)?;
        let mut predicates = Vec::new();
        for _ in 0..body.count("predicates", 1)? {
            predicates.push(NewPredicate::decode(&mut body)?);
        }
        let mut cancelled = Vec::new();
        for _ in 0..body.count("cancelled", 2)? {
            let commit = body.uvarint("cancelled commit")?;
            let index = body.uvarint32("cancelled index")?;
            cancelled.push(PredicateId { commit, index });
        }
        let ring = RingVersion::decode(&mut body)?;
        let rest = body.remaining().to_vec();
        Ok(Commit {
            number,
            nonce,
            committer,
            at,
            claims,
            added,
            removed,
            predicates,
            cancelled,
            ring,
            rest,
        })
    }
}

impl NewPredicate {
    pub(crate) fn encode(&self, out: &mut Writer) {
        let mut body = Writer::default();
        body.text(&self.request_id);
        body.text(self.tenant.as_str());
        body.text(&self.query);
        body.i64(self.start.0);
        body.i64(self.end.0);
        body.i64(self.created.0);
        body.raw(&self.rest);
        out.bytes(&body.finish());
    }

    pub(crate) fn decode(outer: &mut Reader<'_>) -> Result<NewPredicate, Error> {
        let mut body = outer.nested("predicate", MAX_PREDICATE_BYTES)?;
        Ok(NewPredicate {
            request_id: body.text("request id", MAX_REQUEST_ID_BYTES)?.to_owned(),
            tenant: body.tenant()?,
            query: body.text("query", MAX_QUERY_BYTES)?.to_owned(),
            start: UnixNanos(body.i64("start")?),
            end: UnixNanos(body.i64("end")?),
            created: UnixNanos(body.i64("created")?),
            rest: body.remaining().to_vec(),
        })
    }
}

/// Groups of (incarnation, owner), each with its ranges.
pub(crate) fn encode_ids(out: &mut Writer, ids: &IdSet) {
    out.count(ids.0.len());
    for (incarnation, owner, ranges) in ids.iter() {
        out.ulid(incarnation.0);
        out.ulid(owner.0);
        encode_ranges(out, ranges);
    }
}

fn decode_ids(body: &mut Reader<'_>) -> Result<IdSet, Error> {
    let mut ids = IdSet::default();
    for _ in 0..body.count("claims", 16 + 16 + 3)? {
        let key = (Incarnation(body.ulid("incarnation")?), StoreId(body.ulid("owner")?));
        let ranges = decode_ranges(body)?;
        if ids.0.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(body.field("claims", format!("{}/{} is out of order", key.0, key.1)));
        }
        ids.0.insert(key, ranges);
    }
    Ok(ids)
}

/// The first range as (first, length - 1); each later one by its distance to the least number
/// that would not have merged with the one before.
pub(crate) fn encode_ranges(out: &mut Writer, ranges: &Ranges) {
    out.count(ranges.range_count());
    let mut least = 0;
    for (first, last) in ranges.iter() {
        out.uvarint(first - least);
        out.uvarint(last - first);
        least = last.saturating_add(2);
    }
}

pub(crate) fn decode_ranges(body: &mut Reader<'_>) -> Result<Ranges, Error> {
    let mut ranges = Ranges::default();
    let mut least = Some(0u64);
    let count = body.count("ranges", 2)?;
    if count == 0 {
        return Err(body.field("ranges", "none".to_owned()));
    }
    for _ in 0..count {
        let gap = body.uvarint("range start")?;
        let len = body.uvarint("range length")?;
        let first = least.and_then(|least| least.checked_add(gap));
        let bounds = first.and_then(|first| Some((first, first.checked_add(len)?)));
        let Some((first, last)) = bounds else {
            return Err(body.field("ranges", "a range goes over 64 bits".to_owned()));
        };
        ranges.insert(first, last);
        least = last.checked_add(2);
    }
    Ok(ranges)
}

/// Groups of (tenant, day), each with its records in id order.
fn encode_added(out: &mut Writer, parts: &[PartRecord]) {
    let mut groups: BTreeMap<(&TenantId, Day), BTreeMap<PartId, &PartRecord>> = BTreeMap::new();
    for part in parts {
        if let Err(problem) = part.check() {
            panic!("part {} must not be committed: {problem}", part.id);
        }
        let group = groups.entry((&part.tenant, part.day)).or_default();
        assert!(group.insert(part.id, part).is_none(), "part {} is added twice", part.id);
    }
    out.count(groups.len());
    for ((tenant, day), group) in groups {
        out.text(tenant.as_str());
        out.day(day);
        out.count(group.len());
        group.values().for_each(|part| part.encode(out));
    }
}

fn decode_added(body: &mut Reader<'_>) -> Result<Vec<PartRecord>, Error> {
    let mut parts = Vec::new();
    for _ in 0..body.count("groups of parts", 3)? {
        let tenant = body.tenant()?;
        let day = body.day("day")?;
        for _ in 0..body.count("parts", 1)? {
            parts.push(PartRecord::decode(body, &tenant, day)?);
        }
    }
    Ok(parts)
}

fn encode_removed(out: &mut Writer, parts: &[PartRef]) {
    let mut groups: BTreeMap<(&TenantId, Day), Vec<PartId>> = BTreeMap::new();
    for part in parts {
        groups.entry((&part.tenant, part.day)).or_default().push(part.id);
    }
    out.count(groups.len());
    for ((tenant, day), mut group) in groups {
        group.sort();
        out.text(tenant.as_str());
        out.day(day);
        out.count(group.len());
        group.into_iter().for_each(|id| out.ulid(id.0));
    }
}

fn decode_removed(body: &mut Reader<'_>) -> Result<Vec<PartRef>, Error> {
    let mut parts = Vec::new();
    for _ in 0..body.count("groups of removed parts", 3)? {
        let tenant = body.tenant()?;
        let day = body.day("day")?;
        for _ in 0..body.count("removed parts", 16)? {
            let id = PartId(body.ulid("removed part")?);
            parts.push(PartRef { tenant: tenant.clone(), day, id });
        }
    }
    Ok(parts)
}
