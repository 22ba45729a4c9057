//! A batch: what one distributor sends one replica set (protocols.md B1-B3).

use std::fmt;

use ulid::Ulid;

use crate::labels::Labels;
use crate::rows::Rows;
use crate::tenant::TenantId;
use crate::time::Day;

/// A store: a ULID written into the WAL directory when it is made. A new directory is a new store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub Ulid);

/// A fresh ULID at every start of a distributor process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub Ulid);

/// Identity of a batch. Rows never change under an id. Sequences are dense per (incarnation, owner).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    /// The distributor process that cut the batch.
    pub incarnation: Incarnation,
    /// The store that was first of the list when the batch was cut.
    pub owner: StoreId,
    /// Counts up from 1 for each (incarnation, owner).
    pub sequence: u64,
}

/// Rows of one tenant and one UTC day for one replica set, in the order they were pushed.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Identity; B2.
    pub id: BatchId,
    /// Counts up from 1 when the batch is sent again with another list; B3.
    pub attempt: u32,
    /// The ordered member list of this attempt; the first is the owner. Never empty.
    pub members: Vec<StoreId>,
    /// The replication factor of this attempt, at least 1: the first floor(factor/2)+1 members
    /// acknowledge it.
    pub factor: u8,
    /// Whose rows.
    pub tenant: TenantId,
    /// The UTC day all rows fall into.
    pub day: Day,
    /// Labels of the streams that `rows.runs` name by index.
    pub streams: Vec<Labels>,
    /// The rows; `Run::stream` indexes `streams`.
    pub rows: Rows,
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreId({})", self.0)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({})", self.0)
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.incarnation, self.owner, self.sequence)
    }
}
