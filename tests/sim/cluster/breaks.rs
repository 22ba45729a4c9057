//! Rules that are broken on purpose, each at a seam, to see that the simulation notices.

mod peers;

use std::sync::Arc;

use ring::{Instance, Phase, State};
use rpc::IngesterApi;
use store::CatalogHandle;

pub use peers::Sight;
use peers::{Broken, Served};

/// Which rule is not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Break {
    #[default]
    Nothing,
    /// W1: a disk that only says that it synced stands for an ack before the fsync.
    AckBeforeSync,
    /// W2: a commit is believed when its notice comes, before it is in the log.
    DropOnNotice,
    /// C2: a flush is put without being compared with other commits.
    NoCompare,
    /// C3: ingesters find no floor: a number that was cleaned is used again, and believed.
    NumberUsedTwice,
    /// R1: an ingester that has dropped rows of a later commit answers all the same, at its own view.
    OtherView,
    /// R1: an ingester that does not answer is taken for one that has nothing.
    ShortAnswer,
    /// B3: any majority of a list acknowledges, also one without its first.
    AnyMajority,
    /// R1: a follower answers without looking at who is asked.
    NoGone,
    /// R1: a query is answered however many stores are gone.
    ManyGone,
    /// R1b: a store is cleared before what names it is flushed and refused.
    ClearUnseen,
    /// R1b: a store is cleared when what names it is flushed, and named again afterwards.
    NoRefusal,
    /// R1: a forgotten store counts no more from the moment on that an operator says so.
    ForgetAtOnce,
    /// B6: a new directory goes by the name of the lost one.
    SameStore,
    /// B6: a query asks whoever is at an address, not a store.
    AnyStore,
    /// B3: the ack of an earlier attempt counts for the newest.
    OldAcks,
    /// B3: after the answer to the client another attempt goes to one member.
    AttemptAfterAnswer,
    /// W3: only the first of a list flushes.
    OnlyFirstFlushes,
    /// R2: an answer does not say which streams it includes.
    NoOverlaps,
    /// C4: an upload that nobody names is deleted without a commit that says so.
    NoOrphanCommit,
    /// ADR 19, 1: a store is activated before all others know of it.
    JoinUnseen,
    /// ADR 19, 1: answers do not say how new the ring is that their ingester follows.
    NoRingVersion,
    /// ADR 19, 2: a store says that it holds nothing of a lower factor before that is so.
    FactorAtOnce,
    /// ADR 19, 2: readers count on the factor of new batches, whatever is held.
    WriteFactor,
    /// ADR 19, 2: a lower factor is written at once, before all who answer know of it.
    LoweredAtOnce,
    /// B2: what begins with a checkpoint knows no batch that was claimed before it.
    NoIdTable,
    /// R1: after a start an ingester has dropped nothing.
    NoFloorAtStart,
    /// R1: a query is answered at the newest commit that its querier knows, without a look.
    OldView,
    /// R1: an ingester answers at what it has read of the log. Equal rows count once all the same.
    NotFollowed,
    /// R1 and R2: it does so, and what covers it, that answers say what they include, is broken too.
    NotFollowedNoOverlaps,
    /// ADR 19, 2: lists of a lower factor are taken after it was said that none would be.
    NoFactorRefusal,
    /// ADR 19, 4: others speak for what one store alone has acknowledged.
    ClearedAlone,
    /// ADR 19, 8: the factor of a gone store is lowered with that of the ring.
    GoneLowered,
    /// ADR 20: a store that joins is not asked yet, and does not count.
    JoiningUnasked,
}

impl Break {
    /// All rules.
    pub const ALL: [Break; 33] = [
        Break::AckBeforeSync,
        Break::DropOnNotice,
        Break::NoCompare,
        Break::NumberUsedTwice,
        Break::OtherView,
        Break::ShortAnswer,
        Break::AnyMajority,
        Break::NoGone,
        Break::ManyGone,
        Break::ClearUnseen,
        Break::NoRefusal,
        Break::ForgetAtOnce,
        Break::SameStore,
        Break::AnyStore,
        Break::OldAcks,
        Break::AttemptAfterAnswer,
        Break::OnlyFirstFlushes,
        Break::NoOverlaps,
        Break::NoOrphanCommit,
        Break::JoinUnseen,
        Break::NoRingVersion,
        Break::FactorAtOnce,
        Break::WriteFactor,
        Break::LoweredAtOnce,
        Break::NoIdTable,
        Break::NoFloorAtStart,
        Break::OldView,
        Break::NotFollowed,
        Break::NotFollowedNoOverlaps,
        Break::NoFactorRefusal,
        Break::ClearedAlone,
        Break::GoneLowered,
        Break::JoiningUnasked,
    ];

    /// What an ingester is to others that has read the log to `head` at its start.
    pub fn service(
        self,
        api: Arc<dyn IngesterApi>,
        catalog: CatalogHandle,
        head: u64,
    ) -> Arc<dyn IngesterApi> {
        let rule = match self {
            Break::NotFollowedNoOverlaps => Break::NotFollowed,
            Break::NoFloorAtStart | Break::NotFollowed => self,
            _ => return api,
        };
        Arc::new(Served { api, rule, catalog, head })
    }

    /// The way of a querier or distributor to an ingester; `sight` is how it sees the log.
    pub fn peer(self, api: Arc<dyn IngesterApi>, sight: &Arc<Sight>) -> Arc<dyn IngesterApi> {
        let rule = match self {
            Break::NotFollowedNoOverlaps => Break::NoOverlaps,
            Break::OtherView
            | Break::ShortAnswer
            | Break::AnyMajority
            | Break::NoGone
            | Break::AnyStore
            | Break::OldAcks
            | Break::AttemptAfterAnswer
            | Break::NoOverlaps
            | Break::NoRingVersion
            | Break::OldView => self,
            _ => return api,
        };
        Arc::new(Broken::new(api, rule, sight.clone()))
    }

    /// What all agree on, after a command.
    pub fn agreed(self, state: &mut State) {
        let (least, gone) = (state.asked_factor(), |i: &&mut Instance| i.phase == Phase::Gone);
        let gone = state.instances.values_mut().map(Arc::make_mut).filter(gone);
        match self {
            Break::LoweredAtOnce => state.held_factor = 0,
            // As if it had had company.
            Break::ClearedAlone => gone.for_each(|i| i.factor = i.factor.max(2)),
            Break::GoneLowered => gone.for_each(|i| i.factor = i.factor.min(least)),
            _ => {}
        }
    }

    /// Whether the log does not name versions of the ring, too: a reader would find there what these
    /// rules have it be told.
    pub fn leaves_ring_unnamed(self) -> bool {
        matches!(self, Break::JoinUnseen | Break::NoRingVersion | Break::LoweredAtOnce)
    }

    /// The ring as an ingester has it when it looks at lists.
    pub fn list_state(self, state: Arc<State>) -> Arc<State> {
        if self == Break::NoFactorRefusal {
            let mut low = State::clone(&state);
            (low.replication, low.held_factor) = (1, 0);
            return Arc::new(low);
        }
        if self != Break::NoRefusal {
            return state;
        }
        // As if whoever is on its way out, or was, had come back since. Answers carry the version: it
        // stays what it is.
        let mut back = State::clone(&state);
        for store in std::mem::take(&mut back.retired).into_keys() {
            let Some(any) = back.instances.values().next() else { continue };
            let instance = Instance { store, ..Instance::clone(any) };
            back.instances.insert(store, Arc::new(instance));
        }
        for instance in back.instances.values_mut().map(Arc::make_mut) {
            if instance.departure.take().is_some() {
                instance.phase = Phase::Active;
            }
        }
        Arc::new(back)
    }

    /// The ring as a querier has it.
    pub fn state(self, state: Arc<State>) -> Arc<State> {
        let change: fn(&mut State) = match self {
            // As if rows were at so many stores that any number of them may be missing.
            Break::ManyGone => |known| count_on(known, 9),
            Break::WriteFactor => |known| count_on(known, known.write_factor()),
            Break::ForgetAtOnce => |known| known.instances.retain(|_, i| !i.is_forgotten()),
            Break::JoiningUnasked => {
                |known| known.instances.retain(|_, i| i.phase != Phase::Joining)
            }
            _ => return state,
        };
        let mut known = State::clone(&state);
        change(&mut known);
        Arc::new(known)
    }
}

/// Says that everything has so many copies.
fn count_on(known: &mut State, factor: u8) {
    for instance in known.instances.values_mut() {
        Arc::make_mut(instance).factor = factor;
    }
    known.replication = factor;
}
