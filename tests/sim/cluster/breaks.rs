//! Rules that are broken on purpose, each at a seam, to see that the simulation notices.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::{Batch, BatchId, StoreId};
use logql::engine::Partial;
use ring::{Instance, Phase, State};
use rpc::IngesterApi;
use rpc::ingester::{
    Admission, AdmitRequest, AppendError, Appended, Identity, IngesterError, ReadStats,
    SelectAnswer, SelectRequest, StreamsAnswer, StreamsRequest,
};

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
}

impl Break {
    /// All rules.
    pub const ALL: [Break; 27] = [
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
    ];

    /// What an ingester is to others that has read the log to `head` at its start.
    pub fn service(self, api: Arc<dyn IngesterApi>, head: u64) -> Arc<dyn IngesterApi> {
        match self {
            Break::NoFloorAtStart => Arc::new(Forgetful { api, head }),
            _ => api,
        }
    }

    /// The way of a querier or distributor to an ingester; `sight` is how it sees the log.
    pub fn peer(self, api: Arc<dyn IngesterApi>, sight: &Arc<Sight>) -> Arc<dyn IngesterApi> {
        match self {
            Break::OtherView
            | Break::ShortAnswer
            | Break::AnyMajority
            | Break::NoGone
            | Break::AnyStore
            | Break::OldAcks
            | Break::AttemptAfterAnswer
            | Break::NoOverlaps
            | Break::NoRingVersion
            | Break::OldView => {
                let (seen, sight) = (Mutex::default(), sight.clone());
                Arc::new(Broken { api, rule: self, seen, acked: Arc::default(), sight })
            }
            _ => api,
        }
    }

    /// Whether the log does not name versions of the ring, too: a reader would find there what these
    /// rules have it be told.
    pub fn leaves_ring_unnamed(self) -> bool {
        matches!(self, Break::JoinUnseen | Break::NoRingVersion | Break::LoweredAtOnce)
    }

    /// The ring as an ingester has it when it looks at lists.
    pub fn list_state(self, state: Arc<State>) -> Arc<State> {
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
        let factor = match self {
            // As if rows were at so many stores that any number of them may be missing.
            Break::ManyGone => 9,
            Break::WriteFactor => state.write_factor(),
            Break::ForgetAtOnce => {
                let mut known = State::clone(&state);
                known.instances.retain(|_, instance| !instance.is_forgotten());
                return Arc::new(known);
            }
            _ => return state,
        };
        let mut many = State::clone(&state);
        for instance in many.instances.values_mut() {
            Arc::make_mut(instance).factor = factor;
        }
        many.replication = factor;
        Arc::new(many)
    }
}

/// Whether a process looks for commits that it has not read, or takes what it knows for the newest.
#[derive(Default)]
pub struct Sight(AtomicBool);

impl Sight {
    /// It knows of something newer, or begins: it reads on, to the head.
    pub fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// It has read to the head.
    pub fn close(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// An ingester that does not know after its start what it dropped before.
struct Forgetful {
    api: Arc<dyn IngesterApi>,
    /// The head of the log that it read at its start.
    head: u64,
}

#[async_trait]
impl IngesterApi for Forgetful {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        self.api.identify().await
    }

    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError> {
        self.api.admit(request).await
    }

    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        self.api.append(batches).await
    }

    async fn select(&self, request: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        match self.api.select(request.clone()).await? {
            // What it holds it holds since its start: the same at the older view.
            SelectAnswer::Behind { floor } if floor <= self.head => {
                self.api.select(SelectRequest { view: floor, ..request }).await
            }
            answer => Ok(answer),
        }
    }

    async fn streams(&self, request: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        match self.api.streams(request.clone()).await? {
            StreamsAnswer::Behind { floor } if floor <= self.head => {
                self.api.streams(StreamsRequest { view: floor, ..request }).await
            }
            answer => Ok(answer),
        }
    }
}

struct Broken {
    api: Arc<dyn IngesterApi>,
    rule: Break,
    /// How its process sees the log.
    sight: Arc<Sight>,
    /// Stores that were ever asked.
    seen: Mutex<BTreeSet<StoreId>>,
    /// Batches of which any attempt was ever acknowledged here.
    acked: Arc<Mutex<BTreeSet<BatchId>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Broken {
    /// The first of the lists hears of another order when nobody waits for it any more.
    fn attempt_again(&self, mut batches: Vec<Batch>) {
        for batch in &mut batches {
            batch.attempt += 1;
            batch.members.rotate_left(1);
        }
        let api = self.api.clone();
        base::task::sim::outside(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _unheard = api.append(batches).await.is_err();
        });
    }
}

fn is_silence(error: &IngesterError) -> bool {
    matches!(error, IngesterError::Unavailable(_))
}

fn nothing(partial: Partial) -> SelectAnswer {
    SelectAnswer::Rows { ranges: Vec::new(), partial, stats: ReadStats::default(), ring: 0 }
}

#[async_trait]
impl IngesterApi for Broken {
    async fn identify(&self) -> Result<Identity, IngesterError> {
        self.api.identify().await
    }

    async fn admit(&self, request: AdmitRequest) -> Result<Admission, IngesterError> {
        self.api.admit(request).await
    }

    async fn append(&self, batches: Vec<Batch>) -> Result<Appended, AppendError> {
        let sent: Vec<u32> = batches.iter().map(|batch| batch.attempt).collect();
        let ids: Vec<BatchId> = batches.iter().map(|batch| batch.id).collect();
        let again = (self.rule == Break::AttemptAfterAnswer).then(|| batches.clone());
        match self.api.append(batches).await {
            Ok(appended) => {
                lock(&self.acked).extend(ids);
                if let Some(again) = again.filter(|all| all.iter().all(|b| b.members.len() > 1)) {
                    self.attempt_again(again);
                }
                Ok(appended)
            }
            Err(_)
                if self.rule == Break::OldAcks
                    && ids.iter().all(|id| lock(&self.acked).contains(id)) =>
            {
                Ok(Appended { attempts: sent })
            }
            // The others of its list make up the majority.
            Err(failed) if self.rule == Break::AnyMajority && is_silence(&failed.error) => {
                Ok(Appended { attempts: sent })
            }
            answer => answer,
        }
    }

    async fn select(&self, mut request: SelectRequest) -> Result<SelectAnswer, IngesterError> {
        if self.rule == Break::NoGone {
            // As if everybody who was ever asked was asked.
            let mut seen = lock(&self.seen);
            seen.extend(request.asked.iter().copied());
            request.asked = seen.iter().copied().collect();
        }
        if self.rule == Break::AnyStore {
            request.store = None;
        }
        match self.api.select(request.clone()).await {
            Ok(SelectAnswer::Rows { partial, stats, ring, .. })
                if self.rule == Break::NoOverlaps =>
            {
                Ok(SelectAnswer::Rows { ranges: Vec::new(), partial, stats, ring })
            }
            Ok(SelectAnswer::Rows { ranges, partial, stats, .. })
                if self.rule == Break::NoRingVersion =>
            {
                Ok(SelectAnswer::Rows { ranges, partial, stats, ring: 0 })
            }
            Ok(SelectAnswer::Behind { floor }) if self.rule == Break::OtherView => {
                self.api.select(SelectRequest { view: floor, ..request }).await
            }
            Ok(SelectAnswer::Behind { floor }) => {
                self.sight.open();
                Ok(SelectAnswer::Behind { floor })
            }
            Err(IngesterError::Unavailable(_)) if self.rule == Break::ShortAnswer => {
                Ok(nothing(request.leaf.empty()))
            }
            answer => answer,
        }
    }

    async fn streams(&self, request: StreamsRequest) -> Result<StreamsAnswer, IngesterError> {
        let answer = self.api.streams(request).await;
        if matches!(answer, Ok(StreamsAnswer::Behind { .. })) {
            self.sight.open();
        }
        answer
    }
}
