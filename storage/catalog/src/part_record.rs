//! What the catalog knows about one part.

use std::fmt;

use base::{Day, TenantId, UnixNanos};
use ulid::Ulid;

use crate::codec::{Reader, Writer};
use crate::error::Error;

/// A part. Every upload draws a fresh one, also of the same rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartId(pub Ulid);

/// Where a part's bytes are. Object names follow from it: [`crate::paths::object`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The part is an object of its own.
    Object,
    /// The part is a section of a bundle object.
    Bundle {
        /// Names the bundle object.
        bundle: Ulid,
        /// First byte of the part in it.
        offset: u64,
    },
}

/// One immutable part, as commits and checkpoints name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartRecord {
    /// Identity.
    pub id: PartId,
    /// Whose rows.
    pub tenant: TenantId,
    /// The UTC day of all rows.
    pub day: Day,
    /// Where the bytes are.
    pub place: Place,
    /// Length of the part in bytes.
    pub len_bytes: u64,
    /// Length of the footer at the part's end, in bytes: one read opens the part.
    pub footer_bytes: u32,
    /// Length of footer and trigram tables at the part's end: one read serves most pruning. At
    /// least `footer_bytes`.
    pub tail_bytes: u32,
    /// Number of rows.
    pub rows: u64,
    /// Uncompressed bytes of lines and metadata: the cost of a query is known before it runs.
    pub raw_bytes: u64,
    /// Number of streams.
    pub streams: u32,
    /// Oldest row.
    pub min_ts: UnixNanos,
    /// Newest row (inclusive).
    pub max_ts: UnixNanos,
    /// Smallest stream key.
    pub min_key: u64,
    /// Greatest stream key (inclusive).
    pub max_key: u64,
    /// 0 = made by a flush; a merge writes the greatest of its inputs plus 1.
    pub level: u8,
    /// Every predicate at or below this commit that stood was applied (R3). A flush writes 0.
    pub purged_through: u64,
    /// Fields that a later version appended, kept verbatim.
    pub rest: Vec<u8>,
}

/// Names a part that a commit removes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartRef {
    /// Whose part.
    pub tenant: TenantId,
    /// Its day.
    pub day: Day,
    /// Which part.
    pub id: PartId,
}

impl PartRef {
    /// Names an uploaded object that no commit has named. Whose it is nobody knows: the id alone
    /// counts, and stands where no part of a tenant can stand.
    pub(crate) fn orphan(object: Ulid) -> PartRef {
        let tenant = TenantId::new(ORPHAN_TENANT).expect("a valid name");
        PartRef { tenant, day: Day(i32::MIN), id: PartId(object) }
    }
}

/// See [`PartRef::orphan`].
const ORPHAN_TENANT: &str = "-";

impl PartRecord {
    /// The name a removing commit uses.
    pub fn reference(&self) -> PartRef {
        PartRef { tenant: self.tenant.clone(), day: self.day, id: self.id }
    }

    /// The object that holds the bytes.
    pub fn path(&self) -> String {
        crate::paths::object(self)
    }

    /// What the object's name ends with: its own id, or that of the bundle it lies in.
    pub fn object_id(&self) -> Ulid {
        match self.place {
            Place::Object => self.id.0,
            Place::Bundle { bundle, .. } => bundle,
        }
    }

    /// First byte of the part in its object.
    pub fn offset(&self) -> u64 {
        match self.place {
            Place::Object => 0,
            Place::Bundle { offset, .. } => offset,
        }
    }

    /// Whether a row of the part may fall into `[start, end]`, both inclusive.
    pub fn overlaps(&self, start: UnixNanos, end: UnixNanos) -> bool {
        self.min_ts <= end && self.max_ts >= start
    }

    /// Everything but tenant and day, which the surrounding group has.
    pub(crate) fn encode(&self, out: &mut Writer) {
        let mut body = Writer::default();
        body.ulid(self.id.0);
        match self.place {
            Place::Object => body.u8(0),
            Place::Bundle { bundle, offset } => {
                body.u8(1);
                body.ulid(bundle);
                body.uvarint(offset);
            }
        }
        body.uvarint(self.len_bytes);
        body.uvarint(u64::from(self.footer_bytes));
        body.uvarint(u64::from(self.tail_bytes));
        body.uvarint(self.rows);
        body.uvarint(self.raw_bytes);
        body.uvarint(u64::from(self.streams));
        body.i64(self.min_ts.0);
        body.i64(self.max_ts.0);
        body.u64(self.min_key);
        body.u64(self.max_key);
        body.u8(self.level);
        body.uvarint(self.purged_through);
        body.raw(&self.rest);
        out.bytes(&body.finish());
    }

    pub(crate) fn decode(
        outer: &mut Reader<'_>,
        tenant: &TenantId,
        day: Day,
    ) -> Result<PartRecord, Error> {
        let mut body = outer.nested("part record", MAX_RECORD_BYTES)?;
        let id = PartId(body.ulid("part id")?);
        let place = match body.u8("place")? {
            0 => Place::Object,
            1 => Place::Bundle { bundle: body.ulid("bundle")?, offset: body.uvarint("offset")? },
            tag => return Err(body.field("place", format!("{tag} is not a place"))),
        };
        let record = PartRecord {
            id,
            tenant: tenant.clone(),
            day,
            place,
            len_bytes: body.uvarint("part length")?,
            footer_bytes: body.uvarint32("footer length")?,
            tail_bytes: body.uvarint32("tail length")?,
            rows: body.uvarint("rows")?,
            raw_bytes: body.uvarint("raw bytes")?,
            streams: body.uvarint32("streams")?,
            min_ts: UnixNanos(body.i64("min ts")?),
            max_ts: UnixNanos(body.i64("max ts")?),
            min_key: body.u64("min key")?,
            max_key: body.u64("max key")?,
            level: body.u8("level")?,
            purged_through: body.uvarint("purged through")?,
            rest: body.remaining().to_vec(),
        };
        record.check().map_err(|problem| body.field("part record", problem))?;
        Ok(record)
    }

    /// What must hold of every record, at commit and at read.
    pub(crate) fn check(&self) -> Result<(), String> {
        let tail = u64::from(self.tail_bytes);
        if u64::from(self.footer_bytes) > tail || tail > self.len_bytes {
            let (footer, part) = (self.footer_bytes, self.len_bytes);
            return Err(format!("footer of {footer} in a tail of {tail} in a part of {part}"));
        }
        if self.offset().checked_add(self.len_bytes).is_none() {
            return Err(format!("offset {} and length overflow", self.offset()));
        }
        if self.min_ts > self.max_ts {
            return Err(format!("min ts {} is after max ts {}", self.min_ts.0, self.max_ts.0));
        }
        if Day::of(self.min_ts) != self.day || Day::of(self.max_ts) != self.day {
            return Err(format!("timestamps are outside day {}", self.day));
        }
        if self.min_key > self.max_key {
            return Err("min key is greater than max key".to_owned());
        }
        Ok(())
    }
}

/// A record is about 130 bytes; the rest is room for later fields.
const MAX_RECORD_BYTES: usize = 64 * 1024;

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartId({})", self.0)
    }
}
