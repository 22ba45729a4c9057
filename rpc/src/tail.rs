//! What a tail asks, step by step: of a querier by its cursor, of an ingester by a place.
//!
//! The cursor is all there is to a tail: any querier can do the next step. Its rule is in
//! `docs/adr/0022-tenants-and-tail.md`.

use std::sync::Arc;

use base::TenantId;
use base::shutdown::Shutdown;
use catalog::IdSet;
use logql::engine::Partial;
use logql::plan::Leaf;
use ulid::Ulid;

/// How far a tail has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cursor {
    /// At each ingester that has answered.
    pub places: Vec<Place>,
    /// Batches that were given, or that were there before the tail began, and that no commit at or
    /// before every [`Place::view`] claims: what a restarted ingester may have again.
    pub seen: IdSet,
    /// The commit known when the tail began, or later: ingesters that were never asked have given
    /// everything before it.
    pub view: u64,
}

impl Cursor {
    /// Notes how far the tail has come at an ingester.
    pub fn put(&mut self, ingester: &str, process: Ulid, order: u64, view: u64) {
        let known = self.places.iter().position(|place| place.ingester == ingester);
        let place = Place { ingester: ingester.to_owned(), process, order, view };
        match known {
            Some(at) => self.places[at] = place,
            None => self.places.push(place),
        }
    }
}

/// How far a tail has come at one ingester.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its store.
    pub ingester: String,
    /// The process that gave `order`.
    pub process: Ulid,
    /// Every batch before it was given.
    pub order: u64,
    /// The commit known when it was asked.
    pub view: u64,
}

/// One step of a tail, for a querier.
#[derive(Clone)]
pub struct TailJob {
    /// Whose rows.
    pub tenant: TenantId,
    /// Which rows: a leaf of a log query, without a limit that matters.
    pub leaf: Arc<Leaf>,
    /// How far it has come; `None`: it begins, and is given nothing that is there already.
    pub cursor: Option<Cursor>,
}

/// Answer to a [`TailJob`].
#[derive(Clone, Debug)]
pub struct Tailed {
    /// What came since.
    pub partial: Partial,
    /// For the next step.
    pub cursor: Cursor,
    /// Whether there is no more at present.
    pub is_all: bool,
    /// Ingesters that did not answer, and why. They are asked again in the next step.
    pub silent: Vec<String>,
}

/// What came to an ingester, for a querier.
#[derive(Clone)]
pub struct TailRequest {
    /// Whose rows.
    pub tenant: TenantId,
    /// Which rows.
    pub leaf: Arc<Leaf>,
    /// Since when.
    pub after: After,
    /// Ends the work within a page or two. Does not travel.
    pub cancel: Shutdown,
}

/// Since when.
#[derive(Clone, Debug)]
pub enum After {
    /// Nothing is wanted but the place where the present ends, and the batches before it that no
    /// commit at or before `view` claims.
    Now {
        /// V.
        view: u64,
    },
    /// Since this place of this process.
    Place {
        /// Who gave it.
        process: Ulid,
        /// What it gave.
        order: u64,
    },
    /// All batches but these that no commit at or before `view` claims.
    Batches {
        /// What was given.
        seen: Arc<IdSet>,
        /// V.
        view: u64,
    },
}

/// Answer to a [`TailRequest`].
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // one per call, moved a few times
pub enum TailAnswer {
    /// Rows that were not given have been dropped; commits up to this one claim them.
    Behind {
        /// See there.
        floor: u64,
    },
    /// The place is another process's: ask by batches.
    Stranger,
    /// What came.
    Rows(Rows),
}

/// What came.
#[derive(Clone, Debug)]
pub struct Rows {
    /// This process.
    pub process: Ulid,
    /// Every batch before it was given.
    pub place: u64,
    /// The batches of `partial`.
    pub batches: IdSet,
    /// Their rows, evaluated.
    pub partial: Partial,
    /// Whether there is no more at present.
    pub is_all: bool,
}
