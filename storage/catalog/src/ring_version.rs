//! The version of the ring that the log names.
//!
//! A store takes rows only after the log names a version of the ring in which it stands. So the log,
//! which every query reads to its head, tells a reader that its own ring is too old to know all
//! stores, also when nobody whom it asks has heard of them.

use base::StoreId;

use crate::codec::{Reader, Writer};
use crate::error::Error;

/// The tag of the field in a commit and in a manifest.
const TAG: u8 = 1;
/// A ULID and a number.
const MAX_BYTES: usize = 64;

/// A version of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingVersion {
    /// Whose ring: the store that founded it.
    pub founder: StoreId,
    /// Its version.
    pub version: u64,
}

impl RingVersion {
    /// Whether whoever knows of `self` knows of `other`, too. Versions of different rings say nothing
    /// about each other.
    pub fn covers(self, other: RingVersion) -> bool {
        self.founder == other.founder && self.version >= other.version
    }

    /// What the log names after a commit that names `next`: of one ring the greatest version, of
    /// several the last one.
    pub(crate) fn then(known: Option<RingVersion>, next: Option<RingVersion>) -> Option<Self> {
        match (known, next) {
            (Some(known), Some(next)) if known.covers(next) => Some(known),
            (known, next) => next.or(known),
        }
    }

    /// Appends the field, if there is one: without it the bytes are those of before it existed.
    pub(crate) fn encode(field: Option<RingVersion>, out: &mut Writer) {
        let Some(ring) = field else { return };
        let mut body = Writer::default();
        body.ulid(ring.founder.0);
        body.uvarint(ring.version);
        out.u8(TAG);
        out.bytes(&body.finish());
    }

    /// Reads the field, if it is the next one.
    pub(crate) fn decode(outer: &mut Reader<'_>) -> Result<Option<RingVersion>, Error> {
        if outer.remaining().first() != Some(&TAG) {
            return Ok(None);
        }
        outer.u8("tag")?;
        let mut body = outer.nested("ring", MAX_BYTES)?;
        let founder = StoreId(body.ulid("founder")?);
        let version = body.uvarint("ring version")?;
        if !body.remaining().is_empty() {
            return Err(body.field("ring", "more than a version".to_owned()));
        }
        Ok(Some(RingVersion { founder, version }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(founder: u128, version: u64) -> Option<RingVersion> {
        Some(RingVersion { founder: StoreId(ulid::Ulid(founder)), version })
    }

    #[test]
    fn of_one_ring_the_greatest_version_counts_and_of_several_the_last() {
        assert_eq!(RingVersion::then(None, None), None);
        assert_eq!(RingVersion::then(None, of(1, 5)), of(1, 5));
        assert_eq!(RingVersion::then(of(1, 5), None), of(1, 5));
        assert_eq!(RingVersion::then(of(1, 5), of(1, 4)), of(1, 5));
        assert_eq!(RingVersion::then(of(1, 5), of(1, 6)), of(1, 6));
        assert_eq!(RingVersion::then(of(1, 5), of(2, 1)), of(2, 1), "its ring was made anew");
    }
}
